"""Predictions of more rows than fit into memory: into an array that may lie on disk, from rows that arrive in parts."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral

import numpy as np

from sklearn_aecf._data import form_of, is_frame


def predict_in_batches(model, X, *, method="predict_proba", batch_size=10_000, out=None, progress=False):
    """Predictions of a fitted model, a batch of rows at a time.

    Only the rows of one batch are in memory at once, where `X` lies on disk or is an iterator, and the predictions,
    unless `out` lies on disk.

    Parameters
    ----------
    model : estimator
        Fitted: an `AECFClassifier`, or a pipeline or search around one.
    X : dict, MultimodalData, array-like, DataFrame, or iterator of these
        Rows as the model's methods take them. Of an iterator every item is a part of them, e.g. from a generator of
        frames, ``pyarrow.dataset.dataset(path).to_batches()``, or ``LazyFrame.collect_batches()`` of polars; batches of
        pyarrow become DataFrames of pandas.
    method : str, default="predict_proba"
        What is called with each batch; it returns an array with one row for each.
    batch_size : int, default=10000
        Rows of a batch, at most. Parts of an iterator that are larger are cut.
    out : array, default=None
        Where the predictions are written, of shape (n_rows, ...): an array, a ``numpy.memmap`` opened for writing, or
        whatever takes ``out[start:stop] = values``, such as datasets of h5py and arrays of zarr. None makes an array.
    progress : bool, default=False
        Whether tqdm shows a bar of the rows.

    Returns
    -------
    ndarray, or `out`
        All predictions.

    Raises
    ------
    TypeError, ValueError
        If X is not of these forms or empty, if `out` has not one row for each row of X, another shape or a dtype that
        cannot hold the predictions, or if a batch cannot be predicted. The sentence says which rows of `out` are
        written.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier, predict_in_batches
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(300, random_state=0)
    >>> clf = AECFClassifier(max_epochs=3, random_state=0).fit(X, y)
    >>> predict_in_batches(clf, X, batch_size=100).shape
    (300, 2)
    >>> parts = (X[start : start + 50] for start in range(0, 300, 50))
    >>> predict_in_batches(clf, parts, method="predict").shape
    (300,)
    """
    if not isinstance(batch_size, Integral) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number from 1 on. Got {batch_size!r}.")
    if not callable(getattr(model, method, None)):
        raise ValueError(f"{type(model).__name__} has no method {method!r}; name one that takes X alone.")
    parts, n_rows = _parts_of(X)
    if out is not None and n_rows is not None:
        _refuse_other_length(out, n_rows)
    written, found = 0, []
    with _bar(progress, n_rows) as tell:
        for batch, size in _batches(parts, batch_size):
            values = _predicted(model, method, batch, size, written, out)
            if out is None:
                found.append(values)
            else:
                _write(out, values, written)
            written += size
            tell(size)
    if written == 0:
        raise ValueError("X has no rows; give at least one.")
    if out is None:
        return np.concatenate(found)
    _refuse_other_length(out, written, written)
    if hasattr(out, "flush"):
        out.flush()
    return out


def _parts_of(X):
    """Parts of X, and the number of rows of all, or None where only the end will tell."""
    if isinstance(X, Iterator) or (isinstance(X, Iterable) and not _has_rows(X)):
        return iter(X), None
    if not _has_rows(X):
        raise TypeError(
            f"X must be a dict of arrays, a MultimodalData, a 2-D array or DataFrame, or an iterator of these. Got "
            f"{type(X).__name__}."
        )
    return iter([X]), _length(form_of(X))


def _has_rows(X):
    return isinstance(X, Mapping | list | tuple) or hasattr(X, "shape") or is_frame(X)


def _length(form):
    rows = form.container if hasattr(form, "container") else form.X
    return rows.shape[0] if hasattr(rows, "shape") else len(rows)


def _batches(parts, batch_size):
    """Rows of all parts, no more than `batch_size` at a time, and how many they are."""
    for part in parts:
        if hasattr(part, "num_rows") and hasattr(part, "to_pandas"):
            part = part.to_pandas()  # a batch or a table of pyarrow
        if not _has_rows(part):
            raise TypeError(
                "An iterator must give dicts of arrays, MultimodalData, 2-D arrays or DataFrames. Got "
                f"{type(part).__name__}."
            )
        form = form_of(part)
        n_rows = _length(form)
        if n_rows <= batch_size:
            if n_rows:
                yield part, n_rows
            continue
        for start in range(0, n_rows, batch_size):
            stop = min(start + batch_size, n_rows)
            yield form.rows(slice(start, stop)), stop - start


def _predicted(model, method, batch, size, start, out):
    try:
        values = np.asarray(getattr(model, method)(batch))
    except (TypeError, ValueError) as error:
        if start == 0:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        so_far = "" if out is None else f" ({_so_far(start)})"
        raise kind(f"Rows {start} to {start + size - 1} cannot be predicted{so_far}: {error}") from error
    if values.ndim == 0 or len(values) != size:
        raise ValueError(f"{method} must return one row for each of {size}. Got shape {values.shape}.")
    return values


def _so_far(n_rows):
    return f"the first {n_rows} rows of out are written" if n_rows else "nothing is written"


def _write(out, values, start):
    stop = start + len(values)
    if stop > out.shape[0]:
        raise ValueError(f"out has {out.shape[0]} rows, but X has {stop} or more; {_so_far(start)}.")
    if tuple(out.shape[1:]) != values.shape[1:]:
        expected = (out.shape[0], *values.shape[1:])
        raise ValueError(f"out must have shape {expected}. Got {tuple(out.shape)}; {_so_far(start)}.")
    if not np.can_cast(values.dtype, out.dtype, casting="same_kind"):
        raise ValueError(f"out must hold {values.dtype}. Got {out.dtype}; {_so_far(start)}.")
    out[start:stop] = values


def _refuse_other_length(out, n_rows, written=0):
    if not hasattr(out, "shape") or not hasattr(out, "dtype"):
        raise TypeError(f"out must be an array, or have its shape and dtype. Got {type(out).__name__}.")
    if tuple(out.shape[:1]) != (n_rows,):
        raise ValueError(
            f"out must have one row for each of the {n_rows} rows of X. Got shape {tuple(out.shape)}; "
            f"{_so_far(written)}."
        )


@contextmanager
def _bar(wanted, n_rows):
    """What is told how many rows are done: a bar of tqdm, if one is wanted."""
    if not wanted:
        yield lambda n_rows: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=n_rows, unit="rows") as bar:
        yield bar.update
