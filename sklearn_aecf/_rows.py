"""Which rows are learnt from, which are held out, and what each of them weighs."""

import copy
from collections import Counter
from dataclasses import dataclass, replace

import joblib
import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.utils.validation import _check_sample_weight

from sklearn_aecf._data import CHUNK_ROWS, Modalities, is_missing, warn_caller
from sklearn_aecf._problem import Targets, near_one

MIN_ROWS = 10

# Of a row, where one that trains has 1 on average.
MAX_WEIGHT = 1e12

# Draws of groups to hold out, of which the best is taken: groups differ in size.
N_DRAWS = 20

# A modality is taken to have been filled where so many rows are the same and so many of the others are not,
SAME, DIFFERENT = 0.05, 0.9

# or where it has a mean among so many other numbers with so few decimals, in one of the first columns.
OTHERS, DECIMALS, LOOKED_AT = 3, 3, 100


@dataclass(frozen=True)
class LabelledRows:
    """Some rows of X and y.

    Attributes
    ----------
    data : Modalities
        All rows of X.
    targets : Targets
        All rows of y.
    sample_weight : ndarray of shape (n_rows,)
    rows : ndarray of int
        Positions of the rows that are meant.
    weight : ndarray of shape (len(rows),), or None before `weighed`
        What each of the rows counts in the loss: its sample weight times that of its class, 1 on average in training.
    label_weight : ndarray of shape (len(rows), n_labels), or None
        What each label counts; None where there is one class a row.
    """

    data: Modalities
    targets: Targets
    sample_weight: np.ndarray
    rows: np.ndarray
    weight: np.ndarray | None = None
    label_weight: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    @property
    def chosen_targets(self):
        """Targets of the rows that are meant."""
        return self.targets.take(self.rows)

    def present(self, modalities):
        """Presence of some modalities in the rows."""
        return self.data.present[self.rows][:, modalities]

    def weighed_by(self, weigh):
        """The same rows with the weights that a weigher of the problem gives them."""
        weight, label_weight = weigh(self.chosen_targets, self.sample_weight[self.rows])
        # Rows that were not learnt from may weigh more than any that were, in float32 too much.
        return replace(self, weight=np.minimum(weight, MAX_WEIGHT), label_weight=label_weight)

    def some(self, index):
        """Some of these rows, by position among them."""
        return replace(
            self,
            rows=self.rows[index],
            weight=None if self.weight is None else self.weight[index],
            label_weight=None if self.label_weight is None else self.label_weight[index],
        )


def row_weights(sample_weight, n_rows):
    """Sample weights, checked; only their ratios matter, so the largest is brought near 1, without rounding.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,) or None
    n_rows : int

    Returns
    -------
    ndarray of float64, shape (n_rows,)
    """
    return near_one(checked_weights(sample_weight, n_rows))


def checked_weights(sample_weight, n_rows):
    """Sample weights as they are, checked.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,) or None
    n_rows : int

    Returns
    -------
    ndarray of float64, shape (n_rows,)
    """
    if np.ma.is_masked(sample_weight):
        raise ValueError("sample_weight is masked in some rows; give every row a number.")
    try:
        weight = None if sample_weight is None else np.asarray(sample_weight)
        if weight is not None:
            weight = float(weight) if weight.ndim == 0 else weight.astype(np.float64, casting="same_kind")
    except (TypeError, ValueError):
        raise _no_weights(sample_weight) from None
    if np.shape(weight) not in ((), (n_rows,)):
        raise ValueError(f"sample_weight must have one entry per row ({n_rows}). Got shape {np.shape(weight)}.")
    weight = _check_sample_weight(weight, np.empty((n_rows, 1)), dtype=np.float64, ensure_non_negative=True)
    if n_rows and not weight.any():  # not every version of scikit-learn says so
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if np.asarray(sample_weight).dtype.kind in "iu" and _numbers_groups(weight):
        warn_caller(
            f"sample_weight counts blocks of rows from 0 to {weight[-1]:g}, as groups are numbered, and leaves the "
            "block of 0 out. Groups go by name: fit(X, y, groups=...). If these are weights, make them floats."
        )
    return weight


def _no_weights(sample_weight):
    """The error where sample weights are no numbers."""
    called = "sample_weight must be one number per row of X. Got"
    try:
        values = () if isinstance(sample_weight, str) else np.ravel(np.asarray(sample_weight, dtype=object))
    except ValueError:
        values = ()  # arrays of different shapes
    text = next((value for value in values if isinstance(value, str)), None)
    if text is not None:
        return ValueError(f"{called} text ({text!r}); groups go by name: fit(X, y, groups=...).")
    return ValueError(f"{called} {type(sample_weight).__name__}; weights of classes go into class_weight.")


