"""What is predicted: one class a row, or 0 and 1 a label. All that depends on it is asked of these objects.

A problem encodes y, weighs it, knows the loss and the link between logits and probabilities, and turns probabilities
back into labels. A further kind of target is a further class here, and its terms in `losses`.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from scipy.special import expit, log_softmax
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets

from sklearn_aecf._data import (
    did_you_mean,
    is_missing,
    quoted,
    warn_caller,
)
from sklearn_aecf._labels import (
    as_label_array,
    has_labels,
    label_names,
    labels_of,
    mixed_types,
    one_column,
    refuse_other_length,
)
from sklearn_aecf.losses import (
    class_probabilities,
    mean_multiclass_logits,
    mean_multilabel_logits,
    multiclass_agreement_loss,
    multiclass_confidence,
    multiclass_loss,
    multilabel_agreement_loss,
    multilabel_confidence,
    multilabel_loss,
    refined_multiclass_loss,
    refined_multilabel_loss,
)


@dataclass(frozen=True)
class Targets:
    """y, encoded.

    Attributes
    ----------
    encoded : ndarray
        Class indices (int64) of shape (n_rows,), or 0/1 (float32) of shape (n_rows, n_labels), 0 where not reported.
    reported : ndarray of bool, shape (n_rows, n_labels), or None
        Of several labels: where y says anything.
    """

    encoded: np.ndarray
    reported: np.ndarray | None = None

    def __len__(self):
        return len(self.encoded)

    def take(self, rows):
        """The same for some rows."""
        return Targets(self.encoded[rows], None if self.reported is None else self.reported[rows])


@dataclass(frozen=True)
class ClassWeigher:
    """From targets and sample weights to weights of rows, 1 on average where they were learnt; no weights of labels.

    Attributes
    ----------
    per_class : ndarray of shape (n_classes,)
    typical : float
        Weight of a row on average.
    """

    per_class: np.ndarray
    typical: float

    def __call__(self, targets: Targets, sample_weight: np.ndarray) -> tuple[np.ndarray, None]:
        return sample_weight * self.per_class[targets.encoded] / self.typical, None


@dataclass(frozen=True)
class LabelWeigher:
    """From targets and sample weights to weights of rows and of labels, 1 on average where they were learnt.

    Attributes
    ----------
    factors : ndarray of float32, shape (2, n_labels)
        Of the values 0 and 1 of each label.
    typical_row, typical_label : float
        Weights on average.
    """

    factors: np.ndarray
    typical_row: float = 1.0
    typical_label: float = 1.0

    def entries(self, targets: Targets) -> np.ndarray:
        """Weight of each label of each row, 0 where it was not reported, shape (n_rows, n_labels)."""
        return targets.reported * np.where(targets.encoded == 1, self.factors[1], self.factors[0])

    def __call__(self, targets: Targets, sample_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return sample_weight / self.typical_row, self.entries(targets) / self.typical_label


@dataclass(frozen=True)
class Multiclass:
    """One of several classes a row.

    Parameters
    ----------
    classes : ndarray
        Sorted.
    """

    classes: np.ndarray

    @property
    def n_outputs(self):
        """Logits a row."""
        return len(self.classes)

    # y

    @classmethod
    def of(cls, table):
        """The problem that a target of one column poses, and the target encoded."""
        labels = one_column(table)
        try:
            check_classification_targets(labels)
            found, indices = np.unique(labels, return_inverse=True)
        except TypeError:
            raise mixed_types(labels) from None
        if len(found) == 0:
            raise ValueError("y is empty; give one label per row of X.")
        if len(found) < 2:
            raise ValueError(f"y has one class only ({found.tolist()[0]!r}); AECFClassifier needs at least 2 classes.")
        return cls(found), Targets(indices.astype(np.int64).ravel())

    def encode(self, table):
        """Targets of further rows; a class that is new is an error."""
        _refuse_labels(table)
        labels = one_column(table)
        try:
            unknown = np.setdiff1d(labels, self.classes)
        except TypeError:
            raise mixed_types(labels) from None
        if unknown.size:
            raise ValueError(
                f"y has class {unknown.tolist()[0]!r}, which was not among the classes before: {self.classes.tolist()}."
            )
        return Targets(np.searchsorted(self.classes, labels).astype(np.int64).ravel())

    def refuse_constant(self, targets):
        """Raise where rows to train on have a single class."""
        if len(targets) and np.ptp(targets.encoded) == 0:
            raise ValueError(
                f"The rows to train on have one class only ({self.classes.tolist()[targets.encoded[0]]!r}); "
                "AECFClassifier needs at least 2 classes."
            )

    def warn_never_seen(self, targets):
        """Say which classes no row to train on has, of which nothing can be learnt."""
        never = np.setdiff1d(np.arange(len(self.classes)), targets.encoded)
        if len(never):
            warn_caller(
                f"No row to train on has class {', '.join(map(repr, self.classes[never].tolist()))}, so that it is "
                "not learnt; its rows are held out, have weight 0 or nothing observed."
            )

    def strata(self, targets):
        """What a split keeps the shares of, or None."""
        return targets.encoded

    def weigher(self, targets, sample_weight, class_weight) -> ClassWeigher:
        """Learn from rows what each class weighs.

        Parameters
        ----------
        targets : Targets
        sample_weight : ndarray of shape (n_rows,)
        class_weight : dict, "balanced" or None
        """
        if class_weight == "balanced":
            # scikit-learn's own learnt of sample weights in 1.7 only.
            counts = np.bincount(targets.encoded, weights=sample_weight, minlength=len(self.classes))
            per_class = counts.sum() / (len(counts) * np.maximum(counts, 1e-12))
        else:
            given = _weights_by_name(class_weight, self.classes.tolist(), "class")
            per_class = np.asarray([given.get(label, 1.0) for label in self.classes.tolist()], dtype=float)
            if (per_class > 0).sum() < 2:
                raise ValueError(f"class_weight must be above 0 for at least 2 classes. Got {class_weight!r}.")
            per_class = near_one(per_class)
        typical = (sample_weight * per_class[targets.encoded]).mean() or 1.0
        return ClassWeigher(per_class, typical)

    def prior(self, targets, row_weight, label_weight):
        """Weighted share of each class, shape (n_classes,)."""
        counts = np.bincount(targets.encoded, weights=row_weight, minlength=len(self.classes))
        return counts / counts.sum()

    def admits(self, prior):
        """Whether these are classes as `of` finds them, and a prior of theirs is one."""
        in_order = np.array_equal(np.unique(self.classes), self.classes)
        return in_order and _shares_of(self.classes, prior) and bool(abs(prior.sum() - 1) < 1e-6)

    @property
    def flat_prior(self):
        """The prior of which nothing is known: all classes alike."""
        return np.full(len(self.classes), 1 / len(self.classes))

    def prior_weight(self, targets, row_weight, label_weight):
        """What the shares of `prior` are shares of, shape (n_classes,): the weight of all rows."""
        return np.full(len(self.classes), row_weight.sum(), dtype=np.float64)

    def target_of(self, targets):
        """What `SubsetTemperature` and scorers take for y: class indices."""
        return targets.encoded

    # Probabilities as arrays

    def decode(self, probability):
        """Most probable class of each row."""
        return self.classes[probability.argmax(axis=1)]

    def sureness(self, probability):
        """Confidence of each row: the largest probability."""
        return probability.max(axis=1)

    def score(self, predicted, y, weight=None):
        """Accuracy of predicted classes."""
        _refuse_labels(y)
        labels = read_labels(y)
        refuse_other_length(predicted, labels)
        if isinstance(labels[0], str) != isinstance(self.classes[0], str):
            raise ValueError(
                f"y has {labels.tolist()[0]!r}, but the classes of fit are {quoted(self.classes.tolist()[:8])}; give "
                "it as it was at fit."
            )
        return float(accuracy_score(labels, predicted, sample_weight=weight))

    def scaled_loss(self, scaled, target):
        """Cross-entropy of each row of logits, and its derivative with respect to the row's log temperature."""
        log_p, target = log_softmax(scaled, axis=1), target.astype(np.intp)
        rows = np.arange(len(target))
        slope = scaled[rows, target] - (np.exp(log_p) * scaled).sum(axis=1)
        return -log_p[rows, target], slope

    @property
    def label_order(self):
        """What `expected_calibration_error` takes as labels."""
        return self.classes

    def accuracy(self, y, probability, weight=None):
        """Weighted share of rows whose class is right."""
        return float(np.average(self.decode(probability) == y, weights=weight))

    # Logits as tensors

    def probabilities(self, logits):
        """Softmax over the last axis."""
        return class_probabilities(logits)

    def loss(self, logits, target, label_weight=None):
        """See `losses.multiclass_loss`."""
        return multiclass_loss(logits, target)

    def gain(self, logits, target, prior, label_weight=None):
        """Log likelihood of y beyond that of the prior (c,), of each row, in nats."""
        return self.loss(prior.clamp(min=1e-6).log().expand_as(logits), target) - self.loss(logits, target)

    def exclusive_prior(self, prior):
        """The prior where classes exclude each other, so that two predictions can contradict each other."""
        return prior

    def refined_loss(self, logits, target, weight, label_weight=None):
        """See `losses.refined_multiclass_loss`."""
        return refined_multiclass_loss(logits, target, weight)

    def mean_logits(self, logits, dim):
        """See `losses.mean_multiclass_logits`."""
        return mean_multiclass_logits(logits, dim)

    def confidence(self, probability):
        """See `losses.multiclass_confidence`."""
        return multiclass_confidence(probability)

    def agreement_loss(self, smaller, expert, label_weight=None):
        """See `losses.multiclass_agreement_loss`."""
        return multiclass_agreement_loss(smaller, expert)


