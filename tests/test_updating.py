"""Rows that arrive in parts, and calibration afterwards."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FORMS, fast_classifier, hide, in_form
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch import nn

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf._statistics import fit_statistics
from sklearn_aecf.datasets import make_multimodal_classification

pytestmark = pytest.mark.filterwarnings("ignore:.*no observed modality")
CLASSES = [0, 1, 2]


@pytest.fixture(scope="module")
def rows():
    """1,200 rows, 3 classes, modalities a (6), b (4), c (2)."""
    return make_multimodal_classification(1200, n_classes=3, n_features=[6, 4, 2], missing_rate=0.2, random_state=0)


def in_parts(clf, X, y, size=100, stop=800, **options):
    for start in range(0, stop, size):
        part = slice(start, start + size)
        clf.partial_fit(X[part], y[part], classes=CLASSES if start == 0 else None, **options)
    return clf


def state_of(clf):
    """Everything that a failing call might change, as bytes."""
    return pickle.dumps({k: v for k, v in vars(clf).items() if k != "net_"}), [
        value.clone() for value in clf.net_.module_.state_dict().values()
    ]


def assert_unchanged(clf, state):
    before, now = state, state_of(clf)
    assert before[0] == now[0]
    assert all(torch.equal(one, other) for one, other in zip(before[1], now[1], strict=True))


def test_statistics_and_prior_are_those_of_all_rows(rows):
    X, y = rows
    clf = in_parts(fast_classifier(), X, y)
    for part, name in zip(clf._inputs.parts, X, strict=True):
        assert_allclose(part.statistics.mean, np.nanmean(X[name][:800], axis=0), rtol=1e-12)
        assert_allclose(part.statistics.scale, np.nanstd(X[name][:800], axis=0), rtol=1e-12)
    used = X.present[:800].any(axis=1)
    assert_allclose(clf.class_prior_, np.bincount(y[:800][used]) / used.sum(), rtol=1e-12)
    assert clf.n_iter_ == 8 and len(clf.history_["train_loss"]) == 8 and clf.temperature_ is None


def test_statistics_keep_their_digits_where_a_large_mean_hides_a_small_spread():
    rng = np.random.default_rng(0)
    values = 1e8 + rng.standard_normal((3000, 2))
    values[:, 1] = 7.0
    merged = fit_statistics(values[:10], np.ones(10, bool), np.ones(10))
    for start in range(10, 3000, 130):
        part = values[start : start + 130]
        merged = merged.merged(fit_statistics(part, np.ones(len(part), bool), np.ones(len(part))))
    assert_allclose(merged.scale, [values[:, 0].std(), 1], rtol=1e-7)
    assert_allclose(merged.mean, values.mean(axis=0), rtol=1e-14)


def test_sample_weights_have_one_scale_in_all_calls(rows):
    X, y = rows
    weight = np.where(np.arange(1200) < 400, 1.0, 5.0)
    clf = fast_classifier()
    for part in (slice(0, 400), slice(400, 800)):
        clf.partial_fit(X[part], y[part], CLASSES, sample_weight=weight[part])
    seen = ~np.isnan(X["a"][:800]).all(axis=1)
    expected = np.average(X["a"][:800][seen], axis=0, weights=weight[:800][seen])
    assert_allclose(clf._inputs.parts[0].statistics.mean, expected, rtol=1e-10)
    used = X.present[:800].any(axis=1)
    counts = np.bincount(y[:800][used], weights=weight[:800][used])
    assert_allclose(clf.class_prior_, counts / counts.sum(), rtol=1e-10)


def test_it_learns_and_is_reproducible(rows):
    X, y = rows
    settings = {"embed_dim": 32, "hidden_dim": 32, "batch_size": 32}
    clf = in_parts(fast_classifier(**settings), X, y)
    again = in_parts(fast_classifier(**settings), X, y)
    assert_array_equal(clf.predict_proba(X[800:]), again.predict_proba(X[800:]))
    other = in_parts(fast_classifier(**settings, random_state=1), X, y)
    assert not np.array_equal(clf.predict_proba(X[800:]), other.predict_proba(X[800:]))
    first = in_parts(fast_classifier(**settings), X, y, stop=100)
    # Measured over seeds 0 to 4: .45 to .56 after one part, .76 to .80 after eight.
    assert clf.score(X[800:], y[800:]) > first.score(X[800:], y[800:]) + 0.1


def test_one_part_is_one_epoch(rows):
    """As many steps as an epoch of `fit` has, and the optimizer goes on."""
    X, y = rows
    clf = fast_classifier(batch_size=50).partial_fit(X[:200], y[:200], CLASSES)
    steps = [value["step"].item() for value in clf.net_.optimizer_.state.values()]
    n_used = int(X[:200].present.any(axis=1).sum())
    assert set(steps) == {round(n_used / 50)}
    clf.partial_fit(X[200:400], y[200:400])
    assert {value["step"].item() for value in clf.net_.optimizer_.state.values()} == {2 * steps[0]}


def test_pickle_and_file_go_on_as_the_model_does(rows, tmp_path):
    X, y = rows
    clf = in_parts(fast_classifier(), X, y, stop=300)
    copy = pickle.loads(pickle.dumps(clf))
    clf.save(tmp_path / "model.aecf")
    loaded = AECFClassifier.load(tmp_path / "model.aecf")
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    for model in (clf, copy, loaded):
        model.partial_fit(X[300:400], y[300:400])
    assert_array_equal(copy.predict_proba(X), clf.predict_proba(X))
    # The file has no state of the optimizer, but everything that is counted.
    assert_array_equal(loaded.class_prior_, clf.class_prior_)
    for one, other in zip(loaded._inputs.parts, clf._inputs.parts, strict=True):
        assert_array_equal(one.statistics.mean, other.statistics.mean)
        assert_array_equal(one.statistics.scale, other.statistics.scale)
    assert not hasattr(clone(clf), "net_")


def test_a_file_of_an_older_version_cannot_be_gone_on_with(rows, data):
    from test_saving import SAVED

    loaded = AECFClassifier.load(SAVED / "format_1.aecf")
    with pytest.raises(
        ValueError,
        match=r"^The file that this model was loaded from does not say how many rows its statistics are of; fit the "
        r"model anew, or save it with this version\.$",
    ):
        loaded.partial_fit(*data)


def test_a_modality_that_comes_later(rows, tmp_path):
    X, y = rows
    early = hide(X[:400], "c")
    clf = fast_classifier(embed_dim=32, hidden_dim=32)
    for start in range(0, 400, 100):
        clf.partial_fit(early[start : start + 100], y[start : start + 100], CLASSES)
    # Until a row has had it, it is as if it were missing, also in a file and in a module of torch.
    without = clf.predict_proba(hide(X[400:], "c"))
    assert_array_equal(clf.predict_proba(X[400:]), without)
    assert (clf.gate_weights(X[400:])[:, 2] == 0).all()
    assert np.isnan(clf.modality_reliability(X[400:])[:, 2]).all()
    clf.save(tmp_path / "model.aecf")
    assert_array_equal(AECFClassifier.load(tmp_path / "model.aecf").predict_proba(X[400:]), without)
    found = clf.to_torch()({name: torch.from_numpy(X[name][400:]) for name in X})
    assert_allclose(found["probabilities"].numpy(), without, atol=1e-6)
    for start in range(400, 800, 100):
        clf.partial_fit(X[start : start + 100], y[start : start + 100])
    assert_allclose(clf._inputs.parts[2].statistics.mean, np.nanmean(X["c"][400:800], axis=0), rtol=1e-12)
    assert (clf.gate_weights(X[800:])[X.present[800:, 2], 2] > 0).all()


def test_a_modality_of_unknown_width_is_refused_when_it_comes(rows):
    X, y = rows
    clf = fast_classifier().partial_fit({"a": X["a"][:100], "b": None}, y[:100], CLASSES)
    state = state_of(clf)
    message = (
        "Modality 'b' has come, but the network was made without it; fit anew, or begin with partial_fit and rows of "
        "NaN for it, which say how wide it will be."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.partial_fit({"a": X["a"][:100], "b": X["b"][:100]}, y[:100])
    assert_unchanged(clf, state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: ({**X, "d": X["a"]}, y), "X has unknown modality 'd'. Fitted modalities: 'a', 'b', 'c'."),
        (
            lambda X, y: ({**X, "a": X["b"]}, y),
            "Modality 'a' has 4 features, but AECFClassifier was fitted with 6.",
        ),
        (
            lambda X, y: (X, np.where(y == 0, 7, y)),
            "y has class 7, which was not among the classes before: [0, 1, 2].",
        ),
        (
            lambda X, y: (X, y[:-1]),
            "Found input variables with inconsistent numbers of samples: X has 100 rows, y has 99. Give one label per "
            "row.",
        ),
    ],
)
def test_what_does_not_match_changes_nothing(rows, change, message):
    X, y = rows
    clf = in_parts(fast_classifier(), X, y, stop=200)
    state = state_of(clf)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.partial_fit(*change(dict(X[200:300]), y[200:300]))
    assert_unchanged(clf, state)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (None, "classes must be passed on the first call to partial_fit; give all classes that may come."),
        ([1], "classes has 1 class(es); AECFClassifier needs at least 2 classes."),
        ([0, "a"], "classes mixes labels of different types (int, str); give all of them one type."),
        ([0, 1], "y has class 2, which was not among the classes before: [0, 1]."),
        ([[0, 1, 2]], "classes must be a list of all classes. Got shape (1, 3)."),
        ([0, 1, np.nan], "classes holds a missing value; drop those rows from X and y, and it from classes."),
    ],
)
def test_the_first_call_needs_all_classes(rows, classes, message):
    X, y = rows
    clf = fast_classifier()
    classes = np.array(classes, dtype=object) if classes == [0, "a"] else classes
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.partial_fit(X[:100], y[:100], classes)
    assert not [name for name in vars(clf) if name.endswith("_")]


def test_other_refusals(rows):
    X, y = rows
    with pytest.raises(
        ValueError,
        match=r"^class_weight='balanced' needs the counts of all classes, which partial_fit does not have; give a "
        r"dict, or call fit first\.$",
    ):
        fast_classifier(class_weight="balanced").partial_fit(X[:100], y[:100], CLASSES)
    with pytest.raises(
        ValueError,
        match=r"^The first call of partial_fit needs a row with an observed modality and a positive weight\. Got 100 "
        r"without; begin with other rows\.$",
    ):
        fast_classifier().partial_fit({"a": np.full((100, 3), np.nan)}, y[:100], CLASSES)
    clf = in_parts(fast_classifier(), X, y, stop=100)
    state = state_of(clf)
    with pytest.raises(
        ValueError,
        match=r"^`classes=\[0, 1\]` is not the same as on last call to partial_fit, was: \[0, 1, 2\]; give the same, "
        r"or leave it out\.$",
    ):
        clf.partial_fit(X[:100], y[:100], [0, 1])
    with pytest.raises(
        ValueError,
        match=r"^sample_weight holds 1e\+30, too large beside the largest of the first call; give weights on one scale "
        r"in all calls\.$",
    ):
        clf.partial_fit(X[:100], y[:100], sample_weight=np.full(100, 1e30))
    with pytest.raises(ValueError, match="Training goes on with the same network, but a parameter that shapes it"):
        clf.set_params(embed_dim=8).partial_fit(X[:100], y[:100])
    clf.set_params(embed_dim=16)
    assert_unchanged(clf, state)


def test_a_part_with_nothing_to_learn_from_changes_nothing(rows):
    X, y = rows
    clf = in_parts(fast_classifier(), X, y, stop=100)
    state = state_of(clf)
    with pytest.warns(UserWarning, match="no observed modality"):
        clf.partial_fit({name: np.full_like(X[name][:5], np.nan) for name in X}, y[:5])
    with pytest.raises(ValueError, match="at least one non-zero"):
        clf.partial_fit(X[:5], y[:5], sample_weight=np.zeros(5))
    assert_unchanged(clf, state)


def test_a_part_that_makes_training_diverge_changes_nothing(rows):
    X, y = rows
    clf = in_parts(fast_classifier(), X, y, stop=200)
    state = state_of(clf)
    with pytest.raises(ValueError, match="^Training diverged in epoch 3"):
        clf.set_params(learning_rate=1e37).partial_fit(X[200:300], y[200:300])
    clf.set_params(learning_rate=3e-3)
    assert_unchanged(clf, state)


def test_parts_of_one_row_and_of_one_class(rows):
    X, y = rows
    clf = fast_classifier().partial_fit(X[:50][y[:50] == 0], y[:50][y[:50] == 0], CLASSES)
    assert_array_equal(clf.class_prior_, [1, 0, 0])
    full = np.flatnonzero(X.present.all(axis=1))
    for row in full[:4]:
        clf.partial_fit(X[[row]], y[[row]])
    assert clf.n_iter_ == 5 and np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_x(rows, form):
    X, y = rows
    expected = in_parts(fast_classifier(), X, y, stop=200).predict_proba(X[200:300])
    clf = None
    for start in (0, 100):
        given, modalities = in_form(X[start : start + 100], form)
        clf = fast_classifier(modalities=modalities) if clf is None else clf
        clf.partial_fit(given, y[start : start + 100], CLASSES)
    assert_allclose(clf.predict_proba(in_form(X[200:300], form)[0]), expected, atol=1e-6)


def test_fit_and_partial_fit_take_turns(rows):
    X, y = rows
    clf = fast_classifier().fit(X[:400], y[:400])
    fitted, temperature = clf.predict_proba(X[800:]), clf.temperature_
    clf.partial_fit(X[400:500], y[400:500])
    assert clf.temperature_ is temperature and clf.n_iter_ == 5
    assert (clf.modality_reliability(X[800:])[X.present[800:]] == 1).all()
    part = clf._inputs.parts[0].statistics
    assert part.total[0] > 0.5 * 0.7 * 400  # those of fit count, too
    assert not np.array_equal(clf.predict_proba(X[800:]), fitted)
    assert_array_equal(clf.fit(X[:400], y[:400]).predict_proba(X[800:]), fitted)


def test_several_labels_with_names(rows):
    X, y = rows
    names = ["walks", "sits"]
    Y = pd.DataFrame({"walks": (y == 0).astype(float), "sits": (y == 1).astype(float)})
    Y.loc[::7, "sits"] = np.nan
    clf = fast_classifier()
    for start in range(0, 800, 200):
        clf.partial_fit(X[start : start + 200], Y[start : start + 200], names if start == 0 else None)
    used, sits = X[:800].present.any(axis=1), Y["sits"][:800].to_numpy()
    assert clf.classes_.tolist() == names and clf.predict(X[:5]).shape == (5, 2)
    assert_allclose(clf.class_prior_, [(y[:800] == 0)[used].mean(), np.nanmean(sits[used])], rtol=1e-6)
    clf.calibrate(X[800:], Y[800:])
    assert clf.temperature_ is not None
    with pytest.raises(ValueError, match="^y has labels 'walks', 'sits', but classes are 'sits', 'walks'; give them"):
        fast_classifier().partial_fit(X[:100], Y[:100], names[::-1])
    with pytest.raises(
        ValueError, match="^classes must name each of the 2 labels of y once, in the order of its columns. Got 3 with 3"
    ):
        fast_classifier().partial_fit(X[:100], Y[:100].to_numpy(), [0, 1, 2])
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        clf.partial_fit(X[:100], Y[:100], names[::-1])


def test_encoders_of_ones_own_also_where_they_come_later(rows):
    X, y = rows
    pictures = np.random.default_rng(0).normal(size=(1200, 2, 3)).astype(np.float32)
    pictures[:200] = np.nan
    X = MultimodalData({"a": X["a"], "picture": pictures})

    def encoder():
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 8))

    clf = in_parts(fast_classifier(encoders={"picture": encoder}), X, y, stop=400)
    before = clf.net_.module_.state_dict()
    clf.partial_fit(X[400:500], y[400:500])
    after = clf.net_.module_.state_dict()
    assert before.keys() == after.keys()
    assert sum(not torch.equal(before[name], after[name]) for name in before) > 0.8 * len(before)
    assert np.isfinite(clf.predict_proba(X)).all()


def test_every_feature_gets_an_indicator_of_gaps(rows):
    X, y = rows
    late = {name: X[name].copy() for name in X}
    late["a"][100:200, 2] = np.nan
    clf = fast_classifier(add_gap_indicator=True).partial_fit(X[:100], y[:100], CLASSES)
    assert clf._inputs.n_features == [12, 8, 4]
    clf.partial_fit(MultimodalData(late)[100:200], y[100:200])
    assert np.isfinite(clf.predict_proba(MultimodalData(late))).all()


# calibrate


def test_calibrate_finds_what_fit_finds(rows):
    X, y = rows
    clf = fast_classifier(corruption_rate=0).fit(X[:800], y[:800], validation_set=(X[800:], y[800:]))
    log_scale, absence = clf.temperature_.log_scale_, clf.temperature_.absence_
    clf.temperature_ = None
    assert clf.calibrate(X[800:], y[800:]) is clf
    assert_allclose(clf.temperature_.log_scale_, log_scale, atol=1e-5)
    assert_allclose(clf.temperature_.absence_, absence, atol=1e-5)


def test_calibrate_makes_the_loss_smaller_and_learns_whom_to_believe(rows):
    X, y = rows
    clf = in_parts(fast_classifier(batch_size=32, embed_dim=32, hidden_dim=32), X, y, stop=700)
    loss = -np.log(clf.predict_proba(X[700:])[np.arange(500), y[700:]]).mean()
    trusted = clf.modality_reliability(X[700:])
    assert (trusted[X.present[700:]] == 1).all()
    weights = [value.clone() for value in clf.net_.module_.state_dict().values()]
    clf.calibrate(X[700:], y[700:])
    assert -np.log(clf.predict_proba(X[700:])[np.arange(500), y[700:]]).mean() < loss
    state = clf.net_.module_.state_dict()
    kept = [value for name, value in state.items() if not name.startswith("reliability.")]
    assert all(torch.equal(one, other) for one, other in zip(weights, kept, strict=True))
    broken = {**X, "a": 30 * X["a"]}
    rho = clf.modality_reliability(broken)[X.present[:, 0], 0]
    assert np.median(rho) < 0.5 < np.median(clf.modality_reliability(X)[X.present[:, 0], 0])


def test_few_rows_change_the_temperature_alone(rows):
    X, y = rows
    clf = fast_classifier(max_epochs=8).fit(X[:900], y[:900])
    rho, log_scale = clf.modality_reliability(X), clf.temperature_.log_scale_
    clf.calibrate(X[900:1000], y[900:1000])
    assert clf.temperature_.log_scale_ != log_scale
    assert_array_equal(clf.modality_reliability(X), rho)
    assert (rho[X.present] < 1).any()


def test_calibrate_is_repeatable_and_leaves_torch_alone(rows):
    X, y = rows
    clf = in_parts(fast_classifier(), X, y)
    state = torch.get_rng_state()
    one = clf.calibrate(X[800:], y[800:]).predict_proba(X)
    two = clf.calibrate(X[800:], y[800:]).predict_proba(X)
    assert_array_equal(one, two)
    assert torch.equal(torch.get_rng_state(), state)


def test_calibrate_refuses(rows):
    X, y = rows
    clf = in_parts(fast_classifier(), X, y, stop=200)
    clf.calibrate(X[200:400], y[200:400])
    state = state_of(clf)
    with pytest.raises(
        ValueError,
        match=r"^calibrate needs a row with an observed modality and a positive weight\. Got 5 without; give rows that "
        r"have something\.$",
    ):
        clf.calibrate({"a": np.full((5, 6), np.nan)}, y[:5])
    with pytest.raises(ValueError, match="^y has class 9, which was not among the classes before"):
        clf.calibrate(X[:5], np.full(5, 9))
    with pytest.raises(
        ValueError,
        match=r"^There is nothing to calibrate with temperature=None and corruption_rate=0; set one of them first\.$",
    ):
        clf.set_params(temperature=None, corruption_rate=0).calibrate(X[:50], y[:50])
    clf.set_params(temperature="subset", corruption_rate=0.1)
    assert_unchanged(clf, state)
