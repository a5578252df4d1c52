"""One class for each form of X: what its modalities are, what is present, and the same X with parts hidden or moved.

`form_of` is the only place that asks which form X has.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing, check_array

from sklearn_aecf._data._columns import as_numbers, as_objects, holds_more_than_numbers
from sklearn_aecf._data._container import MultimodalData, read_mapping
from sklearn_aecf._data._groups import (
    as_slice,
    has_two_levels,
    match_columns,
    only_counts,
    refuse_renamed,
    refuse_twins,
    resolve_labels,
    resolve_positions,
    tell_unused,
    unused_columns,
)
from sklearn_aecf._data._spec import InputSpec
from sklearn_aecf._data._values import (
    as_array,
    columns_to_array,
    did_you_mean,
    frame_columns,
    frame_to_array,
    is_frame,
    missing_rows,
    quoted,
    row_masked,
    select_columns,
)


def form_of(X, modalities=None):
    """The form of X.

    Parameters
    ----------
    X : dict, MultimodalData, SliceDict, array-like or DataFrame
    modalities : dict of str to columns, default=None
        Column groups of an array or a DataFrame.

    Returns
    -------
    MappingForm, PandasForm, PolarsForm or ArrayForm
    """
    if sparse.issparse(X):
        return ArrayForm(X, modalities)  # a dok_array is a Mapping, too
    if hasattr(X, "detach"):
        return ArrayForm(as_array(X, "X"), modalities)
    if isinstance(X, Mapping):
        return MappingForm(X, modalities)
    if not is_frame(X):
        return ArrayForm(X, modalities)
    return PandasForm(X, modalities) if hasattr(X, "iloc") else PolarsForm(X, modalities)


class _Form:
    """What all forms have.

    Parameters
    ----------
    X
    modalities : dict of str to columns, or None
    """

    # Whether columns are chosen by their labels.
    by_label = False

    def __init__(self, X, modalities=None):
        self.X, self.modalities = X, modalities

    @property
    def is_plain_table(self):
        """Whether X is one table of features, which scikit-learn's own checks can read."""
        return False

    def labels(self):
        """Labels of the columns of each modality, where X is a DataFrame; else None."""
        return None

    def unused(self):
        """Labels or positions of the columns that belong to no modality."""
        return ()

    def tell_unused(self, verbose=0):
        """See `_groups.tell_unused`."""

    def frame(self, names, labels=None):
        """Some modalities as one DataFrame, where X is one or has one for them; else None.

        Parameters
        ----------
        names : sequence of str
        labels : dict of str to sequence, default=None
            Columns of each modality; by default those that it has.
        """
        return None

    def index(self):
        """Names of the rows, where pandas has any; else None."""
        return getattr(self.X, "index", None) if is_frame(self.X) else None

    def rows(self, index):
        """Some rows of X."""
        return _safe_indexing(self.X, index)


class MappingForm(_Form):
    """A dict, `MultimodalData` or `SliceDict`: a modality an entry."""

    @cached_property
    def container(self):
        """X as `MultimodalData`."""
        return self.X if isinstance(self.X, MultimodalData) else MultimodalData(self.X)

    def as_container(self, labels=None, unused=()):
        """X as `MultimodalData`."""
        return self.container

    def read(self, spec=None):
        """The modalities as they are, and the names of those features that came with any; see `ArrayForm.read`."""
        arrays, feature_names = read_mapping(self.X)
        return arrays, InputSpec(features=feature_names)

    def frame(self, names, labels=None):
        """The DataFrame that a modality came as; else None."""
        frame = self.X[names[0]] if len(names) == 1 else None
        if not is_frame(frame):
            return None
        columns = {str(column): column for column in frame_columns(frame)}
        return select_columns(
            frame, list(columns.values()) if labels is None else [columns[n] for n in labels[names[0]]]
        )

    def index(self):
        """Names of the rows, of the first modality that came with any; else None."""
        indexes = [self.X[name].index for name in self.X.keys() if hasattr(self.X[name], "iloc")]  # noqa: SIM118
        return next((index for index in indexes if not only_counts(index)), None)

    def presence(self):
        """Names of the modalities, and which row has which."""
        return self.container.names, self.container.present

    def with_presence(self, keep):
        """X with modalities missing where `keep` (n_rows, n_modalities) is False."""
        arrays = {
            name: _blanked(array, ~keep[:, m], name) if not keep[:, m].all() else array
            for m, (name, array) in enumerate(self.container.items())
        }
        return self._like(arrays)

    def values(self, name):
        """What stands in a modality, as an array; numbers with None among them as numbers."""
        return _as_numbers(np.asanyarray(self.container[name]))

    def replaced(self, changes):
        """X with other numbers in some rows: `changes` has rows and values by name of the modality."""
        arrays = dict(self.container)
        for name, (rows, values) in changes.items():
            array = np.asanyarray(arrays[name])
            # Bytes and codes stay what they are, where they are no table: their encoder knows nothing else.
            kept = array.dtype.kind in "biu" and array.ndim != 2
            if not kept:
                array = _as_numbers(array)
                array = array.astype(np.result_type(array.dtype, np.float32))
            arrays[name] = array = array.copy()
            array[rows] = _as_kind(values, array) if kept else values
        return self._like(arrays)

    def permuted(self, name, order):
        """X with the rows of one modality in another order."""
        return self._like({**self.container, name: self.container[name][order]})

    def stacked(self, others):
        """X with further X of the same form below it."""
        containers = [self.container, *(MappingForm(other).container for other in others)]
        arrays = {}
        for name in self.container:
            parts = [container[name] for container in containers]
            arrays[name] = (np.ma if any(map(np.ma.isMaskedArray, parts)) else np).concatenate(parts)
        return self._like(arrays)

    def rows(self, index):
        """Some rows of X."""
        return _safe_indexing(self.container, index)

    def _like(self, arrays):
        """The arrays as what X is: a MultimodalData, a SliceDict, or else a dict."""
        if isinstance(self.X, MultimodalData):
            return MultimodalData(arrays, feature_names=self.X.known_feature_names)
        return type(self.X)(**arrays) if isinstance(self.X, dict) and type(self.X) is not dict else arrays


