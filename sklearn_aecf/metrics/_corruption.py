"""What a classifier is worth when a sensor lies, and whether it notices."""

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state

from sklearn_aecf._problem import problem_of
from sklearn_aecf.compose import corrupt_modalities
from sklearn_aecf.compose._corrupting import checked_kinds
from sklearn_aecf.metrics._calibration import expected_calibration_error
from sklearn_aecf.metrics._reports import checked_targets
from sklearn_aecf.metrics._scoring import accuracy_of
from sklearn_aecf.metrics._subsets import SubsetPredictions, as_fitted


def corruption_report(estimator, X, y, *, kinds=("noise", "stuck", "spikes"), random_state=0, modalities=None):
    """What happens when one modality lies: against genuine values, and against the same modality missing.

    Each modality is broken in turn, in every row that has it and another one, by `corrupt_modalities`.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
        Any that takes X with missing values. One with ``modality_reliability`` is asked whether it noticed.
    X : dict, MultimodalData, array-like or DataFrame
        Rows that the estimator was not fitted on.
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        The true classes, or 0/1 a label.
    kinds : str or sequence of str, default=("noise", "stuck", "spikes")
        As in `sklearn_aecf.compose.corrupt_modalities`.
    random_state : int, RandomState instance or None, default=0
        Seed of what is drawn at random; an int gives the same result at every call.
    modalities : dict of str to columns, default=None
        Column groups, where X is an array or DataFrame and the estimator does not know them.

    Returns
    -------
    dict of str to ndarray
        A row for each modality and kind, in columns ``modality``, ``kind``, ``n_rows``; ``genuine``, ``missing`` and
        ``lying``: accuracy (multilabel: of single labels) with the modality as it is, without it, and broken;
        ``confidence`` and ``ece`` while it lies; ``noticed``: the area under the curve of telling broken from genuine
        by its reliability, NaN without one. What no row can tell is NaN. A modality that is not made of numbers is
        left out.

    Raises
    ------
    ValueError
        If a kind is unknown, or no modality is made of numbers.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.metrics import corruption_report
    >>> X, y = make_multimodal_classification(300, n_modalities=2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=5, random_state=0).fit(X[:200], y[:200])
    >>> report = corruption_report(clf, X[200:], y[200:], kinds=["dead"])
    >>> report["modality"].tolist(), report["kind"].tolist()
    (['a', 'b'], ['dead', 'dead'])
    """
    predictions = SubsetPredictions(estimator, X, modalities)
    y = checked_targets(y, predictions)
    kinds = checked_kinds(kinds)
    rng = check_random_state(random_state)
    measured = [name for name in predictions.names if predictions.form.values(name).dtype.kind in "biuf"]
    if not measured:
        raise ValueError("X has no modality that is made of numbers, so that no sensor of it can be broken on purpose.")
    # All of them, and all but one each, from one embedding of the rows where the estimator can.
    everything = np.ones((1, len(predictions.names)), dtype=bool)
    genuine, *missing = predictions.probabilities(np.vstack([everything, ~np.eye(len(predictions.names), dtype=bool)]))
    judged = _reliability(predictions, predictions.X)
    rows = []
    for name in measured:
        m = predictions.names.index(name)
        usable = np.flatnonzero(predictions.present[:, m] & (predictions.present.sum(axis=1) > 1))
        chosen = np.zeros_like(predictions.present)
        chosen[usable, m] = True
        for kind in kinds:
            row = {"modality": name, "kind": kind, "n_rows": len(usable)}
            row |= dict.fromkeys(["genuine", "missing", "lying", "confidence", "ece", "noticed"], np.nan)
            rows.append(row)
            if len(usable) == 0:
                continue
            broken = corrupt_modalities(
                predictions.X, chosen, kind=kind, random_state=rng, modalities=predictions.modalities
            )
            lying = predictions.predicted(broken)[usable]
            problem = problem_of(y[usable], predictions.classes)
            row["genuine"] = accuracy_of(problem, y[usable], genuine[usable])
            row["missing"] = accuracy_of(problem, y[usable], missing[m][usable])
            row["lying"] = accuracy_of(problem, y[usable], lying)
            row["confidence"] = float(problem.sureness(lying).mean())
            row["ece"] = float(expected_calibration_error(y[usable], lying, labels=problem.label_order))
            if judged is not None:
                found = _reliability(predictions, broken)[usable, m]
                truth, score = np.repeat([1, 0], len(usable)), np.append(judged[usable, m], found)
                # NaN of a modality that the estimator has not seen in training.
                row["noticed"] = np.nan if np.isnan(score).any() else float(roc_auc_score(truth, score))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _reliability(predictions, X):
    """Reliabilities in the order of X's modalities, or None of an estimator that knows none."""
    estimator = predictions.estimator
    if not hasattr(estimator, "modality_reliability"):
        return None
    found = estimator.modality_reliability(X)
    known = list(estimator.modality_names_)
    order = as_fitted(np.eye(len(predictions.names), dtype=bool), predictions.names, known).argmax(axis=1)
    return found[:, order]
