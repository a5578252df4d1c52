"""How much each modality is worth to a fitted classifier."""

from itertools import combinations
from math import factorial

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.parallel import Parallel, delayed

from sklearn_aecf._problem import problem_of
from sklearn_aecf.metrics._reports import checked_targets
from sklearn_aecf.metrics._subsets import FixedPredictions, SubsetPredictions, as_matrix

EXACT_UP_TO = 8


def modality_importance(
    estimator,
    X,
    y,
    *,
    scoring=None,
    method="drop",
    n_repeats=5,
    random_state=None,
    n_jobs=None,
    sample_weight=None,
    modalities=None,
):
    """Importance of each modality for the score of a fitted classifier.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
        Any that takes X with missing values.
    X : dict, MultimodalData, array-like or DataFrame
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
    scoring : str, callable or None, default=None
        None is accuracy; for multilabel targets the accuracy of the labels that were reported.
    method : {"drop", "permute", "shapley"}, default="drop"
        ``"drop"``: what the score loses when the modality is hidden everywhere. ``"permute"``: what it loses when the
        modality's rows are shuffled, as in `sklearn.inspection.permutation_importance`. ``"shapley"``: the modality's
        mean contribution over all orders in which modalities can arrive [1]_; these sum to the score with all minus
        the score with none.
    n_repeats : int, default=5
        Shuffles for ``"permute"``; for ``"shapley"`` with more than 8 modalities, sampled orders in units of the
        number of modalities. Up to 8 Shapley values are exact.
    random_state : int, RandomState instance or None, default=None
    n_jobs : int, default=None
        Scores computed side by side, by joblib.
    sample_weight : array-like of shape (n_rows,), default=None
    modalities : dict of str to columns, default=None
        Column groups, where X is an array or DataFrame and the estimator does not know them.

    Returns
    -------
    Bunch
        As from scikit-learn's `permutation_importance`: ``importances_mean`` and ``importances_std`` of shape
        (n_modalities,), ``importances`` of shape (n_modalities, n_draws); and ``modality_names``,
        ``importances_sem``: the standard error of the mean, 0 where the value is exact.

    References
    ----------
    .. [1] Shapley, *A Value for n-Person Games*, 1953.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.inspection import modality_importance
    >>> X, y = make_multimodal_classification(300, informativeness=[4, 1, 0], random_state=0)
    >>> clf = AECFClassifier(max_epochs=10, random_state=0).fit(X, y)
    >>> importance = modality_importance(clf, X, y, method="shapley", scoring="neg_log_loss")
    >>> importance.modality_names[importance.importances_mean.argmax()]
    'a'
    """
    if method not in ("drop", "permute", "shapley"):
        raise ValueError(f"method must be 'drop', 'permute' or 'shapley'. Got {method!r}.")
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1. Got {n_repeats!r}.")
    scorer = _SubsetScore(estimator, X, y, scoring, sample_weight, modalities)
    n_modalities = len(scorer.names)
    rng = check_random_state(random_state)
    if method == "drop":
        subsets = np.vstack([np.ones(n_modalities, dtype=bool), ~np.eye(n_modalities, dtype=bool)])
        scores = scorer.scores(subsets, n_jobs)
        draws = (scores[0] - scores[1:])[:, None]
    elif method == "permute":
        full = scorer.score_of(scorer.predictions.X)
        orders = [[rng.permutation(len(scorer.y)) for _ in range(n_repeats)] for _ in range(n_modalities)]
        shuffled = Parallel(n_jobs=n_jobs)(
            delayed(scorer.permuted)(m, order) for m in range(n_modalities) for order in orders[m]
        )
        draws = full - np.reshape(shuffled, (n_modalities, n_repeats))
    elif n_modalities <= EXACT_UP_TO:
        draws = _exact_shapley(scorer, n_modalities, n_jobs)[:, None]
    else:
        draws = _sampled_shapley(scorer, n_modalities, n_repeats * n_modalities, rng, n_jobs)
    n_draws = draws.shape[1]
    return Bunch(
        importances_mean=draws.mean(axis=1),
        importances_std=draws.std(axis=1),
        importances_sem=draws.std(axis=1, ddof=1) / np.sqrt(n_draws) if n_draws > 1 else np.zeros(n_modalities),
        importances=draws,
        modality_names=list(scorer.names),
    )


class _SubsetScore:
    """The score that an estimator reaches from a subset of the modalities."""

    def __init__(self, estimator, X, y, scoring, sample_weight, modalities):
        self.predictions = SubsetPredictions(estimator, X, modalities)
        self.names = self.predictions.names
        self.y = checked_targets(y, self.predictions)
        self.problem = problem_of(self.y, self.predictions.classes)
        self.scorer = self._accuracy if scoring is None else check_scoring(estimator, scoring)
        self.weights = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)}

    def score_of(self, X):
        return self.scorer(self.predictions.estimator, X, self.y, **self.weights)

    def permuted(self, m, order):
        return self.score_of(self.predictions.form.permuted(self.names[m], order))

    def scores(self, subsets, n_jobs):
        """Score of each subset (bool rows; none at all is the prediction from nothing)."""
        if isinstance(self.scorer, _BaseScorer) or self.scorer == self._accuracy:
            probabilities = self.predictions.probabilities(subsets)
            return np.array([self._score_fixed(probability) for probability in probabilities])
        hidden = (self.predictions.hidden(subset) for subset in subsets)
        return np.array(Parallel(n_jobs=n_jobs)(delayed(self.score_of)(X) for X in hidden))

    def _score_fixed(self, probability):
        return self.scorer(FixedPredictions(probability, self.problem), None, self.y, **self.weights)

    def _accuracy(self, estimator, X, y, sample_weight=None):
        return self.problem.accuracy(y, as_matrix(estimator.predict_proba(X)), sample_weight)


def _exact_shapley(scorer, n_modalities, n_jobs):
    subsets = (np.arange(2**n_modalities)[:, None] >> np.arange(n_modalities)) % 2 == 1
    scores = scorer.scores(subsets, n_jobs)
    values = np.zeros(n_modalities)
    for m in range(n_modalities):
        others = [k for k in range(n_modalities) if k != m]
        for size in range(n_modalities):
            weight = factorial(size) * factorial(n_modalities - size - 1) / factorial(n_modalities)
            for chosen in combinations(others, size):
                code = sum(1 << k for k in chosen)
                values[m] += weight * (scores[code | 1 << m] - scores[code])
    return values


def _sampled_shapley(scorer, n_modalities, n_orders, rng, n_jobs):
    """One column an order: what each modality adds when modalities arrive in it."""
    orders = [rng.permutation(n_modalities) for _ in range(n_orders)]
    prefixes = np.array(
        [np.isin(np.arange(n_modalities), order[:k]) for order in orders for k in range(n_modalities + 1)]
    )
    unique, where = np.unique(prefixes, axis=0, return_inverse=True)
    scores = scorer.scores(unique, n_jobs)[where.ravel()].reshape(n_orders, n_modalities + 1)
    draws = np.empty((n_modalities, n_orders))
    for column, order in enumerate(orders):
        draws[order, column] = np.diff(scores[column])
    return draws
