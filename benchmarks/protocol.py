"""How a model is measured: modalities hidden at random, and every subset of them."""

import time
import warnings

import numpy as np
from sklearn.metrics import average_precision_score
from sklearn.utils.validation import has_fit_parameter

from sklearn_aecf.compose import drop_modalities, hide
from sklearn_aecf.metrics import expected_calibration_error

RATES = (0.0, 0.3, 0.5, 0.7)
DRAWS = 3
MAX_SUBSET_MODALITIES = 6


def fit(model, task, seed):
    """Fit to the task's rows; models that stop early or calibrate get its validation rows for that.

    Returns
    -------
    float
        Seconds.
    """
    if "random_state" in model.get_params():
        model.set_params(random_state=seed)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if has_fit_parameter(model, "validation_set"):
            model.fit(task.X, task.y, validation_set=task.is_validation)
        else:
            model.fit(task.X, task.y)
    return time.perf_counter() - start


def at_drop_rate(model, X, y, rate, seed):
    """Measures of a model, averaged over draws of hidden modalities, the same for every model.

    Returns
    -------
    dict of str to float
        score (accuracy, or macro average precision), nll, brier, ece.
    """
    found = []
    for draw in range(1 if rate == 0 else DRAWS):
        hidden = X if rate == 0 else drop_modalities(X, rate, random_state=1000 * seed + draw)
        found.append(measures(y, probabilities(model, hidden)))
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def over_subsets(model, X, y):
    """Mean and worst score over all non-empty subsets of the modalities, or nothing beyond six of them."""
    names = list(X.names)
    if len(names) > MAX_SUBSET_MODALITIES:
        return {}
    scores = []
    for code in range(1, 2 ** len(names)):
        without = [name for m, name in enumerate(names) if not code >> m & 1]
        kept = hide(X, without) if without else X
        rows = kept.present.any(axis=1)
        if rows.any():
            scores.append(measures(y[rows], probabilities(model, kept[rows]))["score"])
    return {"subsets_mean": float(np.mean(scores)), "subsets_worst": float(np.min(scores))}


def measures(y, probability):
    """Score, negative log-likelihood, Brier score and calibration error; unreported labels (NaN) do not count."""
    safe = np.clip(probability, 1e-7, 1 - 1e-7)
    if y.ndim == 1:
        right = probability.argmax(axis=1) == y
        one_hot = np.eye(probability.shape[1])[y]
        return {
            "score": float(right.mean()),
            "nll": float(-np.log(safe[np.arange(len(y)), y]).mean()),
            "brier": float(((probability - one_hot) ** 2).sum(axis=1).mean()),
            "ece": float(expected_calibration_error(y, probability, labels=np.arange(probability.shape[1]))),
        }
    reported = ~np.isnan(y)
    truth = np.where(reported, y, 0)
    loss = -(truth * np.log(safe) + (1 - truth) * np.log(1 - safe))
    return {
        "score": mean_average_precision(y, probability),
        "nll": float(loss[reported].mean()),
        "brier": float(((probability - truth) ** 2)[reported].mean()),
        "ece": float(expected_calibration_error(y, probability)),
    }


def mean_average_precision(y, probability):
    """Average precision, a mean over the labels of which both values were reported."""
    values = []
    for truth, predicted in zip(y.T, probability.T, strict=True):
        reported = ~np.isnan(truth)
        if 0 < np.nansum(truth) < reported.sum():
            values.append(average_precision_score(truth[reported], predicted[reported]))
    return float(np.mean(values))


def probabilities(model, X):
    """Probabilities, without a word on rows that have nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.predict_proba(X)
