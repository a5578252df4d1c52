"""The model elsewhere: a torch module and an ONNX file that say what the classifier says."""

import json
import logging
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from sklearn_aecf import MultimodalData, _export
from sklearn_aecf.datasets import make_multimodal_classification
from sklearn_aecf.nn import AECFNetwork

# Names that torch's exporter gives to values by itself, and such as no programming language has.
NAMES = ("isnan", "a.b", "calibration.prior")


def multimodal(n_classes=3, n_rows=400):
    """Rows with modalities missing, gaps inside others, and rows with nothing."""
    X, y = make_multimodal_classification(
        n_rows, n_classes=n_classes, n_features=[6, 4, 2], missing_rate=0.3, random_state=0
    )
    arrays = {name: X[old].copy() for name, old in zip(NAMES, X, strict=True)}
    rng = np.random.default_rng(0)
    for array in arrays.values():
        array[rng.random(array.shape) < 0.1] = np.nan
        array[:3] = np.nan
    return arrays, y


def labels_of(y):
    labels = np.stack([y == 0, y == 1, (y + 1) % 2], axis=1).astype(float)
    labels[::7, 1] = np.nan
    return labels


class Picture(nn.Module):
    """Of 8-bit pictures."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(8))

    def forward(self, x):
        return self.layers(x / 255)


class Codes(nn.Module):
    """Of integers."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)

    def forward(self, x):
        return self.table(x).flatten(1)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 8)

    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else -self.layer(x)


class Quiet(nn.Module):
    """A network of the user's that tells no reliability."""

    reliability = None

    def __init__(self, **params):
        super().__init__()
        self.inner = AECFNetwork(**params)

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


def with_encoders():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 260)
    X = {
        "picture": rng.integers(0, 255, (260, 1, 6, 6)).astype(np.uint8),
        "codes": (rng.integers(0, 4, (260, 2)) + y[:, None]).astype(np.int64),
        "kind": rng.integers(0, 5, 260),
        "blood pressure / µ": rng.normal(size=(260, 3)) + y[:, None],
    }
    X = MultimodalData(X, present={name: rng.random(260) > 0.2 for name in X})
    return fast_classifier(encoders={"picture": Picture, "codes": Codes, "kind": lambda: nn.Embedding(5, 8)}).fit(
        X, y
    ), X


def tensors(X, n_rows=None):
    """What the classifier read, with NaN where it is missing."""
    found = {}
    for name in X:
        values = np.asarray(X[name])[:n_rows].astype(np.float32 if X[name].dtype == np.uint8 else np.float64)
        if isinstance(X, MultimodalData):
            values[~X.present[:n_rows, list(X).index(name)]] = np.nan
        found[name] = torch.from_numpy(values)
    return found


