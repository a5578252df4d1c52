"""The report in a real browser: it opens, asks no network for anything, and its tables sort."""

import json
import re
import shutil
import subprocess

import pytest
from conftest import fast_classifier

from sklearn_aecf.inspection import robustness_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def opened(page, folder, script=""):
    """The page's DOM after a script ran in it, and the addresses that it asked for."""
    path, log = folder / "report.html", folder / "net.json"
    path.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-extensions",
        f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--virtual-time-budget=5000", "--dump-dom",
        path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    text = log.read_text()
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:  # the log is cut off where the browser was closed
        events = [{"params": {"url": url}} for url in re.findall(r'"url":"([^"]+)"', text)]
    asked = {str(event.get("params", {}).get("url", "")) for event in events}
    return done.stdout, {url for url in asked if url}


@pytest.fixture(scope="module")
def page(data):
    X, y = data
    return robustness_report(fast_classifier().fit(X, y), X, y).to_html()


def test_opens_without_a_network(page, tmp_path):
    dom, asked = opened(page, tmp_path, "document.title = [...document.images].every(i => i.naturalWidth > 100)")
    assert "<title>true</title>" in dom, "a picture did not load"
    ours = {url for url in asked if not url.startswith(("file:", "data:", "chrome", "about:"))}
    # The browser itself may look for updates; the page's own document is what must not.
    assert not {url for url in ours if "google" not in url and "gstatic" not in url}


@pytest.mark.parametrize(("clicks", "state"), [(1, "ascending"), (2, "descending")])
def test_tables_sort(page, tmp_path, clicks, state):
    script = "const b = document.querySelectorAll('table th button')[3];" + "b.click();" * clicks
    dom, _ = opened(page, tmp_path, script)
    table = dom[dom.index("<table") : dom.index("</table>")]
    assert f'aria-sort="{state}"' in table
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]
    values = [float(re.findall(r"<td[^>]*data-value=\"([^\"]+)\"", row)[0]) for row in rows]
    assert len(values) == 7 and values == sorted(values, reverse=state == "descending")
