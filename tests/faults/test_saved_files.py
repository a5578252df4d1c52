"""Files of `AECFClassifier.save` that were damaged or made by somebody else: the same answers, or one sentence.

``FAULT_CASES=10000 pytest tests/faults/test_saved_files.py`` damages so many.
"""

import io
import json
import os
import re
import signal
import struct
import zipfile

import numpy as np
import pytest
from conftest import fast_classifier, in_form
from numpy.testing import assert_array_equal
from safetensors.numpy import load, save

from sklearn_aecf import AECFClassifier
from sklearn_aecf.datasets import make_multimodal_classification

N_CASES = int(os.environ.get("FAULT_CASES", 500))
HEAD, TENSORS = "head.json", "tensors.safetensors"
DAMAGED = "holds no model saved by sklearn-aecf, or is damaged:"
MISFIT = "holds a model whose parts do not fit together:"


@pytest.fixture(scope="module")
def model():
    """A model that tells reliability, fitted on a DataFrame, and its rows."""
    X, y = make_multimodal_classification(300, n_modalities=2, n_features=[5, 3], missing_rate=0.2, random_state=0)
    frame, groups = in_form(X, "pandas")
    return fast_classifier(modalities=groups).fit(frame, y), frame


@pytest.fixture
def parts(model, tmp_path):
    """Head, as text, and tensors of its file."""
    model[0].save(tmp_path / "whole.aecf")
    with zipfile.ZipFile(tmp_path / "whole.aecf") as archive:
        return archive.read(HEAD).decode(), archive.read(TENSORS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.aecf"


@pytest.fixture(autouse=True)
def _never_for_ever():
    """What waits for a pipe, or reads without end, fails."""

    def wake(*args):
        pytest.fail("it takes for ever")

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def write(path, *members):
    """A zip of pairs of a name and its content."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)


def refuse(path, message):
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} {re.escape(message)}$"):
        AECFClassifier.load(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["../head.json", TENSORS], f"{DAMAGED} it holds '../head.json', '{TENSORS}'."),
        ([HEAD, TENSORS, "/etc/passwd"], f"{DAMAGED} it holds '/etc/passwd', '{HEAD}', '{TENSORS}'."),
        ([HEAD, HEAD, TENSORS], f"{DAMAGED} it holds '{HEAD}', '{HEAD}', '{TENSORS}'."),
        ([TENSORS], f"{DAMAGED} it holds '{TENSORS}'."),
        ([], f"{DAMAGED} it holds nothing."),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_members(parts, path, names, message):
    write(path, *((name, parts[name == TENSORS]) for name in names))
    refuse(path, message)


@pytest.mark.parametrize("offset", [20, 24], ids=["compressed", "whole"])
def test_sizes_that_are_announced(parts, path, offset):
    write(path, (HEAD, parts[0]), (TENSORS, parts[1]))
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\x01\x02") + offset
    content[place : place + 4] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)
    refuse(path, f"{DAMAGED} its parts are not of the size that they announce.")


def test_a_head_that_is_too_large(parts, path):
    write(path, (HEAD, b"[" + b"1," * 2**23 + b"1]"), (TENSORS, parts[1]))
    refuse(path, f"{DAMAGED} its head has {2**24 + 3} bytes.")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('"format": 1', f"{DAMAGED} its head says something twice."),
        ('"temperature": null', f"{DAMAGED} its head says something twice."),
        ('"x": NaN', f"{DAMAGED} its head has NaN."),
        ('"x": -Infinity', f"{DAMAGED} its head has -Infinity."),
    ],
)
def test_json_beyond_json(parts, path, more, message):
    write(path, (HEAD, f"{parts[0][:-1]}, {more}}}"), (TENSORS, parts[1]))
    refuse(path, message)


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"x": ' + "9" * 5000 + "}", "\x00", '"\ud800"', ""])
def test_hostile_json_ends_in_a_sentence(parts, path, text):
    write(path, (HEAD, text.encode("utf-8", "surrogatepass")), (TENSORS, parts[1]))
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{path} {DAMAGED}')} [^\n]{{1,210}}\.$"):
        AECFClassifier.load(path)


NEWER = "has format 2, but this version of sklearn-aecf reads formats up to 1; install the version that wrote it"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, f"{DAMAGED} its head names no format."),
        (0, f"{DAMAGED} its head names no format."),
        ("1", f"{DAMAGED} its head names no format."),
        (2, f"{NEWER} (0.1.0), or a later one."),
    ],
)
def test_formats(parts, path, value, message):
    write(path, (HEAD, json.dumps({**json.loads(parts[0]), "format": value, "version": "0.1.0"})), (TENSORS, parts[1]))
    refuse(path, message)


def _set(*keys, value):
    """What sets a value in a head; a name stands for its place in a list of pairs, too."""

    def change(head, tensors):
        for key in keys[:-1]:
            head = next(pair for pair in head if pair[0] == key)[1] if _is_pairs(head, key) else head[key]
        if _is_pairs(head, keys[-1]):
            next(pair for pair in head if pair[0] == keys[-1])[1] = value
        else:
            head[keys[-1]] = value

    return change


def _is_pairs(head, key):
    return isinstance(head, list) and isinstance(key, str)


def _cast(name, dtype):
    return lambda head, tensors: tensors.update({name: tensors[name].astype(dtype)})


SPEC, FITTED = ("spec", "~record", 1), ("fitted", "~dict")
A, B = {"~tuple": [f"a{i}" for i in range(5)]}, {"~tuple": [f"b{i}" for i in range(3)]}
FLOOR = "network.reliability.floor"
WRONG = [
    (_set("spec", value=[]), "inputs"),
    (_set(*SPEC, "names", value={"~tuple": ["a", "a"]}), "names"),
    (_set(*SPEC, "names", value=["a", "b"]), "names"),
    (_set(*SPEC, "shapes", value={"~tuple": [{"~tuple": [5]}, {"~tuple": [-3]}]}), "shapes"),
    (_set(*SPEC, "shapes", value={"~tuple": [[5], [3]]}), "shapes"),
    (_set(*SPEC, "shapes", value={"~tuple": [{"~tuple": [5]}, {"~tuple": [2**62]}]}), "shapes"),
    (_set(*SPEC, "shapes", value={"~tuple": [{"~tuple": [5]}, {"~tuple": [4]}]}), "columns"),
    (_set(*SPEC, "labels", value=[]), "columns"),
    (_set(*SPEC, "labels", value={"~dict": [["b", B], ["a", A]]}), "columns"),
    (_set(*SPEC, "labels", value={"~dict": [["a", A], ["b", {"~tuple": ["b0", "b1"]}]]}), "columns"),
    (_set(*SPEC, "labels", value={"~dict": [["a", A], ["b", {"~tuple": ["b0", "b1", "a0"]}]]}), "columns"),
    (_set(*SPEC, "labels", value={"~dict": [["a", A], ["b", {"~tuple": ["b0", "b1", {"~tuple": []}]}]]}), "columns"),
    (_set(*SPEC, "encodings", value=3), "categories"),
    (_set(*SPEC, "encodings", value={"~dict": [["b", 1]]}), "categories"),
    (_set(*SPEC, "encodings", value={"~dict": [["b", {"~record": ["Encoding", {"columns": B}]}]]}), "categories"),
    (_set(*SPEC, "raw", value=None), "encoders"),
    (_set(*SPEC, "raw", value={"~set": ["b"]}), "statistics of 'b'"),
    (_set(*FITTED, "feature_names_in_", value=["a0"]), "names of features"),
    (_set(*FITTED, "n_features_in_", value=-8), "numbers of features"),
    (_set(*FITTED, "best_epoch_", value=99), "epochs"),
    (_set("problem", "classes", value={"~array": ["<i8", [1, 0]]}), "classes and their prior"),
    (_set("problem", "classes", value={"~array": ["<i8", [1, 1]]}), "classes and their prior"),
    (lambda head, tensors: tensors["prior"].fill(0.1), "classes and their prior"),
    (lambda head, tensors: tensors["prior"].fill(np.nan), "classes and their prior"),
    (_cast("prior", np.float32), "classes and their prior"),
    (_cast("absence", np.float32), "temperature"),
    (_cast("mean_0", np.float32), "statistics 0"),
    (_cast("gaps_1", np.int32), "statistics 1"),
    (lambda head, tensors: tensors.update(mean_0=np.zeros(4), scale_0=np.ones(4)), "statistics 0"),
    (
        lambda head, tensors: tensors.update(dict.fromkeys(["mean_0", "scale_0", "total_0", "variance_0"], np.ones(4))),
        "statistics of 'a'",
    ),
    (_cast("network.heads.weight", np.float64), "dtypes of the network"),
    (_cast(FLOOR, np.float64), "reliability"),
    (lambda head, tensors: tensors.update({FLOOR: np.zeros_like(tensors[FLOOR])}), "reliability"),
    (lambda head, tensors: tensors["network.reliability.n_values"].fill(2), "reliability"),
    (lambda head, tensors: tensors["network.reliability.detector.centre"].fill(np.nan), "reliability"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "what"), WRONG, ids=[f"{i}-{what}" for i, (_, what) in enumerate(WRONG)])
def test_what_does_not_fit_is_named(parts, path, change, what):
    head, tensors = json.loads(parts[0]), load(parts[1])
    change(head, tensors)
    write(path, (HEAD, json.dumps(head)), (TENSORS, save(tensors)))
    refuse(path, f"{MISFIT} its {what} do not fit.")


def test_one_long_text_does_not_take_the_room_of_many(parts, path):
    head = json.loads(parts[0])
    head["problem"]["classes"] = {"~array": ["U", ["a" * 2**20] + ["b"] * 2**10]}
    write(path, (HEAD, json.dumps(head)), (TENSORS, parts[1]))
    refuse(path, f"{MISFIT} its array of text is too large.")


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_a_path_that_is_no_file(path, kind):
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    refuse("/dev/zero" if kind == "device" else path, "is no file; give the file that save wrote.")


@pytest.mark.parametrize("path", [None, 0, b"model.aecf", io.BytesIO()], ids=repr)
def test_what_is_no_path(model, path):
    message = rf"^path must be a str or a pathlib\.Path\. Got {type(path).__name__}\.$"
    with pytest.raises(TypeError, match=message):
        AECFClassifier.load(path)
    with pytest.raises(TypeError, match=message):
        model[0].save(path)


def test_saving_to_a_folder_and_reading_through_a_link(model, path, tmp_path):
    clf, X = model
    with pytest.raises(
        IsADirectoryError, match=rf"^{re.escape(str(tmp_path))} is a folder; give the name of a file in it\.$"
    ):
        clf.save(tmp_path)
    clf.save(path)
    (tmp_path / "link").symlink_to(path)
    assert_array_equal(AECFClassifier.load(tmp_path / "link").predict_proba(X), clf.predict_proba(X))


def damaged(content, other, rng):
    """Bytes changed, zeroed, doubled, moved, taken out, cut off, or taken from another file of the kind."""
    start, size = rng.integers(len(content)), int(rng.choice([1, 4, 64, 4096]))
    piece, place = content[start : start + size], rng.integers(len(content))
    changed, kind = bytearray(content), rng.integers(8)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[start + size :]
    if kind == 2:
        return content[:start] + piece + content[start:]
    if kind == 3:
        changed[start : start + size] = bytes(len(piece))
    elif kind == 4:
        changed[place : place + len(piece)] = piece
    elif kind == 5:
        changed[start : start + size] = other[start : start + size]
    else:
        for bit in rng.integers(8 * len(content), size=1 if kind == 6 else rng.integers(2, 9)):
            changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def test_a_damaged_file_is_refused_or_harmless(model, path):
    clf, X = model
    X = X.iloc[:20]
    clf.save(path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    expected, n_read = [clf.predict_proba(X), clf.modality_reliability(X)], 0
    other, y = make_multimodal_classification(300, n_modalities=2, n_features=[5, 3], random_state=1)
    frame, groups = in_form(other, "pandas")
    fast_classifier(modalities=groups).fit(frame, y).save(path)
    second = path.read_bytes()
    for case in range(N_CASES):
        path.write_bytes(damaged(content, second, rng))
        try:
            loaded = AECFClassifier.load(path)
        except ValueError as error:
            assert re.fullmatch(rf"{re.escape(str(path))} [^\n]{{1,400}}\.", str(error)), f"case {case}: {error}"
        else:
            n_read += 1
            for one, found in zip(expected, [loaded.predict_proba(X), loaded.modality_reliability(X)], strict=True):
                assert_array_equal(found, one, err_msg=f"case {case}")
    assert n_read < N_CASES / 4  # what changes nothing: a date, or zeros where zeros were
