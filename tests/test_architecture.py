"""Rooms and their order: a file imports only from rooms above its own."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_aecf

PACKAGE = Path(sklearn_aecf.__file__).parent
ROOMS = [
    "_files",
    "distributed",
    "_data",
    "_labels",
    "losses",
    "_problem",
    "_rows",
    "_statistics",
    "_inputs",
    "nn",
    "masking",
    "calibration",
    "_model",
    "_training",
    "_saved_file",
    "_saving",
    "_export",
    "_sklearn_support",
    "_updating",
    "_predicting",
    "_classifier",
    "_in_batches",
    "compose",
    "metrics",
    "inspection",
    "datasets",
]
WITHOUT_TORCH = [
    "_files",
    "_data",
    "_labels",
    "_rows",
    "_statistics",
    "calibration",
    "metrics",
    "_sklearn_support",
    "_updating",
    "_predicting",
    "_classifier",
    "_in_batches",
    "inspection",
    "datasets",
]


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_rooms_above(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in ROOMS, f"{room} has no place in the order of rooms"
    above = ROOMS[: ROOMS.index(room) + 1] + (["_data"] if room == "datasets" else [])
    for module in imports_of(path):
        if module.startswith("sklearn_aecf"):
            assert room_of(module) in above, f"{room} imports {module}, a room below"
        if room in WITHOUT_TORCH:
            assert module.split(".")[0] not in ("torch", "skorch"), f"{room} handles tensors"


def test_layers_know_nothing_of_ours():
    for path in (PACKAGE / "nn").glob("*.py"):
        ours = {room_of(module) for module in imports_of(path) if module.startswith("sklearn_aecf")}
        assert ours <= {"nn"}


def test_import_does_not_load_optional_packages():
    code = "import sys, sklearn_aecf; print([m for m in ('matplotlib', 'pandas', 'polars') if m in sys.modules])"
    # pandas may come with scikit-learn or skorch; what they load is theirs.
    baseline = (
        "import sys, sklearn, torch, skorch; print([m for m in ('matplotlib','pandas','polars') if m in sys.modules])"
    )
    run = [
        subprocess.run([sys.executable, "-c", c], capture_output=True, text=True, check=True) for c in (code, baseline)
    ]
    assert run[0].stdout == run[1].stdout


def test_public_names_have_docstrings_and_exist():
    import importlib

    for module in (
        "sklearn_aecf",
        "sklearn_aecf.distributed",
        "sklearn_aecf.losses",
        "sklearn_aecf.masking",
        "sklearn_aecf.nn",
        "sklearn_aecf.datasets",
        "sklearn_aecf.metrics",
        "sklearn_aecf.compose",
        "sklearn_aecf.inspection",
    ):
        loaded = importlib.import_module(module)
        for name in getattr(loaded, "__all__", []):
            assert getattr(loaded, name).__doc__, f"{module}.{name} has no docstring"


def test_nobody_outside_nn_touches_a_part_of_the_network():
    parts = re.compile(r"(module_?|network)\.(encoders|fusion|heads|embed|gate)\b")
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] != "nn":
            assert not parts.search(path.read_text()), f"{path} reaches into the network; ask its forward"


def test_what_kind_of_target_y_is_only_the_problem_asks():
    branch = re.compile(r"isinstance\(.*(Multiclass|Multilabel)\)|[\"'](multiclass|multilabel)[\"']")
    for path in FILES:
        if path.name != "_problem.py":
            found = [line for line in path.read_text().splitlines() if branch.search(line) and "``" not in line]
            assert not found, f"{path} asks for the kind of target: {found}"


def test_benchmarks_patch_nothing():
    folder = PACKAGE.parent / "benchmarks"
    if not folder.exists():
        pytest.skip("the benchmarks are not in this copy")
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert "mock" not in text and not re.search(r"from sklearn_aecf\.?[a-z.]*\._|import _[a-z]", text), path