class _ColumnsForm(_Form):
    """X of columns, of which groups are modalities."""

    @property
    def is_plain_table(self):
        return self.modalities is None

    def groups(self):
        """Columns of each modality that X has."""
        if self.modalities is None:
            raise ValueError(
                "X has columns of one table, so its modalities are unknown; give modalities=, e.g. "
                "{'image': slice(0, 512), 'audio': slice(512, 576)}."
            )
        return self._resolved()

    def tell_unused(self, verbose=0):
        """See `_groups.tell_unused`."""
        unused = self.unused()
        if unused:
            tell_unused(unused, len(unused) + sum(map(len, self.groups().values())), verbose)

    def presence(self):
        """Names of the modalities, and which row has which."""
        groups = self.groups()
        parts = [self._values(columns) for columns in groups.values()]
        return tuple(groups), np.column_stack([~missing_rows(part) for part in parts])

    def values(self, name):
        """What stands in a modality, as an array; numbers with None among them as numbers."""
        return _as_numbers(self._values(self.groups()[name]))


class ArrayForm(_ColumnsForm):
    """A 2-D array, or what becomes one."""

    @property
    def is_plain_table(self):
        return sparse.issparse(self.X) or (self.modalities is None and not _is_list_of_tables(self.X))

    def read(self, spec=None):
        """The columns of each modality.

        Parameters
        ----------
        spec : InputSpec, default=None
            What X was at fit.

        Returns
        -------
        parts : dict of str to ndarray or None
        found : InputSpec
            What is known of labels and features.
        """
        X, modalities = self.X, self.modalities
        if isinstance(X, str | bytes) or X is None or _is_list_of_tables(X):
            raise TypeError(
                "X must be a dict of arrays, one per modality, a MultimodalData, or a 2-D array or DataFrame. Got "
                f"{type(X).__name__}."
            )
        if not (isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "biuf"):
            X = as_array(X, "X") if isinstance(X, list | tuple) else X
            if holds_more_than_numbers(X):
                X, dtype = as_objects(np.asarray(X)), object
            else:
                dtype = "numeric"
            X = check_array(X, dtype=dtype, ensure_all_finite=False, ensure_min_samples=0, ensure_min_features=0)
        if modalities is None and spec is not None and len(spec.names) > 1:
            if X.shape[1] != sum(spec.widths):
                raise ValueError(
                    f"X is an array of {X.shape[1]} columns, but the fitted modalities have "
                    f"{' + '.join(map(str, spec.widths))} = {sum(spec.widths)} ({quoted(spec.names)}); pass a dict, "
                    "or all columns with NaN where a modality is missing."
                )
            ends = np.cumsum(spec.widths)
            groups = zip(spec.names, np.split(np.arange(X.shape[1]), ends[:-1]), strict=True)
            return {name: X[:, as_slice(columns)] if columns.size else None for name, columns in groups}, InputSpec()
        if modalities is None:
            return {spec.names[0] if spec is not None else "X": X}, InputSpec()
        groups = resolve_positions(modalities, X.shape[1])
        return {name: X[:, as_slice(positions)] for name, positions in groups.items()}, InputSpec()

    def as_container(self, labels=None, unused=()):
        """X as `MultimodalData`."""
        return MultimodalData.from_array(self.X, self.modalities)

    def unused(self):
        """Positions of the columns that belong to no modality."""
        if self.modalities is None:
            return ()
        taken = {at for positions in self.groups().values() for at in positions.tolist()}
        return tuple(at for at in range(np.shape(self.X)[1]) if at not in taken)

    def _resolved(self):
        array = np.asarray(as_array(self.X, "X") if sparse.issparse(self.X) else self.X)
        if array.ndim != 2:
            raise ValueError(f"X must be a 2-D array to have columns. Got {array.ndim}-D of shape {array.shape}.")
        return resolve_positions(self.modalities, array.shape[1])

    def _values(self, columns):
        return np.asarray(self.X)[:, columns]

    def with_presence(self, keep):
        """X with modalities missing where `keep` (n_rows, n_modalities) is False."""
        blanked = np.array(self.X, dtype=np.result_type(np.asarray(self.X).dtype, np.float16))
        for m, columns in enumerate(self.groups().values()):
            blanked[np.ix_(~keep[:, m], columns)] = np.nan
        return blanked

    def replaced(self, changes):
        """X with other numbers in some rows: `changes` has rows and values by name of the modality."""
        given, groups = _as_numbers(np.asarray(self.X)), self.groups()
        replaced = given.astype(np.result_type(given.dtype, np.float32))
        for name, (rows, values) in changes.items():
            replaced[np.ix_(rows, groups[name])] = values
        return replaced

    def permuted(self, name, order):
        """X with the rows of one modality in another order."""
        columns, permuted = self.groups()[name], np.array(self.X)
        permuted[:, columns] = permuted[np.ix_(order, columns)]
        return permuted

    def stacked(self, others):
        """X with further X of the same form below it."""
        return np.concatenate([np.asarray(X) for X in (self.X, *others)])


