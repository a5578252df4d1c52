"""One modality's values as a numpy array, whatever library they came from."""

import difflib
import math

import numpy as np
from scipy import sparse

from sklearn_aecf._data._stored import StoredRows, is_stored

# Rows looked at together: the chunk stays in cache, so a pass over the data costs one read of it.
CHUNK_ROWS = 2048

# Squares of larger numbers overflow; they are codes for "no value", not measurements.
LARGEST = 1e100


def is_frame(X):
    """Whether X is a DataFrame (pandas, polars, or another with the same attributes)."""
    return hasattr(X, "columns") and hasattr(X, "shape") and not isinstance(X, np.ndarray)


def frame_columns(frame):
    """Column labels of a DataFrame as a list."""
    return list(frame.columns)


def select_columns(frame, columns):
    """The named columns of a DataFrame, in that order, as a DataFrame of the same library."""
    return frame[list(columns)] if hasattr(frame, "iloc") else frame.select(list(columns))


def as_dense(frame):
    """A DataFrame, whose sparse columns of pandas are as others are."""
    dtypes = getattr(frame, "dtypes", ())
    dense = {i: dtype.subtype for i, dtype in enumerate(dtypes) if type(dtype).__name__ == "SparseDtype"}
    return frame.astype({frame.columns[i]: dtype for i, dtype in dense.items()}) if dense else frame


def frame_to_array(frame):
    """Values of a DataFrame as 2-D array; numeric where every column is, with NA as NaN, else object."""
    if hasattr(frame, "iloc"):
        if holds_numbers(frame):
            # Nullable integers and booleans need somewhere to put NA: a float.
            plain = all(isinstance(dtype, np.dtype) for dtype in frame.dtypes)
            return frame.to_numpy() if plain else frame.to_numpy(dtype=float, na_value=np.nan)
        array = frame.to_numpy(dtype=object, na_value=None)
        for column in np.flatnonzero([hasattr(dtype, "categories") for dtype in frame.dtypes]):
            # Categories are names, also where they are written with digits.
            array[:, column] = [value if is_missing(value) else Category(value) for value in array[:, column]]
        return array
    if holds_numbers(frame):
        array = frame.to_numpy()
        return array.astype(float) if array.dtype.kind == "O" else array
    array = np.empty(frame.shape, dtype=object)
    for column, name in enumerate(frame.columns):
        names = str(frame.schema[name]).startswith(("Categorical", "Enum"))
        for row, value in enumerate(frame[name].to_list()):  # numpy would open lists on assignment of all
            array[row, column] = Category(value) if names and value is not None else value
    return array


def holds_numbers(frame):
    """Whether every column of a DataFrame is of numbers or booleans, as their dtypes say."""
    if hasattr(frame, "iloc"):
        return all(getattr(dtype, "kind", "O") in "biuf" for dtype in frame.dtypes)
    return all(dtype.is_numeric() or str(dtype) == "Boolean" for dtype in frame.dtypes)


class Category(str):
    """The name of a category, also where it is written with digits; `value` is what stood for it."""

    def __new__(cls, value):
        category = super().__new__(cls, as_text(value))
        category.value = value
        return category

    def __reduce__(self):
        return Category, (self.value,)


def as_text(value):
    """A category as text, the same whether it came as an integer or as a whole float."""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def columns_to_array(frame, wanted):
    """Values of some columns of a DataFrame; those that it lacks are missing values, None if it lacks all."""
    known = set(frame_columns(frame))
    here = [label for label in wanted if label in known]
    if not here:
        return None
    values = frame_to_array(select_columns(frame, here))
    if len(here) == len(wanted):
        return values
    full = np.full((len(values), len(wanted)), np.nan if values.dtype.kind in "biuf" else None)
    full[:, [wanted.index(label) for label in here]] = values
    return full


