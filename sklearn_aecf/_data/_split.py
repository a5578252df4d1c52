"""Read X, whatever its form: one numeric array a modality, and which row has which."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from sklearn_aecf._data._groups import as_slice, has_two_levels, match_columns, resolve_labels, resolve_positions
from sklearn_aecf._data._values import (
    CHUNK_ROWS,
    as_array,
    did_you_mean,
    frame_columns,
    frame_to_array,
    is_frame,
    quoted,
    same_rows,
    select_columns,
)

# Squares of larger numbers overflow; they are codes for "no value", not measurements.
LARGEST = 1e100

_FORMS = "X must be a dict of arrays, one per modality, a MultimodalData, or a 2-D array or DataFrame."


@dataclass(frozen=True)
class InputSpec:
    """What X looked like at fit, which later X must match.

    Attributes
    ----------
    names : tuple of str
    widths : tuple of int
        Features a modality; 0 where no row of the training data had it.
    labels : dict of str to tuple, or None
        Column labels of each modality, where X was a DataFrame.
    features : dict of str to tuple, or None
        Names of the features of those modalities of a mapping that came as a DataFrame.
    """

    names: tuple
    widths: tuple
    labels: dict | None = None
    features: dict | None = None


@dataclass(frozen=True)
class Modalities:
    """X, read: views of the caller's arrays wherever that is possible.

    Attributes
    ----------
    names : tuple of str
    arrays : tuple of ndarray of shape (n_rows, n_features_m), real dtype
        A modality that nobody has is an array without features.
    present : ndarray of bool, shape (n_rows, n_modalities)
    labels : dict of str to tuple, or None
    """

    names: tuple
    arrays: tuple
    present: np.ndarray
    labels: dict | None = None
    features: dict | None = None

    def __len__(self):
        return len(self.present)

    @property
    def widths(self):
        return tuple(array.shape[1] for array in self.arrays)

    def take(self, rows):
        """The same for some rows, copied."""
        return Modalities(self.names, tuple(array[rows] for array in self.arrays), self.present[rows], self.labels)

    @property
    def spec(self):
        return InputSpec(self.names, self.widths, self.labels, self.features)


def is_plain_table(X, modalities=None):
    """Whether X is one table of features, which scikit-learn's own checks can read."""
    if sparse.issparse(X):
        return True  # a dok_array is a Mapping, too
    if modalities is not None or isinstance(X, Mapping):
        return False
    if is_frame(X):
        return not has_two_levels(X)
    return not _is_list_of_tables(X)


def split_modalities(X, modalities=None, *, spec=None, estimator="AECFClassifier"):
    """Read X into one numeric array per modality, and find what is missing.

    Parameters
    ----------
    X : dict, MultimodalData, SliceDict, array-like or DataFrame
        A modality is missing in a row where all its values are NaN; for a mapping also where its entry is None and,
        given `spec`, where it is left out.
    modalities : dict of str to columns, default=None
        Column groups of an array or DataFrame. None is one modality ``"X"``, except for a DataFrame whose columns
        have two levels: these are grouped by the first.
    spec : InputSpec, default=None
        What X was at fit: names, widths and column labels to match.
    estimator : str
        Who asks, for messages.

    Returns
    -------
    Modalities

    Raises
    ------
    TypeError, ValueError
        One sentence that names the modality, what was expected, what came and what to do.
    """
    features = None
    if isinstance(X, Mapping):
        parts, features = _parts_of_mapping(X)
        labels = None
    elif is_frame(X):
        parts, labels = _parts_of_frame(X, modalities, spec)
    else:
        parts, labels = _parts_of_array(X, modalities, spec), None
    if spec is not None:
        parts = _matched(parts, spec, estimator)
        parts = in_fitted_order(parts, features or {}, spec.features or {})
    arrays = _aligned(parts)
    present = np.column_stack([_observed(array, name) for name, array in arrays.items()])
    return Modalities(tuple(arrays), tuple(arrays.values()), present, labels, features)


def _parts_of_mapping(X):
    if len(X.keys()) == 0:
        raise ValueError("X is an empty dict; give at least one modality, e.g. {'image': array}.")
    parts, features = {}, dict(getattr(X, "_feature_names", {}))
    for name in X.keys():  # noqa: SIM118, a SliceDict iterates over its keys only by accident
        if not isinstance(name, str):
            raise TypeError(f"Names of modalities must be strings. Got {name!r} ({type(name).__name__}).")
        parts[name] = None if X[name] is None else _numeric(as_array(X[name], name), name)
        if is_frame(X[name]):
            features[name] = tuple(map(str, frame_columns(X[name])))
    return parts, features


def in_fitted_order(parts, features, fitted):
    """Modalities that came as DataFrames, with their columns in the order of fit."""
    for name in fitted.keys() & features.keys():
        if parts.get(name) is None or features[name] == fitted[name]:
            continue
        if sorted(features[name]) != sorted(fitted[name]):
            odd = next((f for f in features[name] if f not in fitted[name]), features[name][0])
            raise ValueError(
                f"Modality {name!r} has a feature {odd!r} that it lacked at fit"
                f"{did_you_mean(odd, fitted[name])} Fitted features: {quoted(fitted[name][:8])}."
            )
        parts[name] = parts[name][:, [features[name].index(feature) for feature in fitted[name]]]
    return parts


