"""Pictures of scores, weights, calibration, training and what the data has."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import corrupt_modalities, drop_modalities, hide
from sklearn_aecf.inspection import (
    DropRateDisplay,
    GateDisplay,
    MissingnessDisplay,
    ReliabilityDisplay,
    SensorDisplay,
    SubsetDisplay,
    TrainingDisplay,
    gate_summary,
)
from sklearn_aecf.metrics import subset_report

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*no observed modality"),
]


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


class TestLyingSensors:
    def test_rates_of_corruption(self, trained, data):
        X, y = data
        display = DropRateDisplay.from_estimator(trained, X, y, drop_rates=(0, 0.5), n_repeats=2, kind="dead")
        rng = np.random.RandomState(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
        expected = [
            [trained.score(corrupt_modalities(X, rate, kind="dead", random_state=rng), y) for _ in range(2)]
            for rate in (0, 0.5)
        ]
        assert_allclose(next(iter(display.scores.values())), expected)
        assert display.ax_.get_xlabel() == "corruption rate" and "corruption_rate" in display.frame()

    def test_subsets_with_the_rest_broken(self, trained, data):
        X, y = data
        display = SubsetDisplay.from_estimator(trained, X, y, kind="dead")
        broken = np.tile([False, True, True], (len(y), 1))
        rows = X.present[:, 0]
        expected = trained.score(corrupt_modalities(X, broken, kind="dead")[rows], y[rows])
        frame = display.frame().set_index("subset")
        assert_allclose(frame.loc["a", "accuracy"], expected)

    @pytest.mark.parametrize("form", FORMS)
    def test_which_sensor_failed_when(self, data, form):
        X, y = data
        given, modalities = in_form(X, form)
        clf = fast_classifier(modalities=modalities).fit(given, y)
        days = np.arange("2024-01-01", "2024-05-30", dtype="datetime64[D]")
        display = SensorDisplay.from_estimator(clf, given, times=days, threshold=0.9)
        frame = display.frame()
        assert_allclose(frame[["a", "b", "c"]], clf.modality_reliability(given))
        assert_allclose(frame["confidence"], clf.predict_proba(given).max(axis=1))
        assert list(frame.columns) == ["time", "a", "b", "c", "confidence"]
        texts = [text.get_text() for text in display.ax_.texts]
        shares = [(column[~np.isnan(column)] < 0.9).mean() for column in display.reliability.T]
        assert texts == [f"{share:.0%} failed" for share in shares]
        assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["a", "b", "c"]

    def test_gate_by_reliability(self, trained, data):
        X, _ = data
        display = GateDisplay.from_estimator(trained, X, by="reliability")
        good = trained.modality_reliability(X) >= 0.5
        weights = trained.gate_weights(X)
        frame = display.frame()
        for m in range(3):
            assert_allclose(frame["mean_reliable"][m], weights[X.present[:, m] & good[:, m], m].mean())
        labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert {"reliable", "unreliable"} <= set(labels)
        with pytest.raises(ValueError, match=r"^by must be 'class' or 'reliability'\. Got 'trust'\.$"):
            GateDisplay.from_estimator(trained, X, by="trust")

    def test_sensors_from_predictions_and_what_is_refused(self, data):
        reliability = [[0.9, np.nan], [0.1, 1.0]]
        display = SensorDisplay.from_predictions(reliability, ["a", "b"])
        assert display.confidence_ax_ is None and list(display.frame()) == ["time", "a", "b"]
        with pytest.raises(
            ValueError, match=r"^reliability must have 1 columns, one per modality\. Got shape \(2, 2\)\.$"
        ):
            SensorDisplay.from_predictions(reliability, ["a"])
        with pytest.raises(ValueError, match=r"^times has 3 entries but reliability has 2 rows\.$"):
            SensorDisplay.from_predictions(reliability, ["a", "b"], times=[1, 2, 3])
        with pytest.raises(ValueError, match=r"^times must ascend, without gaps; sort the rows by them\.$"):
            SensorDisplay.from_predictions(reliability, ["a", "b"], times=[2, 1])
        with pytest.raises(TypeError, match=r"^object has no modality_reliability; give a fitted AECFClassifier, or a"):
            SensorDisplay.from_estimator(object(), data[0])
