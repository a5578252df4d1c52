"""Importance of modalities, summaries of the gate, pictures and the report."""

import re
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.datasets import make_multimodal_classification
from sklearn_aecf.inspection import (
    DropRateDisplay,
    GateDisplay,
    MissingnessDisplay,
    ReliabilityDisplay,
    SubsetDisplay,
    TrainingDisplay,
    gate_summary,
    modality_importance,
    robustness_report,
)
from sklearn_aecf.metrics import drop_modalities, hide, subset_report

pytestmark = pytest.mark.filterwarnings("ignore:.*no observed modality")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def trained(data):
    return fast_classifier(max_epochs=30).fit(*data)


class TestImportance:
    @pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", lambda estimator, X, y: estimator.score(X, y)])
    def test_shapley_sums_to_all_minus_none(self, trained, data, scoring):
        X, y = data
        found = modality_importance(trained, X, y, method="shapley", scoring=scoring)
        with_none = hide(X, ["a", "b", "c"])
        if scoring == "neg_log_loss":
            every = -np.log(trained.predict_proba(X)[np.arange(150), y]).mean()
            none = -np.log(trained.predict_proba(with_none)[np.arange(150), y]).mean()
            expected = none - every
        else:
            expected = trained.score(X, y) - trained.score(with_none, y)
        assert_allclose(found.importances_mean.sum(), expected, atol=1e-6)
        assert (found.importances_sem == 0).all()

    def test_sampled_shapley_sums_too_and_nears_the_exact(self, rng):
        X = MultimodalData({f"m{i}": rng.normal(size=(80, 1)) for i in range(9)})
        y = (X["m0"][:, 0] > 0).astype(int)
        clf = fast_classifier(max_epochs=20).fit(X, y)
        found = modality_importance(clf, X, y, method="shapley", scoring="neg_log_loss", n_repeats=3, random_state=0)
        assert found.importances.shape == (9, 27) and found.importances_mean.argmax() == 0
        assert (found.importances_sem[0] > 0) and np.isfinite(found.importances_sem).all()
        assert_allclose(np.ptp(found.importances.sum(axis=0)), 0, atol=1e-9)

    def test_drop_and_permute(self, trained, data):
        X, y = data
        dropped = modality_importance(trained, X, y, method="drop", scoring="accuracy")
        assert dropped.importances_mean[1] == pytest.approx(trained.score(X, y) - trained.score(hide(X, "b"), y))
        permuted = modality_importance(trained, X, y, method="permute", n_repeats=4, random_state=0, n_jobs=2)
        assert permuted.importances.shape == (3, 4) and permuted.importances_mean.argmax() == 0

    def test_has_the_shape_of_scikit_learns(self, data):
        X, y = data
        flat = np.asarray(X)
        boosting = HistGradientBoostingClassifier(max_iter=5).fit(flat, y)
        ours = modality_importance(boosting, flat, y, method="permute", modalities=X.column_groups(), random_state=0)
        theirs = permutation_importance(boosting, flat, y, random_state=0)
        for name in theirs:
            assert ours[name].ndim == theirs[name].ndim
        assert_allclose(ours.importances.mean(axis=1), ours.importances_mean)

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("method", ["drop", "permute", "shapley"])
    def test_every_form(self, trained, data, form, method):
        X, y = data
        given, modalities = in_form(X, form)
        options = {"method": method, "scoring": "neg_log_loss", "random_state": 0, "n_repeats": 2}
        found = modality_importance(trained, given, y, modalities=modalities, **options)
        expected = modality_importance(trained, X, y, **options)
        assert_allclose(found.importances_mean, expected.importances_mean, atol=1e-6)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"method": "loco"}, "method must be 'drop', 'permute' or 'shapley'. Got 'loco'."),
            ({"n_repeats": 0}, "n_repeats must be at least 1. Got 0."),
        ],
    )
    def test_refused(self, trained, data, options, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            modality_importance(trained, *data, **options)


class TestGateSummary:
    def test_means_where_observed(self, trained, data):
        X, y = data
        summary = gate_summary(trained, X, y)
        weights, seen = trained.gate_weights(X), X.present[:, 2]
        assert_allclose(summary["mean"][2], weights[seen, 2].mean())
        assert_allclose(summary["mean_1"][2], weights[seen & (y == 1), 2].mean())
        assert_allclose(summary["mean_even"][2], (1 / X.present.sum(axis=1))[seen].mean())
        with pytest.raises(TypeError, match="LogisticRegression has no gate_weights; give a fitted AECFClassifier."):
            gate_summary(LogisticRegression(), X)


class TestDisplays:
    def test_drop_rates(self, trained, data):
        X, y = data
        estimators = {"ours": trained, "again": trained}
        display = DropRateDisplay.from_estimator(estimators, X, y, drop_rates=(0, 0.5), n_repeats=2)
        frame = display.frame()
        assert_allclose(frame["accuracy"][0], trained.score(X, y))
        assert_allclose(display.scores["ours"], display.scores["again"])
        assert display.ax_.get_ylim() == (0, 1) and display.ax_.get_legend() is not None
        assert display.ax_.get_xlabel() == "drop rate" and display.figure_ is display.ax_.figure

    def test_drop_rates_from_predictions(self, trained, data):
        X, y = data
        hidden = drop_modalities(X, 0.5, random_state=0)
        display = DropRateDisplay.from_predictions(y, {0.0: [trained.predict(X)], 0.5: [trained.predict(hidden)]})
        assert display.frame()["accuracy"].tolist() == [trained.score(X, y), trained.score(hidden, y)]

    def test_losses_are_not_squeezed_into_the_unit_range(self, trained, data):
        display = DropRateDisplay.from_estimator(
            trained, *data, scoring="neg_log_loss", drop_rates=(0, 0.5), n_repeats=1
        )
        assert display.ax_.get_ylim()[0] < 0 and display.ax_.get_ylabel() == "neg log loss"

    @pytest.mark.parametrize("sort", ["size", "score"])
    def test_subsets(self, trained, data, sort):
        X, y = data
        display = SubsetDisplay.from_estimator(trained, X, y, sort=sort)
        heights = [bar.get_height() for bar in display.ax_.patches]
        expected = subset_report(trained, X, y)["accuracy"]
        assert_allclose(sorted(heights), sorted(expected))
        assert [label.get_text() for label in display.matrix_ax_.get_yticklabels()] == ["a", "b", "c"]
        assert len(display.frame()) == 7
        if sort == "score":
            assert heights == sorted(heights, reverse=True)

    def test_subsets_from_predictions_and_a_given_axes(self, trained, data):
        X, y = data
        figure, axes = plt.subplots(1, 2)
        predictions = {("a", "b"): trained.predict(hide(X, "c")), ("a",): trained.predict(hide(X, ["b", "c"]))}
        display = SubsetDisplay.from_predictions(y, predictions, ax=axes[1])
        assert display.ax_ is axes[1] and display.figure_ is figure
        assert display.frame()["size"].tolist() == [2, 1]
        free = plt.figure().add_axes([0.1, 0.4, 0.8, 0.5])
        assert SubsetDisplay.from_predictions(y, predictions, ax=free).matrix_ax_ is not None

    def test_reliability_has_a_line_a_size(self, trained, data):
        X, y = data
        display = ReliabilityDisplay.from_estimator(trained, X, y)
        assert list(display.curves) == [3, 2, 1]
        counts = display.frame().groupby("n_observed")["n_rows"].sum()
        size = X.present.sum(axis=1)
        assert counts.to_dict() == {k: (size >= k).sum() for k in (1, 2, 3)}
        labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert labels[-1].startswith("1 modality, ECE") and labels[0].startswith("3 modalities, ECE")

    def test_reliability_from_predictions(self, trained, data):
        X, y = data
        display = ReliabilityDisplay.from_predictions(y, trained.predict_proba(X))
        assert list(display.curves) == [0] and "all rows" in display.ax_.get_legend().get_texts()[0].get_text()

    def test_gate(self, trained, data):
        X, y = data
        display = GateDisplay.from_estimator(trained, X, y)
        assert_allclose(display.frame()["mean"], gate_summary(trained, X)["mean"])
        assert ((display.evenness >= 0) & (display.evenness <= 1 + 1e-6)).all()
        with pytest.raises(ValueError, match="weights, present and modality_names must agree"):
            GateDisplay.from_predictions(np.zeros((3, 2)), np.zeros((3, 2)), ["a"])

    @pytest.mark.parametrize("params", [{}, {"early_stopping": False}, {"entropy_weight": 0}])
    def test_training(self, data, params):
        clf = fast_classifier(**params).fit(*data)
        display = TrainingDisplay.from_estimator(clf)
        assert len(display.axes_) == 4 and len(display.frame()) == clf.n_iter_
        losses = {line.get_label() for line in display.axes_[0].lines}
        assert ("the same, confidence rescaled" in losses) == clf.early_stopping
        drawn = display.axes_[2].lines
        assert (len(drawn) >= 1) == ("entropy_coefficient" in clf.history_ or "valid_loss" in clf.history_)

    @pytest.mark.parametrize("form", FORMS)
    def test_missingness(self, data, form):
        X, _ = data
        given, modalities = in_form(X, form)
        display = MissingnessDisplay.from_data(given, modalities=modalities)
        frame = display.frame()
        assert frame["n_rows"].sum() == 150
        assert frame["n_rows"][frame["observed"] == "a + b + c"].item() == X.present.all(axis=1).sum()

    def test_no_label_is_cut(self, trained, data):
        X, y = data
        long = MultimodalData({f"a modality with a long name, {name}": X[name] for name in X})
        clf = fast_classifier().fit(long, y)
        for display in (
            DropRateDisplay.from_estimator(clf, long, y, n_repeats=1),
            SubsetDisplay.from_estimator(clf, long, y),
            ReliabilityDisplay.from_estimator(clf, long, y),
            GateDisplay.from_estimator(clf, long, y),
            MissingnessDisplay.from_data(long),
            TrainingDisplay.from_estimator(clf),
        ):
            figure = display.figure_
            figure.canvas.draw()
            inside = figure.bbox.padded(1)
            for axes in figure.axes:
                labels = [axes.xaxis.label, axes.yaxis.label]
                for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
                    labels += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                for label in labels:
                    if label.get_text() and label.get_visible():
                        box = label.get_window_extent()
                        assert box.x0 >= inside.x0 and box.x1 <= inside.x1, label.get_text()
                        assert box.y0 >= inside.y0 and box.y1 <= inside.y1, label.get_text()

    def test_absent_matplotlib_is_one_sentence(self, data, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(
            ImportError, match=r"MissingnessDisplay.plot requires matplotlib. You can install matplotlib with"
        ):
            MissingnessDisplay.from_data(data[0])

    def test_absent_pandas_is_one_sentence(self, data, monkeypatch):
        display = MissingnessDisplay.from_data(data[0])
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(ImportError, match="MissingnessDisplay.frame requires pandas. You can install pandas with"):
            display.frame()


class TestReport:
    def test_bundles_and_writes(self, trained, data, tmp_path):
        X, y = data
        report = robustness_report(trained, X, y)
        assert_array_equal(report.tables["Each subset of modalities"]["ece"], subset_report(trained, X, y)["ece"])
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


@pytest.mark.slow
def test_shapley_ranks_modalities_by_informativeness():
    """Seeds 0-99: distances 3, 2 and 1 between class centres; at least 95 of 100 rankings are right."""
    right = 0
    for seed in range(100):
        X, y = make_multimodal_classification(800, informativeness=[2, 3, 1], random_state=seed)
        clf = AECFClassifier(max_epochs=15, n_members=2, embed_dim=32, hidden_dim=32, device="cpu", random_state=seed)
        clf.fit(X[:400], y[:400])
        values = modality_importance(clf, X[400:], y[400:], method="shapley", scoring="neg_log_loss").importances_mean
        right += values.argsort().tolist() == [2, 0, 1]
    assert right >= 95
