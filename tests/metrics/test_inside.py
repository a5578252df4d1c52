"""Reports behind pipelines and searches: X is transformed once where that is the same."""

import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_aecf.compose import ModalityTransformer, hide
from sklearn_aecf.inspection import DropRateDisplay, GateDisplay, gate_summary, robustness_report
from sklearn_aecf.metrics import monotonicity_report, subset_report
from sklearn_aecf.metrics._inside import unwrapped

pytestmark = pytest.mark.filterwarnings("ignore:.*no observed modality")


class Counting(TransformerMixin, BaseEstimator):
    """Doubles the values, and counts how often."""

    calls = 0

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        type(self).calls += 1
        return np.asarray(X) * 2


class Tables(ModalityTransformer):
    """A `ModalityTransformer` that counts."""

    calls = 0

    def transform(self, X):
        type(self).calls += 1
        return super().transform(X)


@pytest.fixture(autouse=True)
def _from_zero():
    Counting.calls = Tables.calls = 0


def test_a_report_transforms_x_once(data):
    X, y = data
    piped = make_pipeline(Tables({"a": PCA(2), "b": StandardScaler()}), fast_classifier()).fit(X, y)
    Tables.calls = 0
    report = robustness_report(piped, X, y, n_repeats=1)
    assert Tables.calls == 1
    assert report.title == "Pipeline without some modalities" and "Gate weights" in report.displays
    inner, seen = piped[-1], piped[:-1].transform(X)
    for name in ("accuracy", "ece"):
        assert_array_equal(subset_report(piped, X, y)[name], subset_report(inner, seen, y)[name])


def test_scalers_of_one_table_transform_once_and_unknown_transformers_every_time(data):
    X, y = data
    flat, groups = np.asarray(X), X.column_groups()
    piped = make_pipeline(Counting(), fast_classifier(modalities=groups)).fit(flat, y)
    Counting.calls = 0
    found = subset_report(piped, flat, y)
    assert Counting.calls == 7
    assert_array_equal(found["accuracy"], subset_report(piped[-1], flat * 2, y)["accuracy"])
    scaled = make_pipeline(StandardScaler(), fast_classifier(modalities=groups)).fit(flat, y)
    assert unwrapped(scaled, flat)[0] is scaled[-1] and unwrapped(piped, flat)[0] is piped
    expected = subset_report(scaled[-1], scaled[0].transform(flat), y)
    assert_array_equal(subset_report(scaled, flat, y)["accuracy"], expected["accuracy"])


@pytest.mark.parametrize(
    "transformers",
    [{("a", "b"): {"a": StandardScaler()}, "b": StandardScaler()}, {"b": {"a": PCA(2)}, "a": {"b": PCA(2)}}],
    ids=["merged", "swapped"],
)
def test_modalities_that_a_transformer_merges_or_renames_are_hidden_in_front_of_it(data, transformers):
    X, y = data
    piped = make_pipeline(ModalityTransformer(transformers), fast_classifier(max_epochs=15)).fit(X, y)
    report = subset_report(piped, X, y, subsets=[["a"]])
    alone = hide(X, ["b", "c"])
    rows = X.present[:, 0]
    assert_allclose(report["accuracy"][0], np.mean(piped.predict(alone)[rows] == y[rows]))


def test_what_fills_missing_modalities_is_asked_every_time(data):
    """Hidden before the imputer is another thing than hidden behind it."""
    X, y = data
    flat, groups = np.asarray(X), X.column_groups()
    piped = make_pipeline(SimpleImputer(), fast_classifier(modalities=groups)).fit(flat, y)
    found = subset_report(piped, flat, y)["confidence"]
    hidden = flat.copy()
    hidden[:, groups["b"]] = hidden[:, groups["c"]] = np.nan
    row = found[subset_report(piped, flat, y)["subset"].tolist().index("a")]
    rows = X.present[:, 0]
    assert_allclose(row, piped.predict_proba(hidden)[rows].max(axis=1).mean())


def test_gates_inside_pipelines_and_searches(data):
    X, y = data
    piped = make_pipeline(ModalityTransformer({"a": PCA(2)}), fast_classifier()).fit(X, y)
    search = GridSearchCV(piped, {"aecfclassifier__mask_rate": [0.4]}, cv=2).fit(X, y)
    for estimator in (piped, search):
        summary = gate_summary(estimator, X, y)
        assert summary["modality"].tolist() == ["a", "b", "c"]
        assert_allclose((summary["mean"] * summary["n_rows"]).sum(), X.present.any(axis=1).sum(), rtol=1e-5)
        assert GateDisplay.from_estimator(estimator, X).evenness.size
    with pytest.raises(
        TypeError,
        match="^StandardScaler has no gate_weights; give a fitted AECFClassifier, or a Pipeline or search that ends in one.$",
    ):
        gate_summary(StandardScaler(), X)


def test_drop_rates_behind_a_pipeline(data):
    X, y = data
    piped = make_pipeline(Tables({"a": StandardScaler()}), fast_classifier()).fit(X, y)
    Tables.calls = 0
    display = DropRateDisplay.from_estimator(piped, X, y, drop_rates=(0.0, 0.5), n_repeats=2)
    assert Tables.calls == 1 and display.scores["Pipeline"].shape == (2, 2)


def test_labels_that_happen_to_sum_to_one_are_told_by_the_estimator(data):
    """Probabilities of labels were once taken for one distribution where their rows add up."""
    X, y = data
    clf = fast_classifier().fit(X, np.eye(3)[y])
    summing = clf.predict_proba_subsets
    clf.predict_proba_subsets = lambda X, subsets: summing(X, subsets) / summing(X, subsets).sum(axis=2, keepdims=True)
    p = clf.predict_proba_subsets(X, [[True, True, True], [False, True, True]])
    rows = X.present.all(axis=1)
    expected = np.maximum(p, 1 - p).mean(axis=2)[:, rows]
    report = monotonicity_report(clf, X)
    first = (report.pairs["larger"] == "a + b + c") & (report.pairs["removed"] == "a")
    assert_allclose(report.pairs["gap"][first], (expected[1] - expected[0]).mean())
