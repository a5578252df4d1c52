"""Pictures of scores, weights, calibration, training and what the data has."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import FORMS, fast_classifier, in_form
from matplotlib.text import Text
from numpy.testing import assert_allclose
from sklearn.metrics import f1_score

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import corrupt_modalities, drop_modalities, hide
from sklearn_aecf.datasets import make_multimodal_classification
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


@pytest.fixture(scope="module")
def labelled(data):
    """Three labels, some not reported; three rows with no modality."""
    X, y = data
    X = MultimodalData({name: np.where(np.arange(150)[:, None] < 3, np.nan, array) for name, array in X.items()})
    Y = np.eye(3)[y]
    Y[::4, 0] = -1
    Y[1::4, 2] = np.nan
    return fast_classifier().fit(X, Y), X, Y


NAMES = ("price $USD_$", "$x^{", r"_a\$b%")


@pytest.fixture(scope="module")
def odd(data):
    """Modalities and classes with names that matplotlib reads as mathematics or hides."""
    X, y = data
    named = MultimodalData(dict(zip(NAMES, X.values(), strict=True)))
    classes = np.array(["$low_$", "_mid^", "even"])[y]
    return fast_classifier().fit(named, classes), named, classes


class TestDisplays:
    def test_drop_rates(self, trained, data):
        X, y = data
        estimators = {"ours": trained, "again": trained}
        display = DropRateDisplay.from_estimator(estimators, X, y, drop_rates=(0, 0.5), n_repeats=2)
        frame = display.frame()
        assert_allclose(frame["accuracy"][0], trained.score(X, y))
        assert_allclose(display.scores["ours"], display.scores["again"])
        assert display.ax_.get_ylim() == (0, 1) and display.ax_.get_legend() is not None
        assert display.ax_.get_xlabel() == "drop rate (share hidden)" and display.figure_ is display.ax_.figure

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
        assert labels[-1].startswith("1 modality (n=150), ECE")
        assert labels[0].startswith(f"3 modalities (n={(size == 3).sum()}), ECE")

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

    @pytest.mark.parametrize("n_modalities", [3, 12])
    def test_all_has_a_title_and_units_and_nothing_is_cut(self, n_modalities):
        X, y = make_multimodal_classification(
            300, n_modalities=n_modalities, n_classes=3, missing_rate=0.3, random_state=0
        )
        long = MultimodalData({f"a modality with a name of more than forty letters, {name}": X[name] for name in X})
        y = np.array(["heart failure with a reduced ejection fraction", "sepsis", "no finding"])[y]
        clf = fast_classifier().fit(long, y)
        for display in (
            SensorDisplay.from_estimator(clf, long),
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
            assert any(axes.get_title() for axes in figure.axes)
            assert display.ax_.get_ylabel() or isinstance(display, GateDisplay | SensorDisplay), (
                "names say what they are"
            )
            for axes in figure.axes:
                labels = [axes.xaxis.label, axes.yaxis.label, axes.title]
                labels += axes.get_legend().get_texts() if axes.get_legend() else []
                for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
                    labels += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                for label in labels:
                    if label.get_text() and label.get_visible():
                        box = label.get_window_extent()
                        assert box.x0 >= inside.x0 and box.x1 <= inside.x1, label.get_text()
                        assert box.y0 >= inside.y0 and box.y1 <= inside.y1, label.get_text()

    def test_a_title_of_the_user_stays(self, data):
        ax = plt.figure(layout="constrained").add_subplot(title="Mine")
        assert MissingnessDisplay.from_data(data[0], ax=ax).ax_.get_title() == "Mine"

    def test_a_part_of_what_there_is_is_told(self, rng):
        present = rng.random((200, 8)) < 0.6
        display = MissingnessDisplay.from_data(
            {f"m{i}": np.where(has, 1.0, np.nan)[:, None] for i, has in enumerate(present.T)}
        )
        drawn = display.counts.sum() / 200
        assert display.ax_.get_title() == (
            f"Which modalities rows have (dark: all)\nthe 30 most frequent patterns: {drawn:.0%} of 200 rows"
        )
        probability = rng.dirichlet([1, 1, 1], 200)
        display = ReliabilityDisplay.from_predictions(rng.integers(0, 3, 200), probability, rng.integers(1, 10, 200))
        assert display.ax_.get_title() == "Is confidence right, by number of modalities (6 of 9 drawn)?"
        sizes = [text.get_text().split()[0] for text in display.ax_.get_legend().get_texts()]
        assert sizes == ["9", "7", "6", "4", "3", "1"] and set(display.frame()["n_observed"]) == set(range(1, 10))

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


class TestSameRows:
    def test_marks_of_subsets_are_of_the_rows_that_have_all(self, trained, data):
        X, y = data
        display = SubsetDisplay.from_estimator(trained, X, y)
        complete = X.present.all(axis=1)
        expected = subset_report(trained, X[complete], y[complete])
        assert_allclose(display.complete["accuracy"], expected["accuracy"])
        assert display.complete["n_rows"].tolist() == [complete.sum()] * 7
        assert_allclose(display.frame()["accuracy_complete"], expected["accuracy"])
        assert sorted(display.ax_.collections[0].get_offsets()[:, 1]) == pytest.approx(sorted(expected["accuracy"]))
        assert display.ax_.get_legend().get_texts()[0].get_text() == f"on the {complete.sum()} rows that have all"
        written = [label.get_text() for label in display.matrix_ax_.get_xticklabels()]
        assert written[0] == str(complete.sum()) and sorted(map(int, written)) == sorted(display.report["n_rows"])

    def test_no_marks_where_the_rows_are_the_same_or_none_has_all(self, trained, data):
        X, y = data
        for rows in (X.present.all(axis=1), ~X.present.all(axis=1)):
            display = SubsetDisplay.from_estimator(trained, X[rows], y[rows])
            assert display.ax_.get_legend() is None and len(display.ax_.collections) == 0
        texts = [text.get_text() for text in display.ax_.texts]
        assert texts == ["no score"] and np.isnan(display.report["accuracy"][0])

    def test_the_first_of_several_scores_is_drawn(self, trained, data):
        X, y = data
        scoring = {"loss": "neg_log_loss", "f1": "f1_macro"}
        display = SubsetDisplay.from_estimator(trained, X, y, scoring=scoring)
        assert display.ax_.get_ylabel() == "loss" and {"loss", "f1", "loss_complete"} <= set(display.frame())
        own = SubsetDisplay.from_estimator(trained, X, y, scoring=lambda estimator, X, y: estimator.score(X, y))
        assert_allclose(own.report["score"], own.report["accuracy"])

    def test_names_with_a_plus_sign_have_their_dots(self, data):
        X, y = data
        odd = {"a + b": X["a"], "a": X["b"], "b": X["c"]}
        display = SubsetDisplay.from_estimator(fast_classifier().fit(odd, y), odd, y)
        held = display._held()
        assert held.sum(axis=1).tolist() == display.report["size"].tolist()
        assert sorted(map(tuple, held.tolist())) == sorted({tuple(row) for row in held.tolist()})
        turned = SubsetDisplay(display.report, ["b", "a", "a + b"])
        assert (turned._held() == held[:, ::-1]).all()
        with pytest.raises(
            ValueError, match=r"^The report has the subset 'a', which is not made of the modalities 'x', 'y'\.$"
        ):
            SubsetDisplay({"subset": np.array(["a"]), "size": np.array([1])}, ["x", "y"])._held()

    def test_drop_rates_take_one_score(self, trained, data):
        X, y = data
        options = {"drop_rates": (0, 0.5), "n_repeats": 1}
        one = DropRateDisplay.from_estimator(trained, X, y, scoring={"my_loss": "neg_log_loss"}, **options)
        other = DropRateDisplay.from_estimator(trained, X, y, scoring=["neg_log_loss"], **options)
        assert_allclose(one.scores["AECFClassifier"], other.scores["AECFClassifier"])
        assert one.ax_.get_ylabel() == "my loss"
        with pytest.raises(
            ValueError, match=r"^DropRateDisplay takes one score\. Got 'accuracy', 'f1_macro'; call it once for each\.$"
        ):
            DropRateDisplay.from_estimator(trained, X, y, scoring=["accuracy", "f1_macro"])

    def test_drop_rates_from_predictions_use_the_scorer_as_it_is(self, trained, data):
        X, y = data
        display = DropRateDisplay.from_predictions(y, {0.0: [trained.predict(X)]}, scoring="f1_macro")
        assert_allclose(display.scores["classifier"][0, 0], f1_score(y, trained.predict(X), average="macro"))
        with pytest.raises(
            ValueError,
            match=r"^scoring must be a score of predicted classes, such as 'accuracy'\. Got 'roc_auc_ovr'\.$",
        ):
            DropRateDisplay.from_predictions(y, {0.0: [trained.predict(X)]}, scoring="roc_auc_ovr")

    def test_a_column_of_labels_and_labels_that_were_not_reported(self, trained, data):
        X, y = data
        predictions = {("a", "b", "c"): trained.predict(X)}
        display = SubsetDisplay.from_predictions(y[:, None], predictions)
        assert_allclose(display.report["accuracy"], trained.score(X, y))
        Y = np.array([[1, np.nan], [0, -1], [1, 1]])
        display = SubsetDisplay.from_predictions(Y, {("a",): np.array([[1, 0], [1, 0], [1, 1]])})
        assert_allclose(display.report["accuracy"], 3 / 4)


class TestSeveralLabels:
    def test_drop_rate_zero_is_the_accuracy_of_the_report(self, labelled):
        clf, X, Y = labelled
        display = DropRateDisplay.from_estimator(clf, X, Y, drop_rates=(0.0, 0.5), n_repeats=1)
        reported = (Y == 0) | (Y == 1)
        expected = (clf.predict(X) == Y)[reported].mean()
        assert_allclose(display.scores["AECFClassifier"][0, 0], expected)

    def test_gate_marks_the_rows_with_each_label(self, labelled):
        clf, X, Y = labelled
        summary = gate_summary(clf, X, Y)
        rows = X.present[:, 0] & (Y[:, 2] == 1)
        assert_allclose(summary["mean_2"][0], clf.gate_weights(X)[rows, 0].mean())
        texts = [text.get_text() for text in GateDisplay.from_estimator(clf, X, Y).ax_.get_legend().get_texts()]
        assert {"label 0", "label 1", "label 2"} <= set(texts)

    @pytest.mark.filterwarnings("error")
    def test_no_warning_of_rows_that_were_hidden_or_empty(self, labelled):
        clf, X, Y = labelled
        ReliabilityDisplay.from_estimator(clf, X, Y)
        DropRateDisplay.from_estimator(clf, X, Y, keep_one=False, n_repeats=1)
        SubsetDisplay.from_estimator(clf, X, Y)
        SensorDisplay.from_estimator(clf, X)
        GateDisplay.from_estimator(clf, X, Y)

    def test_rows_without_a_reported_label_have_no_line(self, labelled):
        clf, X, Y = labelled
        display = ReliabilityDisplay.from_estimator(clf, X, np.where(X.present.all(axis=1)[:, None], np.nan, Y))
        assert 3 not in display.curves and 2 in display.curves


class TestNamesOfTheUser:
    """What a user has written stands in a picture as it is: "$" starts no formula, "_" hides no legend entry."""

    @pytest.mark.parametrize(
        "kind", ["drop", "subset", "reliability", "gate", "trust", "missing", "sensor", "training"]
    )
    def test_draws(self, odd, kind):
        clf, X, y = odd
        display = {
            "drop": lambda: DropRateDisplay.from_estimator(
                {"$a_$": clf, "_b$^$": clf}, X, y, n_repeats=1, scoring={"$gain_$": "accuracy"}
            ),
            "subset": lambda: SubsetDisplay.from_estimator(clf, X, y, scoring={"$gain_$": "accuracy"}),
            "reliability": lambda: ReliabilityDisplay.from_estimator(clf, X, y),
            "gate": lambda: GateDisplay.from_estimator(clf, X, y),
            "trust": lambda: GateDisplay.from_estimator(clf, X, by="reliability"),
            "missing": lambda: MissingnessDisplay.from_data(X),
            "sensor": lambda: SensorDisplay.from_estimator(clf, X),
            "training": lambda: TrainingDisplay.from_estimator(clf),
        }[kind]()
        display.figure_.canvas.draw()
        texts = display.figure_.findobj(lambda artist: isinstance(artist, Text) and artist.get_text())
        formulas = {text.get_text() for text in texts if text._preprocess_math(text.get_text())[1]}
        assert all("mathdefault" in text for text in formulas)  # matplotlib's own, of logarithmic axes
        shown = {text._preprocess_math(text.get_text())[0].strip() for text in texts}
        if kind in ("subset", "missing", "sensor"):
            assert set(NAMES) <= shown
        if kind == "gate":
            assert {"class $low_$", "class _mid^", "class even"} <= shown
        if kind == "drop":
            assert {"$a_$", "_b$^$", "$gain $"} <= shown

    def test_a_class_called_even_is_not_an_even_gate(self, odd):
        clf, X, y = odd
        summary = gate_summary(clf, X, y)
        assert_allclose(summary["mean_even"][0], (1 / X.present.sum(axis=1))[X.present[:, 0]].mean())
        rows = X.present[:, 0] & (y == "even")
        assert_allclose(summary["mean_class_even"][0], clf.gate_weights(X)[rows, 0].mean())


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
        assert display.ax_.get_xlabel() == "corruption rate (share broken)" and "corruption_rate" in display.frame()

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

    def test_no_column_of_sensors_is_lost(self):
        names = ["time", "confidence", "time (reliability)", "a"]
        display = SensorDisplay.from_predictions(
            np.full((3, 4), 0.5) + np.arange(4) / 10, names, confidence=[0.1, 0.2, 0.3]
        )
        frame = display.frame()
        assert list(frame) == [
            "time", "time (reliability)", "confidence (reliability)", "time (reliability) (reliability)", "a", "confidence",
        ]  # fmt: skip
        assert_allclose(frame.iloc[0], [0, 0.5, 0.6, 0.7, 0.8, 0.1])

    def test_a_sensor_that_is_always_missing_has_not_failed_in_no_row(self):
        display = SensorDisplay.from_predictions([[0.9, np.nan], [0.1, np.nan]], ["a", "b"])
        assert_allclose(display.failed_share(), [0.5, np.nan])
        assert [text.get_text() for text in display.ax_.texts] == ["50% failed", "always missing"]

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
