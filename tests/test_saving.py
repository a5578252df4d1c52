"""One file for a fitted model: the same answers, nothing that runs, and a sentence for what does not fit."""

import json
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_array_equal
from safetensors.numpy import load, save
from sklearn.model_selection import ShuffleSplit
from skorch.callbacks import EpochScoring
from torch import nn

from sklearn_aecf import AECFClassifier
from sklearn_aecf._saved_file import packed, unpacked
from sklearn_aecf.datasets import load_heart_disease, make_multimodal_classification
from sklearn_aecf.masking import EntropyMasking, Masking, RandomCorruption
from sklearn_aecf.nn import AECFNetwork

SAVED = Path(__file__).parent / "saved"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.aecf"


@pytest.fixture(scope="module")
def reliable():
    """A model that tells reliability, and its rows."""
    X, y = make_multimodal_classification(400, n_modalities=2, n_features=[5, 3], missing_rate=0.2, random_state=0)
    return fast_classifier(max_epochs=6).fit(X, y), X


def answers(clf, X):
    found = [clf.predict_proba(X), clf.predict(X), clf.gate_weights(X), clf.transform(X), clf.uncertainty(X)]
    found += [clf.predict_proba_subsets(X, np.eye(len(clf.modality_names_), dtype=bool))]
    return found + ([clf.modality_reliability(X)] if hasattr(clf, "modality_reliability") else [])


def assert_same(clf, loaded, X):
    for one, other in zip(answers(clf, X), answers(loaded, X), strict=True):
        assert_array_equal(one, other)
    fitted = {name for name in vars(clf) if name.endswith("_")}
    assert fitted == {name for name in vars(loaded) if name.endswith("_")}
    assert_array_equal(loaded.classes_, clf.classes_)
    assert loaded.n_iter_ == clf.n_iter_ and loaded.best_epoch_ == clf.best_epoch_
    assert_array_equal(loaded.history_["valid_loss"], clf.history_["valid_loss"])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_members": 1},
        {"temperature": "global", "precision": "bfloat16"},
        {"temperature": None, "scale": None},
        {"masking": EntropyMasking(0.4), "corruption": RandomCorruption(["noise"]), "scale": ["a"]},
        {"add_gap_indicator": True, "class_weight": {0: 2.0, 1: 1.0}},
    ],
    ids=str,
)
def test_answers_are_the_same_bits(reliable, path, params):
    X, y = make_multimodal_classification(400, n_modalities=2, n_features=[5, 3], missing_rate=0.2, random_state=0)
    X["a"][3, 1] = np.nan
    clf = fast_classifier(**params).fit(X, y)
    clf.save(path)
    state = torch.get_rng_state()
    loaded = AECFClassifier.load(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(clf, loaded, X)
    ours = {name: value for name, value in clf.get_params().items() if not hasattr(value, "get_params")}
    assert {name: loaded.get_params()[name] for name in ours} == ours
    assert repr(loaded.masking) == repr(clf.masking)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["integers", "strings", "booleans", "labels", "named labels"])
def test_every_form_and_target(data, path, form, kind):
    X, y = data
    targets = {
        "integers": y * 10 - 5,
        "strings": np.array(["no", "yes", "perhaps"])[y],
        "booleans": y > 0,
        "labels": np.where(np.arange(300).reshape(150, 2) % 7 == 0, np.nan, np.column_stack([y > 0, y > 1])),
        "named labels": pd.DataFrame({"p": (y > 0).astype(int), "q": (y > 1).astype(int)}),
    }
    given, modalities = in_form(X, form)
    clf = fast_classifier(modalities=modalities).fit(given, targets[kind])
    clf.save(path)
    loaded = AECFClassifier.load(path)
    assert_same(clf, loaded, given)
    if isinstance(given, pd.DataFrame) and modalities:
        with pytest.raises(ValueError, match="^X lacks 1 of 6 columns of modality 'a'"):
            loaded.predict(given.rename(columns={"a0": "A0"}))


def test_categories_are_in_the_file(path):
    heart = load_heart_disease(as_frame=True)
    clf = fast_classifier(modalities=heart.feature_names).fit(heart.data, heart.target)
    clf.save(path)
    loaded = AECFClassifier.load(path)
    assert_same(clf, loaded, heart.data)
    assert loaded.feature_names_in_.tolist() == clf.feature_names_in_.tolist()
    with pytest.warns(UserWarning, match="Column 'sex' of modality 'history' has 'M' in 920 of 920 rows"):
        loaded.predict(heart.data.assign(sex="M"))


