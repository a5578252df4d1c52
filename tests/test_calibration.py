"""SubsetTemperature recovers known temperatures and never lets confidence rise with less evidence."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, softmax
from sklearn.base import clone

from sklearn_aecf._problem import Multiclass, Multilabel
from sklearn_aecf.calibration import SubsetTemperature


def simulated(rng, a, b, n_rows=20000, multilabel=False):
    """Logits too large by exp(a + b of the absent), and labels drawn from the true probabilities."""
    present = rng.random((n_rows, 2)) < 0.6
    present[~present.any(axis=1), 0] = True
    true = rng.normal(size=(n_rows, 4)) * 2
    inflated = true * np.exp(a + (~present) @ b)[:, None]
    if multilabel:
        return inflated, (rng.random(true.shape) < expit(true)).astype(int), present
    p = softmax(true, axis=1)
    return inflated, (p.cumsum(axis=1) > rng.random((n_rows, 1))).argmax(axis=1), present


@pytest.mark.parametrize("multilabel", [False, True])
def test_recovers_the_temperatures(rng, multilabel):
    logits, y, present = simulated(rng, 0.4, np.array([0.3, 0.0]), multilabel=multilabel)
    scaler = SubsetTemperature().fit(logits, y, present)
    assert_allclose(scaler.log_scale_, 0.4, atol=0.05)
    assert_allclose(scaler.absence_, [0.3, 0.0], atol=0.06)


def test_never_cools_for_less_evidence(rng):
    logits, y, present = simulated(rng, 0.0, np.array([-0.8, -0.5]), n_rows=2000)
    assert (SubsetTemperature().fit(logits, y, present).absence_ >= 0).all()


def test_global_has_one_temperature(rng):
    logits, y, present = simulated(rng, 0.4, np.zeros(2))
    scaler = SubsetTemperature(method="global").fit(logits, y, present)
    assert_allclose(scaler.absence_, 0)
    assert np.ptp(scaler.temperature(present)) == 0


def test_few_rows_stay_near_one(rng):
    logits, y, present = simulated(rng, 0.0, np.zeros(2), n_rows=3)
    assert abs(np.log(SubsetTemperature(prior=10).fit(logits, y, present).temperature(present))).max() < 0.5


@pytest.mark.parametrize("multilabel", [False, True])
def test_gradient(rng, multilabel):
    from scipy.optimize import check_grad

    logits, y, _ = simulated(rng, 0.0, np.zeros(2), n_rows=30, multilabel=multilabel)
    loss = (Multilabel if multilabel else Multiclass)(np.arange(4)).scaled_loss

    def value(theta):
        return loss(logits * np.exp(-theta), y)[0].sum()

    def slope(theta):
        return loss(logits * np.exp(-theta), y)[1].sum(keepdims=True)

    assert check_grad(value, slope, np.array([0.3])) < 1e-4


def test_unreported_labels_do_not_count(rng):
    logits, y, present = simulated(rng, 0.4, np.zeros(2), n_rows=3000, multilabel=True)
    hidden = y.astype(float)
    hidden[:, 3] = np.nan
    spoilt = logits.copy()
    spoilt[:, 3] = 50
    one = SubsetTemperature().fit(logits, hidden, present)
    assert_allclose(SubsetTemperature().fit(spoilt, hidden, present).log_scale_, one.log_scale_)


def test_weights(rng):
    logits, y, present = simulated(rng, 0.4, np.zeros(2), n_rows=500)
    twice = SubsetTemperature().fit(np.tile(logits, (2, 1)), np.tile(y, 2), np.tile(present, (2, 1)))
    assert_allclose(
        SubsetTemperature().fit(logits, y, present, np.full(500, 2.0)).log_scale_, twice.log_scale_, atol=1e-4
    )


def test_probabilities_and_clone(rng):
    logits, y, present = simulated(rng, 0.4, np.zeros(2), n_rows=500)
    scaler = clone(SubsetTemperature()).fit(logits, y, present)
    assert_allclose(scaler.predict_proba(logits, present).sum(axis=1), 1)
    assert_allclose(scaler.predict_proba(logits, present, multilabel=True), expit(scaler.transform(logits, present)))


@pytest.mark.parametrize(
    ("logits", "y", "present", "message"),
    [
        (np.zeros((2, 2)), [0, 1, 1], np.ones((2, 1)), "y has shape (3,), which does not fit logits of shape (2, 2)."),
        (np.zeros(2), [0, 1], np.ones((2, 1)), "logits and present must be 2-D with the same number of rows. Got shapes (2,) and (2, 1)."),
        (np.full((2, 2), np.nan), [0, 1], np.ones((2, 1)), "logits must be finite. Got NaN or infinity."),
    ],
)  # fmt: skip
def test_refused(logits, y, present, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SubsetTemperature().fit(logits, y, present)
