"""Documentation that runs: README's lines, the examples, and pages that must name what exists."""

import doctest
import importlib
import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the documentation is not in this copy")


@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_readme_runs(monkeypatch, tmp_path):
    """The blocks one after the other, as a reader would paste them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    given = {
        "np": np,
        "image": rng.normal(size=(60, 4)) + y[:, None],
        "audio": rng.normal(size=(60, 3)),
        "y": y,
    }
    exec(compile("\n".join(blocks), "README.md", "exec"), given)
    plt.close("all")


@pytest.mark.filterwarnings("ignore:.*no observed modality")
@pytest.mark.parametrize("page", ["export", "extending", "paper", "reliability"])
def test_guide_runs(page, monkeypatch, tmp_path):
    if page == "export":
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.chdir(tmp_path)
    path = ROOT / "docs" / "guide" / f"{page}.rst"
    found = doctest.testfile(str(path), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 5 and found.failed == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("plot_*.py")), ids=lambda path: path.stem)
def test_example_runs(path, monkeypatch, tmp_path):
    if "from transformers import" in path.read_text(encoding="utf-8"):
        pytest.importorskip("transformers", reason="transformers is not installed")
    if "to_onnx" in path.read_text(encoding="utf-8"):
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    plt.close("all")


def test_every_public_name_has_its_page():
    listed = (ROOT / "docs" / "api" / "index.rst").read_text()
    for module in (
        "sklearn_aecf",
        *(
            f"sklearn_aecf.{m}"
            for m in ("calibration", "compose", "metrics", "inspection", "nn", "masking", "losses", "datasets")
        ),
    ):
        for name in importlib.import_module(module).__all__:
            full = f"{module}.{name}".removeprefix("sklearn_aecf.")
            assert re.search(rf"^   {re.escape(full)}$", listed, re.MULTILINE), f"{full} is not in docs/api/index.rst"


@pytest.mark.parametrize("page", ["results_page", "corruption_page"])
def test_readme_shows_the_measured_tables(page):
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        tables = importlib.import_module(page).markdown()
    finally:
        sys.path.pop(0)
    assert tables in (ROOT / "README.md").read_text(encoding="utf-8")


def test_messages_that_users_search_for_are_quoted():
    quoted = "Found input variables with inconsistent numbers of samples"
    for page in (ROOT / "README.md", ROOT / "docs" / "guide" / "faq.rst"):
        assert quoted in page.read_text(encoding="utf-8")