@pytest.fixture(autouse=True)
def silence():
    """Of rows with nothing observed, and of gaps, other tests say what is said."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        yield


def answers(clf, X):
    reliability = clf.modality_reliability(X) if hasattr(clf, "modality_reliability") else None
    return {"probabilities": clf.predict_proba(X), "gate_weights": clf.gate_weights(X), "reliability": reliability}


def assert_says(found, expected, atol=1e-6):
    assert list(found) == list(expected)
    for name, values in expected.items():
        if values is not None:
            # Reliabilities come through logarithms of energies.
            assert_allclose(found[name], values, rtol=0, atol=20 * atol if name == "reliability" else atol)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"add_gap_indicator": True},
        {"scale": None},
        {"scale": ["a.b"], "add_gap_indicator": True},
        {"corruption_rate": 0},
        {"n_members": 1, "temperature": None},
        {"temperature": "global"},
        {"early_stopping": False},
        {"network": Quiet},
    ],
    ids=str,
)
def test_module_says_what_the_classifier_says(params):
    X, y = multimodal()
    clf = fast_classifier(**params).fit(X, y)
    found = clf.to_torch()(tensors(X))
    expected = answers(clf, X)
    assert_says(found, expected)
    if expected["reliability"] is None:
        seen = ~np.stack([np.isnan(x).all(axis=1) for x in X.values()], axis=1)
        assert_array_equal(found["reliability"], np.where(seen, 1, np.nan))


def test_module_of_one_class_or_several_labels():
    X, y = multimodal(2)
    for target in (y, labels_of(y)):
        clf = fast_classifier().fit(X, target)
        assert_says(clf.to_torch()(tensors(X)), answers(clf, X))


def test_module_has_no_part_for_what_was_never_seen():
    X, y = multimodal()
    seen = {**X, "a.b": np.full_like(X["a.b"], np.nan)}
    clf = fast_classifier().fit(seen, y)
    module = clf.to_torch()
    assert list(module.shapes) == ["isnan", "calibration.prior"]
    assert_says(module(tensors(X)), answers(clf, X))


def test_module_keeps_digits_of_large_numbers():
    X, y = multimodal()
    X = {name: values + 1e9 for name, values in X.items()}
    clf = fast_classifier().fit(X, y)
    assert_says(clf.to_torch()(tensors(X)), answers(clf, X))


def test_module_takes_codes_and_pictures_as_floats():
    clf, X = with_encoders()
    assert_says(clf.to_torch()(tensors(X)), answers(clf, X))


def test_module_is_a_copy():
    X, y = multimodal()
    clf = fast_classifier(warm_start=True).fit(X, y)
    module, expected = clf.to_torch(), answers(clf, X)
    clf.fit(X, y)
    assert abs(clf.predict_proba(X) - expected["probabilities"]).max() > 1e-3
    assert_says(module(tensors(X)), expected)
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_module_can_be_exported():
    X, y = multimodal()
    clf = fast_classifier().fit(X, y)
    rows = torch.export.Dim("rows")
    program = torch.export.export(clf.to_torch(), (tensors(X, 5),), dynamic_shapes=({name: {0: rows} for name in X},))
    for n_rows in (1, 7, 400):
        part = {name: values[:n_rows] for name, values in X.items()}
        assert_says(program.module()(tensors(part)), answers(clf, part))


def test_module_refuses_other_modalities_and_shapes():
    X, y = multimodal()
    module, given = fast_classifier().fit(X, y).to_torch(), tensors(X)
    with pytest.raises(ValueError, match=r"^arrays lacks modality 'a.b'; did you mean 'a_b'\? Give a tensor of NaN "):
        module({"a_b" if name == "a.b" else name: values for name, values in given.items()})
    with pytest.raises(ValueError, match=r"^Modality 'isnan' must have shape \(n_rows, 6\)\. Got \(400, 2\)\.$"):
        module({**given, "isnan": given["isnan"][:, :2]})


def session_of(clf, path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    clf.to_onnx(path)
    assert list(path.parent.iterdir()) == [path]
    return runtime.InferenceSession(path)


def served(session, given):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {name: x.numpy() for name, x in given.items()}), strict=True))


@pytest.mark.parametrize("target", ["binary", "multiclass", "multilabel"])
def test_runtime_says_what_the_classifier_says(target, tmp_path):
    X, y = multimodal(2 if target == "binary" else 3)
    names = np.array(["no", "perhaps", "yes"])
    y = pd.DataFrame(labels_of(y), columns=names) if target == "multilabel" else names[y]
    clf = fast_classifier(add_gap_indicator=target == "binary").fit(X, y)
    session = session_of(clf, tmp_path / "model.onnx")
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        (name, "tensor(double)", ["rows", values.shape[1]]) for name, values in X.items()
    ]
    for n_rows in (1, 7, 400):
        part = {name: values[:n_rows] for name, values in X.items()}
        found = served(session, tensors(part))
        assert_says(found, answers(clf, part), atol=1e-5)
    for pattern in range(8):
        hidden = {name: np.where(pattern >> m & 1, np.nan, x) for m, (name, x) in enumerate(X.items())}
        assert_says(served(session, tensors(hidden)), answers(clf, hidden), atol=1e-5)
    assert_allclose(found["probabilities"][:3], np.tile(clf.class_prior_, (3, 1)), atol=1e-7)
    metadata = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert metadata["modalities"] == list(X) and metadata["classes"] == clf.classes_.tolist()
    assert metadata["target"] == ("multilabel" if target == "multilabel" else "multiclass")


def test_runtime_takes_codes_and_pictures_as_floats(tmp_path):
    clf, X = with_encoders()
    session = session_of(clf, tmp_path / "model.onnx")
    kinds = {i.name: i.type for i in session.get_inputs()}
    assert kinds == {
        "picture": "tensor(float)",
        "codes": "tensor(double)",
        "kind": "tensor(double)",
        "blood pressure / µ": "tensor(double)",
    }
    assert_says(served(session, tensors(X)), answers(clf, X), atol=1e-5)


def test_columns_of_text_are_said_to_be_indicators():
    frame = pd.DataFrame(
        {"age": [40.0, 50, 60, np.nan] * 20, "sex": ["f", "m"] * 40, "site": ["a", "b", "c", "a"] * 20, "k": 1.0}
    )
    clf = fast_classifier(modalities={"person": ["age", "sex"], "place": ["site", "k"]}).fit(frame, [0, 1] * 40)
    columns = clf._metadata()["columns"]
    assert columns == {"person": ["age", "sex=m"], "place": ["site=a", "site=b", "site=c", "k"]}
    given = {
        "person": torch.tensor(np.stack([frame["age"], frame["sex"] == "m"], axis=1)),
        "place": torch.tensor(np.stack([*(frame["site"] == site for site in "abc"), frame["k"]], axis=1)),
    }
    assert_says(clf.to_torch()(given), answers(clf, frame))


def test_an_encoder_that_cannot_be_exported_is_named(tmp_path, capfd):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    X, y = multimodal()
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    X["a.b"] = np.nan_to_num(X["a.b"])
    clf = fast_classifier(encoders={"a.b": Branching()}).fit(X, y)
    levels = [logging.getLogger(name).level for name in _export._TALKATIVE]
    capfd.readouterr()
    with pytest.raises(
        ValueError, match=r"^The encoder of modality 'a.b' \(Branching\) cannot be exported: .*; its "
    ) as e:
        clf.to_onnx(path)
    assert "\n" not in str(e.value)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr() == ("", "")
    assert levels == [logging.getLogger(name).level for name in _export._TALKATIVE]


def test_an_onnxscript_older_than_torch_is_named(monkeypatch):
    X, y = multimodal()
    clf = fast_classifier(max_epochs=1, corruption_rate=0).fit(X, y)

    def exported(*args):
        try:
            raise ModuleNotFoundError("No module named 'onnxscript._later'")
        except ModuleNotFoundError as error:
            raise RuntimeError("Step 3 of 3") from error

    monkeypatch.setattr(_export, "_exported", exported)
    monkeypatch.setattr(_export, "version", lambda name: "0.1")
    with pytest.raises(ImportError, match=r"^onnxscript 0.1 does not fit torch .* \(No module .*\); pip install --up"):
        _export.onnx_program(clf.to_torch())


def test_what_prevents_a_file_is_said_before_the_export(tmp_path, monkeypatch):
    X, y = multimodal()
    clf = fast_classifier(max_epochs=1, corruption_rate=0)
    called = clf.fit({"probabilities" if name == "isnan" else name: x for name, x in X.items()}, y)
    monkeypatch.setattr(_export, "find_spec", lambda name: None if name == "onnxscript" else "there")
    with pytest.raises(ImportError, match=r"^to_onnx needs onnxscript, which is not installed; pip install "):
        called.to_onnx(tmp_path / "model.onnx")
    monkeypatch.setattr(_export, "find_spec", lambda name: "there")
    with pytest.raises(ValueError, match=r"^Modality 'probabilities' has the name of an output of the ONNX model "):
        called.to_onnx(tmp_path / "model.onnx")
    monkeypatch.setattr(_export, "onnx_program", lambda graph: pytest.fail("exported"))
    clf = fast_classifier(max_epochs=1, corruption_rate=0).fit(X, y)
    with pytest.raises(FileNotFoundError):
        clf.to_onnx(tmp_path / "nowhere" / "model.onnx")
    monkeypatch.setattr(_export, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"^The weights have .* GB, but an ONNX file holds 2 GB; use to_torch and "):
        clf.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
