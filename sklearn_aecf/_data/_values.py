"""One modality's values as a numpy array, whatever library they came from."""

import difflib

import numpy as np
from scipy import sparse

# Rows looked at together: the chunk stays in cache, so a pass over the data costs one read of it.
CHUNK_ROWS = 2048


def is_frame(X):
    """Whether X is a DataFrame (pandas, polars, or another with the same attributes)."""
    return hasattr(X, "columns") and hasattr(X, "shape") and not isinstance(X, np.ndarray)


def frame_columns(frame):
    """Column labels of a DataFrame as a list."""
    return list(frame.columns)


def select_columns(frame, columns):
    """The named columns of a DataFrame, in that order, as a DataFrame of the same library."""
    return frame[list(columns)] if hasattr(frame, "iloc") else frame.select(list(columns))


def frame_to_array(frame):
    """Values of a DataFrame as 2-D array; numeric where every column is, with NA as NaN, else object."""
    if hasattr(frame, "iloc"):
        kinds = [getattr(dtype, "kind", "O") for dtype in frame.dtypes]
        if all(kind in "biuf" for kind in kinds):
            # Nullable integers and booleans need somewhere to put NA: a float.
            plain = all(isinstance(dtype, np.dtype) for dtype in frame.dtypes)
            return frame.to_numpy() if plain else frame.to_numpy(dtype=float, na_value=np.nan)
        return frame.to_numpy(dtype=object, na_value=None)
    if all(dtype.is_numeric() or str(dtype) == "Boolean" for dtype in frame.dtypes):
        array = frame.to_numpy()
        return array.astype(float) if array.dtype.kind == "O" else array
    return np.asarray([frame[name].to_list() for name in frame.columns], dtype=object).T


def as_array(value, name):
    """Values of one modality as a numpy array, without a copy where that is possible.

    Parameters
    ----------
    value : array-like, DataFrame, Series or tensor
    name : str
        Name of the modality, for messages.

    Returns
    -------
    ndarray with at least one dimension
    """
    if sparse.issparse(value):
        raise TypeError(
            f"Modality {name!r} is a sparse matrix; a dense array is needed. Convert it with .toarray(), "
            "or reduce it first, e.g. with TruncatedSVD in a ModalityTransformer."
        )
    if is_frame(value):
        return frame_to_array(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return value.numpy()
    if isinstance(value, np.ma.MaskedArray):
        array = unmasked(value, f"Modality {name!r}")
    elif isinstance(value, np.ndarray):
        array = value
    else:
        array = _listed(value, name)
    if array.ndim == 0:
        raise TypeError(f"Modality {name!r} must be an array with one row per sample. Got {type(value).__name__}.")
    return array


def _listed(value, name):
    """A list or another sequence as an array; its text and pictures stay the objects they are."""
    if isinstance(value, list | tuple) and any(map(_is_picture, value)):
        array = np.empty(len(value), dtype=object)
        for row, item in enumerate(value):  # numpy would open the pictures on assignment of all
            array[row] = item
        return array
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            f"Modality {name!r} has rows of different lengths; give every row the same number of features, or pass raw "
            "items, for a FrozenEncoder, as a 1-D object array."
        ) from None
    # Among text NaN and None became text as well.
    return np.asarray(value, dtype=object) if array.dtype.kind in "US" else array


def _is_picture(item):
    return hasattr(item, "__array_interface__") and not hasattr(item, "shape")


def unmasked(array, what):
    """Values of a masked array with NaN where it is masked; `what` begins the sentence that refuses one."""
    if array.dtype.kind == "f":
        return array.filled(np.nan)
    if not np.ma.is_masked(array):
        return array.data
    raise ValueError(
        f"{what} is a masked array of {array.dtype}, which cannot hold NaN; make it one of floats, or an object array "
        "with None where it is masked."
    )


def missing_rows(array):
    """Rows with no value at all: NaN in every number, or None, NaN or NA in every object.

    Parameters
    ----------
    array : ndarray of shape (n_rows, ...)

    Returns
    -------
    ndarray of bool, shape (n_rows,)
    """
    if array.size == 0 and array.ndim > 1:
        return np.ones(len(array), dtype=bool)
    if array.dtype.kind == "O":
        flat = array.reshape(len(array), -1)
        return np.fromiter((all(map(_is_missing, row)) for row in flat), dtype=bool, count=len(array))
    if array.dtype.kind not in "fc":
        return np.zeros(len(array), dtype=bool)
    return np.concatenate(
        [np.isnan(flat_chunk(array, start)).all(axis=1) for start in range(0, len(array), CHUNK_ROWS)]
        or [np.zeros(0, dtype=bool)]
    )


def flat_chunk(array, start):
    """``CHUNK_ROWS`` rows from ``start`` on, as a 2-D array."""
    chunk = np.asarray(array[start : start + CHUNK_ROWS])
    return chunk.reshape(len(chunk), -1)


def _is_missing(value):
    # `value != value` covers every NaN; pandas' NA answers neither yes nor no to a comparison.
    return value is None or str(value) == "<NA>" or (isinstance(value, float | np.floating) and value != value)


def same_rows(arrays):
    """The same dict, with None replaced by an array without features; all must have the same rows."""
    given = {name: array for name, array in arrays.items() if array is not None}
    if not given:
        raise ValueError("Every modality is None, so the number of rows is unknown; give at least one an array.")
    first, expected = next((name, len(array)) for name, array in given.items())
    for name, array in given.items():
        if len(array) != expected:
            raise ValueError(
                f"Modality {name!r} has {len(array)} rows but {first!r} has {expected}. Give every modality one row "
                "per sample, with NaN rows where it is missing."
            )
    nobody = np.empty((expected, 0), dtype=np.float32)
    return {name: nobody if array is None else array for name, array in arrays.items()}


def quoted(names):
    """Names as a message shows them."""
    return ", ".join(repr(name) for name in names)


def did_you_mean(name, names):
    """The end of a sentence about an unknown name: the closest of the known ones, if any is close."""
    close = difflib.get_close_matches(str(name), [str(n) for n in names], n=1)
    return f"; did you mean {close[0]!r}?" if close else "."
