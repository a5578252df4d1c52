"""The site as a reader gets it: no request to any network, no broken link, nothing that scrolls sideways."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parent.parent
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the documentation is not in this copy"),
]
in_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
# One page of each kind; the method has formulas.
PAGES = ["index.html", "guide/method.html", "guide/getting_started.html", "auto_examples/index.html", "api/index.html"]
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built from a copy, with the examples shown and not run."""
    for package in ("sphinx", "sphinx_gallery", "pydata_sphinx_theme", "sphinx_design", "latex2mathml"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    copy = tmp_path_factory.mktemp("copy")
    for part in ("docs", "examples", "benchmarks", "tests"):
        ignored = shutil.ignore_patterns("_build", "auto_examples", "generated", "__pycache__", "sg_*")
        shutil.copytree(ROOT / part, copy / part, ignore=ignored)
    shutil.copy(ROOT / "CHANGELOG.md", copy)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-D", "plot_gallery=0", "docs", "site"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return copy / "site"


class Page(HTMLParser):
    """What a page links to, what it fetches, and which places in it can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.fetched, self.places = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if tag in FETCHED and attributes.get(FETCHED[tag]) and attributes.get("rel") != "canonical":
            self.fetched.append(attributes[FETCHED[tag]])


@pytest.fixture(scope="module")
def pages(site):
    return {path.resolve(): Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def is_local(address):
    return not re.match(r"[a-z][a-z0-9+.-]*:|//", address)


def test_no_link_is_broken(pages):
    broken = []
    for path, page in pages.items():
        for link in [*filter(is_local, page.links), *filter(is_local, page.fetched)]:
            address, place = urldefrag(link)
            target = (path.parent / unquote(address.split("?")[0])).resolve() if address else path
            if not target.exists() or (place and target in pages and unquote(place) not in pages[target].places):
                broken.append(f"{path.name}: {link}")
    assert len(pages) > 80 and not broken, broken


def test_nothing_is_fetched_from_elsewhere(pages, site):
    assert not [(path.name, f) for path, page in pages.items() for f in page.fetched if not is_local(f)]
    for sheet in site.rglob("*.css"):
        fetched = re.findall(r"url\(['\"]?(https?:)?//|@import\s+['\"]https?:", sheet.read_text(encoding="utf-8"))
        assert not fetched, sheet.name


def opened(path, folder, script, width=1280):
    """What a script found out in the page, and the addresses that were asked for."""
    source = path.read_text(encoding="utf-8")
    probe, frame = path.with_name(f"probe-{path.name}"), path.with_name(f"frame-{path.name}")
    writes = f"window.addEventListener('load', () => {{ parent.document.title = JSON.stringify({script}) }})"
    probe.write_text(source.replace("</body>", f"<script>{writes}</script></body>"), encoding="utf-8")
    # No window is as narrow as a telephone; a frame may be.
    framed = f"<title></title><iframe src='{probe.as_uri()}' width={width} height=900></iframe>"
    frame.write_text(framed, encoding="utf-8")
    log = folder / "net.json"
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-extensions",
        f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--virtual-time-budget=5000",
        "--allow-file-access-from-files", f"--window-size={width + 50},1000", "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    probe.unlink()
    frame.unlink()
    assert done.returncode == 0, done.stderr[-2000:]
    asked = set(re.findall(r'"url":\s*"([^"]+)"', log.read_text(encoding="utf-8")))
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)[1].replace("&quot;", '"')
    return json.loads(title), asked


@in_browser
@pytest.mark.parametrize("page", PAGES)
def test_a_browser_asks_no_network(site, page, tmp_path):
    script = "{n: document.querySelectorAll('math').length, w: document.querySelector('math')?.getBoundingClientRect().width}"
    found, asked = opened(site / page, tmp_path, script)
    if page == "guide/method.html":
        assert found["n"] > 20 and found["w"] > 10, "the formulas are not drawn"
    elsewhere = {url for url in asked if url.startswith(("http", "ws"))}
    # The browser itself may look for its updates; the page's own document is what must not.
    assert not {url for url in elsewhere if not re.match(r"https?://[\w.-]*(google|gstatic|googleapis)\.com/", url)}


@in_browser
@pytest.mark.parametrize("width", [400, 1280, 1600])
@pytest.mark.parametrize("page", PAGES)
def test_nothing_scrolls_sideways(site, page, width, tmp_path):
    """On a telephone, a notebook and a wide screen."""
    script = (
        "{page: document.documentElement.scrollWidth - document.documentElement.clientWidth, code: "
        "[...document.querySelectorAll('div.highlight pre')].filter(e => e.scrollWidth > e.clientWidth + 1).length}"
    )
    found, _ = opened(site / page, tmp_path, script, width)
    assert found == {"page": 0, "code": 0}
