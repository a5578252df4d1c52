"""Statistics and network inputs."""

import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from sklearn_aecf._data import split_modalities
from sklearn_aecf._inputs import NetworkInputs
from sklearn_aecf._problem import read_targets
from sklearn_aecf._rows import LabelledRows
from sklearn_aecf._statistics import CLIP, fit_statistics, prepare


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64])
def test_statistics_equal_scikit_learn(rng, dtype):
    X = (10 * rng.normal(size=(5000, 3)) + 5).astype(dtype)
    weight = rng.uniform(size=5000)
    if dtype != np.int64:
        X[rng.random(X.shape) < 0.2] = np.nan
    statistics = fit_statistics(X, np.ones(5000, bool), weight)
    scaler = StandardScaler().fit(X.astype(np.float64), sample_weight=weight)
    assert_allclose(statistics.mean, scaler.mean_, rtol=1e-6)
    assert_allclose(statistics.scale, scaler.scale_, rtol=1e-5)


def test_large_mean_keeps_its_digits(rng):
    X = 1e9 + rng.normal(size=(3000, 2))
    present = np.ones(3000, bool)
    statistics = fit_statistics(X, present, np.ones(3000))
    ready = prepare(X[present], statistics)
    assert_allclose(ready.mean(axis=0), 0, atol=1e-4)
    assert_allclose(ready.std(axis=0), 1, rtol=1e-3)


def test_gaps_are_the_mean():
    X = np.array([[1.0, 2.0], [3.0, np.nan], [np.nan, np.nan], [5.0, 4.0]])
    present = np.array([True, True, False, True])
    statistics = fit_statistics(X, present, np.ones(4), gap_indicator=True)
    assert_array_equal(statistics.gaps, [1])
    ready = prepare(X[present], statistics)
    assert ready.dtype == np.float32
    assert ready[1, 1] == 0
    assert_array_equal(ready[:, 2], [0, 1, 0])
    plain = fit_statistics(X, present, np.ones(4), standardize=False)
    assert_allclose(prepare(X[present], plain, standardize=False), [[1, 2], [3, 3], [5, 4]])


def test_constant_features_and_outliers():
    X = np.column_stack([np.full(100, 0.1), np.arange(100.0)])
    present = np.ones(100, bool)
    statistics = fit_statistics(X, present, np.ones(100))
    assert statistics.scale[0] == 1
    X[0, 1] = 1e300
    assert prepare(X[present], statistics)[0, 1] == CLIP


def test_what_is_absent_never_counts(rng):
    X = rng.normal(size=(50, 2))
    present = rng.random(50) < 0.5
    results = []
    for garbage in (0, 1e30, np.inf, np.nan):
        filled = np.where(present[:, None], X, garbage)
        statistics = fit_statistics(filled, present, np.ones(50))
        results.append(prepare(filled[present], statistics))
    for other in results[1:]:
        assert_array_equal(results[0], other)


def test_weight_zero_is_leaving_out(rng):
    X, weight = rng.normal(size=(50, 2)), np.repeat([0.0, 2.0], 25)
    one = fit_statistics(X, np.ones(50, bool), weight)
    other = fit_statistics(X[25:], np.ones(25, bool), np.ones(25))
    assert_allclose(one.mean, other.mean)
    assert_allclose(one.scale, other.scale)


def test_large_mean_in_float32_is_no_constant(rng):
    time = (1.7e9 + rng.random((300, 1)) * 5000).astype(np.float32)
    signal = rng.normal(size=(300, 3)).astype(np.float32)
    y = (signal[:, 0] > 0).astype(int)
    assert (
        fast_classifier(max_epochs=40)
        .fit({"a": np.hstack([time, signal])}, y)
        .score({"a": np.hstack([time, signal])}, y)
        > 0.85
    )


def test_huge_values_without_scaling_stay_finite(data):
    X, y = data
    spoilt = {name: np.array(array) for name, array in X.items()}
    spoilt["b"][4, 1] = 1e30
    assert np.isfinite(fast_classifier(scale=None).fit(spoilt, y).predict_proba(spoilt)).all()


def test_absent_rows_are_zero_and_cost_nothing(data):
    X, y = data
    _, targets = read_targets(y)
    labelled = LabelledRows(split_modalities(X), targets, np.ones(150), np.arange(150))
    inputs = NetworkInputs.fit(labelled, standardized=lambda name: True, gap_indicator=False)
    for m, x in enumerate(inputs.tensors(labelled.data, np.arange(150))):
        assert (x[~X.present[:, m]] == 0).all() and (x[X.present[:, m]] != 0).any(dim=1).all()
