"""Calibration error, hiding, reports a subset, scorers."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_aecf import MultimodalData
from sklearn_aecf.metrics import (
    drop_modalities,
    ece_scorer,
    expected_calibration_error,
    hide,
    missing_modality_scorer,
    monotonicity_report,
    reliability_curve,
    subset_report,
    subset_scorer,
    worst_subset_scorer,
)

torchmetrics = pytest.importorskip("torchmetrics.functional.classification", reason="an independent implementation")


class TestCalibrationError:
    @pytest.mark.parametrize("norm", ["l1", "l2", "max"])
    @pytest.mark.parametrize("seed", range(100))
    def test_equals_torchmetrics(self, seed, norm):
        import torch

        rng = np.random.default_rng(seed)
        n_rows, n_classes, n_bins = int(rng.integers(5, 300)), int(rng.integers(2, 8)), int(rng.integers(2, 30))
        p = rng.dirichlet(np.full(n_classes, 0.5), n_rows).astype(np.float32)
        y = rng.integers(0, n_classes, n_rows)
        expected = torchmetrics.multiclass_calibration_error(
            torch.from_numpy(p), torch.from_numpy(y), n_classes, n_bins=n_bins, norm=norm
        )
        assert_allclose(expected_calibration_error(y, p, n_bins=n_bins, norm=norm), expected, atol=1e-6)
        expected = torchmetrics.binary_calibration_error(
            torch.from_numpy(p[:, 1]), torch.from_numpy((y == 1).astype(int)), n_bins=n_bins, norm=norm
        )
        found = expected_calibration_error(y == 1, p[:, 1], n_bins=n_bins, norm=norm)
        assert_allclose(found, expected, atol=1e-6)

    def test_by_hand(self):
        """Bins of halves: 0.9 x 4 of which 3 right (gap 0.15), 0.4 x 2 of which 1 positive (gap 0.1)."""
        y, p = [1, 1, 1, 0, 1, 0], [0.9, 0.9, 0.9, 0.9, 0.4, 0.4]
        assert expected_calibration_error(y, p, n_bins=2) == pytest.approx((4 * 0.15 + 2 * 0.1) / 6)
        assert expected_calibration_error(y, p, n_bins=2, norm="max") == pytest.approx(0.15)
        assert expected_calibration_error(y, p, n_bins=2, norm="l2") == pytest.approx(
            np.sqrt((4 * 0.15**2 + 2 * 0.1**2) / 6)
        )
        weighted = expected_calibration_error(y, p, n_bins=2, sample_weight=[1, 1, 1, 1, 0, 0])
        assert weighted == pytest.approx(0.15)

    def test_calibrated_simulator_has_none_after_debiasing(self):
        """200 draws of 500 rows, seeds 0-199; plain ECE is 0.04 there."""
        values = [expected_calibration_error(*self.simulated(500, 0, seed), debias=True) for seed in range(200)]
        assert abs(np.mean(values)) < 0.01
        assert np.mean([expected_calibration_error(*self.simulated(500, 0, seed)) for seed in range(200)]) > 0.03

    @pytest.mark.parametrize("norm", ["l1", "l2"])
    @pytest.mark.parametrize("excess", [0.1, 0.2])
    def test_known_overconfidence_is_recovered(self, excess, norm):
        values = [
            expected_calibration_error(*self.simulated(500, excess, seed), debias=True, norm=norm)
            for seed in range(200)
        ]
        assert_allclose(np.mean(values), excess, rtol=0.1)

    @staticmethod
    def simulated(n_rows, excess, seed):
        """A binary classifier that is right with its confidence minus `excess`."""
        rng = np.random.default_rng(seed)
        confidence = rng.uniform(0.5 + excess, 1, n_rows)
        right = rng.random(n_rows) < confidence - excess
        return (~right).astype(int), np.column_stack([confidence, 1 - confidence])

    def test_interval_holds_the_truth_about_as_often_as_it_says(self):
        covered = []
        for seed in range(60):
            found = expected_calibration_error(
                *self.simulated(400, 0.2, seed), bootstrap_ci=0.9, n_bootstrap=100, random_state=0
            )
            low, high = found.interval
            covered.append(low <= 0.2 <= high)
        # 60 draws: the standard error of a share of 0.9 is 0.04.
        assert np.mean(covered) > 0.9 - 3 * 0.04
        assert expected_calibration_error(*self.simulated(50, 0, 0)).interval is None

    def test_multilabel_skips_what_was_not_reported(self, rng):
        y, p = (rng.random((50, 3)) < 0.5).astype(float), rng.random((50, 3))
        y[:10, 0] = np.nan
        y[10:20, 1] = -1
        each = [
            expected_calibration_error(y[10:, 0], p[10:, 0]),
            expected_calibration_error(np.delete(y[:, 1], range(10, 20)), np.delete(p[:, 1], range(10, 20))),
            expected_calibration_error(y[:, 2], p[:, 2]),
        ]
        assert expected_calibration_error(y, p) == pytest.approx(np.mean(each))

    def test_classwise_and_string_labels(self, rng):
        p = rng.dirichlet([1, 1, 1], 80)
        y = np.array(["x", "y", "z"])[rng.integers(0, 3, 80)]
        each = [expected_calibration_error(y == c, p[:, i]) for i, c in enumerate("xyz")]
        assert expected_calibration_error(y, p, kind="classwise") == pytest.approx(np.mean(each))
        only_x = expected_calibration_error(y[y == "x"], p[y == "x"], labels=["x", "y", "z"])
        assert only_x == pytest.approx(expected_calibration_error(np.zeros((y == "x").sum(), int), p[y == "x"]))

    def test_quantile_bins_have_equal_counts(self, rng):
        curve = reliability_curve(
            rng.integers(0, 2, 100), rng.random(100), n_bins=5, strategy="quantile", kind="binary"
        )
        assert curve.count.tolist() == [20] * 5
        assert_allclose(curve.weight.sum(), 1)

    def test_empty_bins_are_left_out(self):
        curve = reliability_curve([0, 1], [0.05, 0.95])
        assert curve.count.tolist() == [1, 1] and np.isfinite(curve.accuracy).all()
        assert expected_calibration_error([1], [[0.2, 0.8]]) == pytest.approx(0.2)

    @pytest.mark.parametrize(
        ("y", "p", "options", "message"),
        [
            ([0, 1], [0.5, 1.5], {}, "y_prob must be in [0, 1]. Got 1.5; pass predict_proba's output, not scores."),
            ([0, 1], [0.5, np.nan], {}, "y_prob contains NaN (first in row 1)."),
            ([0, 1], [[0.5, 0.5], [0.5, 0.6]], {}, "The rows of y_prob must sum to 1. Row 1 sums to 1.1; for several labels a row give y_true one column per label."),
            ([0, 1, 1], [0.5, 0.5], {}, "y_true has 3 rows but y_prob has 2; give one row per sample."),
            ([], [], {}, "y_prob must be 1-D or 2-D with at least one row. Got shape (0,)."),
            (["a", "b"], np.full((2, 3), 1 / 3), {}, "y_true has 2 classes but y_prob has 3 columns; give labels=, the classes in the order of the columns (an estimator's classes_)."),
            (["a", "q"], np.full((2, 3), 1 / 3), {"labels": ["a", "b", "c"]}, "y_true has class 'q', which is not among the labels ['a', 'b', 'c']."),
            ([0, 2], [0.1, 0.2], {"labels": [0, 1]}, "kind='binary' needs two classes. Got [0, 2]; give labels=, or kind='top-label'."),
            ([0, 1], [0.1, 0.2], {"norm": "l3"}, "norm must be one of 'l1', 'l2', 'max'. Got 'l3'."),
            ([0, 1], [0.1, 0.2], {"norm": "max", "debias": True}, "debias is defined for norm='l1' and 'l2'. Got norm='max'."),
            ([0, 1], [0.1, 0.2], {"bootstrap_ci": 95}, "bootstrap_ci must be a level in (0, 1). Got 95."),
        ],
    )  # fmt: skip
    def test_refused(self, y, p, options, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            expected_calibration_error(y, p, **options)


class TestHiding:
    @pytest.mark.parametrize("form", FORMS)
    def test_every_form_hides_the_same(self, data, form):
        X, _ = data
        given, modalities = in_form(X, form)
        expected = np.asarray(drop_modalities(X, 0.5, random_state=3))
        hidden = drop_modalities(given, 0.5, random_state=3, modalities=modalities)
        assert type(hidden) is type(given)
        found = np.column_stack(list(hidden.values())) if isinstance(hidden, dict) else np.asarray(hidden, dtype=float)
        assert_array_equal(found, expected)
        assert_array_equal(np.asarray(X), np.asarray(data[0]))

    def test_rates_and_keep_one(self, rng):
        X = MultimodalData({name: rng.normal(size=(4000, 2)) for name in "abc"})
        kept = drop_modalities(X, 0.5, keep_one=False, random_state=0).present
        # 12,000 draws: the standard error of a rate of a half is 0.0046.
        assert abs(kept.mean() - 0.5) < 3 * 0.0046 and not kept.any(axis=1).all()
        assert drop_modalities(X, 1.0, random_state=0).present.sum(axis=1).tolist() == [1] * 4000
        assert not drop_modalities(X, 1.0, keep_one=False).present.any()

    def test_only_what_is_observed_is_kept(self, data):
        X, _ = data
        kept = drop_modalities(X, 0.7, random_state=0).present
        assert not (kept & ~X.present).any()
        assert_array_equal(kept.any(axis=1), X.present.any(axis=1))

    def test_raw_and_integer_modalities(self):
        X = MultimodalData({"text": np.array(["a", "b"], dtype=object), "count": np.array([[1], [2]])})
        hidden = hide(X, ["text", "count"])
        assert hidden["text"].tolist() == [None, None] and np.isnan(hidden["count"]).all()
        assert X["text"].tolist() == ["a", "b"]

    @pytest.mark.parametrize("library", [pd, pl])
    def test_frames_keep_other_columns(self, library):
        frame = library.DataFrame({"id": [1, 2], "x": [1.0, 2.0]})
        hidden = hide(frame, "m", modalities={"m": ["x"]})
        assert hidden["id"].to_list() == [1, 2] and not np.isfinite(hidden["x"].to_numpy()).any()

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda X: drop_modalities(X, 1.5), "rate must be a probability in [0, 1]. Got 1.5."),
            (lambda X: hide(X, "aa"), "Unknown modality 'aa'; did you mean 'a'? Modalities: 'a', 'b', 'c'."),
            (lambda X: hide(np.asarray(X), "a"), "X has columns of one table, so its modalities are unknown; give modalities=, e.g. {'image': slice(0, 512), 'audio': slice(512, 576)}."),
        ],
    )  # fmt: skip
    def test_refused(self, data, call, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call(data[0])


class _Slow(ClassifierMixin, BaseEstimator):
    """Any classifier: ours, without its short cut for subsets."""

    def __init__(self, inner):
        self.inner = inner

    def fit(self, X, y):
        return self

    @property
    def classes_(self):
        return self.inner.classes_

    def predict_proba(self, X):
        return self.inner.predict_proba(X)

    def predict(self, X):
        return self.inner.predict(X)


class TestSubsetReport:
    def test_short_cut_equals_one_prediction_a_subset(self, fitted, data):
        X, y = data
        fast = subset_report(fitted, X, y, scoring=["accuracy", "neg_log_loss"])
        slow = subset_report(_Slow(fitted), X, y, scoring=["accuracy", "neg_log_loss"])
        assert fast["subset"].tolist() == ["a + b + c", "a + b", "a + c", "b + c", "a", "b", "c"]
        for name in fast:
            if fast[name].dtype.kind == "f":
                assert_allclose(fast[name], slow[name], atol=1e-6)
        assert_allclose(fast["accuracy"], fast["accuracy"])
        present = X.present
        assert fast["n_rows"].tolist()[:2] == [present.all(axis=1).sum(), present[:, :2].all(axis=1).sum()]

    @pytest.mark.parametrize("form", FORMS)
    def test_every_form(self, data, form, fitted):
        X, y = data
        given, modalities = in_form(X, form)
        report = subset_report(fitted, given, y, modalities=modalities)
        assert_allclose(report["ece"], subset_report(fitted, X, y)["ece"], atol=1e-6)

    @pytest.mark.parametrize(
        ("subsets", "names"),
        [
            ("single", ["a", "b", "c"]),
            ("leave-one-out", ["a + b + c", "a + b", "a + c", "b + c"]),
            ([["c", "a"], "b"], ["a + c", "b"]),
        ],
    )
    def test_choices(self, fitted, data, subsets, names):
        assert subset_report(fitted, *data, subsets=subsets)["subset"].tolist() == names

    def test_observed_takes_rows_as_they_are(self, fitted, data):
        X, y = data
        report = subset_report(fitted, X, y, subsets="observed")
        assert report["n_rows"].sum() == len(X)
        overall = np.average(report["accuracy"], weights=report["n_rows"])
        assert_allclose(overall, fitted.score(X, y))

    def test_frames_take_it_and_weights_count(self, fitted, data):
        X, y = data
        report = subset_report(fitted, X, y, sample_weight=np.ones(150), scoring="f1_macro")
        assert pd.DataFrame(report).shape == pl.DataFrame(report).shape == (7, 7)
        weight = (np.arange(150) < 50).astype(float)
        first = subset_report(fitted, X[:50], y[:50])
        assert_allclose(subset_report(fitted, X, y, sample_weight=weight)["ece"], first["ece"])

    def test_other_classifiers_and_own_scorers(self, data):
        X, y = data
        flat, groups = np.asarray(X), X.column_groups()
        forest = HistGradientBoostingClassifier(max_iter=5).fit(flat, y)
        report = subset_report(forest, flat, y, modalities=groups, scoring=lambda est, X, y: est.score(X, y))
        assert_allclose(report["score"], report["accuracy"])

    def test_multilabel(self, data):
        X, y = data
        Y = np.eye(3)[y]
        Y[:20, 0] = np.nan
        clf = fast_classifier(max_epochs=80).fit(X, Y)
        report = subset_report(clf, X, Y)
        assert np.isfinite(report["ece"]).all() and (report["accuracy"] > 0.5).all()

    def test_a_subset_no_row_has_is_nan(self, fitted, data):
        X, y = data
        rows = ~X.present[:, 0]
        report = subset_report(fitted, X[rows], y[rows], subsets=[["a"], ["b"]])
        assert report["n_rows"][0] == 0 and np.isnan(report["accuracy"][0]) and np.isfinite(report["accuracy"][1])

    def test_many_modalities_are_cut_with_a_warning(self, rng):
        X = MultimodalData({f"m{i}": rng.normal(size=(60, 2)) for i in range(7)})
        clf = fast_classifier(max_epochs=1).fit(X, np.arange(60) % 2)
        with pytest.warns(UserWarning, match="7 modalities have 127 subsets; the report has 20 of them"):
            report = subset_report(clf, X, np.arange(60) % 2, max_subsets=20)
        assert report["size"].tolist() == [7] + [6] * 7 + [2] * 5 + [1] * 7

    @pytest.mark.parametrize(
        ("edit", "error", "message"),
        [
            ({"subsets": []}, ValueError, "subsets selects nothing; give at least one subset of modalities."),
            ({"subsets": [[]]}, ValueError, "A subset is empty; name at least one modality in each."),
            ({"subsets": [["aa"]]}, ValueError, "Unknown modality 'aa'; did you mean 'a'? Modalities: 'a', 'b', 'c'."),
            ({"subsets": "some"}, ValueError, "subsets must be 'all', 'observed', 'single', 'leave-one-out' or a list of lists of modalities. Got 'some'."),
            ({"y": np.full(150, 7)}, ValueError, "y has class 7, which AECFClassifier was not fitted with; its classes are [0, 1, 2]."),
            ({"y": np.zeros(3)}, ValueError, "X has 150 rows but y has 3; give one label per row."),
            ({"estimator": RidgeClassifier()}, TypeError, "RidgeClassifier has no predict_proba; give a classifier that predicts probabilities, e.g. wrapped in CalibratedClassifierCV."),
        ],
    )  # fmt: skip
    def test_refused(self, fitted, data, edit, error, message):
        arguments = {"estimator": fitted, "X": data[0], "y": data[1], **edit}
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            subset_report(**arguments)


class TestMonotonicity:
    def test_equals_a_direct_computation(self, fitted, data):
        X, _ = data
        report = monotonicity_report(fitted, X, tolerance=0.05)
        row = report.pairs["larger"].tolist().index("a + b")
        assert report.pairs["removed"][row] == "a"
        has = X.present[:, :2].all(axis=1)
        larger = fitted.predict_proba({"a": X["a"][has], "b": X["b"][has]}).max(axis=1)
        smaller = fitted.predict_proba({"b": X["b"][has]}).max(axis=1)
        assert report.pairs["n_rows"][row] == has.sum()
        assert_allclose(report.pairs["violation_rate"][row], (smaller > larger + 0.05).mean())
        assert_allclose(report.pairs["gap"][row], (smaller - larger).mean(), atol=1e-6)
        assert len(report.pairs["gap"]) == 3 + 2 * 3
        assert report.gap == report.pairs["gap"].max() and 0 <= report.violation_rate <= 1

    def test_needs_two_modalities(self, data):
        X, y = data
        rows = X.present[:, 0]
        clf = fast_classifier().fit(X[rows][["a"]], y[rows])
        with pytest.raises(ValueError, match="X has one modality, so none can be taken away"):
            monotonicity_report(clf, X[["a"]])


class TestScorers:
    def test_drop_scorer_is_the_mean_over_its_draws(self, fitted, data):
        X, y = data
        scorer = missing_modality_scorer("accuracy", drop_rate=0.4, n_repeats=2, random_state=5)
        rng = np.random.RandomState(5)
        expected = [fitted.score(drop_modalities(X, 0.4, random_state=rng), y) for _ in range(2)]
        assert scorer(fitted, X, y) == pytest.approx(np.mean(expected))
        assert scorer(fitted, X, y) == scorer(fitted, X, y)

    def test_subset_scorers(self, fitted, data):
        X, y = data
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone = subset_scorer("accuracy", present=["b"])(fitted, X, y)
            assert alone == fitted.score({"b": X["b"]}, y)
            assert worst_subset_scorer("accuracy")(fitted, X, y) <= alone

    def test_ece_scorer(self, fitted, data):
        X, y = data
        assert ece_scorer(fitted, X, y) == -expected_calibration_error(y, fitted.predict_proba(X))

    @pytest.mark.parametrize(
        "scorer", [missing_modality_scorer("accuracy"), subset_scorer("accuracy", ["a"]), worst_subset_scorer("accuracy"), ece_scorer]
    )  # fmt: skip
    @pytest.mark.filterwarnings("ignore:.*no observed modality")
    def test_in_searches_with_any_classifier(self, data, scorer):
        X, y = data
        assert repr(pickle.loads(pickle.dumps(scorer))).split(" at ")[0] == repr(scorer).split(" at ")[0]
        search = GridSearchCV(fast_classifier(max_epochs=1), {"mask_rate": [0.3]}, scoring=scorer, cv=2)
        assert np.isfinite(clone(search).fit(X, y).best_score_)
        flat = np.asarray(X)
        scores = cross_validate(
            HistGradientBoostingClassifier(max_iter=3), flat, y, cv=2,
            scoring={"one": _with_groups(scorer, X.column_groups()), "accuracy": "accuracy"},
        )  # fmt: skip
        assert np.isfinite(scores["test_one"]).all()

    def test_sample_weight(self, fitted, data):
        X, y = data
        weight = (np.arange(150) < 60).astype(float)
        scorer = missing_modality_scorer("accuracy", drop_rate=0.0, n_repeats=1)
        assert scorer(fitted, X, y, sample_weight=weight) == pytest.approx(fitted.score(X[:60], y[:60]))

    def test_refused(self):
        with pytest.raises(ValueError, match=r"^drop_rate must be a probability in \[0, 1\]. Got 2.$"):
            missing_modality_scorer("accuracy", drop_rate=2)
        with pytest.raises(ValueError, match="^present is empty; name at least one modality that stays.$"):
            subset_scorer("accuracy", [])

    def test_forest_of_labels(self, data):
        X, y = data
        Y = np.eye(3, dtype=int)[y]
        forest = RandomForestClassifier(5, random_state=0).fit(np.nan_to_num(np.asarray(X)), Y)
        forest_scores = ece_scorer(forest, np.nan_to_num(np.asarray(X)), Y)
        assert -1 <= forest_scores <= 0


def _with_groups(scorer, groups):
    if scorer is ece_scorer:
        return scorer
    copy = pickle.loads(pickle.dumps(scorer))
    copy.modalities = groups
    return copy
