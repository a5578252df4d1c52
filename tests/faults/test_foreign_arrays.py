"""Sparse matrices and unusual floats as X: the same numbers, or the same sentence everywhere."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import fast_classifier, in_form
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import ModalityTransformer, corrupt_modalities, drop_modalities

SPARSE = [sparse.csr_matrix, sparse.csr_array, sparse.coo_array, sparse.dok_matrix]


@pytest.mark.parametrize("kind", SPARSE, ids=lambda kind: kind.__name__)
def test_a_sparse_modality_is_refused_alike_everywhere(data, fitted, kind):
    X, y = data
    given = {**X, "b": kind(np.nan_to_num(X["b"]))}
    message = (
        "Modality 'b' is a sparse matrix; a dense array is needed. Convert it with .toarray(), or reduce it first, e.g. "
        "with TruncatedSVD in a ModalityTransformer."
    )
    for call in (
        lambda: fast_classifier().fit(given, y),
        lambda: fitted.predict(given),
        lambda: drop_modalities(given, 0.5),
        lambda: corrupt_modalities(given, 0.5),
        lambda: MultimodalData(given),
        lambda: ModalityTransformer(StandardScaler()).fit(given),
    ):
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            call()


@pytest.mark.parametrize("kind", SPARSE, ids=lambda kind: kind.__name__)
def test_a_sparse_table_is_refused(data, fitted, kind):
    X, y = data
    table, groups = kind(np.nan_to_num(np.asarray(X))), X.column_groups()
    for call in (
        lambda: fast_classifier().fit(table, y),
        lambda: fast_classifier(modalities=groups).fit(table, y),
        lambda: fitted.predict(table),
    ):
        with pytest.raises(TypeError, match=r"^Sparse data was passed for X, but dense data is required\."):
            call()
    for call in (
        lambda: drop_modalities(table, 0.5, modalities=groups),
        lambda: corrupt_modalities(table, 0.5, modalities=groups),
        lambda: MultimodalData.from_array(table, groups),
        lambda: ModalityTransformer(StandardScaler(), modalities=groups).fit(table),
    ):
        with pytest.raises(TypeError, match=r"^Modality 'X' is a sparse matrix; a dense array is needed\. Convert it"):
            call()


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("columns", [slice(None), slice(3)], ids=["all", "some"])
def test_sparse_columns_of_pandas_are_columns(data, grouped, columns):
    dense, groups = in_form(data[0], "pandas")
    dense = dense.fillna(pd.Series(range(12), dense.columns)).round(1)
    given = dense.astype({name: pd.SparseDtype(float, 0) for name in dense.columns[columns]})
    clf = fast_classifier(modalities=groups if grouped else None, max_epochs=1).fit(dense, data[1])
    assert_array_equal(clf.predict_proba(given), clf.predict_proba(dense))
    assert_array_equal(clf.fit(given, data[1]).predict_proba(given), clf.fit(dense, data[1]).predict_proba(dense))


@pytest.mark.parametrize("dtype", ["longdouble", "float16", ">f8", ">f4", ">f2"])
@pytest.mark.parametrize("form", ["dict", "array", "pandas"])
def test_other_floats_are_the_same_numbers(data, dtype, form):
    given = MultimodalData({name: np.asarray(array).astype(dtype) for name, array in data[0].items()})
    expected = MultimodalData({name: array.astype(np.float64) for name, array in given.items()})
    answers = []
    for X in (given, expected):
        X, groups = in_form(X, form)
        answers.append(fast_classifier(modalities=groups, max_epochs=1).fit(X, data[1]).predict_proba(X))
    assert_allclose(*answers, rtol=0, atol=1e-6 if dtype == ">f4" else 0)


def test_float32_is_the_same_but_for_rounding(data, fitted):
    given = {name: np.asarray(array).astype(np.float32) for name, array in data[0].items()}
    expected = {name: array.astype(np.float64) for name, array in given.items()}
    assert_allclose(fitted.predict_proba(given), fitted.predict_proba(expected), atol=1e-6)


def test_a_longdouble_beyond_float64_is_refused(data, fitted):
    if np.finfo(np.longdouble).max <= np.finfo(float).max:
        pytest.skip("longdouble is float64 here")
    X = {**data[0], "b": np.full((150, 4), np.longdouble("1e4000"))}
    message = (
        "Modality 'b' contains infinity (first in row 0); replace infinities by NaN where the value is unknown, or clip "
        "them."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fitted.predict(X)
