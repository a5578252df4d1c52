"""Which scores are asked for, and what they say of predictions that are already there."""

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import check_scoring
from sklearn.metrics._scorer import _BaseScorer

from sklearn_aecf._problem import problem_of
from sklearn_aecf.metrics._subsets import FixedPredictions, as_matrix

# Columns of `subset_report` that no score may take the place of.
RESERVED = ("subset", "size", "n_rows", "ece", "confidence")


def named_scorers(estimator, scoring):
    """Scorers by name.

    Parameters
    ----------
    estimator : fitted classifier
    scoring : str, callable, list of str, dict of str to str or callable, or None

    Returns
    -------
    dict of str to callable
        Empty of None; a callable is called ``"score"``.

    Raises
    ------
    ValueError
        If there is no score in it, a list has something else than names, or a name is one of other columns.
    """
    if scoring is None:
        return {}
    if isinstance(scoring, str):
        return {scoring: check_scoring(estimator, scoring)}
    if callable(scoring):
        return {"score": scoring}
    if not isinstance(scoring, Iterable):
        raise ValueError(f"scoring must be a str, callable, list, dict or None. Got {scoring!r}.")
    if not isinstance(scoring, Mapping):
        scoring = {name: name for name in scoring}
        for name in scoring:
            if not isinstance(name, str):
                raise ValueError(
                    f"A list of scores has names of scorers. Got {name!r}; give a dict of names to callables."
                )
    if not scoring:
        raise ValueError("scoring is empty; name at least one score.")
    for name in scoring:
        if name in RESERVED:
            raise ValueError(f"A score cannot be called {name!r}, as a column of the report is; give it another name.")
    return {name: check_scoring(estimator, scorer) for name, scorer in scoring.items()}


def single_scorer(estimator, scoring, caller):
    """Name and scorer of the only score, for callers that can use one; the scorer of None is None.

    Parameters
    ----------
    estimator : fitted classifier
    scoring : as in `named_scorers`
    caller : str
        Who asks, for the error.

    Returns
    -------
    name : str
    scorer : callable or None
    """
    if callable(scoring):
        return getattr(scoring, "__name__", "score"), check_scoring(estimator, scoring)
    scorers = named_scorers(estimator, scoring)
    if len(scorers) > 1:
        raise ValueError(f"{caller} takes one score. Got {', '.join(map(repr, scorers))}; call it once for each.")
    return next(iter(scorers.items()), ("accuracy", None))


def refuse_unreported(scorers, y):
    """Raise where scorers of scikit-learn would meet labels that were not reported.

    Parameters
    ----------
    scorers : dict of str to callable or None
    y : ndarray of shape (n_rows,) or (n_rows, n_labels)
    """
    if np.ndim(y) < 2 or np.isin(y, (0, 1)).all():
        return
    for name, scorer in scorers.items():
        if isinstance(scorer, _BaseScorer):
            raise ValueError(
                f"y has labels that were not reported, which the score {name!r} cannot skip; give scoring=None for the "
                "accuracy of those that were, or a callable."
            )


def accuracy_of(problem, y, probability, weight=None):
    """Weighted accuracy, of several labels that of the reported ones; NaN where there is nothing to be right in."""
    if len(y) == 0 or (weight is not None and not np.sum(weight) > 0):
        return np.nan
    # 0 / 0 where no label of these rows was reported.
    with np.errstate(invalid="ignore"):
        return problem.accuracy(y, probability, weight)


def accuracy_scorer(estimator, X, y):
    """Score by `accuracy_of`: also of several labels, of which ``estimator.score`` wants all of a row right."""
    y = np.asarray(y)
    return accuracy_of(problem_of(y, getattr(estimator, "classes_", None)), y, as_matrix(estimator.predict_proba(X)))


def score_of(scorer, problem, y, probability, weight=None):
    """What a scorer of scikit-learn says of probabilities.

    Parameters
    ----------
    scorer : scorer of scikit-learn
    problem : Multiclass or Multilabel
    y : ndarray of shape (n_rows,) or (n_rows, n_labels)
    probability : ndarray of shape (n_rows, n_classes) or (n_rows, n_labels)
    weight : ndarray of shape (n_rows,), default=None

    Returns
    -------
    float
        NaN where the rows lack a class without which the score is not defined.
    """
    lacking = _lacks_a_class(problem, y)
    # Scores of a ranking; some of them would call a missing class 0.
    if lacking and "decision_function" in np.atleast_1d(scorer._response_method):
        return np.nan
    weights = {} if weight is None else {"sample_weight": weight}
    with warnings.catch_warnings():
        if lacking:
            warnings.simplefilter("error", UserWarning)
        else:
            # A class that nothing is predicted as once modalities are hidden counts as 0, as in scikit-learn.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
        try:
            return float(scorer(FixedPredictions(probability, problem), None, y, **weights))
        except (UserWarning, ValueError):
            if not lacking:
                raise
            return np.nan


def _lacks_a_class(problem, y):
    """Whether rows lack one of the classes, or both values of one of the labels."""
    if np.ndim(y) == 1:
        return len(np.unique(y)) < len(problem.classes)
    return not ((y == 0).any(axis=0) & (y == 1).any(axis=0)).all()
