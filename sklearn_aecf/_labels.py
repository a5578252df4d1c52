"""Targets of the three problems as arrays, and back: classes, indices, weights, priors."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets


@dataclass(frozen=True)
class Targets:
    """The target, encoded.

    Attributes
    ----------
    kind : {"multiclass", "multilabel"}
    classes : ndarray
        Sorted classes, or the positions of the labels.
    encoded : ndarray
        Class indices (int64) of shape (n_rows,), or 0/1 (float32) of shape (n_rows, n_labels), 0 where not reported.
    reported : ndarray of bool, shape (n_rows, n_labels), or None
        Multilabel only.
    """

    kind: str
    classes: np.ndarray
    encoded: np.ndarray
    reported: np.ndarray | None = None

    def __len__(self):
        return len(self.encoded)

    def take(self, rows):
        """The same for some rows."""
        reported = None if self.reported is None else self.reported[rows]
        return Targets(self.kind, self.classes, self.encoded[rows], reported)


def encode_targets(y, known=None):
    """Encode y of a binary, multiclass or multilabel problem.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        Two or more columns are a multilabel target of 0 and 1, with NaN or -1 where a label was not reported.
    known : Targets, default=None
        What y was before: for validation rows and further fits.

    Returns
    -------
    Targets

    Raises
    ------
    ValueError
        If y has NaN (single label), other values than 0, 1, -1 and NaN (multilabel), or one class only.
    """
    if y is None:
        raise ValueError(
            "AECFClassifier requires y to be passed, but the target y is None; give one label per row of X."
        )
    table = _as_label_array(y)
    several = table.ndim == 2 and table.shape[1] > 1
    if known is not None and several != (known.kind == "multilabel"):
        forms = ["one class per row", "one column per label"]
        raise ValueError(f"y has {forms[several]}, but it had {forms[not several]} before; give it the same form.")
    if several:
        return _encode_multilabel(table, known)
    labels = column_or_1d(table, warn=True)
    _refuse_missing(labels)
    try:
        check_classification_targets(labels)
        found, indices = np.unique(labels, return_inverse=True)
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels})
        raise ValueError(
            f"y mixes labels of different types ({', '.join(kinds)}); give all of them one type."
        ) from None
    if known is not None:
        classes = known.classes
        unknown = np.setdiff1d(found, classes)
        if unknown.size:
            raise ValueError(
                f"y has class {unknown.tolist()[0]!r}, which was not among the classes before: {classes.tolist()}."
            )
        found, indices = classes, np.searchsorted(classes, labels)
    if len(found) < 2:
        raise ValueError(f"y has one class only ({found.tolist()[0]!r}); AECFClassifier needs at least 2 classes.")
    return Targets("multiclass", found, indices.astype(np.int64).ravel())


def _as_label_array(y):
    if hasattr(y, "detach"):
        y = y.detach().cpu().numpy()
    if hasattr(y, "toarray"):
        return y.toarray()
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    return np.asarray(y)


def _refuse_missing(labels):
    if labels.dtype.kind == "f":
        missing = np.isnan(labels)
    elif labels.dtype.kind == "O":
        missing = np.array([label is None or label != label or str(label) == "<NA>" for label in labels], dtype=bool)
    else:
        return
    if missing.any():
        raise ValueError(
            f"Input y contains NaN: {missing.sum()} of {len(labels)} labels are missing (first in row "
            f"{np.flatnonzero(missing)[0]}); drop those rows from X and y."
        )
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise ValueError("Input y contains infinity; give every row one of a few classes.")


def _encode_multilabel(table, known):
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
    if known is not None and len(known.classes) != values.shape[1]:
        raise ValueError(f"y has {values.shape[1]} labels, but there were {len(known.classes)} before.")
    empty = ~reported.any(axis=0)
    if empty.any() and known is None:
        raise ValueError(f"Label {np.flatnonzero(empty)[0]} of y is never reported; drop its column.")
    encoded = np.where(reported, values, 0).astype(np.float32)
    return Targets("multilabel", np.arange(values.shape[1]), encoded, reported)


def class_weights(targets, class_weight, sample_weight):
    """Row weights and label weights that `class_weight` and unreported labels lead to.

    Returns
    -------
    row_weight : ndarray of shape (n_rows,)
        `sample_weight` times the weight of the row's class.
    label_weight : ndarray of float32, shape (n_rows, n_labels), or None
        Multilabel only: 0 where not reported, 1 on average.
    """
    if targets.kind == "multiclass":
        if class_weight == "balanced":
            # scikit-learn's own learnt of sample weights in 1.7 only.
            counts = np.bincount(targets.encoded, weights=sample_weight, minlength=len(targets.classes))
            per_class = counts.sum() / (len(counts) * np.maximum(counts, 1e-12))
        else:
            per_class = compute_class_weight(class_weight, classes=targets.classes, y=targets.classes)
        return sample_weight * per_class[targets.encoded], None
    weights = targets.reported.astype(np.float32)
    if class_weight == "balanced":
        n_reported = sample_weight @ targets.reported
        n_positive = sample_weight @ (targets.encoded * targets.reported)
        for value, count in ((1, n_positive), (0, n_reported - n_positive)):
            factor = np.where(count > 0, n_reported / np.maximum(2 * count, 1e-12), 1)
            weights *= np.where(targets.encoded == value, factor, 1).astype(np.float32)
    elif class_weight is not None:
        weights *= np.asarray([class_weight.get(label, 1) for label in targets.classes.tolist()], dtype=np.float32)
    return sample_weight, weights / max(weights.mean(), 1e-12)


def class_prior(targets, row_weight, label_weight):
    """Weighted share of each class, or of positives among the reported of each label.

    Returns
    -------
    ndarray of float64, shape (n_classes,) or (n_labels,)
    """
    if targets.kind == "multiclass":
        counts = np.bincount(targets.encoded, weights=row_weight, minlength=len(targets.classes))
        return counts / counts.sum()
    weights = label_weight.astype(np.float64) * row_weight[:, None]
    return (weights * targets.encoded).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-12)