class _FrameForm(_ColumnsForm):
    """A DataFrame."""

    by_label = True

    @property
    def is_plain_table(self):
        return self.modalities is None and not has_two_levels(self.X)

    def groups(self):
        """Columns of each modality that the frame has; those that it lacks are missing values."""
        if self.modalities is None and has_two_levels(self.X):
            return match_columns(self.X, None)
        return super().groups()

    def read(self, spec=None):
        """The columns of each modality, and their labels.

        Parameters
        ----------
        spec : InputSpec, default=None
            What X was at fit. A modality of which every column is absent is then missing.

        Returns
        -------
        parts : dict of str to ndarray or None
        found : InputSpec
            What is known of labels and features.

        Raises
        ------
        ValueError
            If columns seem to have been renamed since.
        """
        columns = frame_columns(self.X)
        known = spec.labels if spec is not None else None
        if known is not None and has_two_levels(self.X) != _have_two_levels(known):
            # Columns are then found by the names of the features.
            known = match_columns(self.X, None) if has_two_levels(self.X) else None
        if known is None and self.is_plain_table:
            refuse_twins(columns, "X")
            if spec is not None and spec.names != ("X",):
                return ArrayForm(frame_to_array(self.X)).read(spec)
            return {"X": frame_to_array(self.X)}, InputSpec(labels={"X": tuple(columns)})
        labels = known if known is not None else self._labels()
        unused = unused_columns(columns, labels)
        if spec is not None:
            refuse_renamed(columns, labels, spec.unused)
        parts = {name: columns_to_array(self.X, list(wanted)) for name, wanted in labels.items()}
        return parts, InputSpec(labels={name: tuple(wanted) for name, wanted in labels.items()}, unused=unused)

    @cached_property
    def _matched(self):
        return match_columns(self.X, self.modalities, "drop")

    def labels(self):
        """Labels of the columns of each modality; the others are left out."""
        return self._matched

    def unused(self):
        """Labels of the columns that belong to no modality."""
        return unused_columns(frame_columns(self.X), self.labels())

    def frame(self, names, labels=None):
        """The columns of some modalities, under the names of their features."""
        labels = self.labels() if labels is None else labels
        chosen = select_columns(self.X, [label for name in names for label in labels[name]])
        if has_two_levels(chosen):
            chosen = chosen.set_axis([label[1] for label in frame_columns(chosen)], axis=1)
        return chosen

    def as_container(self, labels=None, unused=()):
        """X as `MultimodalData`, text included; a modality of `labels` that it lacks wholly is missing."""
        if labels is not None:
            refuse_renamed(frame_columns(self.X), labels, unused)
        return MultimodalData.from_columns(self.X, self.labels() if labels is None else labels)

    def _labels(self):
        """Columns of each modality at fit, all of which the frame must have."""
        if self.modalities is None:
            return match_columns(self.X, None)
        columns = frame_columns(self.X)
        labels = resolve_labels(self.modalities, columns)
        for name, wanted in labels.items():
            absent = next((label for label in wanted if label not in columns), None)
            if absent is not None:
                raise ValueError(
                    f"modalities[{name!r}] asks for column {absent!r}, which X lacks{did_you_mean(absent, columns)}"
                )
        return labels

    def _resolved(self):
        known = set(frame_columns(self.X))
        groups = resolve_labels(self.modalities, frame_columns(self.X))
        return {name: [label for label in labels if label in known] for name, labels in groups.items()}

    def _values(self, columns):
        return frame_to_array(select_columns(self.X, columns)) if columns else np.empty((len(self.X), 0))


