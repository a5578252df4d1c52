"""The report in one page: its tables, its pictures and its names."""

import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import recall_score
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import hide
from sklearn_aecf.inspection import modality_importance, robustness_report
from sklearn_aecf.metrics import subset_report

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*no observed modality"),
]


def own_score(estimator, X, y):
    return estimator.score(X, y)


def as_scorer(scoring):
    """The first of several scores."""
    if callable(scoring):
        return scoring
    return next(iter(scoring.values() if isinstance(scoring, dict) else scoring))


class TestReport:
    def test_bundles_and_writes(self, trained, data, tmp_path):
        X, y = data
        report = robustness_report(trained, X, y)
        assert_array_equal(report.tables["Each subset of modalities"]["ece"], subset_report(trained, X, y)["ece"])
        assert set(report.captions) >= {"numbers", *report.tables, *report.displays}
        assert set(report.displays) >= {"Score against drop rate", "Gate weights", "What the data has"}
        report.to_html(tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text()
        assert page == report.to_html() and page.count("data:image/png;base64,") == len(report.displays)
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
        assert report._repr_html_() in page
        assert plt.get_fignums() == []

    def test_other_classifiers_and_multilabel(self, data):
        X, y = data
        flat = np.asarray(X)
        boosting = HistGradientBoostingClassifier(max_iter=3).fit(flat, y)
        report = robustness_report(boosting, flat, y, modalities=X.column_groups(), scoring="neg_log_loss")
        assert "Gate weights" not in report.displays
        Y = np.eye(3)[y]
        robustness_report(fast_classifier().fit(X, Y), X, Y)

    def test_names_are_escaped(self, data):
        X, y = data
        named = {"<script>alert(1)</script>": X["a"], "b": X["b"]}
        assert "<script>alert" not in robustness_report(fast_classifier().fit(named, y), named, y).to_html()

    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_names_that_are_no_formulas(self, data, n_classes):
        X, y = data
        named = {"price $USD_$": X["a"], "x^2_{": X["b"], "_c$^$": X["c"]}
        y = np.array(["$low_$", "_mid^", "$"])[y % n_classes]
        page = robustness_report(fast_classifier().fit(named, y), named, y, scoring={"$gain_$": "accuracy"}).to_html()
        assert "price $USD_$" in page


class TestSummary:
    def test_says_what_the_tables_say(self, trained, data):
        X, y = data
        report = robustness_report(trained, X, y, n_repeats=1)
        numbers, lying = report.numbers, report.tables["What if a sensor lies"]
        n = int(X.present.all(axis=1).sum())
        drawn = report.displays["Score against drop rate"].scores["AECFClassifier"][:, 0]
        importance = report.tables["Importance of each modality"]
        most, least = importance["shapley"].argmax(), importance["shapley"].argmin()

        def gain(m):
            return f"{importance['shapley'][m]:.2f}", f"{importance['low'][m]:.2f} to {importance['high'][m]:.2f}"

        sureness, worst = trained.predict_proba(X).max(axis=1).mean(), lying["lying"].argmin()
        modality, kind = lying["modality"][worst], lying["kind"][worst]
        right = float(numbers["accuracy, as observed (n=150)"])
        verdict = "it is too unsure of itself" if sureness < right else "it is too sure of itself"
        assert report.summary == [
            f"On the 150 rows as they are, accuracy is {trained.score(X, y):.2f}. On the {n} of them that have every "
            f"modality it is {trained.score(X[X.present.all(axis=1)], y[X.present.all(axis=1)]):.2f}.",
            f"When each modality goes missing with probability 0.3, accuracy is {drawn[2]:.2f}, {drawn[3]:.2f} with "
            f"0.5 and {drawn[4]:.2f} with 0.7.",
            f"No modality stands out. {importance['modality'][most]} adds most, {gain(most)[0]} to accuracy (95 % "
            f"interval {gain(most)[1]}); {importance['modality'][least]} least, {gain(least)[0]} ({gain(least)[1]}).",
            f"The model gives its answers a probability of {sureness:.2f} on average, and a share of {right:.2f} is "
            f"right: {'its confidence fits' if abs(sureness - right) < 0.03 else verdict}.",
            f"The worst sensor fault tried is {kind} in {modality}: accuracy is then {lying['lying'][worst]:.2f}, "
            f"against {lying['genuine'][worst]:.2f} with genuine values and {lying['missing'][worst]:.2f} with "
            f"{modality} declared missing.",
        ]
        assert all(sentence in report.to_html() for sentence in report.summary)

    def test_one_modality(self, data):
        X, y = data
        X = {"a": X["a"]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = robustness_report(fast_classifier().fit(X, y), X, y, n_repeats=1)
        assert [sentence.split()[0] for sentence in report.summary] == ["On", "When", "The"]

    def test_of_many_subsets_a_few_are_drawn(self):
        rng = np.random.default_rng(0)
        X = {name: rng.normal(size=(60, 2)) for name in "abcdef"}
        y = (X["a"][:, 0] > 0).astype(int)
        report = robustness_report(fast_classifier().fit(X, y), X, y, n_repeats=1)
        drawn = report.displays["Score of each subset"].report
        assert len(report.tables["Each subset of modalities"]["subset"]) == 63
        assert sorted(drawn["size"]) == [1] * 6 + [5] * 6 + [6]
        assert report.captions["Score of each subset"].endswith("the table has every subset.")


class TestSameRows:
    def test_numbers_say_of_how_many_rows_they_are(self, trained, data):
        X, y = data
        report = robustness_report(trained, X, y, n_repeats=1)
        complete = X.present.all(axis=1)
        n = int(complete.sum())
        same = subset_report(trained, X[complete], y[complete])
        worst, largest = same["accuracy"].argmin(), same["ece"].argmax()
        numbers = report.numbers
        assert numbers["rows"] == f"150 ({n} with all modalities)"
        assert numbers["accuracy, as observed (n=150)"] == f"{trained.score(X, y):.3f}"
        assert numbers[f"accuracy, all modalities (n={n})"] == f"{trained.score(X[complete], y[complete]):.3f}"
        name = same["subset"][worst]
        assert numbers[f"accuracy, worst subset: {name} (the same n={n})"] == f"{same['accuracy'][worst]:.3f}"
        assert (
            numbers[f"ECE, worst subset: {same['subset'][largest]} (the same n={n})"] == f"{same['ece'][largest]:.3f}"
        )
        table = report.tables["Each subset of modalities"]
        for column in ("accuracy", "ece"):
            assert_allclose(table[f"{column}_complete"], same[column])
        drawn = report.displays["Score against drop rate"].scores["AECFClassifier"][0]
        assert_allclose(drawn, trained.score(X, y))
        removals = report.tables["Confidence without a modality"]["n_rows"].sum()
        assert numbers["rows surer with less"].endswith(f"% of {removals} removals")

    def test_few_rows_that_have_all_are_no_comparison(self, trained, data):
        X, y = data
        complete = np.flatnonzero(X.present.all(axis=1))
        rows = np.setdiff1d(np.arange(150), complete[9:])
        report = robustness_report(trained, X[rows], y[rows], n_repeats=1)
        assert report.numbers["rows"] == f"{len(rows)} (9 with all modalities)"
        assert not any("all modalities (n=" in name or "the same" in name for name in report.numbers)
        (worst,) = (name for name in report.numbers if name.startswith("accuracy, worst subset"))
        assert int(worst.partition("(n=")[2].removesuffix(")")) >= 10
        assert "accuracy_complete" not in report.tables["Each subset of modalities"]

    def test_no_row_has_all(self, trained, data):
        X, y = data
        rows = ~X.present.all(axis=1)
        X, y = X[rows], y[rows]
        report = robustness_report(trained, X, y, n_repeats=1)
        each = subset_report(trained, X, y)
        worst = np.nanargmin(each["accuracy"])
        assert report.numbers["rows"] == f"{len(y)} (0 with all modalities)"
        assert not any("all modalities (n" in name for name in report.numbers)
        name, n = each["subset"][worst], each["n_rows"][worst]
        assert report.numbers[f"accuracy, worst subset: {name} (n={n})"] == f"{each['accuracy'][worst]:.3f}"
        assert "accuracy_complete" not in report.tables["Each subset of modalities"]

    def test_rows_with_one_modality_or_none(self, trained, data):
        X, y = data
        rows = X.present.sum(axis=1) == 1
        arrays = {name: array[rows].copy() for name, array in X.items()}
        for array in arrays.values():
            array[:2] = np.nan
        report = robustness_report(trained, arrays, y[rows], n_repeats=1)
        assert report.numbers["rows without any modality"] == "2"
        assert "Confidence without a modality" not in report.tables and "rows surer with less" not in report.numbers

    def test_one_class_leaves_scores_undefined(self, data):
        X, y = data
        clf = fast_classifier().fit(X, y > 0)
        rows = y == 1
        report = robustness_report(clf, X[rows], (y > 0)[rows], n_repeats=1, scoring="roc_auc")
        assert report.numbers[f"roc auc, as observed (n={rows.sum()})"] == "not defined"
        assert np.isnan(report.tables["At threshold 0.5"]["specificity"]).all()
        assert '<td data-value="nan"></td>' in report.to_html()

    def test_threshold(self, data):
        X, y = data
        y = np.array(["no", "yes"])[(y > 0).astype(int)]
        clf = fast_classifier(max_epochs=20).fit(X, y)
        report = robustness_report(clf, X, y, n_repeats=1)
        table = report.tables["At threshold 0.5"]
        assert table["modalities"].tolist() == ["as observed", "without a", "without b", "without c"]
        assert table["n_hidden"].tolist() == [0, *X.present.sum(axis=0)]
        assert (table["n_rows"] == 150).all() and (table["n_positive"] + table["n_negative"] == 150).all()
        for row, names in enumerate([[], "a", "b", "c"]):
            predicted = clf.predict(hide(X, names))
            assert_allclose(table["sensitivity"][row], recall_score(y, predicted, pos_label="yes"))
            assert_allclose(table["specificity"][row], recall_score(y, predicted, pos_label="no"))
        assert report.captions["At threshold 0.5"].startswith("A row is called yes from a probability of 0.5 for y")

    @pytest.mark.parametrize("fixed", [True, False])
    def test_of_a_classifier_with_a_threshold(self, data, fixed):
        X, y = data
        y = np.array(["died", "well"])[(y > 0).astype(int)]
        clf = fast_classifier(max_epochs=20).fit(X, y)
        if fixed:
            tuned = FixedThresholdClassifier(FrozenEstimator(clf), threshold=0.3, pos_label="died").fit(X, y)
            threshold, positive = 0.3, "died"
        else:
            tuned = TunedThresholdClassifierCV(FrozenEstimator(clf), cv="prefit", refit=False).fit(X, y)
            threshold, positive = tuned.best_threshold_, "well"
        report = robustness_report(tuned, X, y, n_repeats=1)
        table, predicted = report.tables[f"At threshold {threshold:g}"], tuned.predict(X)
        assert_allclose(table["sensitivity"][0], recall_score(y, predicted, pos_label=positive))
        other = {"died": "well", "well": "died"}[positive]
        assert_allclose(table["specificity"][0], recall_score(y, predicted, pos_label=other))
        # All of the page is of one model, the one without the threshold.
        assert report.numbers["accuracy, as observed (n=150)"] == f"{clf.score(X, y):.3f}"
        assert_allclose(next(iter(report.displays["Score against drop rate"].scores.values()))[0], clf.score(X, y))
        assert any(sentence.startswith(f"At a threshold of {threshold:g} a share of") for sentence in report.summary)

    def test_threshold_and_class_that_are_given(self, data):
        X, y = data
        y = np.array(["died", "well"])[(y > 0).astype(int)]
        clf = fast_classifier().fit(X, y)
        table = robustness_report(clf, X, y, n_repeats=1, pos_label="died", threshold=0.2).tables["At threshold 0.2"]
        called = clf.predict_proba(X)[:, 0] >= 0.2
        assert table["sensitivity"][0] == called[y == "died"].mean()
        for wrong, message in [
            ({"pos_label": "dead"}, "pos_label must be one of two classes. Got 'dead'; classes: "),
            ({"threshold": 1}, "threshold must be in (0, 1). Got 1."),
        ]:
            with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
                robustness_report(clf, X, y, **wrong)

    def test_three_classes_have_no_threshold(self, trained, data):
        report = robustness_report(trained, *data, n_repeats=1)
        assert "At threshold 0.5" not in report.tables

    def test_importance_has_an_interval(self, trained, data):
        table = robustness_report(trained, *data, n_repeats=1).tables["Importance of each modality"]
        assert table["n_rows"].tolist() == data[0].present.sum(axis=0).tolist()
        assert (table["low"] < table["shapley"]).all() and (table["shapley"] < table["high"]).all()


class TestScoring:
    @pytest.mark.parametrize(
        ("scoring", "names"),
        [
            (["neg_log_loss", "f1_macro"], ["neg_log_loss", "f1_macro"]),
            ({"my_loss": "neg_log_loss", "own": own_score}, ["my_loss", "own"]),
            (own_score, ["score"]),
        ],
        ids=["list", "dict", "callable"],
    )
    def test_several(self, trained, data, scoring, names):
        X, y = data
        report = robustness_report(trained, X, y, n_repeats=1, scoring=scoring)
        expected = subset_report(trained, X, y, scoring=scoring)
        table = report.tables["Each subset of modalities"]
        for name in names:
            assert_allclose(table[name], expected[name])
            assert f"{name}_complete" in table and f"{name.replace('_', ' ')}, as observed (n=150)" in report.numbers
        first = names[0].replace("_", " ")
        assert report.displays["Score against drop rate"].ax_.get_ylabel() == first
        assert report.displays["Score of each subset"].ax_.get_ylabel() == first
        shapley = modality_importance(trained, X, y, method="shapley", scoring={"one": as_scorer(scoring)})
        assert_allclose(report.tables["Importance of each modality"]["shapley"], shapley.importances_mean)
        report.to_html()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scoring", [None, ["f1_macro", "average_precision"]])
def test_labels_do_not_warn_of_rows_that_the_report_selects(data, scoring):
    X, y = data
    X = MultimodalData({name: np.where(np.arange(150)[:, None] < 3, np.nan, array) for name, array in X.items()})
    Y = np.eye(3)[y]
    if scoring is None:
        Y[::4, 0] = -1
        Y[1::4, 2] = np.nan
    clf, rows = fast_classifier().fit(X, Y), np.arange(40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = robustness_report(clf, X[rows], Y[rows], scoring=scoring, n_repeats=1)
        report.to_html()
    # Older matplotlib calls what is deprecated.
    assert not [warning for warning in caught if "deprecated" not in str(warning.message)]
    assert report.numbers["rows without any modality"] == "3"
    if scoring is None:
        right, reported = clf.predict(X[rows]) == Y[rows], (Y[rows] == 0) | (Y[rows] == 1)
        assert report.numbers["accuracy, as observed (n=40)"] == f"{right[reported].mean():.3f}"
        assert_allclose(report.displays["Score against drop rate"].scores["AECFClassifier"][0], right[reported].mean())
