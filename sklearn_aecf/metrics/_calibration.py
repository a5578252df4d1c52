"""Calibration error: how far confidence is from accuracy, in bins."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy.stats import norm as normal
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_aecf._data import is_flat
from sklearn_aecf._problem import read_labels
from sklearn_aecf._rows import row_weights


class CalibrationError(float):
    """A calibration error that also knows its bootstrap interval.

    Parameters
    ----------
    x : float, default=0
        The error.

    Attributes
    ----------
    interval : tuple (low, high) or None
        Percentile interval, where ``bootstrap_ci`` asked for one.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.metrics import expected_calibration_error
    >>> y = np.array([0, 1, 1, 1])
    >>> probability = np.array([0.25, 0.75, 0.75, 0.75])
    >>> error = expected_calibration_error(y, probability, bootstrap_ci=0.9, random_state=0)
    >>> len(error.interval)
    2
    """

    interval = None


@dataclass(frozen=True)
class ReliabilityCurve:
    """Bins of a reliability diagram; those without rows are left out.

    Parameters
    ----------
    confidence : ndarray of shape (n_filled_bins,)
        Weighted mean of what was predicted.
    accuracy : ndarray of shape (n_filled_bins,)
        Weighted mean of what was observed.
    weight : ndarray of shape (n_filled_bins,)
        Share of the rows, sums to 1.
    count : ndarray of int, shape (n_filled_bins,)
        Rows in each bin.
    variance : ndarray of shape (n_filled_bins,)
        Sampling variance of the gap between the two.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.metrics import reliability_curve
    >>> y = np.array([0, 1, 1, 1])
    >>> probability = np.array([0.25, 0.75, 0.75, 0.75])
    >>> reliability_curve(y, probability, kind="binary").count.tolist()
    [1, 3]
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    variance: np.ndarray


_CONSTRAINTS = {
    "n_bins": [Interval(Integral, 1, None, closed="left")],
    "strategy": [StrOptions({"uniform", "quantile"})],
    "kind": [StrOptions({"top-label", "classwise", "binary"})],
}