def _numbers_groups(weight):
    """Whether weights are 0, 1, 2, ... in blocks of at least two rows each: no weights that anybody uses."""
    blocks = len(weight) and weight[0] == 0 and weight[-1] > 1 and np.isin(np.diff(weight), (0, 1)).all()
    return blocks and np.bincount(weight.astype(np.intp)).min() > 1


def usable_rows(data, targets, sample_weight, problem):
    """Rows to learn from: with a positive weight and something observed.

    Raises
    ------
    ValueError
        If there are fewer than 10, or they have one class only.
    """
    if len(data) < MIN_ROWS:
        raise ValueError(
            f"AECFClassifier needs at least {MIN_ROWS} rows to fit. Got n_samples={len(data)}; gather more rows."
        )
    chosen = observed_rows_of(data, targets, sample_weight)
    problem.refuse_constant(chosen.chosen_targets)
    if len(chosen) < MIN_ROWS:
        raise ValueError(
            f"AECFClassifier needs at least {MIN_ROWS} rows with an observed modality and a positive weight to fit. "
            f"Got {len(chosen)} of {len(data)}; gather more rows."
        )
    return chosen


def observed_rows_of(data, targets, sample_weight):
    """Rows with a positive weight and something observed, however few; with a warning about those without."""
    observed = data.present.any(axis=1)
    left_out = int((~observed & (sample_weight > 0)).sum())
    if left_out:
        warn_caller(
            f"{left_out} of {len(data)} rows have no observed modality; they are left out of training.",
        )
    return LabelledRows(data, targets, sample_weight, np.flatnonzero(observed & (sample_weight > 0)))


def hold_out(labelled, validation_set, fraction, groups, seed, problem):
    """Split the rows into those that train and those that validate.

    Parameters
    ----------
    labelled : LabelledRows
    validation_set : mask of shape (n_rows,), LabelledRows or None
        None draws a share.
    fraction : float, splitter or None
        Size of that share, stratified by class where scikit-learn can, or of whole groups; or an object whose last
        split it is. None holds nothing out.
    groups : array-like of shape (n_rows,), or None
    seed : int
    problem : Multiclass or Multilabel

    Returns
    -------
    training : LabelledRows
    validation : LabelledRows or None
    """
    groups = None if groups is None else _checked_groups(groups, labelled)
    if isinstance(validation_set, LabelledRows):
        problem.warn_never_seen(labelled.chosen_targets)
        return labelled, validation_set
    if validation_set is not None:
        chosen = _masked_rows(labelled, validation_set)
        if groups is not None:
            _warn_torn(groups, labelled.rows, chosen)
    elif fraction is None:
        problem.warn_never_seen(labelled.chosen_targets)
        return labelled, None
    else:
        if hasattr(fraction, "split"):
            kept, chosen = _last_split(labelled, fraction, groups, seed, problem)
            labelled = replace(labelled, rows=np.union1d(kept, chosen))
        elif groups is not None:
            chosen = _share_of_groups(labelled, fraction, groups[labelled.rows], seed, problem)
        else:
            chosen = _stratified_share(labelled, fraction, seed, problem)
    training = replace(labelled, rows=np.setdiff1d(labelled.rows, chosen))
    if len(training) == 0:
        raise ValueError("validation_set leaves no row to train on; set it False for the rows to train on.")
    problem.refuse_constant(training.chosen_targets)
    problem.warn_never_seen(training.chosen_targets)
    return training, replace(labelled, rows=chosen)


def weighed(training, validation, class_weight, problem):
    """The same rows with the weights that they have in the loss, learnt from the training rows alone.

    Parameters
    ----------
    training : LabelledRows
    validation : LabelledRows or None
    class_weight : dict, "balanced" or None
    problem : Multiclass or Multilabel

    Returns
    -------
    training : LabelledRows
    validation : LabelledRows or None
    weigh : ClassWeigher or LabelWeigher
        What weighs further rows alike.
    """
    weigh = problem.weigher(training.chosen_targets, training.sample_weight[training.rows], class_weight)
    return training.weighed_by(weigh), None if validation is None else validation.weighed_by(weigh), weigh