@dataclass(frozen=True)
class Multilabel:
    """0 or 1 for each of several labels a row, each a binary problem; some may not be reported.

    Parameters
    ----------
    classes : ndarray
        Names of the labels, or their positions.
    """

    classes: np.ndarray

    @property
    def n_outputs(self):
        """Logits a row."""
        return len(self.classes)

    # y

    @classmethod
    def of(cls, table, names=None):
        """The problem that a target of several columns poses, and the target encoded."""
        targets = Targets(*labels_of(table))
        classes = np.arange(targets.encoded.shape[1]) if names is None else np.asarray(names, dtype=object)
        empty = ~targets.reported.any(axis=0)
        if empty.any():
            raise ValueError(f"Label {classes[empty].tolist()[0]!r} of y is never reported; drop its column.")
        return cls(classes), targets

    def encode(self, table):
        """Targets of further rows."""
        if not has_labels(table):
            raise ValueError("y has one class per row, but it had one column per label before; give it the same form.")
        targets = Targets(*labels_of(table))
        if targets.encoded.shape[1] != len(self.classes):
            raise ValueError(f"y has {targets.encoded.shape[1]} labels, but there were {len(self.classes)} before.")
        return targets

    def refuse_constant(self, targets):
        """Nothing: a label of one value is learnt as such."""

    def warn_never_seen(self, targets):
        """Nothing: see `refuse_constant`."""

    def strata(self, targets):
        """None: there are as many combinations of labels as rows."""
        return None

    def weigher(self, targets, sample_weight, class_weight) -> LabelWeigher:
        """Learn from rows what each value of each label weighs.

        Parameters
        ----------
        targets : Targets
        sample_weight : ndarray of shape (n_rows,)
        class_weight : dict, "balanced" or None
            A dict has weights of labels by position, or by name.
        """
        factors = np.ones((2, len(self.classes)), dtype=np.float32)
        if class_weight == "balanced":
            n_reported = sample_weight @ targets.reported
            n_positive = sample_weight @ (targets.encoded * targets.reported)
            for value, count in ((1, n_positive), (0, n_reported - n_positive)):
                factors[value] = np.where(count > 0, n_reported / np.maximum(2 * count, 1e-12), 1)
        elif class_weight is not None:
            positions = {position: label for position, label in enumerate(self.classes.tolist()) if label != position}
            named = {positions.get(key, key): value for key, value in class_weight.items()}
            named = _weights_by_name(named, self.classes.tolist(), "label")
            factors *= near_one(np.asarray([named.get(label, 1) for label in self.classes.tolist()], dtype=float))
            if not factors.any():
                raise ValueError(f"class_weight must be above 0 for at least one label. Got {class_weight!r}.")

        typical_label = LabelWeigher(factors).entries(targets).mean() or 1.0
        return LabelWeigher(factors, sample_weight.mean() or 1.0, typical_label)

    def prior(self, targets, row_weight, label_weight):
        """Weighted share of positives among the reported of each label, shape (n_labels,)."""
        weights = label_weight.astype(np.float64) * row_weight[:, None]
        return (weights * targets.encoded).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-12)

    def admits(self, prior):
        """Whether each label has a name of its own, and a prior of theirs is one."""
        return len(set(self.classes.tolist())) == len(self.classes) and _shares_of(self.classes, prior)

    @property
    def flat_prior(self):
        """The prior of which nothing is known: 0 and 1 alike."""
        return np.full(len(self.classes), 0.5)

    def prior_weight(self, targets, row_weight, label_weight):
        """What the shares of `prior` are shares of, shape (n_labels,): the weight of the rows that report a label."""
        return row_weight @ label_weight.astype(np.float64)

    def target_of(self, targets):
        """What `SubsetTemperature` takes for y: 0 and 1, NaN where not reported."""
        return np.where(targets.reported, targets.encoded.astype(float), np.nan)

    # Probabilities as arrays

    def decode(self, probability):
        """0 or 1 a label."""
        return (probability > 0.5).astype(int)

    def sureness(self, probability):
        """Confidence of each row: the mean over labels of ``max(p, 1 - p)``."""
        return np.maximum(probability, 1 - probability).mean(axis=1)

    def score(self, predicted, y, weight=None):
        """Weighted share of rows with every reported label right."""
        targets = self.encode(y)
        refuse_other_length(predicted, targets)
        right = (predicted == targets.encoded) | ~targets.reported
        return float(np.average(right.all(axis=1), weights=weight))

    def scaled_loss(self, scaled, target):
        """Mean cross-entropy of the reported labels of each row, and its derivative as of `Multiclass`."""
        reported = (target == 0) | (target == 1)
        y, n_labels = np.where(reported, target, 0).astype(float), scaled.shape[1]
        value = np.where(reported, np.logaddexp(0, scaled) - y * scaled, 0).sum(axis=1) / n_labels
        slope = np.where(reported, (y - expit(scaled)) * scaled, 0).sum(axis=1) / n_labels
        return value, slope

    @property
    def label_order(self):
        """None: y has a column a label."""
        return None

    def accuracy(self, y, probability, weight=None):
        """Weighted share of the reported labels that are right."""
        if y.shape != probability.shape:
            raise ValueError(
                f"y has shape {y.shape}, but the predictions have {probability.shape}; give y as it was at fit."
            )
        each = ((y == 0) | (y == 1)).astype(float)
        each *= 1.0 if weight is None else weight[:, None]
        return float((each * (self.decode(probability) == (y == 1))).sum() / each.sum())

    # Logits as tensors

    def probabilities(self, logits):
        """A sigmoid a label."""
        return torch.sigmoid(logits)

    def loss(self, logits, target, label_weight=None):
        """See `losses.multilabel_loss`."""
        return multilabel_loss(logits, target, label_weight)

    def gain(self, logits, target, prior, label_weight=None):
        """Log likelihood of all labels of y beyond that of the prior (c,), of each row, in nats."""
        before = self.loss(torch.logit(prior, eps=1e-6).expand_as(logits), target, label_weight)
        return self.n_outputs * (before - self.loss(logits, target, label_weight))

    def exclusive_prior(self, prior):
        """None: labels do not exclude each other."""
        return None

    def refined_loss(self, logits, target, weight, label_weight=None):
        """See `losses.refined_multilabel_loss`."""
        return refined_multilabel_loss(logits, target, weight, label_weight)

    def mean_logits(self, logits, dim):
        """See `losses.mean_multilabel_logits`."""
        return mean_multilabel_logits(logits, dim)

    def confidence(self, probability):
        """See `losses.multilabel_confidence`."""
        return multilabel_confidence(probability)

    def agreement_loss(self, smaller, expert, label_weight=None):
        """See `losses.multilabel_agreement_loss`."""
        return multilabel_agreement_loss(smaller, expert, label_weight)