def _parts_of_frame(X, modalities, spec):
    known = spec.labels if spec is not None else None
    if known is not None:
        labels = known
    elif modalities is not None:
        labels = resolve_labels(modalities, frame_columns(X))
    elif has_two_levels(X):
        labels = match_columns(X, None)
    else:
        if spec is not None and spec.names != ("X",):
            return _parts_of_array(_numeric(frame_to_array(X), "X"), modalities, spec), None
        return {"X": _numeric(frame_to_array(X), "X")}, None
    columns = set(frame_columns(X))
    parts = {name: _frame_part(X, wanted, columns, name, known is not None) for name, wanted in labels.items()}
    if all(part is None for part in parts.values()):
        raise ValueError(
            f"X has none of the columns of any modality; expected columns such as {next(iter(labels.values()))[0]!r}."
        )
    return parts, {name: tuple(wanted) for name, wanted in labels.items()}


def _frame_part(X, wanted, columns, name, fitted):
    """A modality's columns; those absent count as missing values, once the widths are known from fit."""
    here = [label for label in wanted if label in columns]
    if not fitted and len(here) < len(wanted):
        absent = next(label for label in wanted if label not in columns)
        raise ValueError(
            f"modalities[{name!r}] asks for column {absent!r}, which X lacks{did_you_mean(absent, columns)}"
        )
    if not here:
        return None
    values = _numeric(frame_to_array(select_columns(X, here)), name)
    if len(here) == len(wanted):
        return values
    full = np.full((len(values), len(wanted)), np.nan)
    full[:, [wanted.index(label) for label in here]] = values
    return full


def _parts_of_array(X, modalities, spec):
    if _is_list_of_tables(X) or isinstance(X, str | bytes) or X is None:
        raise TypeError(f"{_FORMS} Got {type(X).__name__}.")
    if not (isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "biuf"):
        X = as_array(X, "X") if hasattr(X, "detach") else X
        X = check_array(X, dtype="numeric", ensure_all_finite=False, ensure_min_samples=0, ensure_min_features=0)
    if modalities is None and spec is not None and len(spec.names) > 1:
        if X.shape[1] != sum(spec.widths):
            raise ValueError(
                f"X is an array of {X.shape[1]} columns, but the fitted modalities have "
                f"{' + '.join(map(str, spec.widths))} = {sum(spec.widths)} ({quoted(spec.names)}); pass a dict, "
                "or all columns with NaN where a modality is missing."
            )
        ends = np.cumsum(spec.widths)
        groups = zip(spec.names, np.split(np.arange(X.shape[1]), ends[:-1]), strict=True)
        return {name: X[:, as_slice(columns)] if columns.size else None for name, columns in groups}
    if modalities is None:
        return {spec.names[0] if spec is not None else "X": X}
    return {name: X[:, as_slice(positions)] for name, positions in resolve_positions(modalities, X.shape[1]).items()}


def _matched(parts, spec, estimator):
    """The parts in fitted order; modalities left out are missing, unknown ones an error."""
    for name, array in parts.items():
        if name not in spec.names:
            raise ValueError(
                f"X has unknown modality {name!r}{did_you_mean(name, spec.names)} "
                f"Fitted modalities: {quoted(sorted(spec.names))}."
            )
        expected = spec.widths[spec.names.index(name)]
        found = 0 if array is None else array.shape[1]
        if found and expected and found != expected:
            raise ValueError(f"Modality {name!r} has {found} features, but {estimator} was fitted with {expected}.")
    return {name: parts.get(name) for name in spec.names}


def _aligned(parts):
    arrays = same_rows(parts)
    if len(next(iter(arrays.values()))) == 0:
        raise ValueError("X has 0 rows (0 sample(s)); at least one is needed.")
    return arrays


def _numeric(array, name):
    """The array as a real 2-D array, or a sentence on why it is none."""
    if array.ndim == 1:
        remedy = (
            f"reshape it to (n_rows, 1), e.g. X[{name!r}].reshape(-1, 1)"
            if array.dtype.kind in "biuf"
            else ("turn it into features first, with a ModalityTransformer")
        )
        raise ValueError(f"Modality {name!r} must be a 2-D array (n_rows, n_features). Got 1-D; {remedy}.")
    if array.ndim != 2:
        raise ValueError(
            f"Modality {name!r} must be a 2-D array (n_rows, n_features). Got {array.ndim}-D of shape {array.shape}; "
            "flatten it, e.g. .reshape(len(array), -1), or encode it, e.g. with a pretrained network."
        )
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind == "O":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError):
            try:
                return np.where(np.vectorize(_is_na, otypes=[bool])(array), np.nan, array).astype(np.float64)
            except (TypeError, ValueError):
                pass
    found = next((value for value in array.ravel() if isinstance(value, str)), array.dtype)
    raise ValueError(
        f"Modality {name!r} must be numeric. Got {found!r}; encode text and categories first, e.g. with a "
        "OneHotEncoder in a ModalityTransformer."
    )


def _is_na(value):
    return value is None or str(value) == "<NA>"


def _observed(array, name):
    """Rows where the modality has at least one value; infinities are refused.

    A row's sum is finite unless the row holds NaN or an infinity (or overflows), so sums screen the rows, and only
    chunks with a suspect one are looked at value by value.
    """
    n_rows, width = array.shape
    if width == 0 or array.dtype.kind != "f":
        return np.full(n_rows, width > 0)
    observed = np.ones(n_rows, dtype=bool)
    weights = np.ones(width, dtype=array.dtype if array.dtype.itemsize > 2 else np.float32)
    for start in range(0, n_rows, CHUNK_ROWS):
        chunk = array[start : start + CHUNK_ROWS]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            suspect = ~(np.abs(chunk @ weights) < LARGEST)
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


def _is_list_of_tables(X):
    """Whether X is a list of 2-D arrays: modalities without names."""
    return isinstance(X, list | tuple) and len(X) > 0 and getattr(X[0], "ndim", 0) >= 2