def as_array(value, name):
    """Values of one modality as a numpy array, without a copy where that is possible.

    Parameters
    ----------
    value : array-like, DataFrame, Series, tensor, or what stores rows elsewhere
    name : str
        Name of the modality, for messages.

    Returns
    -------
    ndarray with at least one dimension, or StoredRows
    """
    if type(value) is np.ndarray and value.ndim > 0 and value.dtype.kind in "biuf":
        return value
    if sparse.issparse(value):
        raise TypeError(
            f"Modality {name!r} is a sparse matrix; a dense array is needed. Convert it with .toarray(), "
            "or reduce it first, e.g. with TruncatedSVD in a ModalityTransformer."
        )
    if is_frame(value):
        return frame_to_array(value)
    if hasattr(value, "detach"):
        return tensor_to_array(value, f"Modality {name!r}")
    if isinstance(value, StoredRows):
        return value
    if is_stored(value):
        return StoredRows(value, name)
    if isinstance(value, np.ma.MaskedArray):
        keep = value.dtype.kind != "f" and is_row_masked(value)
        array = value if keep else unmasked(value, f"Modality {name!r}")
    elif isinstance(value, np.ndarray):
        array = np.asarray(value) if isinstance(value, np.matrix) else value
    else:
        array = _listed(value, name)
    if array.dtype.kind == "V":
        raise TypeError(f"Modality {name!r} holds records; give an array of numbers, or a DataFrame.")
    if array.ndim == 0:
        raise TypeError(
            f"Modality {name!r} must be an array with one row per sample. Got {type(value).__name__}; of a single row "
            "give an array of shape (1, n_features), or X as a DataFrame of one row."
        )
    return array


def tensor_to_array(tensor, what):
    """Values of a torch tensor; `what` begins the sentence that refuses one."""
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"{what} is a sparse tensor; a dense one is needed. Convert it with .to_dense().")
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


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


def row_masked(array, present, name):
    """The array, with the rows masked where `present` is False; neither copied nor changed.

    Parameters
    ----------
    array : ndarray of shape (n_rows, ...)
    present : array-like of bool, shape (n_rows,)
    name : str
        Name of the modality, for messages.

    Returns
    -------
    MaskedArray
        Its mask is a view of one flag a row.
    """
    if isinstance(array, StoredRows):
        raise TypeError(
            f"present[{name!r}] cannot be given for a modality whose rows stay where they are stored; store NaN in the "
            "rows that are missing, or load it with numpy.asarray."
        )
    present = np.asarray(present)
    if present.dtype != bool or present.shape != (len(array),):
        raise ValueError(
            f"present[{name!r}] must be one bool per row of modality {name!r} ({len(array)}). Got {present.dtype} of "
            f"shape {present.shape}."
        )
    present = present & ~missing_rows(array)
    flags = present.reshape(-1, *[1] * (array.ndim - 1))
    return np.ma.MaskedArray(plain(array), mask=np.broadcast_to(~flags, array.shape), copy=False)


def is_row_masked(array):
    """Whether an array masks whole rows, as `row_masked` does, and nothing else."""
    if not isinstance(array, np.ma.MaskedArray) or array.mask is np.ma.nomask or array.ndim == 0:
        return False
    if array.size == 0 or not any(array.mask.strides[1:]):
        return True
    flat = array.mask.reshape(len(array), -1)
    return bool((flat.all(axis=1) == flat.any(axis=1)).all())


def plain(array):
    """The values of an array whose rows may be masked, also of the masked ones."""
    return array.data if isinstance(array, np.ma.MaskedArray) else array


def missing_rows(array):
    """Rows with no value at all: NaN in every number, or None, NaN or NA in every object.

    Parameters
    ----------
    array : ndarray of shape (n_rows, ...)

    Returns
    -------
    ndarray of bool, shape (n_rows,)
    """
    if array.size == 0:
        return np.ones(len(array), dtype=bool)
    if isinstance(array, np.ma.MaskedArray):
        return array.mask[(slice(None), *[0] * (array.ndim - 1))] | missing_rows(array.data)
    if array.dtype.kind == "O":
        flat = array.reshape(len(array), -1)
        return np.fromiter((all(map(is_missing, row)) for row in flat), dtype=bool, count=len(array))
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


def is_missing(value):
    """Whether an object stands for no value: None, NaN, NaT or NA."""
    if value is None:
        return True
    if isinstance(value, float | np.floating):
        return bool(value != value)
    # pandas' NA answers neither yes nor no to a comparison, and is pandas' alone.
    return type(value).__name__ in ("NAType", "NaTType") or (
        isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value)
    )


