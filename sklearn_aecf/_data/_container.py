"""MultimodalData: named arrays with the same rows, which scikit-learn can slice."""

import math
from collections.abc import Mapping

import numpy as np

from sklearn_aecf._data._groups import as_slice, match_columns, refuse_other_rows, refuse_twins, resolve_positions
from sklearn_aecf._data._values import (
    as_array,
    columns_to_array,
    did_you_mean,
    frame_columns,
    is_frame,
    is_missing,
    missing_rows,
    plain,
    quoted,
    row_masked,
    same_rows,
)

_REPR_BYTES = 100e6  # above this, counting what is missing would make a repr slow


class MultimodalData(Mapping):
    """Named arrays with the same rows, one per modality, which scikit-learn can slice.

    A plain dict of arrays counts its keys as rows in scikit-learn, and so cannot be split, searched over or
    cross-validated. This container can: its length is the number of rows, and indexing it by rows slices every
    modality. It never changes or copies the arrays that it is given; each keeps its own dtype, and what lies on disk
    stays there until rows are taken: memory-mapped arrays, datasets of h5py, arrays of zarr, and any other object of
    numbers that has ``shape``, ``dtype`` and ``object[start:stop]`` for rows.

    Parameters
    ----------
    data : mapping of str to array-like
        One entry per modality: an array of shape ``(n_rows, n_features)``, a DataFrame, a torch tensor, or None for
        a modality that no row has. A row of NaN means that the modality is missing in that row. Raw data for a
        transformer (strings, paths, images), or for an encoder of its own, may have any dtype and any number of
        dimensions from one up.
    feature_names : mapping of str to list of str, optional
        Names of the features of some modalities; those of DataFrames are known.
    present : mapping of str to array-like of bool, shape (n_rows,), optional
        Which rows have a modality, where its values cannot say so: of integers or bytes, which cannot be NaN. What
        stands in the other rows has no influence. ``X[name]`` is then a masked array.

    Attributes
    ----------
    shape : tuple (n_rows, n_features)
        Features of all modalities together; a raw 1-D modality counts as one.
    present : ndarray of bool, shape (n_rows, n_modalities)
        True where a row has the modality.
    names : tuple of str
        Modalities in order.

    Raises
    ------
    TypeError
        If `data` is no mapping, a name is no string, or the values of a modality are no array.
    ValueError
        If there is no modality, or the modalities differ in their number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf import MultimodalData
    >>> X = MultimodalData({"image": np.ones((4, 3)), "audio": np.zeros((4, 2))})
    >>> len(X), X.shape, list(X)
    (4, (4, 5), ['image', 'audio'])
    >>> X[1:3]["audio"].shape
    (2, 2)
    """

    def __init__(self, data, *, feature_names=None, present=None):
        if not isinstance(data, Mapping):
            raise TypeError(
                f"MultimodalData needs a dict of arrays, one per modality. Got {type(data).__name__}; "
                "for a DataFrame use MultimodalData.from_frame(frame, groups)."
            )
        arrays, known = read_mapping(data)
        _refuse_no_dict(present=present, feature_names=feature_names)
        for name, flags in (present or {}).items():
            _refuse_unknown("present", name, arrays)
            arrays[name] = row_masked(arrays[name], flags, name)
        self._arrays = same_rows(arrays)
        for name, names in (feature_names or {}).items():
            _refuse_unknown("feature_names", name, arrays)
            if isinstance(names, str) or not hasattr(names, "__len__"):
                raise TypeError(f"feature_names[{name!r}] must be a list of names, one a feature. Got {names!r}.")
            if len(names) != _width(self._arrays[name]):
                raise ValueError(
                    f"feature_names[{name!r}] has {len(names)} names, but modality {name!r} has "
                    f"{_width(self._arrays[name])} features; give one name a feature."
                )
            refuse_twins(names, f"Modality {name!r}")
            known[name] = tuple(map(str, names))
        self._feature_names = known

    @classmethod
    def _from_arrays(cls, arrays, feature_names):
        container = cls.__new__(cls)
        container._arrays = arrays
        container._feature_names = {name: names for name, names in feature_names.items() if name in arrays}
        return container

    # Mapping of names to arrays

    def __len__(self):
        return len(next(iter(self._arrays.values())))

    def __iter__(self):
        return iter(self._arrays)

    def __contains__(self, name):
        return name in self._arrays

    def __eq__(self, other):
        if not isinstance(other, Mapping) or list(self.keys()) != list(other.keys()):
            return NotImplemented if not isinstance(other, Mapping) else False
        return all(_equal_arrays(self[name], np.asanyarray(other[name])) for name in self)

    __hash__ = None

    def keys(self):
        """Names of the modalities, in order.

        Returns
        -------
        view of str
            In the order of `names`.
        """
        return self._arrays.keys()

    def values(self):
        """Arrays of the modalities, in order.

        Returns
        -------
        view of ndarray
            In the order of `names`.
        """
        return self._arrays.values()

    def items(self):
        """Pairs of name and array, in order.

        Returns
        -------
        view of tuple (str, ndarray)
            In the order of `names`.
        """
        return self._arrays.items()

    def __getitem__(self, key):
        """A modality's array (a name), some modalities (names), or some rows (everything else).

        ``X[rows, columns]`` gives columns of ``numpy.asarray(X)``, an array.

        Parameters
        ----------
        key : str, list of str, int, slice, mask, index array, (rows, Ellipsis) or (rows, columns)

        Returns
        -------
        ndarray for a name or columns, else MultimodalData
        """
        if isinstance(key, str):
            if key not in self._arrays:
                raise KeyError(f"No modality {key!r}; there are {quoted(self)}.")
            return self._arrays[key]
        if isinstance(key, tuple) and len(key) == 2:
            rows, columns = key
            if not (columns is Ellipsis or _is_full_slice(columns)):
                # Tools that cut columns want an array: there the modalities stand side by side.
                try:
                    return np.asarray(self[rows])[:, columns]
                except (IndexError, TypeError, ValueError) as error:
                    raise IndexError(f"{columns!r} cannot choose among {self.shape[1]} columns.") from error
            key = rows
        if isinstance(key, tuple) and not key:
            return self._rows(slice(None))
        if isinstance(key, slice):
            try:
                key.indices(len(self))
            except (TypeError, ValueError) as error:
                raise IndexError(f"{key} cannot choose among {len(self)} rows.") from error
            return self._rows(key)
        if isinstance(key, int | np.integer):
            return self._rows(self._checked_rows(np.asarray([key])))
        key = np.asarray(key)
        if key.dtype.kind in "UO" and key.size and all(isinstance(name, str) for name in key.ravel()):
            return self._from_arrays({name: self[name] for name in key.ravel().tolist()}, self._feature_names)
        return self._rows(self._checked_rows(key))

    def __setitem__(self, key, value=None):
        raise TypeError(
            "MultimodalData cannot be assigned into. Build a new one: MultimodalData({**X, 'name': new_array})."
        )

    __delitem__ = __setitem__

    def _checked_rows(self, rows):
        n_rows = len(self)
        if rows.ndim != 1:
            raise IndexError(f"Rows must be chosen by a 1-D index or mask. Got an index with {rows.ndim} dimensions.")
        if rows.dtype.kind == "b":
            if len(rows) != n_rows:
                raise IndexError(f"The mask has {len(rows)} entries, but there are {n_rows} rows.")
            return np.flatnonzero(rows)
        if rows.size == 0:
            return rows.astype(np.intp)
        if rows.dtype.kind not in "iu":
            raise IndexError(f"Rows must be chosen by integers, a mask or a slice. Got dtype {rows.dtype}.")
        outside = rows[(rows < -n_rows) | (rows >= n_rows)]
        if outside.size:
            raise IndexError(f"Row {outside[0]} is out of range: there are {n_rows} rows.")
        return rows

    def _rows(self, rows):
        return self._from_arrays({name: array[rows] for name, array in self._arrays.items()}, self._feature_names)

    def take(self, indices, axis=0, out=None, mode="raise"):
        """Rows at the given positions, as ``numpy.take`` gives them.

        Parameters
        ----------
        indices : array-like of int, shape (n_taken,)
            Positions of the rows, in the order wanted.
        axis : {0, 1}, default=0
            1 takes columns of ``numpy.asarray(X)``.
        out : None
            As numpy passes it; only the default is accepted.
        mode : str, default="raise"
            As numpy passes it; only the default is accepted.

        Returns
        -------
        MultimodalData, or ndarray for columns
            The rows taken.
        """
        if axis not in (0, 1) or out is not None or mode != "raise":
            raise ValueError(
                "MultimodalData.take takes rows (axis=0) or columns (axis=1), with out=None and mode='raise'. "
                f"Got axis={axis!r}, out={out!r}, mode={mode!r}."
            )
        indices = np.atleast_1d(indices)
        indices = indices.astype(np.intp) if indices.size == 0 else indices
        return self[indices] if axis == 0 else self[:, indices]

    def copy(self):
        """A copy that shares no memory with this one.

        Returns
        -------
        MultimodalData
            With arrays of its own.
        """
        return self._from_arrays({name: array.copy() for name, array in self.items()}, self._feature_names)

    # What scikit-learn asks of an array

    @property
    def names(self):
        """Modalities in order, a tuple."""
        return tuple(self._arrays)

    @property
    def shape(self):
        """Rows, and the features of all modalities together."""
        return len(self), sum(map(_width, self.values()))

    @property
    def ndim(self):
        """Always 2: rows and features."""
        return 2

    @property
    def dtype(self):
        """The dtype that holds every modality: object as soon as one is raw."""
        if any(array.dtype.kind not in "biuf" for array in self.values()):
            return np.dtype(object)
        return np.result_type(*(_nan_dtype(array) for array in self.values()))

    @property
    def nbytes(self):
        """Bytes of all modalities together."""
        return sum(array.nbytes for array in self.values())

    def __sizeof__(self):
        """Bytes with the arrays: schedulers ask, and send what is large once and not with every task."""
        return object.__sizeof__(self) + self.nbytes

    @property
    def device(self):
        """Always ``"cpu"``: part of the array API standard."""
        return "cpu"

    def __array_namespace__(self, api_version=None):
        from sklearn.utils._array_api import get_namespace

        return get_namespace(np.empty(0))[0]

    def __array__(self, dtype=None, copy=None):
        """One 2-D array with the modalities side by side, NaN where they are missing."""
        raw = [name for name, array in self.items() if array.ndim != 2]
        if raw:
            raise ValueError(
                f"Modality {raw[0]!r} has {self[raw[0]].ndim} dimension(s), so X has no 2-D form; turn it into "
                "features first, with a ModalityTransformer."
            )
        return np.concatenate(
            [_with_nan(array) for array in self.values()], axis=1, dtype=self.dtype if dtype is None else dtype
        )

    # Missing modalities, column groups, DataFrames

    @property
    def present(self):
        """Which row has which modality, bool of shape (n_rows, n_modalities)."""
        return np.column_stack([~missing_rows(array) for array in self.values()])

    def column_groups(self):
        """Where each modality is among the columns of ``numpy.asarray(self)``.

        Returns
        -------
        dict of str to slice
            What ``AECFClassifier(modalities=...)`` takes, for tools that turn X into an array.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_aecf import MultimodalData
        >>> MultimodalData({"image": np.ones((4, 3)), "audio": np.zeros((4, 2))}).column_groups()
        {'image': slice(0, 3, None), 'audio': slice(3, 5, None)}
        """
        ends = np.cumsum([_width(array) for array in self.values()]).tolist()
        return {name: slice(start, end) for name, start, end in zip(self, [0, *ends], ends, strict=False)}

    @classmethod
    def from_frame(cls, frame, groups=None, *, remainder="error"):
        """Build from a DataFrame, pandas or polars.

        Parameters
        ----------
        frame : DataFrame
            Missing values of any kind (NaN, None, NA) become NaN.
        groups : dict of str to str or list of str, default=None
            The columns of each modality: names, or patterns such as ``"note_*"`` (as in ``fnmatch``). Without it,
            columns of two levels are grouped by the first.
        remainder : {"error", "drop"}, default="error"
            What happens to columns that belong to no modality.

        Returns
        -------
        MultimodalData

        Raises
        ------
        ValueError
            If a pattern matches no column, a column is claimed twice, or one is left over.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklearn_aecf import MultimodalData
        >>> frame = pd.DataFrame({"na": [140.0, None], "k": [4.1, None], "note_1": [0.2, 0.3]})
        >>> X = MultimodalData.from_frame(frame, {"labs": ["na", "k"], "notes": "note_*"})
        >>> X.present.tolist()
        [[True, True], [False, True]]
        """
        if not is_frame(frame):
            raise TypeError(f"from_frame needs a DataFrame. Got {type(frame).__name__}.")
        return cls.from_columns(frame, match_columns(frame, groups, remainder))

    @classmethod
    def from_columns(cls, frame, columns):
        """Build from a DataFrame and known labels; columns that it lacks are missing values.

        Parameters
        ----------
        frame : DataFrame
            A frame, of pandas or polars, with the columns of all modalities.
        columns : dict of str to list
            Labels of the columns of each modality, without patterns.

        Returns
        -------
        MultimodalData

        Examples
        --------
        >>> import pandas as pd
        >>> from sklearn_aecf import MultimodalData
        >>> frame = pd.DataFrame({"na": [140.0, 138.0]})
        >>> MultimodalData.from_columns(frame, {"labs": ["na", "k"], "notes": ["note"]}).present.tolist()
        [[True, False], [True, False]]
        """
        arrays = {name: columns_to_array(frame, labels) for name, labels in columns.items()}
        feature_names = {
            name: tuple(str(label[-1] if isinstance(label, tuple) else label) for label in labels)
            for name, labels in columns.items()
        }
        return cls(arrays, feature_names={k: v for k, v in feature_names.items() if arrays[k] is not None})

    @classmethod
    def from_array(cls, array, groups):
        """Build from a 2-D array.

        Parameters
        ----------
        array : array-like of shape (n_rows, n_columns)
            A table with the columns of all modalities; NaN where a value is missing.
        groups : dict of str to slice, list of int or mask
            The columns of each modality; the others are left out.

        Returns
        -------
        MultimodalData

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_aecf import MultimodalData
        >>> MultimodalData.from_array(np.ones((4, 5)), {"image": slice(0, 3), "audio": [3, 4]}).shape
        (4, 5)
        """
        array = as_array(array, "X")
        if array.ndim != 2:
            raise ValueError(f"from_array needs a 2-D array. Got {array.ndim}-D of shape {array.shape}.")
        positions = resolve_positions(groups, array.shape[1])
        return cls({name: array[:, as_slice(columns)] for name, columns in positions.items()})

    def feature_names(self, name):
        """Names of a modality's features: its columns if it came from a DataFrame, else "0", "1", ...

        Parameters
        ----------
        name : str
            Name of the modality.

        Returns
        -------
        list of str
            One a feature.
        """
        known = self._feature_names.get(name)
        return list(known) if known else [str(index) for index in range(_width(self[name]))]

    @property
    def known_feature_names(self):
        """Names of the features of those modalities that have any, a dict of tuples."""
        return dict(self._feature_names)

    def to_frame(self):
        """A pandas DataFrame with columns of two levels: modality and feature.

        Returns
        -------
        pandas.DataFrame
            `from_frame` turns it back into the same modalities.
        """
        import pandas as pd

        labels, columns = self._labelled_columns()
        index = pd.MultiIndex.from_tuples(labels, names=["modality", "feature"])
        return pd.DataFrame(dict(enumerate(columns))).set_axis(index, axis=1)

    def _to_flat_frame(self):
        """A polars DataFrame with columns called ``modality__feature``."""
        import polars as pl

        labels, columns = self._labelled_columns()
        names = [f"{name}__{feature}" for name, feature in labels]
        refuse_twins(names, "The frame")
        values = [column.tolist() if column.dtype.kind == "O" else column for column in columns]
        return pl.DataFrame(dict(zip(names, values, strict=True)))

    def _labelled_columns(self):
        """Pairs of modality and feature, and as many columns."""
        labels = [(name, feature) for name in self for feature in self.feature_names(name)]
        # No frame takes numbers with the bytes in another order than this machine's.
        arrays = [_with_nan(array).reshape(len(self), _width(array)) for array in self.values()]
        return labels, [c for array in arrays for c in array.astype(array.dtype.newbyteorder("="), copy=False).T]

    def __repr__(self):
        shares = 1 - self.present.mean(axis=0) if 0 < self.nbytes < _REPR_BYTES else np.zeros(len(self.names))
        parts = [
            f"{name}: {_shape_text(array)} {array.dtype}" + (f", {share:.0%} missing" if share else "")
            for (name, array), share in zip(self.items(), shares, strict=True)
        ]
        return f"MultimodalData({len(self)} rows; {'; '.join(parts)})"


