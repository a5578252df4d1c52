"""Many views of the same rows: each row's different ones are computed once, and every view gets its answer."""

import numpy as np
import pytest
from conftest import fast_classifier
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_aecf import _model
from sklearn_aecf._model import MAX_CODED, distinct_views
from sklearn_aecf.metrics._subsets import quiet_on_empty_rows


@settings(max_examples=50, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 5))))
def test_distinct_views_are_distinct_and_have_a_place_for_all(views):
    distinct, count, place = distinct_views(views)
    for row, (found, n_found, places) in enumerate(zip(distinct, count, place, strict=True)):
        assert len(np.unique(found[:n_found], axis=0)) == n_found
        assert places.max() < n_found
        assert_array_equal(found[places], views[row])


def test_views_of_more_modalities_than_numbers_can_tell_apart_stay_as_they_are():
    views = np.ones((2, 3, MAX_CODED + 1), dtype=bool)
    distinct, count, place = distinct_views(views)
    assert distinct is views and (count == 3).all()
    assert_array_equal(place, [[0, 1, 2]] * 2)


@pytest.mark.parametrize("by_itself", [False, True])
def test_subsets_are_predicted_as_if_the_rest_were_hidden(data, fitted, monkeypatch, by_itself):
    X, _ = data
    if by_itself:
        monkeypatch.setattr(_model, "folded", lambda network: None)
    subsets = [["a"], ["c"], ["a", "b", "c"], ["b"], ["a", "b"], ["a"], ["b", "c"]]
    found = fitted.predict_proba_subsets(X, subsets)
    for subset, probability in zip(subsets, found, strict=True):
        hidden = {name: X[name] if name in subset else None for name in X}
        with quiet_on_empty_rows():
            assert_allclose(probability, fitted.predict_proba(hidden), atol=1e-6)


def test_weights_that_are_no_numbers_are_told(data):
    X, y = data
    clf = fast_classifier().fit(X, y)
    clf.net_.module_.heads.weight.data[:] = np.nan
    for ask in (clf.predict_proba, lambda X: clf.predict_proba_subsets(X, [["a"], ["b"]])):
        with pytest.raises(
            ValueError, match=r"^The network returns NaN or infinity for \d+ of 150 rows \(first in row"
        ):
            ask(X)
