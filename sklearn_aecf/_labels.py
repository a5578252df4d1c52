"""y of any library, read: one class a row, or 0 and 1 a label, with a sentence for what is neither."""

from numbers import Number

import numpy as np
from sklearn.utils import column_or_1d

from sklearn_aecf._data import (
    frame_columns,
    is_frame,
    is_missing,
    quoted,
    refuse_twins,
    select_columns,
    tensor_to_array,
)


def as_label_array(y, classes=None):
    """y of any library as an array.

    Parameters
    ----------
    y : array-like, DataFrame, tensor or sparse matrix
    classes : ndarray, default=None
        Names of labels at fit: the order of the columns of a DataFrame.
    """
    if y is None:
        raise ValueError(
            "AECFClassifier requires y to be passed, but the target y is None; give one label per row of X."
        )
    if hasattr(y, "detach"):
        y = tensor_to_array(y, "y")
    if hasattr(y, "toarray"):
        return y.toarray()
    names = label_names(y)
    if names is not None and classes is not None and classes.dtype.kind == "O" and list(names) != classes.tolist():
        if sorted(names) != sorted(classes.tolist()):
            raise ValueError(f"y has labels {quoted(names)}, but there were {quoted(classes.tolist())} before.")
        y = select_columns(y, classes.tolist())
    if hasattr(y, "to_numpy"):
        y = _as_numbers(y.to_numpy())
    try:
        table = np.asarray(y)
    except ValueError:
        raise ValueError(
            "y has rows of different lengths; give one label per row, or encode lists of labels with "
            "MultiLabelBinarizer."
        ) from None
    if table.dtype.kind == "V":
        raise ValueError("y holds records; give one label per row, or 0 and 1 per label.")
    if table.dtype.kind == "S" or (table.dtype.kind == "O" and any(isinstance(label, bytes) for label in table.flat)):
        raise ValueError("y holds bytes; make them text, e.g. numpy.char.decode(y).")
    return table


def _as_numbers(labels):
    """Integers and booleans as such: older pandas makes objects of its nullable ones."""
    if labels.dtype.kind != "O" or labels.size == 0:
        return labels
    kinds = {bool if isinstance(label, bool | np.bool_) else type(label) for label in labels.flat}
    if kinds == {bool}:
        return labels.astype(bool)
    return labels.astype(np.int64) if kinds == {int} and max(map(abs, labels.flat)) < 2**63 else labels


def refuse_other_length(data, targets):
    """Raise where y has another number of rows than X."""
    if len(targets) != len(data):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {len(data)} rows, y has "
            f"{len(targets)}. Give one label per row."
        )


def label_names(y):
    """Names of the columns of a DataFrame of labels, or None."""
    if not is_frame(y) or len(frame_columns(y)) < 2:
        return None
    names = frame_columns(y)
    refuse_twins(names, "y")
    if all(isinstance(name, str) for name in names):
        return names
    if names != list(range(len(names))):
        raise ValueError(f"y has columns named {quoted(names)}; name labels by text, or give an array without names.")
    return None


def has_labels(table):
    """Whether a row has several labels."""
    return table.ndim == 2 and table.shape[1] > 1


def one_column(table):
    """Classes of shape (n_rows,), none of them missing."""
    if table.ndim == 0:
        raise ValueError(f"y must have one label per row. Got {table.item()!r}.")
    labels = column_or_1d(table, warn=True)
    _refuse_missing(labels)
    objects = labels if labels.dtype.kind == "O" else ()
    odd = [label for label in objects if not isinstance(label, str | Number | np.bool_)]
    if odd:
        raise ValueError(
            f"y holds {type(odd[0]).__name__} ({odd[0]!r}); make its classes text or integers, e.g. with "
            "pandas.Series(y).astype(str)."
        )
    return labels


def mixed_types(labels, what="y"):
    """The error where labels have no order."""
    kinds = sorted({type(label).__name__ for label in labels})
    return ValueError(f"{what} mixes labels of different types ({', '.join(kinds)}); give all of them one type.")


def labels_of(table):
    """0 and 1 a label as float32, and which were reported, each of shape (n_rows, n_labels)."""
    if table.dtype.kind == "O":
        # Of pandas NA, too, which is no number.
        table = np.where([[is_missing(label) for label in row] for row in table], np.nan, table)
    try:
        values = table.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "A target of several columns must hold 0 and 1 per label, with NaN or -1 where a label was not reported. "
            f"Got dtype {table.dtype}; encode lists of labels with MultiLabelBinarizer."
        ) from None
    reported = (values == 0) | (values == 1)
    strange = ~(reported | np.isnan(values) | (values == -1))
    if strange.any():
        raise ValueError(
            "A target of several columns must hold 0 and 1 per label, with NaN or -1 where a label was not reported. "
            f"Got {values[strange][0]:g}; for several outputs of more classes wrap the classifier in "
            "MultiOutputClassifier."
        )
    return np.where(reported, values, 0).astype(np.float32), reported


def _refuse_missing(labels):
    if labels.dtype.kind == "f":
        missing = np.isnan(labels)
    elif labels.dtype.kind in "mM":
        missing = np.isnat(labels)
    elif labels.dtype.kind == "O":
        missing = np.fromiter(map(is_missing, labels), dtype=bool, count=len(labels))
    else:
        return
    if missing.any():
        raise ValueError(
            f"Input y contains NaN: {missing.sum()} of {len(labels)} labels are missing (first in row "
            f"{np.flatnonzero(missing)[0]}); drop those rows from X and y."
        )
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise ValueError("Input y contains infinity; give every row one of a few classes.")