Problem = Multiclass | Multilabel


def read_targets(y):
    """The problem that y poses, and y encoded.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        Two or more columns are a multilabel target of 0 and 1, with NaN or -1 where a label was not reported.

    Returns
    -------
    problem : Multiclass or Multilabel
    targets : Targets

    Raises
    ------
    ValueError
        If y has NaN (single label), other values than 0, 1, -1 and NaN (multilabel), or one class only.
    """
    table = as_label_array(y)
    return Multilabel.of(table, label_names(y)) if has_labels(table) else Multiclass.of(table)


def declared_problem(y, classes):
    """The problem that y poses as the first of several parts, of which all classes are told beforehand.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
    classes : array-like of shape (n_classes,) or (n_labels,)
        Classes, in any order; of several labels a row their names or positions, in the order of the columns.

    Returns
    -------
    Multiclass or Multilabel

    Raises
    ------
    ValueError
        If classes is None, has fewer than two, has one twice among labels, or does not fit the columns of y.
    """
    if classes is None:
        raise ValueError("classes must be passed on the first call to partial_fit; give all classes that may come.")
    labels = np.asarray(classes)
    if labels.ndim != 1:
        raise ValueError(f"classes must be a list of all classes. Got shape {labels.shape}.")
    if any(map(is_missing, labels)):
        raise ValueError("classes holds a missing value; drop those rows from X and y, and it from classes.")
    try:
        found = np.unique(labels)
    except TypeError:
        raise mixed_types(labels, "classes") from None
    if len(found) < 2:
        raise ValueError(f"classes has {len(found)} class(es); AECFClassifier needs at least 2 classes.")
    table = as_label_array(y)
    if not has_labels(table):
        return Multiclass(found)
    if table.shape[1] != len(labels) or len(found) != len(labels):
        raise ValueError(
            f"classes must name each of the {table.shape[1]} labels of y once, in the order of its columns. Got "
            f"{len(labels)} with {len(found)} different names."
        )
    names = label_names(y)
    if names is not None and list(names) != labels.tolist():
        raise ValueError(f"y has labels {quoted(names)}, but classes are {quoted(labels.tolist())}; give them alike.")
    return Multilabel(labels if names is None else np.asarray(names, dtype=object))