class PandasForm(_FrameForm):
    """A DataFrame of pandas."""

    def with_presence(self, keep):
        """X with modalities missing where `keep` (n_rows, n_modalities) is False."""
        mask = np.zeros(self.X.shape, dtype=bool)
        for m, labels in enumerate(self.groups().values()):
            mask[np.ix_(~keep[:, m], [self.X.columns.get_loc(label) for label in labels])] = True
        return self.X.mask(mask)

    def replaced(self, changes):
        """X with other numbers in some rows: `changes` has rows and values by name of the modality."""
        replaced, groups = self.X.copy(), self.groups()
        for name, (rows, values) in changes.items():
            for label, column in zip(groups[name], values.T, strict=True):
                replaced[label] = _with_rows(self._values([label])[:, 0], rows, column)
        return replaced

    def permuted(self, name, order):
        """X with the rows of one modality in another order."""
        permuted = self.X.copy()
        for label in self.groups()[name]:
            permuted[label] = self.X[label].to_numpy()[order]
        return permuted

    def stacked(self, others):
        """X with further X of the same form below it."""
        import pandas as pd

        return pd.concat([self.X, *others])


class PolarsForm(_FrameForm):
    """A DataFrame of polars, or of a library that is used as it is."""

    def with_presence(self, keep):
        """X with modalities missing where `keep` (n_rows, n_modalities) is False."""
        frame, columns = type(self.X), {}
        for m, labels in enumerate(self.groups().values()):
            for label in labels:
                values = zip(self.X[label].to_list(), keep[:, m], strict=True)
                blanked = [value if here else None for value, here in values]
                columns[label] = frame({label: blanked}, strict=False)[label]
        return self.X.with_columns(**columns)

    def replaced(self, changes):
        """X with other numbers in some rows: `changes` has rows and values by name of the modality."""
        frame, groups, columns = type(self.X), self.groups(), {}
        for name, (rows, values) in changes.items():
            for label, column in zip(groups[name], values.T, strict=True):
                columns[label] = frame({label: _with_rows(self._values([label])[:, 0], rows, column)})[label]
        return self.X.with_columns(**columns)

    def permuted(self, name, order):
        """X with the rows of one modality in another order."""
        return self.X.with_columns(**{label: self.X[label][order] for label in self.groups()[name]})

    def stacked(self, others):
        """X with further X of the same form below it."""
        import polars as pl

        return pl.concat([self.X, *others], how="vertical_relaxed")


def _have_two_levels(labels):
    return any(isinstance(label, tuple) for group in labels.values() for label in group)


def _blanked(array, rows, name):
    """A copy without the given rows: NaN in tables of numbers, masked in other numbers, None in anything else."""
    array = np.asanyarray(array)
    if array.dtype.kind not in "biuf":
        blanked = np.array(array, dtype=object)
        blanked[rows] = None
        return blanked
    if np.ma.isMaskedArray(array) or (array.dtype.kind != "f" and array.ndim != 2):
        return row_masked(array, ~rows & ~missing_rows(array), name)
    blanked = np.array(array, dtype=np.result_type(array.dtype, np.float16))
    blanked[rows] = np.nan
    return blanked


def _with_rows(column, rows, values):
    """A copy as floats with other values in some rows."""
    column = _as_numbers(column)
    changed = column.astype(np.result_type(column.dtype, np.float32))
    changed[rows] = values
    return changed


def _as_numbers(array):
    """Objects that are numbers and None as numbers and NaN; anything else as it is."""
    numbers = as_numbers(array) if array.dtype.kind == "O" else array
    return array if numbers is None else numbers


def _as_kind(values, array):
    """Numbers as integers or flags like those of an array, within what it holds: codes beyond would mean nothing."""
    nearest = np.clip(np.rint(values), array.min(), array.max())
    return nearest.astype(array.dtype)


def _is_list_of_tables(X):
    """Whether X is a list of 2-D arrays: modalities without names."""
    return isinstance(X, list | tuple) and len(X) > 0 and getattr(X[0], "ndim", 0) >= 2
