"""Predictions a batch of rows at a time."""

import re

import numpy as np
import polars as pl
import pytest
from conftest import fast_classifier, in_form
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_aecf import MultimodalData, predict_in_batches

pytestmark = pytest.mark.filterwarnings("ignore:.*no observed modality")


@pytest.mark.parametrize("form", ["dict", "MultimodalData", "array", "pandas", "polars", "two-level"])
def test_every_form_in_one_piece_and_in_parts(data, form):
    X, y = data
    given, modalities = in_form(X, form)
    clf = fast_classifier(modalities=modalities).fit(given, y)
    expected = clf.predict_proba(given)
    assert_allclose(predict_in_batches(clf, given, batch_size=37), expected, atol=1e-6)
    parts = (in_form(X[start : start + 40], form)[0] for start in range(0, 150, 40))
    assert_allclose(predict_in_batches(clf, parts, batch_size=30), expected, atol=1e-6)


def test_methods_and_pipelines(data, fitted):
    X, y = data
    assert_array_equal(predict_in_batches(fitted, X, method="predict", batch_size=40), fitted.predict(X))
    found = predict_in_batches(fitted, X, method="modality_reliability", batch_size=40)
    assert_allclose(found, fitted.modality_reliability(X), atol=1e-6)
    pipeline = make_pipeline(FunctionTransformer(), fast_classifier()).fit(X, y)
    assert_allclose(predict_in_batches(pipeline, X, batch_size=64), pipeline.predict_proba(X), atol=1e-6)


def test_out_may_lie_on_disk(data, fitted, tmp_path):
    X, _ = data
    expected = predict_in_batches(fitted, X, batch_size=64)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", mode="w+", dtype=np.float32, shape=(150, 3))
    assert predict_in_batches(fitted, X, batch_size=64, out=out) is out
    assert_array_equal(np.load(tmp_path / "out.npy"), expected.astype(np.float32))
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "out.h5", "w") as file:
        rows = {name: file.create_dataset(name, data=values) for name, values in X.items()}
        out = predict_in_batches(fitted, rows, batch_size=64, out=file.create_dataset("out", (150, 3)))
        assert_array_equal(out[:], expected.astype(np.float32))


def test_batches_of_pyarrow_and_polars(data, tmp_path):
    X, y = data
    given, modalities = in_form(X, "pandas")
    clf = fast_classifier(modalities=modalities).fit(given, y)
    expected = clf.predict_proba(given)
    lazy = pl.LazyFrame(given.to_dict("series"))
    parts = (lazy.slice(start, 40).collect() for start in range(0, 150, 40))
    assert_allclose(predict_in_batches(clf, parts), expected, atol=1e-6)
    dataset, parquet = (pytest.importorskip(f"pyarrow.{name}") for name in ("dataset", "parquet"))
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pandas(given), tmp_path / "rows.parquet")
    parts = dataset.dataset(tmp_path / "rows.parquet").to_batches(batch_size=32)
    assert_allclose(predict_in_batches(clf, parts), expected, atol=1e-6)


def test_only_the_rows_of_a_batch_are_read(data, fitted):
    X, _ = data

    class Rows:
        shape, dtype = X["a"].shape, X["a"].dtype
        asked = []

        def __getitem__(self, rows):
            self.asked.append(rows.stop - rows.start)
            return X["a"][rows]

    predict_in_batches(fitted, {**X, "a": Rows()}, batch_size=20)
    assert max(Rows.asked) <= 20


def test_a_bar_on_request(data, fitted, capsys):
    X, _ = data
    predict_in_batches(fitted, X, batch_size=50)
    assert capsys.readouterr().err == ""
    predict_in_batches(fitted, X, batch_size=50, progress=True)
    assert "150/150" in capsys.readouterr().err
    predict_in_batches(fitted, (X[start : start + 50] for start in (0, 50)), progress=True)
    assert "100rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1 on. Got 0."),
        ({"method": "predict_all"}, "AECFClassifier has no method 'predict_all'; name one that takes X alone."),
        (
            {"out": np.zeros((149, 3))},
            "out must have one row for each of the 150 rows of X. Got shape (149, 3); nothing is written.",
        ),
        ({"out": np.zeros((150, 2))}, "out must have shape (150, 3). Got (150, 2); nothing is written."),
        ({"out": np.zeros((150, 3), int)}, "out must hold float64. Got int64; nothing is written."),
        ({"out": [0.0]}, "out must be an array, or have its shape and dtype. Got list."),
    ],
    ids=str,
)
def test_refusals_write_nothing(data, fitted, options, message):
    X, _ = data
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        predict_in_batches(fitted, X, **{"batch_size": 40, **options})
    assert not np.any(options.get("out", 0))


def test_what_is_written_is_told(data, fitted):
    X, _ = data

    def parts(n_parts, last=None):
        for start in range(0, 40 * n_parts, 40):
            yield X[start : start + 40]
        if last is not None:
            yield last

    out = np.full((100, 3), np.nan)
    message = "out has 100 rows, but X has 120 or more; the first 80 rows of out are written."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_in_batches(fitted, parts(3), out=out)
    assert np.isfinite(out[:80]).all() and np.isnan(out[80:]).all()
    message = (
        "out must have one row for each of the 80 rows of X. Got shape (100, 3); the first 80 rows of out are written."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_in_batches(fitted, parts(2), out=out)
    message = (
        "Rows 80 to 89 cannot be predicted (the first 80 rows of out are written): X has unknown modality 'z'. Fitted "
        "modalities: 'a', 'b', 'c'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_in_batches(fitted, parts(2, {"z": np.ones((10, 2))}), out=out)
    with pytest.raises(TypeError, match=r"^An iterator must give dicts of arrays, .*\. Got int\.$"):
        predict_in_batches(fitted, iter([1, 2]))
    with pytest.raises(TypeError, match=r"^X must be a dict of arrays, .*\. Got int\.$"):
        predict_in_batches(fitted, 3)
    with pytest.raises(ValueError, match=r"^X has no rows; give at least one\.$"):
        predict_in_batches(fitted, iter([]))
    with pytest.raises(ValueError, match=r"^X has unknown modality 'z'"):
        predict_in_batches(fitted, {"z": np.ones((10, 2))})


def test_parts_without_rows_are_passed_over(data, fitted):
    X, _ = data
    parts = [X[:50], MultimodalData({name: X[name][:0] for name in X}), X[50:]]
    assert_allclose(predict_in_batches(fitted, iter(parts)), fitted.predict_proba(X), atol=1e-6)
