"""Sensors that lie: what is found, what it does to weights and probabilities, and what stays as it is."""

import pickle

import numpy as np
import pytest
import torch
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.compose import corrupt_modalities, drop_modalities
from sklearn_aecf.datasets import load_handwritten, make_multimodal_classification
from sklearn_aecf.masking import Corruption, RandomCorruption
from sklearn_aecf.nn import AECFNetwork, ModalityReliability

# Of `corrupt_modalities`, but for those that leave genuine values.
KINDS = ["heavy_noise", "uniform_noise", "added_noise", "spikes", "dead", "stuck", "saturated", "shuffled"]


@pytest.fixture(scope="module")
def digits():
    """Handwritten digits of three views, fitted with and without reliability."""
    bunch = load_handwritten()
    X = MultimodalData({name: bunch.data[name] for name in ("fou", "kar", "zer")})
    train, test = ~bunch.is_test, bunch.is_test
    fits = [
        AECFClassifier(random_state=0, max_epochs=15, embed_dim=32, hidden_dim=64, corruption_rate=rate).fit(
            X[train], bunch.target[train]
        )
        for rate in (0.1, 0)
    ]
    return X[test], bunch.target[test], *fits


@pytest.fixture(scope="module")
def broken(digits):
    """Which modality of each row is broken: one of three in half of the rows."""
    rng = np.random.default_rng(0)
    chosen = np.zeros((len(digits[1]), 3), dtype=bool)
    chosen[np.arange(len(chosen)), rng.integers(3, size=len(chosen))] = True
    return chosen & (rng.random((len(chosen), 1)) < 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_broken_sensors_are_found_and_not_believed(digits, broken, kind):
    """Kinds of corruption that training does not know; one seed, margins of half of what was measured."""
    X, y, knowing, trusting = digits
    lying = corrupt_modalities(X, broken, kind=kind, random_state=0)
    reliability, weights = knowing.modality_reliability(lying), knowing.gate_weights(lying)
    assert roc_auc_score(~broken.ravel(), reliability.ravel()) > 0.95
    assert roc_auc_score(~broken.ravel(), weights.ravel()) > 0.9
    hit = broken.any(axis=1)
    told = trusting.score({name: np.where(broken[:, [m]], np.nan, X[name]) for m, name in enumerate(X)}, y)
    assert knowing.score(lying, y) > min(told, 0.97) - 0.03
    assert knowing.score(lying[hit], y[hit]) > trusting.score(lying[hit], y[hit]) - 0.03


def test_genuine_rows_are_predicted_as_without_it(digits):
    X, y, knowing, trusting = digits
    reliability = knowing.modality_reliability(X)
    assert (reliability < 0.5).mean() < 0.01
    moved = np.abs(knowing.predict_proba(X) - trusting.predict_proba(X)).max(axis=1)
    assert (moved < 0.02).mean() > 0.9
    for rate in (0, 0.5):
        hidden = drop_modalities(X, rate, random_state=0)
        assert abs(knowing.score(hidden, y) - trusting.score(hidden, y)) <= 0.01


def test_all_unreliable_goes_to_the_prior(digits):
    X, _, knowing, trusting = digits
    noise = corrupt_modalities(X, 1.0, kind="added_noise", keep_one=False, random_state=0)
    far = np.abs(knowing.predict_proba(noise) - knowing.class_prior_).max(axis=1)
    assert np.median(far) < 0.2 < np.median(np.abs(trusting.predict_proba(noise) - trusting.class_prior_).max(axis=1))


def test_only_disagreement_tells_swapped_rows(digits, broken):
    X, _, knowing, _ = digits
    swapped = corrupt_modalities(X, broken, kind="swapped", random_state=0)
    assert roc_auc_score(~broken.ravel(), knowing.modality_reliability(swapped).ravel()) > 0.75
    alone = {name: swapped[name] if name == "fou" else None for name in X}
    genuine = {name: X[name] if name == "fou" else None for name in X}
    lying, right = (knowing.modality_reliability(rows)[:, 0] for rows in (alone, genuine))
    # With nobody to contradict it, another row's view is as good as its own.
    assert abs(roc_auc_score(~broken[:, 0], lying) - roc_auc_score(~broken[:, 0], right)) < 0.05


@pytest.mark.parametrize("form", FORMS)
def test_forms_agree(data, form):
    X, y = data
    given, modalities = in_form(X, form)
    clf = fast_classifier(modalities=modalities).fit(given, y)
    reliability = clf.modality_reliability(given)
    assert reliability.shape == X.present.shape
    assert_array_equal(np.isnan(reliability), ~X.present)
    assert ((reliability[X.present] >= 0) & (reliability[X.present] <= 1)).all()
    expected = fast_classifier().fit(X, y).modality_reliability(X)
    assert_allclose(reliability, expected, atol=1e-5)


def test_without_a_rate_nothing_is_computed(data):
    X, y = data
    off, on = fast_classifier(corruption_rate=0).fit(X, y), fast_classifier().fit(X, y)
    assert off.net_.module_.reliability is None and isinstance(on.net_.module_.reliability, ModalityReliability)
    weights = on.net_.module_.state_dict()
    for name, tensor in off.net_.module_.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert off.temperature_.log_scale_ == on.temperature_.log_scale_
    with pytest.raises(ValueError, match=r"^This model has not learnt which values to trust; fit it with corruption_r"):
        off.modality_reliability(X)


def test_repeats_clones_pickles_and_loads(data):
    X, y = data
    clf = fast_classifier().fit(X, y)
    state = torch.get_rng_state()
    again = clone(clf).fit(X, y)
    assert torch.equal(torch.get_rng_state(), state)
    expected = clf.modality_reliability(X)
    assert_array_equal(again.modality_reliability(X), expected)
    assert_array_equal(pickle.loads(pickle.dumps(clf)).modality_reliability(X), expected)
    other = AECFNetwork([6, 4, 2], 3, embed_dim=16, hidden_dim=16, dropout=0.3, n_members=2)
    other.load_state_dict(clf.net_.module_.state_dict())
    inputs, present = [torch.randn(8, width) for width in (6, 4, 2)], torch.ones(8, 3, dtype=torch.bool)
    with torch.no_grad():
        found, same = other.eval()(inputs, present), clf.net_.module_.eval()(inputs, present)
    assert torch.equal(found["reliability"], same["reliability"])


def test_a_warm_start_learns_it_anew(data):
    X, y = data
    clf = fast_classifier(warm_start=True).fit(X, y)
    first = clf.net_.module_.reliability
    clf.fit(X, y)
    assert clf.net_.module_.reliability is not first
    assert clf.set_params(corruption_rate=0).fit(X, y).net_.module_.reliability is None


def test_rows_do_not_depend_on_each_other_nor_on_what_is_absent(data):
    X, y = data
    clf = fast_classifier().fit(X, y)
    reliability = clf.modality_reliability(X)
    assert_allclose(clf.modality_reliability(X[7:8]), reliability[7:8], atol=1e-6)
    network = clf.net_.module_.eval()
    inputs, present = [torch.randn(20, width) for width in (6, 4, 2)], torch.rand(20, 3) < 0.5
    present[:, 0] |= ~present.any(dim=1)
    with torch.no_grad():
        expected = network(inputs, present)
        for garbage in (torch.nan, torch.inf, 1e30):
            filled = [x.masked_fill(~present[:, m, None], garbage) for m, x in enumerate(inputs)]
            found = network(filled, present)
            for name in ("reliability", "trust", "weights", "logits"):
                assert torch.equal(found[name], expected[name]), name
    assert (expected["reliability"][:, 0][~present] == 0).all()


def test_subsets_are_judged_by_what_they_have(digits):
    X, _, knowing, _ = digits
    names = knowing.modality_names_
    found = knowing.predict_proba_subsets(X, [names, names[:1]])
    assert_allclose(found[0], knowing.predict_proba(X), atol=1e-5)
    alone = {name: X[name] if name == names[0] else None for name in names}
    assert_allclose(found[1], knowing.predict_proba(alone), atol=1e-5)


def test_a_single_modality_can_only_be_doubted():
    X, y = make_multimodal_classification(400, n_features=[12, 2, 2], random_state=0)
    X = MultimodalData({"a": X["a"]})
    clf = AECFClassifier(random_state=0, max_epochs=10, embed_dim=16, hidden_dim=32).fit(X, y)
    noise = corrupt_modalities(X, 1.0, kind="spikes", keep_one=False, random_state=0)
    assert_array_equal(clf.gate_weights(noise), np.ones((400, 1)))
    good, bad = clf.modality_reliability(X), clf.modality_reliability(noise)
    assert np.median(bad) < 0.5 < np.median(good)
    sure = np.abs(clf.predict_proba(noise) - clf.class_prior_).max(axis=1)
    assert np.median(sure) < np.median(np.abs(clf.predict_proba(X) - clf.class_prior_).max(axis=1))


def test_binary_constant_and_rare_modalities_raise_no_alarm(rng):
    """A binary feature cannot be told from noise, and of ten rows nobody knows what is usual."""
    y = rng.integers(0, 2, 400)
    rare = rng.normal(size=(400, 3))
    rare[rng.permutation(400)[10:]] = np.nan
    X = {
        "signal": y[:, None] + rng.normal(size=(400, 8)),
        "binary": rng.integers(0, 2, size=(400, 2)).astype(float),
        "constant": np.full((400, 1), 3.0),
        "counts": rng.poisson(2, size=(400, 1)).astype(float),
        "rare": rare,
    }
    clf = AECFClassifier(random_state=0, max_epochs=5, embed_dim=16, hidden_dim=32).fit(X, y)
    reliability = clf.modality_reliability(X)
    assert (reliability[:, 0] < 0.5).mean() < 0.05
    assert (reliability[:, 1:4] < 0.5).mean(axis=0).max() <= 0.01
    assert (reliability[~np.isnan(rare[:, 0]), 4] > 0.9).all()


def test_several_labels(rng):
    X, y = make_multimodal_classification(300, n_classes=3, n_features=[8, 8, 2], random_state=0)
    X = MultimodalData({name: X[name] for name in "ab"})
    labels = np.column_stack([y == 0, y == 1]).astype(float)
    labels[::7, 0] = np.nan
    clf = AECFClassifier(random_state=0, max_epochs=8, embed_dim=16, hidden_dim=32).fit(X, labels)
    broken = rng.random((300, 2)) < 0.3
    lying = corrupt_modalities(X, broken, kind="spikes", random_state=0)
    assert roc_auc_score(~broken.ravel(), clf.modality_reliability(lying).ravel()) > 0.9


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64])
def test_encoders_of_the_users(rng, dtype):
    y = rng.integers(0, 2, 300)
    pictures = rng.integers(0, 40, size=(300, 1, 6, 6)) + 60 * y[:, None, None, None]
    X = {"picture": pictures.astype(dtype), "table": y[:, None] + rng.normal(size=(300, 3))}

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 8))

        def forward(self, x):
            return self.layers(x.float() / 50 - 1)

    clf = fast_classifier(encoders={"picture": Scaled}, max_epochs=10).fit(X, y)
    reliability = clf.modality_reliability(X)
    assert reliability.shape == (300, 2) and (reliability < 0.5).mean() < 0.05
    if dtype is np.float32:
        lying = corrupt_modalities(X, np.tile([True, False], (300, 1)), kind="offset", random_state=0)
        assert clf.modality_reliability(lying)[:, 0].mean() < reliability[:, 0].mean()


