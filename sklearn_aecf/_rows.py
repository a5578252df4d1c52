"""Which rows are learnt from, which are held out, and what each of them weighs."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_aecf._data import Modalities
from sklearn_aecf._labels import Targets, class_weights

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
    """

    data: Modalities
    targets: Targets
    sample_weight: np.ndarray
    rows: np.ndarray

    def __len__(self):
        return len(self.rows)

    def weights(self, class_weight):
        """Weight of each of the rows, 1 on average, and of each of their labels (None if not multilabel)."""
        row_weight, label_weight = class_weights(
            self.targets.take(self.rows), class_weight, self.sample_weight[self.rows]
        )
        return row_weight / max(row_weight.mean(), 1e-12), label_weight

    def present(self, modalities):
        """Presence of some modalities in the rows."""
        return self.data.present[self.rows][:, modalities]


def usable_rows(data, targets, sample_weight):
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
        warnings.warn(
            f"{left_out} of {len(data)} rows have no observed modality; they are left out of training.",
            UserWarning,
            stacklevel=3,
        )
    chosen = LabelledRows(data, targets, sample_weight, np.flatnonzero(observed & (sample_weight > 0)))
    if len(chosen) > 0:
        _refuse_single_class(chosen)
    if len(chosen) < MIN_ROWS:
        raise ValueError(
            f"AECFClassifier needs at least {MIN_ROWS} rows with an observed modality and a positive weight to fit. "
            f"Got {len(chosen)} of {len(data)}; gather more rows."
        )
    return chosen


def hold_out(labelled, validation_set, fraction, seed):
    """Split the rows into those that train and those that validate.

    Parameters
    ----------
    labelled : LabelledRows
    validation_set : mask of shape (n_rows,), LabelledRows or None
        None draws a share, stratified by class where scikit-learn can.
    fraction : float or None
        Size of that share; None holds nothing out.
    seed : int

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
        chosen = _stratified_share(labelled, fraction, seed)
    else:
        return labelled, None
    training = replace(labelled, rows=np.setdiff1d(labelled.rows, chosen))
    if len(training) == 0:
        raise ValueError("validation_set leaves no row to train on; set it False for the rows to train on.")
    _refuse_single_class(training)
    return training, replace(labelled, rows=chosen)


def warn_never_observed(training):
    """Say which modalities no training row has."""
    seen = training.data.present[training.rows].any(axis=0)
    never = [name for name, known in zip(training.data.names, seen, strict=True) if not known]
    if never:
        warnings.warn(
            f"No training row has {', '.join(map(repr, never))}; such a modality never gets weight and is ignored at "
            "predict.",
            UserWarning,
            stacklevel=3,
        )


def _refuse_single_class(labelled):
    encoded = labelled.targets.encoded[labelled.rows]
    if labelled.targets.kind == "multiclass" and np.ptp(encoded) == 0:
        raise ValueError(
            f"The rows to train on have one class only ({labelled.targets.classes.tolist()[encoded[0]]!r}); "
            "AECFClassifier needs at least 2 classes."
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


def _stratified_share(labelled, fraction, seed):
    rows, targets = labelled.rows, labelled.targets
    n_held_out = max(1, round(fraction * len(rows)))
    stratify = None
    if targets.kind == "multiclass":
        labels = targets.encoded[rows]
        _, counts = np.unique(labels, return_counts=True)
        if counts.min() >= 2 and min(n_held_out, len(rows) - n_held_out) >= len(counts):
            stratify = labels
    return np.sort(train_test_split(rows, test_size=n_held_out, stratify=stratify, random_state=seed)[1])