_ERROR_CONSTRAINTS = {
    **_CONSTRAINTS,
    "norm": [StrOptions({"l1", "l2", "max"})],
    "debias": ["boolean"],
    "bootstrap_ci": [Interval(Real, 0, 1, closed="neither"), None],
    "n_bootstrap": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


@validate_params(_ERROR_CONSTRAINTS, prefer_skip_nested_validation=True)
def expected_calibration_error(
    y_true,
    y_prob,
    *,
    n_bins=15,
    strategy="uniform",
    norm="l1",
    kind="top-label",
    debias=False,
    labels=None,
    sample_weight=None,
    bootstrap_ci=None,
    n_bootstrap=500,
    random_state=None,
):
    """Expected calibration error: mean gap between confidence and accuracy over bins of confidence.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,) or (n_rows, n_labels)
        Classes; or 0/1 a label, with NaN or -1 where it was not reported (skipped).
    y_prob : array-like of shape (n_rows,), (n_rows, n_classes) or (n_rows, n_labels)
        Probability of the positive class (1-D), of each class, or of each label.
    n_bins : int, default=15
        Into how many bins confidence is divided.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or with equally many rows.
    norm : {"l1", "l2", "max"}, default="l1"
        Mean gap, root of the mean squared gap, or largest gap.
    kind : {"top-label", "classwise", "binary"}, default="top-label"
        The largest probability against whether it is right; the mean over classes of each class's probability against
        whether it is that class; the probability of the positive class. Multilabel `y_true` and 1-D `y_prob` are
        taken label by label as ``"binary"``.
    debias : bool, default=False
        Remove the bias upwards that few rows in a bin cause. For ``"l2"`` the sampling variance of each bin is
        subtracted [2]_; for ``"l1"`` the expected excess of ``|gap|`` under normal sampling error, with gaps shrunk
        towards 0 in the manner of James and Stein (ours, after [2]_). The result is then right on average and, near
        perfect calibration, at times slightly negative: cutting it at 0 would bring the bias back. Not for ``"max"``.
    labels : array-like of shape (n_classes,), default=None
        Classes in the order of the columns of `y_prob`: an estimator's ``classes_``. By default 0, 1, ... or, if
        `y_true` has as many distinct classes as there are columns, those.
    sample_weight : array-like of shape (n_rows,), default=None
        Weight of each row; None weighs all alike.
    bootstrap_ci : float, default=None
        Level, e.g. 0.95, of a percentile interval over resampled rows, given as ``.interval`` of the result.
    n_bootstrap : int, default=500
        How many times rows are drawn again for the interval.
    random_state : int, RandomState instance or None, default=None
        Of the bootstrap.

    Returns
    -------
    CalibrationError
        A float.

    Raises
    ------
    ValueError
        If probabilities are outside [0, 1], NaN or do not sum to 1, shapes do not fit, or a class is unknown.

    References
    ----------
    .. [1] Naeini, Cooper and Hauskrecht, *Obtaining Well Calibrated Probabilities Using Bayesian Binning*, AAAI 2015.
    .. [2] Kumar, Liang and Ma, *Verified Uncertainty Calibration*, NeurIPS 2019.

    Examples
    --------
    Four rows with confidence 0.9, three of them right: the gap is 0.9 - 0.75 = 0.15. Two with confidence 0.6, one
    right: 0.1. Weighted by rows: (4 * 0.15 + 2 * 0.1) / 6.

    >>> from sklearn_aecf.metrics import expected_calibration_error
    >>> y_prob = [[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2
    >>> round(expected_calibration_error([0, 0, 0, 1, 1, 0], y_prob), 4)
    0.1333
    """
    if debias and norm == "max":
        raise ValueError("debias is defined for norm='l1' and 'l2'. Got norm='max'.")
    columns = _confidence_columns(y_true, y_prob, kind, labels, sample_weight)
    n_rows, options = len(columns[0][0]), (n_bins, strategy, norm, debias)
    result = CalibrationError(_error_of(columns, np.arange(n_rows), *options))
    if bootstrap_ci is not None:
        rng = check_random_state(random_state)
        draws = [_error_of(columns, rng.randint(n_rows, size=n_rows), *options) for _ in range(n_bootstrap)]
        tail = (1 - bootstrap_ci) / 2
        result.interval = tuple(float(q) for q in np.nanquantile(draws, [tail, 1 - tail]))
    return result


def error_of_read(truth, y_prob, labels, weight=None):
    """`expected_calibration_error` with its defaults, of labels and weights that are read and checked already.

    Parameters
    ----------
    truth : ndarray, as from `read_labels`
    y_prob : ndarray of shape (n_rows, n_classes) or (n_rows, n_labels)
    labels : ndarray of shape (n_classes,), or None
    weight : ndarray of shape (n_rows,), default=None

    Returns
    -------
    float
    """
    weight = np.ones(len(truth)) if weight is None else weight
    columns = _columns_of(truth, check_probabilities(y_prob), "top-label", labels, weight)
    return _error_of(columns, np.arange(len(truth)))


def _error_of(columns, chosen, n_bins=15, strategy="uniform", norm="l1", debias=False):
    """Mean error over columns, as from `_columns_of`, of some rows."""
    values = [
        _gap_norm(_bins(*(a[chosen[reported[chosen]]] for a in (confidence, correct, weight)), n_bins, strategy),
                  norm, debias)
        for confidence, correct, weight, reported in columns
    ]  # fmt: skip
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def reliability_curve(
    y_true, y_prob, *, n_bins=10, strategy="uniform", kind="top-label", labels=None, sample_weight=None
):
    """Confidence, accuracy and rows of each bin: what a reliability diagram draws.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,) or (n_rows, n_labels)
        Classes; or 0/1 a label, with NaN or -1 where it was not reported (skipped).
    y_prob : array-like of shape (n_rows,), (n_rows, n_classes) or (n_rows, n_labels)
        Probability of the positive class (1-D), of each class, or of each label.
    n_bins : int, default=10
        Into how many bins confidence is divided.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or with equally many rows.
    kind : {"top-label", "classwise", "binary"}, default="top-label"
        As in `expected_calibration_error`; labels or classes are pooled.
    labels : array-like of shape (n_classes,), default=None
        Classes in the order of the columns of `y_prob`.
    sample_weight : array-like of shape (n_rows,), default=None
        Weight of each row; None weighs all alike.

    Returns
    -------
    ReliabilityCurve
        With attributes ``confidence``, ``accuracy``, ``weight``, ``count``; empty bins are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.metrics import reliability_curve
    >>> y = np.array([0, 1, 1, 1])
    >>> probability = np.array([0.25, 0.75, 0.75, 0.75])
    >>> curve = reliability_curve(y, probability, kind="binary")
    >>> curve.confidence.tolist(), curve.accuracy.tolist()
    ([0.25, 0.75], [0.0, 1.0])
    """
    columns = _confidence_columns(y_true, y_prob, kind, labels, sample_weight)
    pooled = [np.concatenate([column[position][column[3]] for column in columns]) for position in range(3)]
    return _bins(*pooled, n_bins, strategy)


def _confidence_columns(y_true, y_prob, kind, labels, sample_weight):
    """What `_columns_of` returns, of what a user gave."""
    probability = check_probabilities(y_prob)
    truth = read_labels(y_true)
    if len(truth) != len(probability):
        raise ValueError(f"y_true has {len(truth)} rows but y_prob has {len(probability)}; give one row per sample.")
    weight = row_weights(sample_weight, len(truth))
    if not weight.any():
        raise ValueError("sample_weight is 0 in every row; give some row a weight.")
    return _columns_of(truth, probability, kind, labels, weight)


def _columns_of(truth, probability, kind, labels, weight):
    """Confidence, whether right, weight and whether reported: one tuple per column that is binned on its own."""
    if truth.ndim == 2:
        if truth.shape != probability.shape:
            raise ValueError(f"y_true has shape {truth.shape} but y_prob has shape {probability.shape}.")
        reported = ~np.isnan(truth)
        return [(probability[:, c], truth[:, c] == 1, weight, reported[:, c]) for c in range(truth.shape[1])]
    everything = np.ones(len(truth), dtype=bool)
    if labels is not None and not is_flat(labels):
        raise ValueError(f"labels must be a list of classes, in the order of the columns of y_prob. Got {labels!r}.")
    if probability.ndim == 1 or kind == "binary":
        positive, known = _binary_columns(truth, probability, labels)
        return [(positive, truth == known[1], weight, everything)]
    if not np.allclose(probability.sum(axis=1), 1, atol=1e-4):
        row = int(np.abs(probability.sum(axis=1) - 1).argmax())
        raise ValueError(
            f"The rows of y_prob must sum to 1. Row {row} sums to {probability[row].sum():.4g}; for several labels a "
            "row give y_true one column per label."
        )
    indices = _class_indices(truth, probability.shape[1], labels)
    if kind == "top-label":
        return [(probability.max(axis=1), probability.argmax(axis=1) == indices, weight, everything)]
    return [(probability[:, c], indices == c, weight, everything) for c in range(probability.shape[1])]


def _binary_columns(truth, probability, labels):
    known = np.unique(truth) if labels is None else np.asarray(labels)
    if labels is None and set(known.tolist()) <= {0, 1}:
        known = np.array([0, 1])
    if len(known) != 2 or not np.isin(truth, known).all():
        raise ValueError(
            f"kind='binary' needs two classes. Got {np.unique(truth).tolist()}; give labels=, or kind='top-label'."
        )
    if probability.ndim == 2:
        if probability.shape[1] != 2:
            raise ValueError(f"kind='binary' needs y_prob with 2 columns or 1-D. Got {probability.shape[1]} columns.")
        probability = probability[:, 1]
    return probability, known


def _class_indices(truth, n_classes, labels):
    if labels is None:
        found = np.unique(truth)
        if found.dtype.kind in "iub" and found.min(initial=0) >= 0 and found.max(initial=0) < n_classes:
            return truth.astype(int)
        if len(found) != n_classes:
            raise ValueError(
                f"y_true has {len(found)} classes but y_prob has {n_classes} columns; give labels=, the classes in the "
                "order of the columns (an estimator's classes_)."
            )
        labels = found
    labels = np.asarray(labels)
    if isinstance(truth[:1].tolist()[0], str) != isinstance(labels[:1].tolist()[0], str):
        raise ValueError(
            f"y_true and labels hold classes of different types, e.g. {truth.tolist()[0]!r} and {labels.tolist()[0]!r}."
        )
    if len(labels) != n_classes:
        raise ValueError(f"labels has {len(labels)} classes but y_prob has {n_classes} columns.")
    order = np.argsort(labels)
    positions = np.searchsorted(labels[order], truth).clip(max=n_classes - 1)
    indices = order[positions]
    unknown = labels[indices] != truth
    if unknown.any():
        raise ValueError(
            f"y_true has class {truth[unknown].tolist()[0]!r}, which is not among the labels {labels.tolist()}."
        )
    return indices


def check_probabilities(y_prob):
    """The probabilities as an array, or a sentence on what is wrong with them."""
    try:
        probability = np.asarray(y_prob)
        if probability.dtype.kind == "c":
            raise TypeError
        probability = probability.astype(float)
    except (TypeError, ValueError):
        raise ValueError(
            f"y_prob must be an array of probabilities, a row a sample. Got {type(y_prob).__name__}."
        ) from None
    if probability.ndim not in (1, 2) or len(probability) == 0:
        raise ValueError(f"y_prob must be 1-D or 2-D with at least one row. Got shape {probability.shape}.")
    if np.isnan(probability).any():
        raise ValueError(f"y_prob contains NaN (first in row {np.argwhere(np.isnan(probability))[0][0]}).")
    outside = (probability < 0) | (probability > 1 + 1e-9)
    if outside.any():
        raise ValueError(
            f"y_prob must be in [0, 1]. Got {probability[outside][0]:.4g}; pass predict_proba's output, not scores."
        )
    return probability


def _bins(confidence, correct, weight, n_bins, strategy):
    n_bins = int(n_bins)
    if strategy == "uniform":
        edges = np.linspace(0, 1, n_bins + 1)
    else:
        edges = np.quantile(confidence, np.linspace(0, 1, n_bins + 1)) if len(confidence) else np.zeros(2)
    index = np.digitize(confidence, edges[1:-1])
    count = np.bincount(index, minlength=n_bins)
    total = np.bincount(index, weights=weight, minlength=n_bins)
    filled = total > 0
    total, count = total[filled], count[filled]

    def mean(values):
        return np.bincount(index, weights=weight * values, minlength=n_bins)[filled] / total

    accuracy, expected = mean(correct), mean(confidence)
    # Halfway between what was predicted and what came: neither alone is right, and accuracies of 0 or 1 in a bin of
    # few rows would claim certainty.
    typical = (accuracy + expected) / 2
    in_bin = np.bincount(index, weights=weight, minlength=n_bins)[index]
    share = np.divide(weight, in_bin, where=weight > 0, out=np.zeros(len(weight)))
    effective = 1 / np.bincount(index, weights=share**2, minlength=n_bins)[filled]
    return ReliabilityCurve(expected, accuracy, total / total.sum(), count, typical * (1 - typical) / effective)


def _gap_norm(bins, norm, debias):
    if len(bins.weight) == 0:
        return np.nan
    gap = np.abs(bins.confidence - bins.accuracy)
    if norm == "max":
        return gap.max()
    if norm == "l2":
        squared = bins.weight @ gap**2 - (bins.weight @ bins.variance if debias else 0)
        return np.sign(squared) * np.sqrt(abs(squared))
    return bins.weight @ (gap - _excess(bins, gap) if debias else gap)


def _excess(bins, gap):
    """How much sampling error lifts the mean of |gap| in each bin, were the true gap the shrunk one."""
    deviation = np.sqrt(bins.variance)
    size = bins.weight @ gap**2
    shrunk = gap * max(0.0, 1 - (bins.weight @ bins.variance) / size) if size > 0 else gap
    ratio = np.divide(shrunk, deviation, out=np.full_like(shrunk, np.inf), where=deviation > 0)
    folded = 2 * deviation * normal.pdf(ratio) + shrunk * (1 - 2 * normal.cdf(-ratio))
    return folded - shrunk