class Small(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.linear = nn.Linear(9, width)

    def forward(self, x):
        return self.linear(x.flatten(1))


def test_encoders_of_ones_own_come_as_weights(rng, path):
    X = {"picture": rng.integers(0, 255, (60, 3, 3), dtype=np.uint8), "sound": rng.normal(size=(60, 2))}
    y = np.arange(60) % 2
    clf = fast_classifier(encoders={"picture": Small}).fit(X, y)
    clf.save(path)
    message = (
        f"{path} has the weights of the encoder of modality 'picture', but not the module; give "
        "encoders={'picture': module}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AECFClassifier.load(path)
    assert_array_equal(AECFClassifier.load(path, encoders={"picture": Small()}).predict_proba(X), clf.predict_proba(X))
    with pytest.raises(ValueError, match="holds a model whose parts do not fit together: .*size mismatch"):
        AECFClassifier.load(path, encoders={"picture": lambda: Small(4)})


class OwnNetwork(AECFNetwork):
    """Another one by name."""


def test_a_network_of_ones_own_comes_as_weights(data, path):
    X, y = data
    clf = fast_classifier(network=OwnNetwork).fit(X, y)
    clf.save(path)
    with pytest.raises(ValueError, match=r"was saved with network=OwnNetwork; give this class as network\.$"):
        AECFClassifier.load(path)
    assert_same(clf, AECFClassifier.load(path, network=OwnNetwork), X)


class OwnMasking(Masking):
    def draw(self, present, weights, entropy, n_draws, state):
        return present[:, None].expand(-1, n_draws, -1)


def test_what_matters_in_training_alone_is_left_out_with_a_warning(data, path):
    X, y = data
    scoring = EpochScoring(lambda net, X, y: 0.5, name="half", use_caching=False)
    params = {"callbacks": [scoring], "masking": OwnMasking(), "validation_fraction": ShuffleSplit(), "verbose": 0}
    clf = fast_classifier(**params).fit(X, y)
    with pytest.warns(UserWarning) as caught:
        clf.save(path)
    assert [str(warning.message) for warning in caught] == [
        "'callbacks', 'masking', 'validation_fraction' are not in the file; the loaded model predicts without, and has "
        "the defaults."
    ]
    loaded = AECFClassifier.load(path)
    assert_same(clf, loaded, X)
    assert loaded.masking == "uniform" and loaded.callbacks is None


def test_a_loaded_model_goes_on_and_starts_again(data, path):
    X, y = data
    clf = fast_classifier().fit(X, y)
    clf.save(path)
    loaded = AECFClassifier.load(path)
    assert_array_equal(loaded.fit(X, y).predict_proba(X), clf.predict_proba(X))
    loaded = AECFClassifier.load(path).set_params(warm_start=True).fit(X, y)
    assert loaded.n_iter_ > clf.n_iter_
    pickle.loads(pickle.dumps(loaded)).predict(X)


def test_columns_of_any_name_are_in_the_file(data, path):
    X, y = data
    frame = pd.DataFrame(np.asarray(X)).assign(spare=1)
    frame.columns = [0, 1.5, None, "x", "y", True, ("p", "q", 1), 7, 8, 9, 10, 11, "spare"]
    frame = pd.concat([frame, frame[["spare"]]], axis=1)
    clf = fast_classifier(modalities={"a": slice(0, 6), "b": slice(6, 12)}).fit(frame, y)
    clf.save(path)
    assert_same(clf, AECFClassifier.load(path), frame)


def test_output_and_metadata_requests_are_in_the_file(data, path):
    X, y = data
    with sklearn.config_context(enable_metadata_routing=True):
        clf = fast_classifier().set_fit_request(groups=True, sample_weight="weight", validation_set=False)
        clf = clf.set_score_request(sample_weight=True).set_output(transform="pandas").fit(X, y)
    clf.save(path)
    loaded = AECFClassifier.load(path)
    pd.testing.assert_frame_equal(loaded.transform(X), clf.transform(X))
    assert str(loaded.get_metadata_routing()) == str(clf.get_metadata_routing())
    fast_classifier().fit(X, y).save(path)
    loaded = AECFClassifier.load(path)
    assert isinstance(loaded.transform(X), np.ndarray) and not hasattr(loaded, "_metadata_request")


def test_classes_that_no_file_has_words_for_are_refused_at_once(data, path):
    X, y = data
    for classes in (y.astype(np.longdouble), y.astype("datetime64[D]")):
        clf = fast_classifier(max_epochs=1).fit(X, classes)
        if clf.classes_.dtype.itemsize > 8 or clf.classes_.dtype.kind == "M":
            with pytest.raises(TypeError, match=r"^Values of type ndarray cannot be saved\.$"):
                clf.save(path)


def test_files_and_pickles_hold_no_training_rows_and_no_optimizer(reliable, path):
    clf, X = reliable
    clf.save(path)
    n_weights = sum(weights.numel() for weights in clf.net_.module_.state_dict().values())
    assert path.stat().st_size < 4 * n_weights + 60_000
    assert len(pickle.dumps(clf)) < 4 * n_weights + 90_000
    rows = X["a"][X.present[:, 0]]
    content = path.read_bytes() + pickle.dumps(clf)
    assert not any(row.astype(dtype).tobytes() in content for row in rows for dtype in (np.float32, np.float64))


def test_a_classifier_that_is_not_fitted_and_a_folder_that_is_not_there(data, tmp_path):
    with pytest.raises(ValueError, match="not fitted yet"):
        fast_classifier().save(tmp_path / "model.aecf")
    clf = fast_classifier().fit(*data)
    with pytest.raises(FileNotFoundError):
        clf.save(tmp_path / "nowhere" / "model.aecf")
    with pytest.raises(FileNotFoundError):
        AECFClassifier.load(tmp_path / "model.aecf")
    assert list(tmp_path.iterdir()) == []


def rewritten(path, change):
    """The file with another head or other tensors."""
    with zipfile.ZipFile(path) as archive:
        head, tensors = json.loads(archive.read("head.json")), load(archive.read("tensors.safetensors"))
    change(head, tensors)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("head.json", json.dumps(head))
        archive.writestr("tensors.safetensors", save(tensors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda head, tensors: head.update(format=2), "has format 2, but this version of sklearn-aecf reads formats up to 1"),
        (lambda head, tensors: head.pop("format"), "is damaged: its head names no format."),
        (lambda head, tensors: head.pop("spec"), "whose parts do not fit together: 'spec'."),
        (lambda head, tensors: head["inputs"].pop(), "whose parts do not fit together: its active modalities do not fit."),
        (lambda head, tensors: tensors.update(prior=np.array([2.0, -1.0])), "its classes and their prior do not fit."),
        (lambda head, tensors: tensors.update(prior=np.ones(3) / 3), "its classes and their prior do not fit."),
        (lambda head, tensors: tensors["scale_0"].fill(0), "its statistics 0 do not fit."),
        (lambda head, tensors: tensors["mean_1"].fill(np.nan), "its statistics 1 do not fit."),
        (lambda head, tensors: tensors["absence"].fill(np.inf), "its temperature do not fit."),
        (lambda head, tensors: tensors["network.heads.weight"].fill(np.nan), "its weights are not all finite."),
        (lambda head, tensors: tensors.pop("network.heads.offset"), 'Missing key(s) in state_dict: "heads.offset"'),
        (lambda head, tensors: head["network"]["~dict"][0].__setitem__(1, 10**9), "its sizes of the network do not fit."),
        (lambda head, tensors: head["params"]["~dict"].append(["nonsense", 1]), "unexpected keyword argument 'nonsense'"),
        (lambda head, tensors: head["params"]["~dict"].append(["dropout", 7]), "The 'dropout' parameter of AECFClassifier"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(reliable, path, change, message):
    reliable[0].save(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} .*{re.escape(message)}"):
        AECFClassifier.load(path)


def test_a_network_that_a_function_changed_is_asked_for(data, path):
    def make(**params):
        network = AECFNetwork(**params)
        network.heads.norm = nn.Identity()
        return network

    X, y = data
    clf = fast_classifier(network=make).fit(X, y)
    clf.save(path)
    with pytest.raises(ValueError, match="was saved with network="):
        AECFClassifier.load(path)
    assert_array_equal(AECFClassifier.load(path, network=make).predict_proba(X), clf.predict_proba(X))


def test_parameters_set_since_are_not_those_of_the_fit(data, path):
    X, y = data
    clf = fast_classifier().fit(X, y).set_params(precision="bfloat16", dropout=0, embed_dim=3)
    clf.save(path)
    assert_array_equal(AECFClassifier.load(path).predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize(
    "change",
    [
        lambda head, tensors: head["temperature"].update(log_scale=-1000.0),
        lambda head, tensors: head["temperature"].update(log_scale=10**400),
        lambda head, tensors: tensors.update(active=tensors["active"].astype(float)),
        lambda head, tensors: head["problem"].update(classes={"~array": ["U500000000", ["a", "b"]]}),
        lambda head, tensors: head["problem"].update(classes={"~array": []}),
        lambda head, tensors: head.update(spec={"~record": []}),
        lambda head, tensors: tensors.update({"history.x": np.ones((3, 2))}),
    ],
)
def test_crafted_files_are_refused(reliable, path, change):
    reliable[0].save(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} "):
        AECFClassifier.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"PK\x03\x04", pickle.dumps({"a": 1})], ids=["empty", "text", "zip head", "pickle"]
)
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))} holds no model saved by sklearn-aecf, or is damaged: "
    ):
        AECFClassifier.load(path)


def test_compressed_parts_are_refused(reliable, path):
    reliable[0].save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(ValueError, match="its parts are compressed or encrypted"):
        AECFClassifier.load(path)


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -0.5, float("inf"), "text", [1, [2.0, None]], (1, ("a",)), frozenset({"a", "b"}), slice(0, 3), {"a": 1, 2: (3,)}],
)  # fmt: skip
def test_packed_and_back(value):
    again = unpacked(json.loads(json.dumps(packed(value), allow_nan=False)))
    assert again == value and type(again) is type(value)


def test_the_file_of_every_format_is_read_for_ever():
    for file in sorted(SAVED.glob("format_*.aecf")):
        with np.load(file.with_suffix(".npz")) as stored:
            X = {"a": stored["a"], "b": stored["b"]}
            expected = stored["probability"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = AECFClassifier.load(file).predict_proba(X)
        np.testing.assert_allclose(found, expected, atol=1e-6)
