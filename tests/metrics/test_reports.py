"""Scores of every subset of modalities, and whether confidence rises with what is seen."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import make_scorer

from sklearn_aecf import MultimodalData
from sklearn_aecf.inspection import DropRateDisplay, gate_summary, modality_importance
from sklearn_aecf.metrics import missing_modality_scorer, monotonicity_report, subset_report
from sklearn_aecf.metrics._subsets import names_in


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
            ({"scoring": []}, ValueError, "scoring is empty; name at least one score."),
            ({"scoring": 3}, ValueError, "scoring must be a str, callable, list, dict or None. Got 3."),
            ({"scoring": ["accuracy", len]}, ValueError, f"A list of scores has names of scorers. Got {len!r}; give a dict of names to callables."),
            ({"scoring": {"ece": "accuracy"}}, ValueError, "A score cannot be called 'ece', as a column of the report is; give it another name."),
            ({"sample_weight": np.ones((150, 1))}, ValueError, "sample_weight must have one entry per row (150). Got shape (150, 1)."),
            ({"y": np.zeros(3)}, ValueError, "X has 150 rows but y has 3; give one label per row."),
            ({"estimator": RidgeClassifier()}, TypeError, "RidgeClassifier has no predict_proba; give a classifier that predicts probabilities, e.g. wrapped in CalibratedClassifierCV."),
        ],
    )  # fmt: skip
    def test_refused(self, fitted, data, edit, error, message):
        arguments = {"estimator": fitted, "X": data[0], "y": data[1], **edit}
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            subset_report(**arguments)


class TestScores:
    """What scorers say of the rows of a subset, which may lack a class, and whether weights count."""

    def test_weights_reach_callables_and_scorers_without_weights_are_not_given_any(self, fitted, data):
        X, y = data
        weight = (np.arange(150) < 50).astype(float)

        def own(estimator, X, y, sample_weight=None):
            return estimator.score(X, y, sample_weight=sample_weight)

        report = subset_report(fitted, X, y, scoring=own, sample_weight=weight)
        assert_allclose(report["score"], report["accuracy"])
        assert_allclose(report["score"], subset_report(fitted, X[:50], y[:50])["accuracy"])
        unweighted = make_scorer(lambda y, predicted: np.mean(y == predicted))
        assert_allclose(
            subset_report(fitted, X, y, scoring=unweighted)["score"], subset_report(fitted, X, y)["accuracy"]
        )

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("scoring", ["roc_auc_ovr", "roc_auc_ovo", "neg_log_loss"])
    def test_rows_that_lack_one_of_three_classes_are_nan(self, fitted, data, scoring):
        X, y = data
        rows = ~X.present[:, 0] | (y < 2)
        report = subset_report(fitted, X[rows], y[rows], subsets=[["a"], ["b"]], scoring=scoring)
        assert np.isnan(report[scoring][0]) and np.isfinite(report[scoring][1])

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("scoring", ["roc_auc", "average_precision"])
    def test_labels_of_one_value_are_nan_and_not_0(self, data, scoring):
        X, y = data
        Y = np.eye(3)[y]
        clf = fast_classifier().fit(X, Y)
        Y[X.present[:, 0], 1] = 0
        report = subset_report(clf, X, Y, subsets=[["a"], ["b"]], scoring=scoring)
        assert np.isnan(report[scoring][0]) and np.isfinite(report[scoring][1])

    @pytest.mark.filterwarnings("error")
    def test_rows_whose_labels_were_never_reported_are_nan(self, data):
        X, y = data
        Y = np.eye(3)[y]
        clf = fast_classifier().fit(X, Y)
        Y[X.present[:, 0]] = np.nan
        report = subset_report(clf, X, Y, subsets=[["a"], ["b"]])
        assert np.isnan(report["accuracy"][0]) and np.isfinite(report["accuracy"][1])

    @pytest.mark.parametrize("missing", [np.nan, -1])
    def test_labels_that_were_not_reported_are_refused_by_scorers_of_scikit_learn(self, data, missing):
        X, y = data
        Y = np.eye(3)[y]
        clf = fast_classifier().fit(X, Y)
        Y[0, 0] = missing
        message = (
            "^y has labels that were not reported, which the score 'f1_macro' cannot skip; give scoring=None for the "
            "accuracy of those that were, or a callable\\.$"
        )
        asked = [
            lambda: subset_report(clf, X, Y, scoring="f1_macro"),
            lambda: modality_importance(clf, X, Y, scoring="f1_macro"),
            lambda: missing_modality_scorer("f1_macro")(clf, X, Y),
            lambda: DropRateDisplay.from_estimator(clf, X, Y, scoring="f1_macro"),
        ]
        for each in asked:
            with pytest.raises(ValueError, match=message):
                each()
        own = subset_report(clf, X, Y, scoring=lambda estimator, X, Y: estimator.score(X, Y))
        assert np.isfinite(own["score"]).all()


@pytest.mark.parametrize(
    ("text", "size", "names", "found"),
    [
        ("a + b", 2, ["a", "b", "a + b"], ["a", "b"]),
        ("a + b", 1, ["a", "b", "a + b"], ["a + b"]),
        ("a + b + a", 2, ["a", "b", "a + b"], ["a + b", "a"]),
        ("c + a", 2, ["a", "b", "c"], ["c", "a"]),
        ("a + d", 2, ["a", "b", "c"], None),
    ],
)
def test_names_are_read_back_from_the_name_of_a_subset(text, size, names, found):
    assert names_in(text, size, names) == found


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


def by_subset(report, column):
    return {frozenset(str(s).split(" + ")): v for s, v in zip(report["subset"], report[column], strict=True)}


def test_reports_do_not_depend_on_the_order_of_modalities(trained, data):
    X, y = data
    turned = {name: X[name] for name in "cba"}
    expected = by_subset(subset_report(trained, X, y), "accuracy")
    assert by_subset(subset_report(trained, turned, y), "accuracy") == expected
    one = modality_importance(trained, X, y, scoring="neg_log_loss", n_bootstrap=0)
    other = modality_importance(trained, turned, y, scoring="neg_log_loss", n_bootstrap=0)
    assert other.modality_names == ["c", "b", "a"]
    assert_allclose(other.importances_mean[::-1], one.importances_mean)


def test_reports_on_data_that_lacks_a_modality(trained, data):
    X, y = data
    report = subset_report(trained, {"a": X["a"], "b": X["b"]}, y)
    assert report["subset"].tolist() == ["a + b", "a", "b"]
    expected = subset_report(trained, X, y, subsets=[["a", "b"], ["a"], ["b"]])
    assert_allclose(report["ece"], expected["ece"])


def test_column_vector_of_labels(trained, data):
    X, y = data
    assert_array_equal(subset_report(trained, X, y[:, None])["accuracy"], subset_report(trained, X, y)["accuracy"])


def test_rows_of_one_class_and_of_no_weight_are_nan(trained, data):
    X, y = data
    rows = np.concatenate([np.flatnonzero(y == 0)[:5], np.flatnonzero((y > 0) & ~X.present[:, 0])[:10]])
    report = subset_report(trained, X[rows], y[rows], subsets=[["a"], ["b"]], scoring="neg_log_loss")
    assert np.isnan(report["neg_log_loss"][0]) and np.isfinite(report["accuracy"][0])
    weight = np.where(X.present.all(axis=1), 0.0, 1.0)
    report = subset_report(trained, X, y, sample_weight=weight)
    assert np.isnan(report["accuracy"][0]) and np.isfinite(report["accuracy"][1:]).all()


@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_reports_on_a_frame_that_lacks_a_modality(data):
    X, y = data
    names = {name: [f"{name}{i}" for i in range(X[name].shape[1])] for name in X}
    frame = pd.DataFrame(np.asarray(X), columns=[column for group in names.values() for column in group])
    clf = fast_classifier(modalities=names).fit(frame, y)
    lacking = frame.drop(columns=names["c"])
    assert np.isfinite(subset_report(clf, lacking, y)["accuracy"][-2])
    assert np.isfinite(missing_modality_scorer("accuracy")(clf, lacking, y))
    gate_summary(clf, lacking)
