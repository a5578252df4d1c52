"""Which columns belong to which modality."""

import fnmatch
from collections.abc import Mapping

import numpy as np

from sklearn_aecf._data._values import frame_columns


def has_two_levels(frame):
    """Whether the columns of a DataFrame have two levels, of which the first names the modality."""
    return getattr(frame.columns, "nlevels", 1) == 2


def match_columns(frame, groups, remainder="drop"):
    """Columns of each modality of a DataFrame.

    Parameters
    ----------
    frame : DataFrame
    groups : dict of str to str or list of str, or None
        None groups two-level columns by the first level.
    remainder : {"error", "drop"}

    Returns
    -------
    dict of str to list
        Labels of columns in the order of the frame (patterns) or of the list (names).
    """
    columns = frame_columns(frame)
    if groups is None:
        if not has_two_levels(frame):
            raise ValueError(
                "The frame's columns have one level, so their modalities are unknown; give groups, "
                "e.g. {'labs': ['na', 'k'], 'notes': 'note_*'}."
            )
        return {str(first): [c for c in columns if c[0] == first] for first in dict.fromkeys(c[0] for c in columns)}
    if remainder not in ("error", "drop"):
        raise ValueError(f"remainder must be 'error' or 'drop'. Got {remainder!r}.")
    matched = {}
    for name, patterns in _checked_groups(groups).items():
        if isinstance(patterns, slice) or _all_integers(patterns):
            matched[name] = [columns[i] for i in resolve_positions({name: patterns}, len(columns))[name]]
            continue
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        matched[name] = [label for pattern in patterns for label in _matching(columns, pattern, name)]
    _refuse_overlap(matched)
    _refuse_duplicates(matched, columns)
    taken = {label for labels in matched.values() for label in labels}
    rest = [label for label in columns if label not in taken]
    if rest and remainder == "error":
        raise ValueError(
            f"Column {rest[0]!r} belongs to no modality ({len(rest)} such in all); add it to a group or pass "
            "remainder='drop'."
        )
    return matched


def resolve_labels(groups, columns):
    """Labels of each modality's columns, from labels, positions or slices, whether the frame has them or not."""
    resolved = {}
    for name, group in _checked_groups(groups).items():
        if isinstance(group, str):
            resolved[name] = _matching(columns, group, name) if "*" in group else [group]
        elif isinstance(group, slice) or _all_integers(group):
            resolved[name] = [columns[i] for i in resolve_positions({name: group}, len(columns))[name]]
        else:
            resolved[name] = list(group)
    _refuse_overlap(resolved)
    _refuse_duplicates(resolved, columns)
    return resolved


def resolve_positions(groups, n_columns):
    """Positions of each modality's columns in an array.

    Parameters
    ----------
    groups : dict of str to slice, int, list of int or mask
    n_columns : int

    Returns
    -------
    dict of str to ndarray of int
    """
    resolved = {}
    for name, group in _checked_groups(groups).items():
        if isinstance(group, str) or (not isinstance(group, slice) and _any_strings(group)):
            raise ValueError(
                f"modalities gives column names for {name!r}, but X is an array without names. Give positions, e.g. "
                f"{{{name!r}: slice(0, 16)}}, or pass a DataFrame."
            )
        if isinstance(group, slice):
            if group.stop is not None and group.stop > n_columns:
                raise ValueError(_outside(name, group.stop - 1, n_columns))
            positions = np.arange(n_columns)[group]
        else:
            positions = np.atleast_1d(np.asarray(group))
            if positions.size == 0:
                positions = positions.astype(np.intp)
            elif positions.dtype.kind == "b":
                positions = np.flatnonzero(positions)
            elif positions.dtype.kind not in "iu":
                raise ValueError(f"modalities[{name!r}] must be a slice or a list of column positions. Got {group!r}.")
            wrong = positions[(positions < -n_columns) | (positions >= n_columns)]
            if wrong.size:
                raise ValueError(_outside(name, int(wrong[0]), n_columns))
            positions = positions % n_columns
        if positions.size == 0:
            raise ValueError(f"modalities[{name!r}] selects no column; give every modality at least one.")
        resolved[name] = positions
    _refuse_overlap({name: positions.tolist() for name, positions in resolved.items()})
    return resolved


def as_slice(positions):
    """The slice that selects the same columns (so that no copy is made), or the positions themselves."""
    start, stop = int(positions[0]), int(positions[-1]) + 1
    return slice(start, stop) if np.array_equal(positions, np.arange(start, stop)) else positions


def _checked_groups(groups):
    if not isinstance(groups, Mapping) or len(groups) == 0:
        raise TypeError(
            "modalities must be a dict of modality to columns, e.g. {'image': slice(0, 512), 'audio': [512, 513]}. "
            f"Got {groups!r}."
        )
    for name in groups:
        if not isinstance(name, str):
            raise TypeError(f"Names of modalities must be strings. Got {name!r} ({type(name).__name__}).")
    return groups


def _matching(columns, pattern, name):
    if pattern in columns:
        return [pattern]
    hits = fnmatch.filter([c for c in columns if isinstance(c, str)], pattern) if isinstance(pattern, str) else []
    if not hits:
        raise ValueError(f"No column matches {pattern!r}, given for modality {name!r}. Columns: {_some(columns)}.")
    return hits


def _refuse_overlap(columns):
    owner = {}
    for name, labels in columns.items():
        for label in labels:
            if label in owner:
                where = f"modalities {owner[label]!r} and {name!r}" if owner[label] != name else f"{name!r} twice"
                raise ValueError(f"Column {label!r} belongs to {where}; every column may belong to one modality only.")
            owner[label] = name


def _refuse_duplicates(groups, columns):
    for name, labels in groups.items():
        for label in labels:
            if columns.count(label) > 1:
                raise ValueError(
                    f"Column {label!r} of modality {name!r} occurs {columns.count(label)} times in the frame; rename "
                    "the duplicates."
                )


def _outside(name, position, n_columns):
    return f"modalities[{name!r}] asks for column {position}, but X has {n_columns} columns (0 to {n_columns - 1})."


def _all_integers(group):
    return (
        not isinstance(group, str)
        and np.asarray(group, dtype=object).size > 0
        and all(isinstance(label, int | np.integer | np.bool_) for label in np.asarray(group, dtype=object).ravel())
    )


def _any_strings(group):
    return any(isinstance(label, str) for label in np.atleast_1d(np.asarray(group, dtype=object)).ravel())


def _some(columns):
    shown = ", ".join(repr(column) for column in columns[:8])
    return shown + (", ..." if len(columns) > 8 else "")
