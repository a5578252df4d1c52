"""Which columns belong to which modality."""

import difflib
import fnmatch
from collections.abc import Mapping

import numpy as np

from sklearn_aecf._data._caller import warn_caller
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
        grouped = {str(first): [c for c in columns if c[0] == first] for first in dict.fromkeys(c[0] for c in columns)}
        for name, labels in grouped.items():
            refuse_twins([label[1] for label in labels], f"Modality {name!r}")
        return grouped
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
        if isinstance(group, slice) or _all_integers(group):
            resolved[name] = [columns[i] for i in resolve_positions({name: group}, len(columns))[name]]
            continue
        labels = [group] if isinstance(group, str) else list(group)
        if not labels:
            raise ValueError(f"modalities[{name!r}] selects no column; give every modality at least one.")
        # A name may have brackets; only what the frame lacks is read as a pattern.
        resolved[name] = [
            hit for label in labels for hit in (_matching(columns, label, name) if _is_pattern(label) else [label])
        ]
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
            try:
                if group.stop is not None and group.stop > n_columns:
                    raise ValueError(_outside(name, group.stop - 1, n_columns))
                positions = np.arange(n_columns)[group] if group.step != 0 else np.empty(0, dtype=np.intp)
            except TypeError:
                raise TypeError(f"modalities[{name!r}] must be a slice of positions. Got {group!r}.") from None
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
    for name, group in groups.items():
        if not isinstance(name, str):
            raise TypeError(f"Names of modalities must be strings. Got {name!r} ({type(name).__name__}).")
        plural = not isinstance(group, str | bytes | Mapping) and is_flat(group)
        if not (plural or isinstance(group, str | slice | int | np.integer)):
            raise TypeError(
                f"modalities[{name!r}] must be a column, a list of columns, a pattern or a slice. Got {group!r}."
            )
    return groups


def is_flat(values):
    """Whether values have one dimension; a ragged list has no number of them."""
    try:
        return np.ndim(values) == 1
    except ValueError:
        return False  # of different lengths


def _matching(columns, pattern, name):
    if pattern in columns:
        return [pattern]
    hits = fnmatch.filter([c for c in columns if isinstance(c, str)], pattern) if isinstance(pattern, str) else []
    if not hits:
        raise ValueError(f"No column matches {pattern!r}, given for modality {name!r}. Columns: {_some(columns)}.")
    return hits


def _is_pattern(label):
    return isinstance(label, str) and any(sign in label for sign in "*?[")


def warn_one_table(columns):
    """Say that a table without groups of columns is one modality, and how to say that it is meant.

    Parameters
    ----------
    columns : sequence of labels of a DataFrame, or int
        Of an array the number of them.
    """
    if isinstance(columns, int):
        half = columns // 2
        example = f"{{'one': slice(0, {half}), 'other': slice({half}, {columns})}}"
        remedy = f"modalities={example}, or X.column_groups() of a MultimodalData"
        columns = range(columns)
    else:
        remedy = f"modalities={{'one': [{columns[0]!r}, ...], 'other': [{columns[-1]!r}, ...]}}"
    if len(columns) > 1:
        warn_caller(
            f"X is one table of {len(columns)} columns without modalities, so all of it is one modality: no part of it "
            f"can be missing or be weighed alone. Say which columns belong together, e.g. {remedy}. If they all do, "
            "modalities={'X': slice(None)} says so."
        )


def tell_unused(unused, n_columns, verbose=0):
    """Say which columns belong to no modality: a warning where most do not, a line where that is wanted.

    Parameters
    ----------
    unused : sequence
        Labels or positions, one at least.
    n_columns : int
        Of X.
    verbose : int
    """
    told = f"In no modality, and so not used: {len(unused)} of {n_columns} columns of X ({_some(list(unused))})."
    if 2 * len(unused) > n_columns:
        warn_caller(f"{told} Add them to a group of modalities=, or leave them out of X.")
    elif verbose > 0:
        print(told)


def unused_columns(columns, labels):
    """Columns that belong to no modality, a tuple."""
    taken = {label for wanted in labels.values() for label in wanted}
    return tuple(label for label in columns if label not in taken)


_REMEDY = (
    "Give columns their names of fit, with NaN where values are unknown; leave a modality out as a whole where it is "
    "missing."
)


def refuse_renamed(columns, labels, unused=()):
    """Raise where columns of fit are absent, but not as a whole modality is: their values would be lost in silence.

    Parameters
    ----------
    columns : list
        Of X.
    labels : dict of str to sequence
        Columns of each modality at fit.
    unused : sequence
        Columns of fit that belonged to no modality.
    """
    known, expected = set(columns), {label for wanted in labels.values() for label in wanted}
    absent = {name: [label for label in wanted if label not in known] for name, wanted in labels.items()}
    absent = {name: lost for name, lost in absent.items() if lost}
    if not absent:
        return
    familiar = expected.union(unused)
    new = [label for label in columns if label not in familiar]
    if all(len(lost) == len(labels[name]) for name, lost in absent.items()) and not new:
        if expected & known:
            return
        first = next(iter(labels.values()))[0]
        raise ValueError(f"X has none of the columns of any modality; expected columns such as {first!r}.")
    partly = [name for name, lost in absent.items() if len(lost) < len(labels[name])]
    name = partly[0] if partly else next(iter(absent))
    lost = absent[name][0]
    closest = difflib.get_close_matches(str(lost), list(map(str, new)), n=1, cutoff=0.3)
    more = f", but has {(closest or new)[0]!r}, which was not there at fit" if new else ""
    more += f"; did you mean {str(lost)!r}?" if closest else "."
    raise ValueError(
        f"X lacks {len(absent[name])} of {len(labels[name])} columns of modality {name!r}, e.g. {lost!r}{more} "
        f"{_REMEDY}"
    )


def refuse_twins(labels, what):
    """Raise where two columns have one name, which 1 and "1" are, too; `what` begins the sentence."""
    names = list(map(str, labels))
    twin = next((label for label in names if names.count(label) > 1), None) if len(set(names)) < len(names) else None
    if twin is not None:
        raise ValueError(f"{what} has {names.count(twin)} columns named {twin!r}; give each a name of its own.")


def refuse_other_rows(indexes):
    """Raise where pandas objects that are joined by position have rows of other names, or in another order.

    Parameters
    ----------
    indexes : dict of str to pandas.Index
        By modality. An index that only counts the rows says nothing, unless another one has its labels in disorder.
    """
    first = next((name for name, index in indexes.items() if not only_counts(index)), None)
    for name, index in indexes.items() if first is not None else ():
        names = indexes[first]
        if len(index) != len(names) or index.equals(names):
            continue
        in_disorder = names.dtype.kind in "iu" and np.array_equal(np.sort(names), np.arange(len(names)))
        if only_counts(index) and not in_disorder:
            continue
        one, other = names[:1].tolist()[0], index[:1].tolist()[0]
        raise ValueError(
            f"Modalities {first!r} and {name!r} have rows of other names, or in another order: {one!r} and {other!r} "
            f"come first; align them, e.g. X[{name!r}].reindex(X[{first!r}].index), or drop names that mean nothing "
            "with reset_index(drop=True)."
        )


def only_counts(index):
    """Whether an index of pandas has no names of rows, but their numbers."""
    return type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1


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