def _refuse_labels(table):
    """Raise where y has several labels a row, but had one class."""
    if has_labels(table):
        raise ValueError("y has one column per label, but it had one class per row before; give it the same form.")


def read_labels(y):
    """y to measure predictions against.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_labels)

    Returns
    -------
    ndarray of shape (n_rows,), or of float of shape (n_rows, n_labels) with NaN where a label was not reported
    """
    table = as_label_array(y)
    table = table.ravel() if table.ndim == 2 and table.shape[1] == 1 else table
    if has_labels(table):
        targets = Targets(*labels_of(table))
        return np.where(targets.reported, targets.encoded, np.nan)
    labels = one_column(table)
    try:
        np.unique(labels)
    except TypeError:
        raise mixed_types(labels) from None
    return labels


def problem_of(y, classes):
    """The problem of a target and of an estimator's classes, for measuring predictions that anybody made."""
    return Multilabel(np.arange(np.shape(y)[1])) if np.ndim(y) == 2 else Multiclass(np.asarray(classes))


# By the name in a file.
PROBLEMS = {"multiclass": Multiclass, "multilabel": Multilabel}


def _shares_of(classes, prior):
    return prior.shape == classes.shape and bool(((prior >= 0) & (prior <= 1)).all())


def magnitude(weights):
    """The power of two above the largest weight, as exponent."""
    return int(np.frexp(weights.max())[1])


def near_one(weights):
    """Weights of which only ratios matter, the largest brought near 1, without rounding."""
    return np.ldexp(weights, -magnitude(weights))


def _weights_by_name(weights, names, what):
    """Weights of classes or labels, checked; a dict."""
    for name, weight in (weights or {}).items():
        if name not in names:
            raise ValueError(
                f"class_weight has {what} {name!r}, which y lacks{did_you_mean(name, names)} It has {quoted(names)}."
            )
        if not isinstance(weight, Real) or not 0 <= weight < np.inf:
            raise ValueError(f"class_weight[{name!r}] must be a number from 0 on. Got {weight!r}.")
    return weights or {}
