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
from sklearn_aecf.inspection import robustness_report
from sklearn_aecf.masking import Corruption, RandomCorruption
from sklearn_aecf.nn import AECFNetwork, ModalityReliability

# Of `corrupt_modalities`, but for those that leave genuine values.
KINDS = ["heavy_noise", "uniform_noise", "added_noise", "spikes", "dead", "stuck", "saturated", "shuffled"]


@pytest.fixture(scope="module")
def data():
    """500 rows, 3 classes, modalities a (6), b (4), c (2), a third of them missing: enough to learn from."""
    return make_multimodal_classification(500, n_classes=3, n_features=[6, 4, 2], missing_rate=0.3, random_state=0)


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
    believed = np.abs(trusting.predict_proba(noise) - trusting.class_prior_).max(axis=1)
    assert np.median(far) < np.median(believed) / 2


def test_only_disagreement_tells_swapped_rows(digits, broken):
    X, _, knowing, _ = digits
    swapped = corrupt_modalities(X, broken, kind="swapped", random_state=0)
    assert roc_auc_score(~broken.ravel(), knowing.modality_reliability(swapped).ravel()) > 0.75
    alone = {name: swapped[name] if name == "fou" else None for name in X}
    found = roc_auc_score(~broken[:, 0], knowing.modality_reliability(alone)[:, 0])
    # With nobody to contradict it, another row's view is as good as its own: .5 within three standard errors of some
    # 67 broken rows among 400.
    assert abs(found - 0.5) < 0.12


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
    assert not hasattr(off, "modality_reliability")
    with pytest.raises(
        AttributeError, match=r"^This 'AECFClassifier' has no attribute 'modality_reliability'$"
    ) as info:
        off.modality_reliability(X)
    expected = "All values are believed, because corruption_rate is 0; fit with, e.g., 0.1."
    assert str(info.value.__cause__) == expected


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


def test_binary_constant_and_rare_modalities_raise_no_alarm():
    """A binary feature cannot be told from noise, and of ten rows nobody knows what is usual."""
    alarms = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
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
        clf = AECFClassifier(random_state=seed, max_epochs=5, embed_dim=16, hidden_dim=32).fit(X, y)
        reliability = clf.modality_reliability(X)
        alarms.append((reliability[:, :4] < 0.5).mean(axis=0))
        assert (reliability[~np.isnan(rare[:, 0]), 4] > 0.9).all()
    signal, *others = np.mean(alarms, axis=0)
    # Of single data sets up to 1.5 % of the counts, the largest, are doubted.
    assert signal < 0.05 and max(others) <= 0.005


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
    for kinds, found in ((["nois"], "'nois'"), ("noise", "'noise'"), ([], r"\[\]")):
        message = rf"^kinds of RandomCorruption must be a list of noise, .*, scramble\. Got {found}\.$"
        with pytest.raises(ValueError, match=message):
            fast_classifier(corruption=RandomCorruption(kinds), max_epochs=10**6).fit(X, y)


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
    with pytest.raises(AttributeError) as info:
        clf.modality_reliability(X)
    assert str(info.value.__cause__).startswith("The network cannot tell which values to trust; derive it from AECFNet")
    report = robustness_report(clf, X, y, n_repeats=1)
    assert np.isnan(report.tables["What if a sensor lies"]["noticed"]).all()


def test_few_rows_are_believed(data):
    """Where nobody can say what is usual, genuine rows are not doubted: as with a rate of 0."""
    X, y = data
    few, off = (fast_classifier(corruption_rate=rate).fit(X[:120], y[:120]) for rate in (0.1, 0))
    assert few.net_.module_.reliability is None
    assert_array_equal(few.predict_proba(X), off.predict_proba(X))
    assert_array_equal(few.modality_reliability(X), np.where(X.present, 1, np.nan))


