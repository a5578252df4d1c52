"""What is folded for prediction says what the network says, is made anew when that changes, and leaves no trace."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_aecf import _model
from sklearn_aecf.datasets import make_multimodal_classification
from sklearn_aecf.nn import AECFNetwork
from sklearn_aecf.nn._folded import alike, folded

SUBSETS = [["a"], ["b", "d"], ["a", "b", "c", "d"], ["c", "d"], ["d"]]


@pytest.fixture(scope="module")
def rows():
    """500 rows of narrow and wide modalities, with gaps, and two targets: classes and labels."""
    X, y = make_multimodal_classification(
        500, n_classes=3, n_modalities=4, n_features=[3, 40, 2, 90], missing_rate=0.3, random_state=0
    )
    rng = np.random.default_rng(0)
    X = {name: np.where(rng.random(array.shape) < 0.05, np.nan, 3 + 5 * array) for name, array in X.items()}
    return X, y, np.column_stack([y == 0, y == 1]).astype(int)


@pytest.fixture
def by_itself(monkeypatch):
    """Call a method with the network itself asked, and not its folded form."""

    def call(method, *given):
        with monkeypatch.context() as context:
            context.setattr(_model, "folded", lambda network: None)
            return method(*given)

    return call


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_members": 1},
        {"corruption_rate": 0},
        {"add_gap_indicator": True},
        {"scale": None},
        {"scale": ["b", "c"], "add_gap_indicator": True},
        {"embed_dim": 1, "hidden_dim": 3},
        {"labels": True},
    ],
    ids=str,
)
def test_says_what_the_network_says(rows, by_itself, params):
    X, y, labels = rows
    params = dict(params)
    target = labels if params.pop("labels", False) else y
    clf = fast_classifier(**params).fit(X, target)
    assert folded(clf.net_.module_) is not None
    assert_allclose(clf.predict_proba(X), by_itself(clf.predict_proba, X), atol=1e-6)
    found = clf.predict_proba_subsets(X, SUBSETS)
    assert_allclose(found, by_itself(clf.predict_proba_subsets, X, SUBSETS), atol=1e-6)
    one = {name: array[7:8] for name, array in X.items()}
    assert_allclose(clf.predict_proba(one), by_itself(clf.predict_proba, X)[7:8], atol=1e-6)


def test_a_modality_that_nobody_knows_well_is_trusted(rows, by_itself):
    X, y, _ = rows
    few = np.where(np.arange(len(y))[:, None] < 100, X["a"], np.nan)
    clf = fast_classifier().fit({**X, "a": few}, y)
    assert not clf.net_.module_.reliability.known.all()
    assert_allclose(clf.predict_proba(X), by_itself(clf.predict_proba, X), atol=1e-6)


def in_place(network):
    with torch.no_grad():
        network.heads.weight.mul_(-1)


def behind_the_back(network):
    network.fusion.gate.bias.data.add_(3)
    network.encoders.embeddings.bias.data.add_(1)


def other_data(network):
    network.heads.weight.data = -network.heads.weight.data


def other_parameter(network):
    network.heads.weight = torch.nn.Parameter(-network.heads.weight.detach())


def loaded(network):
    state = network.state_dict()
    network.load_state_dict({**state, "heads.weight": -state["heads.weight"]})


def without_reliability(network):
    network.reliability = None


@pytest.mark.parametrize(
    "change", [in_place, behind_the_back, other_data, other_parameter, loaded, without_reliability]
)
def test_is_made_anew_when_the_network_changes(rows, by_itself, change):
    X, y, _ = rows
    clf = fast_classifier(max_epochs=8).fit(X, y)
    before = clf.predict_proba(X)
    network = clf.net_.module_
    assert folded(network) is folded(network)
    change(network)
    after = clf.predict_proba(X)
    assert np.abs(after - before).max() > 1e-3
    assert_allclose(after, by_itself(clf.predict_proba, X), atol=1e-6)


def test_is_made_anew_by_further_rows_and_calibration(rows, by_itself):
    X, y, _ = rows
    clf = fast_classifier().fit(X, y)
    for step in (lambda: clf.partial_fit(X, y), lambda: clf.calibrate(X, y), lambda: clf.to_device("cpu")):
        clf.predict_proba(X)
        step()
        assert_allclose(clf.predict_proba(X), by_itself(clf.predict_proba, X), atol=1e-6)


@pytest.mark.parametrize("copy", [deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))], ids=["deepcopy", "pickle"])
def test_copies_fold_for_themselves(rows, copy):
    X, y, _ = rows
    clf = fast_classifier().fit(X, y)
    size = len(pickle.dumps(clf))
    before = clf.predict_proba(X)
    other = copy(clf)
    assert len(pickle.dumps(clf)) == size
    in_place(other.net_.module_)
    assert not np.allclose(other.predict_proba(X), before)
    assert_array_equal(clf.predict_proba(X), before)


def test_threads_share_it(rows):
    X, y, _ = rows
    clf = fast_classifier().fit(X, y)
    expected = clf.predict_proba(X)
    clf = pickle.loads(pickle.dumps(clf))

    def one(row):
        return clf.predict_proba({name: array[row : row + 1] for name, array in X.items()})

    with ThreadPoolExecutor(4) as pool:
        assert_allclose(np.concatenate(list(pool.map(one, range(60)))), expected[:60], atol=1e-6)


class Renamed(AECFNetwork):
    """A class of the user's."""


def test_networks_with_parts_of_the_users_are_asked_themselves():
    assert folded(AECFNetwork([3, 2], n_outputs=2)) is not None
    assert folded(Renamed([3, 2], n_outputs=2)) is None
    hooked, replaced = AECFNetwork([3, 2], n_outputs=2), AECFNetwork([3, 2], n_outputs=2)
    hooked.fusion.gate.register_forward_hook(lambda module, given, output: None)
    replaced.heads.norm = torch.nn.Identity()
    assert folded(hooked) is None and folded(replaced) is None
    with torch.inference_mode():
        assert folded(AECFNetwork([3, 2], n_outputs=2)) is None
    assert folded(AECFNetwork([3, 2], n_outputs=2).double()) is None


@pytest.mark.parametrize(
    ("widths", "groups"),
    [
        ([3, 3, 1, 4, 1, 1], [[0, 1, 2, 3, 4, 5]]),
        ([240, 76, 216, 47, 64, 6], [[1, 3, 4, 5], [0, 2]]),
        ([2048, 4, 512], [[1], [2], [0]]),
        ([5], [[0]]),
    ],
)
def test_modalities_of_like_width_are_padded_together(widths, groups):
    assert alike(widths) == groups