def test_a_corruption_of_ones_own_is_learnt_from(data):
    X, y = data
    seen = []

    class Clipped(Corruption):
        def __init__(self, limit=0.5):
            self.limit = limit

        def corrupt(self, values, genuine):
            seen.append((values.shape[1], genuine.shape[1]))
            return values.clamp(-self.limit, self.limit)

    clf = fast_classifier(corruption=Clipped(0.1))
    assert clf.get_params()["corruption__limit"] == 0.1
    clf.fit(X, y)
    assert set(seen) == {(6, 6), (4, 4), (2, 2)}

    class Wrong(Corruption):
        def corrupt(self, values, genuine):
            return values[:, :1] / 0

    with pytest.raises(ValueError, match=r"^Wrong\.corrupt must return finite values of shape \(\d+, 6\)\. Got values"):
        fast_classifier(corruption=Wrong()).fit(X, y)
    with pytest.raises(TypeError, match=r"^Corruption must define corrupt\(values, genuine\)\.$"):
        fast_classifier(corruption=Corruption()).fit(X, y)
    with pytest.raises(ValueError, match=r"^kinds of RandomCorruption must be among noise, .*, scramble\. Got nois\.$"):
        fast_classifier(corruption=RandomCorruption(["nois"])).fit(X, y)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2, "high"])
def test_a_rate_that_is_none_is_refused(data, rate):
    with pytest.raises(
        ValueError, match=r"The 'corruption_rate' parameter of AECFClassifier must be a float in the ra"
    ):
        fast_classifier(corruption_rate=rate).fit(*data)


def test_a_network_without_reliability_is_trained_all_the_same(data):
    X, y = data

    class Plain(torch.nn.Module):
        def __init__(self, **params):
            super().__init__()
            self.network = AECFNetwork(**params)

        def forward(self, *args, **options):
            return self.network(*args, **options)

    clf = fast_classifier(network=Plain).fit(X, y)
    with pytest.raises(ValueError, match="with a network that has the attribute `reliability` of AECFNetwork"):
        clf.modality_reliability(X)