def warn_never_observed(training):
    """Say which modalities no training row has."""
    seen = training.data.present[training.rows].any(axis=0)
    never = [name for name, known in zip(training.data.names, seen, strict=True) if not known]
    if never:
        warn_caller(
            f"No training row has {', '.join(map(repr, never))}; such a modality never gets weight and is ignored at "
            "predict.",
        )


def warn_filled(training, raw=frozenset()):
    """Say which modalities seem to have been filled where they were missing, which nobody can learn from.

    Parameters
    ----------
    training : LabelledRows
    raw : set of str
        Modalities with an encoder of their own, which are not looked at.
    """
    filled = []
    for m, name in enumerate(training.data.names):
        if name in raw:
            continue
        present = training.data.present[:, m]
        n_same, n_rows = _filled_rows(training.data.arrays[m], training.rows[present[training.rows]], present)
        if n_same:
            filled.append(f"{name!r} (in {n_same} of {n_rows} rows)")
    if filled:
        warn_caller(
            f"The very same values come again and again, as if an imputer had filled them, in {', '.join(filled)}. The "
            "model takes them for measurements. Leave NaN where a modality is missing: AECFClassifier needs no "
            "imputer. Or put the imputer into a ModalityTransformer, which leaves missing modalities alone."
        )


def refuse_other_rows(ranks, training, validation, parameters):
    """Refuse, on every rank with the same sentence, what other ranks were not given.

    Parameters
    ----------
    ranks : Ranks
    training : LabelledRows
    validation : LabelledRows or None
    parameters : dict
    """
    if ranks.alone:
        return
    data = training.data
    shown = {
        "The number of rows": len(data),
        "The shape of a modality": {name: array.shape[1:] for name, array in zip(data.names, data.arrays, strict=True)},
        "A parameter": parameters,
    }
    few = [0, len(data) // 2, -1]
    compared = {
        "What is missing in X": data.present,
        "Some value of X": [np.asarray(array[few]) for array in data.arrays],
        "The target y": training.targets.encoded,
        "The sample_weight": training.sample_weight,
        "The choice of rows held out": [rows.rows for rows in (training, validation) if rows is not None],
    }
    each = ranks.exchange((shown, {what: joblib.hash(values) for what, values in compared.items()}))
    for part in (0, 1):
        for what, first in each[0][part].items():
            for rank, other in enumerate(given[part][what] for given in each):
                if other != first:
                    raise ValueError(
                        f"{_difference(what, rank, first, other, part == 0)}; give every rank the same X, y and "
                        "parameters: it takes its own share of the rows."
                    )


def _difference(what, rank, first, other, known):
    if not known:
        return f"{what} of rank {rank} is not that of rank 0"
    if isinstance(first, dict):
        name = next(name for name in {**first, **other} if first.get(name) != other.get(name))
        what, first, other = f"{what} ({name})", first.get(name), other.get(name)
    return f"{what} is {other!r} on rank {rank}, but {first!r} on rank 0"


def _filled_rows(array, rows, present):
    """How many of some rows have the values that most of them share, if these look like no measurement; else 0."""
    if len(rows) < MIN_ROWS or array.ndim != 2 or array.shape[1] == 0:
        return 0, len(rows)
    rows = rows[:: -(-len(rows) // CHUNK_ROWS)]
    table = np.asarray(array[rows])
    counts = Counter(row.tobytes() for row in table)
    shared, most = counts.most_common(1)[0]
    if most < max(MIN_ROWS, SAME * len(rows)) or most == len(rows):
        return 0, len(rows)
    row = np.frombuffer(shared, table.dtype)
    filled = len(counts) - 1 >= DIFFERENT * (len(rows) - most)
    if filled and len(row) == 1:
        filled = _is_middle(row[0], np.asarray(array[present])[:, 0])
    filled = filled or any(map(_is_mean, row[:LOOKED_AT], table.T[:LOOKED_AT]))
    return (most if filled else 0), len(rows)


def _is_middle(value, column):
    """Whether a value is the mean or the median of the others: what a sensor usually shows, such as 0, rarely is."""
    others = column[column != value].astype(np.float64)
    known = np.append(others, value) if value else others
    close = abs(others.mean() - value) <= 1e-6 * others.std()
    return bool(close or value in (np.median(others), np.median(known)))


def _is_mean(value, column):
    """Whether a value has many decimals where all others have few."""
    if column.dtype.kind != "f" or np.isnan(value):
        return False
    others = np.unique(column[(column != value) & ~np.isnan(column)])
    return len(others) >= OTHERS and not _is_short(value) and bool(_is_short(others).all())


def _is_short(values):
    """Whether numbers have few decimals, as far as their dtype shows it."""
    return np.abs(values - np.round(values, DECIMALS)) <= 4 * np.finfo(values.dtype).eps * np.abs(values)


def _masked_rows(labelled, validation_set):
    mask, n_rows = np.asarray(validation_set), len(labelled.data)
    if mask.dtype != bool or mask.shape != (n_rows,):
        raise ValueError(
            f"validation_set must be a mask with one bool per row of X ({n_rows}), or a tuple (X, y). Got "
            f"{mask.dtype} of shape {mask.shape}."
        )
    chosen = labelled.rows[mask[labelled.rows]]
    if len(chosen) == 0:
        raise ValueError("validation_set selects no usable row; set it True for the rows to validate on.")
    return chosen


def _checked_groups(groups, labelled):
    """Group of each row, as an integer."""
    if np.ma.is_masked(groups):
        raise ValueError("groups is masked in some rows; give every row one.")
    groups, n_rows = np.asarray(groups), len(labelled.data)
    if groups.shape != (n_rows,):
        raise ValueError(f"groups must have one group per row of X ({n_rows}). Got shape {groups.shape}.")
    unknown = np.fromiter(map(is_missing, groups.astype(object)), dtype=bool, count=n_rows)
    if unknown.any():
        raise ValueError(f"groups lacks that of row {unknown.argmax()}; give every row one.")
    try:
        return np.unique(groups, return_inverse=True)[1].ravel()
    except TypeError:
        kinds = sorted({type(group).__name__ for group in groups})
        raise ValueError(f"groups mixes different types ({', '.join(kinds)}); give all of them one type.") from None


def _warn_torn(groups, rows, chosen):
    """Say that a mask holds out some rows of a group, and trains on others."""
    torn = np.intersect1d(groups[chosen], groups[np.setdiff1d(rows, chosen)])
    if len(torn):
        warn_caller(
            f"validation_set holds out a part of {len(torn)} of {len(np.unique(groups))} groups, and training learns "
            "from the rest of them; leave it out to hold out whole groups."
        )


def _last_split(labelled, splitter, groups, seed, problem):
    """Usable rows that a splitter of scikit-learn trains and tests on in its last split: in time, the latest."""
    if getattr(splitter, "random_state", 0) is None:
        splitter = copy.copy(splitter)
        splitter.random_state = seed
    target = problem.strata(labelled.targets)
    target = labelled.targets.encoded if target is None else target
    try:
        *_, (kept, chosen) = splitter.split(np.zeros((len(target), 1)), target, groups)
    except ValueError as error:
        raise ValueError(f"validation_fraction={splitter!r} cannot split the rows: {error}") from error
    kept, chosen = (np.intersect1d(labelled.rows, rows) for rows in (kept, chosen))
    if len(chosen) == 0:
        raise ValueError(f"validation_fraction={splitter!r} holds no usable row out; give one that tests on some.")
    return kept, chosen


def _share_of_groups(labelled, fraction, groups, seed, problem):
    """Rows of whole groups, the drawn ones that come closest to the share and leave every class to train on."""
    n_groups, strata = groups.max() + 1, problem.strata(labelled.chosen_targets)
    if n_groups < 2:
        warn_caller(
            "groups has one group only, so that a share of its rows is held out; that says little of other groups."
        )
        return _stratified_share(labelled, fraction, seed, problem)
    splitter = GroupShuffleSplit(N_DRAWS, test_size=max(1, round(fraction * n_groups)), random_state=seed)

    def badness(chosen):
        lost = 0 if strata is None else len(np.unique(strata)) - len(np.unique(np.delete(strata, chosen)))
        return lost, abs(len(chosen) / len(labelled) - fraction)

    draws = (chosen for _, chosen in splitter.split(groups, groups=groups))
    return labelled.rows[np.sort(min(draws, key=badness))]


def _stratified_share(labelled, fraction, seed, problem):
    rows = labelled.rows
    n_held_out = max(1, round(fraction * len(rows)))
    if n_held_out == len(rows):
        raise ValueError(f"validation_fraction={fraction!r} leaves none of {len(rows)} rows to train on; lower it.")
    strata = problem.strata(labelled.chosen_targets)
    if strata is not None:
        _, counts = np.unique(strata, return_counts=True)
        if counts.min() < 2 or min(n_held_out, len(rows) - n_held_out) < len(counts):
            strata = None
    return np.sort(train_test_split(rows, test_size=n_held_out, stratify=strata, random_state=seed)[1])
