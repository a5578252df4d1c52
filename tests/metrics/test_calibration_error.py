"""Calibration error against torchmetrics, by hand and by simulation, and reliability curves."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_aecf.metrics import expected_calibration_error, reliability_curve
from sklearn_aecf.metrics._calibration import error_of_read

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
            ([0, 1], [0.1, 0.2], {"norm": "max", "debias": True}, "debias is defined for norm='l1' and 'l2'. Got norm='max'."),
            ([0, 1], [0.1, 0.2], {"n_bins": 0}, "The 'n_bins' parameter of expected_calibration_error must be an int in the range [1, inf). Got 0 instead."),
            ([0, 1], [0.1, 0.2], {"sample_weight": "balanced"}, "sample_weight must be one number per row of X. Got str; weights of classes go into class_weight."),
            ([0, 1], [0.1, 0.2], {"labels": "x"}, "labels must be a list of classes, in the order of the columns of y_prob. Got 'x'."),
            ([0, 1], [[0.1, 0.9], [0.2, 0.8]], {"labels": ["a", "b"]}, "y_true and labels hold classes of different types, e.g. 0 and 'a'."),
            ([0, 1], "x", {}, "y_prob must be an array of probabilities, a row a sample. Got str."),
            ([0, 1], [0.1 + 1j, 0.2], {}, "y_prob must be an array of probabilities, a row a sample. Got list."),
            ([None, "a"], [0.1, 0.2], {}, "Input y contains NaN: 1 of 2 labels are missing (first in row 0); drop those rows from X and y."),
            (3, [0.1, 0.2], {}, "y must have one label per row. Got 3."),
            ([[0, 5], [1, 0]], [[0.1, 0.2], [0.1, 0.2]], {}, "A target of several columns must hold 0 and 1 per label, with NaN or -1 where a label was not reported. Got 5; for several outputs of more classes wrap the classifier in MultiOutputClassifier."),
            ([0, 1], [0.1, 0.2], {"bootstrap_ci": 95}, "The 'bootstrap_ci' parameter of expected_calibration_error must be a float in the range (0.0, 1.0) or None. Got 95 instead."),
        ],
    )  # fmt: skip
    def test_refused(self, y, p, options, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            expected_calibration_error(y, p, **options)

    @pytest.mark.parametrize("weight", [[-1, 1, 1, 1], [np.nan, 1, 1, 1], [np.inf, 1, 1, 1]])
    def test_weights_that_mean_nothing(self, weight):
        with pytest.raises(ValueError, match="[Nn]egative values|contains NaN|contains infinity"):
            expected_calibration_error([0, 1, 1, 0], [0.1, 0.2, 0.6, 0.7], sample_weight=weight)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("size", [1e-300, 1e300])
    def test_only_ratios_of_weights_matter(self, size):
        y, p, weight = [0, 1, 1, 0], [0.1, 0.2, 0.6, 0.7], np.array([1.0, 2.0, 3.0, 4.0])
        expected = expected_calibration_error(y, p, sample_weight=weight)
        assert expected_calibration_error(y, p, sample_weight=weight * size) == pytest.approx(expected)


@pytest.mark.parametrize("several_labels", [False, True])
def test_reports_measure_the_same_error(several_labels):
    rng = np.random.default_rng(0)
    y, probability, labels = rng.choice(["x", "y", "z"], 100), rng.dirichlet([1, 1, 1], 100), np.array(["x", "y", "z"])
    if several_labels:
        y, probability, labels = rng.integers(0, 2, (100, 2)).astype(float), rng.random((100, 2)), None
        y[rng.random((100, 2)) < 0.1] = np.nan
    weight = rng.random(100)
    for given in (None, weight):
        expected = expected_calibration_error(y, probability, labels=labels, sample_weight=given)
        assert error_of_read(y, probability, labels, given) == float(expected)
