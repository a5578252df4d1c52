"""Numbers at the ends of what floats can hold."""

import warnings

import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.mark.parametrize(
    ("offset", "scale"), [(0, "standard"), (1e6, "standard"), (1e7, "standard"), (0, None), (1e5, None)]
)
def test_float32_and_float64_of_the_same_numbers_agree(rng, offset, scale):
    single = (rng.normal(size=(150, 4)) + offset).astype(np.float32)
    y = (single[:, 0] > offset).astype(int)
    clf = fast_classifier(scale=scale).fit({"a": single.astype(float)}, y)
    assert_allclose(clf.predict_proba({"a": single}), clf.predict_proba({"a": single.astype(float)}), rtol=0, atol=1e-5)


@pytest.mark.parametrize("smallest", [1e-45, 1e-40, 1e-30])
def test_a_float32_feature_that_is_constant_up_to_rounding(rng, smallest):
    X = rng.normal(size=(150, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    X[:, 1], X[3, 1] = 0, smallest
    clf = fast_classifier().fit({"a": X}, y)
    assert_allclose(clf.predict_proba({"a": X}).sum(axis=1), 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", [[1e300, -1e300, 0], [1e101, 0, 0], [np.nan, -1e200, 1e200]])
def test_numbers_too_large_to_compute_with_are_refused_though_their_sum_is_not(rng, row, dtype):
    X = rng.normal(size=(150, 3))
    X[5] = row
    with np.errstate(over="ignore"):
        X = X.astype(dtype)
    found = "infinity" if dtype == np.float32 else f"{next(v for v in row if abs(v) > 1):.3g}, too large to compute"
    with pytest.raises(ValueError) as error:
        fast_classifier().fit({"a": X}, np.arange(150) % 2)
    assert f"Modality 'a' contains {found}" in str(error.value)


def test_float32_values_whose_squares_overflow_are_numbers_like_others(rng):
    X = (rng.normal(size=(150, 3)) * 1e30).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    clf = fast_classifier(max_epochs=20).fit({"a": X}, y)
    assert_array_equal(clf.predict({"a": X}), clf.predict({"a": X.astype(float)}))


def test_huge_values_with_gaps_and_without_scaling(rng):
    X = rng.normal(size=(150, 3))
    X[:, 1], X[::7, 1] = 1e50, np.nan
    clf = fast_classifier(scale=None).fit({"a": X}, np.arange(150) % 2)
    assert np.isfinite(clf.predict_proba({"a": X})).all()


@pytest.mark.parametrize("size", [1e-300, 1e-13, 3.0, 1e308])
def test_only_ratios_of_sample_weights_matter(data, size):
    X, y = data
    weight = np.linspace(0.5, 1, 150)
    expected = fast_classifier().fit(X, y, sample_weight=weight).predict_proba(X)
    assert_allclose(fast_classifier().fit(X, y, sample_weight=weight * size).predict_proba(X), expected, atol=1e-6)