def read_mapping(data):
    """Arrays of a mapping by name, None where a modality is None, and the names of features that came with any.

    Parameters
    ----------
    data : dict, MultimodalData or SliceDict

    Returns
    -------
    arrays : dict of str to ndarray or None
    feature_names : dict of str to tuple of str
    """
    if len(data.keys()) == 0:
        raise ValueError("X is an empty dict; give at least one modality, e.g. {'image': array}.")
    arrays, feature_names, indexes = {}, dict(getattr(data, "known_feature_names", {})), {}
    for name in data.keys():  # noqa: SIM118, a SliceDict iterates over its keys only by accident
        if not isinstance(name, str):
            raise TypeError(f"Names of modalities must be strings. Got {name!r} ({type(name).__name__}).")
        value = data[name]
        arrays[name] = None if value is None else as_array(value, name)
        if is_frame(value):
            refuse_twins(frame_columns(value), f"Modality {name!r}")
            feature_names[name] = tuple(map(str, frame_columns(value)))
        if hasattr(value, "iloc"):
            indexes[name] = value.index
    refuse_other_rows(indexes)
    return arrays, feature_names


def _refuse_no_dict(**parameters):
    for parameter, value in parameters.items():
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(f"{parameter} must be a dict by name of the modality. Got {type(value).__name__}.")