def checked_table(array, name):
    """The array, if it has two dimensions; arrays in cells, one a row, side by side."""
    if array.ndim == 1 and array.dtype.kind == "O" and any(np.ndim(item) > 0 for item in array):
        table, present = _stacked(array, name)
        array = row_masked(table, present, name)
    if array.ndim == 1:
        remedy = (
            f"make it X[{name!r}].reshape(-1, 1) if it is one feature, X[{name!r}].reshape(1, -1) if it is one row"
            if array.dtype.kind in "biuf"
            else "turn it into features first, with a ModalityTransformer; or, of categories, give a DataFrame"
        )
        raise ValueError(f"Modality {name!r} must be a 2-D array (n_rows, n_features). Got 1-D; {remedy}.")
    if array.ndim != 2:
        raise ValueError(
            f"Modality {name!r} must be a 2-D array (n_rows, n_features). Got {array.ndim}-D of shape {array.shape}; "
            f"flatten it, e.g. .reshape(len(array), -1), or give it an encoder: encoders={{{name!r}: module}}."
        )
    return array


def as_encodable(array, name):
    """The array of a modality with an encoder of its own, of any shape; and its mask of rows, if it has one."""
    if array.dtype.kind == "O":
        return _stacked(array, name)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"Modality {name!r} must hold numbers for its encoder. Got {array.ravel()[:1].tolist()[0]!r}; turn text "
            "into codes of tokens first."
        )
    return plain(array), ~missing_rows(array) if np.ma.isMaskedArray(array) else None


def _stacked(items, name):
    """Arrays of one shape, each a row's, as one array; None marks rows without."""
    if items.ndim == 2 and items.shape[1] == 1:
        items = items[:, 0]  # a column of a frame
    present = ~missing_rows(items[:, None] if items.ndim == 1 else items)
    if not present.any():
        return np.empty((len(items), 0), dtype=np.float32), present
    rows = [np.asarray(item) for item in items[present]]
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        one, other = sorted(shapes)[:2]
        raise ValueError(
            f"Modality {name!r} has rows of different shapes, e.g. {one} and {other}; pad or resize them to one."
        )
    try:
        known = np.stack(rows)
        known = known.astype(np.float64) if known.dtype.kind == "O" else known
    except (TypeError, ValueError):
        known = np.empty(0, dtype=str)
    if known.dtype.kind not in "biuf":
        raise ValueError(
            f"Modality {name!r} must hold numbers for its encoder. Got {rows[0].ravel()[0]!r}; turn text into codes of "
            "tokens first."
        )
    stacked = np.zeros((len(items), *known.shape[1:]), dtype=known.dtype)
    stacked[present] = known
    return stacked, present


def observed_rows(array, name, mask=None):
    """Rows where the modality has at least one value, and that no mask excludes; infinities are refused.

    The sum of a row's squares is finite unless the row holds NaN, an infinity or a very large number, so these sums
    screen the rows, and only chunks with a suspect one are looked at value by value.
    """
    n_rows, width = len(array), math.prod(array.shape[1:])
    observed = np.full(n_rows, width > 0) if mask is None else mask & (width > 0)
    if width == 0 or array.dtype.kind != "f":
        return observed
    for start in range(0, n_rows, CHUNK_ROWS):
        chunk = flat_chunk(array, start)
        chunk = chunk.astype(np.float32) if chunk.dtype.itemsize < 4 else chunk
        with np.errstate(all="ignore"):
            suspect = ~(np.einsum("ij,ij->i", chunk, chunk) < LARGEST**2)
        suspect &= observed[start : start + CHUNK_ROWS]
        if suspect.any():
            rows = np.asarray(chunk[suspect], dtype=np.float64)
            if np.isinf(rows).any():
                row = start + int(np.flatnonzero(suspect)[np.isinf(rows).any(axis=1)][0])
                raise ValueError(
                    f"Modality {name!r} contains infinity (first in row {row}); replace infinities by NaN where the "
                    "value is unknown, or clip them."
                )
            if (np.abs(rows) > LARGEST).any():
                raise ValueError(
                    f"Modality {name!r} contains {rows[np.abs(rows) > LARGEST][0]:.3g}, too large to compute with; "
                    "replace codes for unknown values by NaN."
                )
            observed[start : start + CHUNK_ROWS][suspect] = ~np.isnan(rows).all(axis=1)
    return observed


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


def flags_of(names, known):
    """Which of the known modalities are named, a tuple of bools; an unknown one is an error."""
    positions = {checked_name(name, known) for name in names}
    return tuple(m in positions for m in range(len(known)))


def checked_name(name, known):
    """Position of a modality among the known ones."""
    if name not in known:
        raise ValueError(f"Unknown modality {name!r}{did_you_mean(name, known)} Modalities: {quoted(known)}.")
    return list(known).index(name)
