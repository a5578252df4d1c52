"""Which rows are learnt from, which are held out, and what each of them weighs."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _check_sample_weight

from sklearn_aecf._data import Modalities, warn_caller
from sklearn_aecf._problem import Targets

MIN_ROWS = 10


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

    def some(self, index):
        """Some of these rows, by position among them."""
        return replace(
            self,
            rows=self.rows[index],
            weight=None if self.weight is None else self.weight[index],
            label_weight=None if self.label_weight is None else self.label_weight[index],
        )


def row_weights(sample_weight, data):
    """Sample weights, checked; only their ratios matter, so the largest is brought near 1, without rounding.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,) or None
    data : Modalities

    Returns
    -------
    ndarray of float64, shape (n_rows,)
    """
    weight = _check_sample_weight(sample_weight, data.present, dtype=np.float64, ensure_non_negative=True)
    return np.ldexp(weight, -np.frexp(weight.max())[1])


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
    observed = data.present.any(axis=1)
    left_out = int((~observed & (sample_weight > 0)).sum())
    if left_out:
        warn_caller(
            f"{left_out} of {len(data)} rows have no observed modality; they are left out of training.",
        )
    chosen = LabelledRows(data, targets, sample_weight, np.flatnonzero(observed & (sample_weight > 0)))
    problem.refuse_constant(chosen.chosen_targets)
    if len(chosen) < MIN_ROWS:
        raise ValueError(
            f"AECFClassifier needs at least {MIN_ROWS} rows with an observed modality and a positive weight to fit. "
            f"Got {len(chosen)} of {len(data)}; gather more rows."
        )
    return chosen


def hold_out(labelled, validation_set, fraction, seed, problem):
    """Split the rows into those that train and those that validate.

    Parameters
    ----------
    labelled : LabelledRows
    validation_set : mask of shape (n_rows,), LabelledRows or None
        None draws a share, stratified by class where scikit-learn can.
    fraction : float or None
        Size of that share; None holds nothing out.
    seed : int
    problem : Multiclass or Multilabel

    Returns
    -------
    training : LabelledRows
    validation : LabelledRows or None
    """
    if isinstance(validation_set, LabelledRows):
        return labelled, validation_set
    if validation_set is not None:
        chosen = _masked_rows(labelled, validation_set)
    elif fraction is not None:
        chosen = _stratified_share(labelled, fraction, seed, problem)
    else:
        return labelled, None
    training = replace(labelled, rows=np.setdiff1d(labelled.rows, chosen))
    if len(training) == 0:
        raise ValueError("validation_set leaves no row to train on; set it False for the rows to train on.")
    problem.refuse_constant(training.chosen_targets)
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
    """
    weigh = problem.weigher(training.chosen_targets, training.sample_weight[training.rows], class_weight)

    def with_weights(labelled):
        weight, label_weight = weigh(labelled.chosen_targets, labelled.sample_weight[labelled.rows])
        return replace(labelled, weight=weight, label_weight=label_weight)

    return with_weights(training), None if validation is None else with_weights(validation)


def warn_never_observed(training):
    """Say which modalities no training row has."""
    seen = training.data.present[training.rows].any(axis=0)
    never = [name for name, known in zip(training.data.names, seen, strict=True) if not known]
    if never:
        warn_caller(
            f"No training row has {', '.join(map(repr, never))}; such a modality never gets weight and is ignored at "
            "predict.",
        )


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


def _stratified_share(labelled, fraction, seed, problem):
    rows = labelled.rows
    n_held_out = max(1, round(fraction * len(rows)))
    strata = problem.strata(labelled.chosen_targets)
    if strata is not None:
        _, counts = np.unique(strata, return_counts=True)
        if counts.min() < 2 or min(n_held_out, len(rows) - n_held_out) < len(counts):
            strata = None
    return np.sort(train_test_split(rows, test_size=n_held_out, stratify=strata, random_state=seed)[1])