def _refuse_unknown(parameter, name, arrays):
    if name in arrays and arrays[name] is None:
        raise ValueError(f"{parameter} names modality {name!r}, which is None: no row has it.")
    if name not in arrays:
        raise ValueError(
            f"{parameter} names modality {name!r}, which X lacks{did_you_mean(name, arrays)} Modalities: "
            f"{quoted(arrays)}."
        )


def _nan_dtype(array):
    """The dtype of an array once its masked rows are NaN."""
    return np.result_type(array.dtype, np.float16) if isinstance(array, np.ma.MaskedArray) else array.dtype


def _with_nan(array):
    """The values, NaN in masked rows."""
    if not isinstance(array, np.ma.MaskedArray):
        return np.asarray(array)
    if array.dtype.kind not in "biufc":
        values = array.data.astype(object)
        values[array.mask] = None
        return values
    return array.astype(_nan_dtype(array)).filled(np.nan)


def _equal_arrays(one, other):
    if isinstance(one, np.ma.MaskedArray) or isinstance(other, np.ma.MaskedArray):
        one_missing, other_missing = missing_rows(one), missing_rows(other)
        if not np.array_equal(one_missing, other_missing):
            return False
        one, other = plain(one)[~one_missing], plain(other)[~other_missing]
    if one.dtype.kind == "O" or other.dtype.kind == "O":
        return one.shape == other.shape and all(map(_equal_items, one.ravel(), other.ravel()))
    numeric = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return np.array_equal(one, other, equal_nan=numeric)


def _equal_items(one, other):
    """Whether two objects are equal, or both stand for no value."""
    if is_missing(one) or is_missing(other):
        return is_missing(one) and is_missing(other)
    if np.ndim(one) > 0 or np.ndim(other) > 0:
        return _equal_arrays(np.asarray(one), np.asarray(other))
    return bool(one == other)


def _width(array):
    return math.prod(array.shape[1:]) if array.ndim > 1 else 1


def _shape_text(array):
    return "raw" if array.ndim == 1 else " x ".join(map(str, array.shape[1:]))


def _is_full_slice(key):
    return isinstance(key, slice) and key == slice(None)