def test_a_rare_modality_is_learnt_from_the_rows_that_have_it(rng):
    """One row in ten of 5,000 has it: more than the sample of the rows would give."""
    y = rng.integers(0, 2, 5000)
    rare = y[:, None] + rng.normal(size=(5000, 8))
    rare[rng.random(5000) > 0.1] = np.nan
    X = MultimodalData({"rare": rare, "often": y[:, None] + rng.normal(size=(5000, 4))})
    clf = fast_classifier(max_epochs=2).fit(X[:4500], y[:4500])
    genuine = clf.modality_reliability(X[4500:])[:, 0]
    dead = corrupt_modalities(X[4500:], 1.0, kind="spikes", keep_one=False, random_state=0)
    lying = clf.modality_reliability(dead)[:, 0]
    there = ~np.isnan(genuine)
    assert (genuine[there] < 0.5).mean() < 0.05 and (lying[there] < 0.5).mean() > 0.7


def test_gaps_stay_gaps_in_what_is_learnt_from(data):
    """Also where gaps are the training mean, because nothing is standardised."""
    X, y = data
    values = X["a"].copy()
    values[:, 0] = np.where(np.arange(len(y)) % 2, np.nan, 5 + values[:, 0])
    values[~X.present[:, 0]] = np.nan
    seen = []

    class Seen(Corruption):
        def corrupt(self, values, genuine):
            if values.shape[1] == 6:
                seen.append(genuine.clone())
            return values + 1

    for scale in ("standard", None):
        seen.clear()
        fast_classifier(scale=scale, corruption=Seen()).fit({"a": values, "b": X["b"]}, y)
        share = (seen[0][:, 0] == 0).float().mean()
        assert 0.4 < share < 0.6, scale


def test_a_constant_that_changes_is_noticed(rng):
    y = rng.integers(0, 2, 500)
    X = {"constant": np.ones((500, 4)), "signal": y[:, None] + rng.normal(size=(500, 4))}
    clf = fast_classifier().fit(X, y)
    as_ever, other = (clf.modality_reliability({**X, "constant": np.full((500, 4), v)})[:, 0] for v in (1.0, 5.0))
    assert np.median(other) < 0.5 < np.median(as_ever)


def test_huge_embeddings_are_doubted_and_do_not_break_anything(data):
    X, y = data
    clf = fast_classifier(encoders={"a": lambda: torch.nn.Linear(6, 6)}).fit(X, y)
    for size in (1e6, 1e18):
        huge = {**X, "a": X["a"] * size}
        assert np.isfinite(clf.predict_proba(huge)).all()
        assert np.nanmedian(clf.modality_reliability(huge)[:, 0]) < 0.5


def test_a_forward_must_return_what_ours_does(data):
    X, y = data

    class Short(AECFNetwork):
        def forward(self, *args, **options):
            return {k: v for k, v in super().forward(*args, **options).items() if k != self.left_out}

        left_out = "embeddings"

    message = r"^forward of Short must return a dict as AECFNetwork\.forward does\. It lacks 'embeddings'\.$"
    with pytest.raises(ValueError, match=message):
        fast_classifier(network=Short).fit(X, y)
    Short.left_out = "reliability"
    clf = fast_classifier(network=Short).fit(X, y)
    with pytest.raises(ValueError, match=r"^forward of the network must return 'reliability' and 'trust', as AECFNet"):
        clf.modality_reliability(X)


def test_own_corruption_may_answer_in_double_precision(data):
    class Double(Corruption):
        def corrupt(self, values, genuine):
            values.zero_()
            return torch.ones(values.shape, dtype=torch.float64)

    fast_classifier(corruption=Double()).fit(*data)


def test_a_state_without_reliability_takes_it_away(data):
    clf, off = (fast_classifier(corruption_rate=rate).fit(*data) for rate in (0.1, 0))
    clf.net_.module_.load_state_dict(off.net_.module_.state_dict())
    assert clf.net_.module_.reliability is None


def test_nobodys_values_leave_with_the_model(data):
    """Typical points are centres of clusters: none of them is a row, up to the linear map that they are kept in."""
    X, y = data
    statistics = fast_classifier(scale=None).fit(X, y).net_.module_.reliability.statistics
    points = statistics.prototypes[2].T
    rows = torch.from_numpy(X["c"][X.present[:, 2]]).float()
    scores = ((rows - statistics.mean_2) / statistics.scale_2 @ statistics.columns_2)[:, : points.shape[1]]
    assert torch.cdist(points, scores).min() > 1e-4
