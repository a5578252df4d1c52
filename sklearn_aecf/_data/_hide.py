"""Presence of modalities in any form of X, and the same X with some of them hidden."""

from collections.abc import Mapping

import numpy as np

from sklearn_aecf._data._container import MultimodalData
from sklearn_aecf._data._groups import has_two_levels, match_columns, resolve_labels, resolve_positions
from sklearn_aecf._data._values import frame_columns, frame_to_array, is_frame, missing_rows, select_columns


def presence(X, modalities=None):
    """Modalities of X and which row has which.

    Parameters
    ----------
    X : dict, MultimodalData, array-like or DataFrame
    modalities : dict of str to columns, default=None
        Column groups, for an array or a DataFrame with columns of one level.

    Returns
    -------
    names : tuple of str
    present : ndarray of bool, shape (n_rows, n_modalities)
    """
    if isinstance(X, Mapping):
        container = _container(X)
        return container.names, container.present
    groups = _groups(X, modalities)
    if is_frame(X):
        parts = [
            frame_to_array(select_columns(X, labels)) if labels else np.empty((len(X), 0)) for labels in groups.values()
        ]
    else:
        parts = [np.asarray(X)[:, positions] for positions in groups.values()]
    return tuple(groups), np.column_stack([~missing_rows(part) for part in parts])


def with_presence(X, keep, modalities=None):
    """X with the modalities missing where `keep` is False; the same form, the caller's own untouched.

    Parameters
    ----------
    X : dict, MultimodalData, array-like or DataFrame
    keep : ndarray of bool, shape (n_rows, n_modalities)
        In the order that `presence` gives.
    modalities : dict of str to columns, default=None

    Returns
    -------
    As X
    """
    if isinstance(X, Mapping):
        container = _container(X)
        arrays = {
            name: _blanked(array, ~keep[:, m]) if not keep[:, m].all() else array
            for m, (name, array) in enumerate(container.items())
        }
        return _like(X, arrays)
    groups = _groups(X, modalities)
    if is_frame(X):
        return _blanked_frame(X, groups, keep)
    blanked = np.array(X, dtype=np.result_type(np.asarray(X).dtype, np.float16))
    for m, positions in enumerate(groups.values()):
        blanked[np.ix_(~keep[:, m], positions)] = np.nan
    return blanked


def _container(X):
    return X if isinstance(X, MultimodalData) else MultimodalData(X)


def _like(X, arrays):
    """The arrays as a MultimodalData or a SliceDict where X is one, else as a dict."""
    if isinstance(X, MultimodalData):
        return MultimodalData._from_arrays(arrays, X._feature_names)
    return type(X)(**arrays) if isinstance(X, dict) and type(X) is not dict else arrays


def _groups(X, modalities):
    if is_frame(X):
        if modalities is None and has_two_levels(X):
            return match_columns(X, None)
        if modalities is not None:
            # Columns that the frame lacks are missing values.
            known = set(frame_columns(X))
            groups = resolve_labels(modalities, frame_columns(X))
            return {name: [label for label in labels if label in known] for name, labels in groups.items()}
    elif modalities is not None:
        return resolve_positions(modalities, np.asarray(X).shape[1])
    raise ValueError(
        "X has columns of one table, so its modalities are unknown; give modalities=, e.g. "
        "{'image': slice(0, 512), 'audio': slice(512, 576)}."
    )


def _blanked(array, rows):
    """A copy without the given rows: NaN in numbers, None in anything else."""
    if array.dtype.kind in "biuf":
        blanked = np.array(array, dtype=np.result_type(array.dtype, np.float16))
        blanked[rows] = np.nan
    else:
        blanked = np.array(array, dtype=object)
        blanked[rows] = None
    return blanked


def _blanked_frame(X, groups, keep):
    if hasattr(X, "iloc"):
        mask = np.zeros(X.shape, dtype=bool)
        for m, labels in enumerate(groups.values()):
            mask[np.ix_(~keep[:, m], [X.columns.get_loc(label) for label in labels])] = True
        return X.mask(mask)
    columns = {}
    for m, labels in enumerate(groups.values()):
        for label in labels:
            columns[label] = [
                value if here else None for value, here in zip(X[label].to_list(), keep[:, m], strict=True)
            ]
    return X.with_columns(**{label: type(X)({label: values}, strict=False)[label] for label, values in columns.items()})


def permute_rows(X, name, order, modalities=None):
    """X with the rows of one modality in another order; the same form, the caller's own untouched."""
    if isinstance(X, Mapping):
        container = _container(X)
        arrays = {**container, name: container[name][order]}
        return _like(X, arrays)
    columns = _groups(X, modalities)[name]
    if not is_frame(X):
        permuted = np.array(X)
        permuted[:, columns] = permuted[np.ix_(order, columns)]
        return permuted
    if hasattr(X, "iloc"):
        permuted = X.copy()
        for label in columns:
            permuted[label] = X[label].to_numpy()[order]
        return permuted
    return X.with_columns(**{label: X[label][order] for label in columns})


def stack_rows(parts):
    """Several X of the same form, one below the other."""
    first = parts[0]
    if isinstance(first, Mapping):
        containers = [_container(part) for part in parts]
        arrays = {name: np.concatenate([part[name] for part in containers]) for name in containers[0]}
        return _like(first, arrays)
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat(parts)
    if is_frame(first):
        import polars as pl

        return pl.concat(parts, how="vertical_relaxed")
    return np.concatenate([np.asarray(part) for part in parts])
