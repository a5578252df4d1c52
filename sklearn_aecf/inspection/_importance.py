"""How much each modality is worth to a fitted classifier."""

import warnings
from itertools import combinations
from math import factorial

import numpy as np
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.parallel import Parallel, delayed

from sklearn_aecf._problem import problem_of
from sklearn_aecf.metrics._reports import checked_targets, checked_weight
from sklearn_aecf.metrics._scoring import accuracy_of, refuse_unreported, score_of, single_scorer
from sklearn_aecf.metrics._subsets import SubsetPredictions, quiet_on_hidden

EXACT_UP_TO = 8
# Of resampling, in rows scored; a score costs by itself what so many rows cost.
BUDGET = 25_000_000
ACCURACY_COST, SCORER_COST = 1_000, 15_000


def modality_importance(
    estimator,
    X,
    y,
    *,
    scoring=None,
    method="drop",
    n_repeats=5,
    n_bootstrap=200,
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
        Rows of several modalities, in any form that `AECFClassifier.fit` takes.
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        The true classes, or 0/1 a label.
    scoring : str, callable, list or dict of one score, or None, default=None
        None is accuracy; for multilabel targets the accuracy of the labels that were reported.
    method : {"drop", "permute", "shapley"}, default="drop"
        ``"drop"``: what the score loses when the modality is hidden everywhere. ``"permute"``: what it loses when the
        modality's rows are shuffled, as in ``sklearn.inspection.permutation_importance``. ``"shapley"``: the modality's
        mean contribution over all orders in which modalities can arrive [1]_; these sum to the score with all minus
        the score with none.
    n_repeats : int, default=5
        Shuffles for ``"permute"``; for ``"shapley"`` with more than 8 modalities, sampled orders in units of the
        number of modalities. Up to 8 Shapley values are exact.
    n_bootstrap : int, default=200
        For ``"drop"`` and ``"shapley"``: how often the rows are drawn anew, for the standard error. The estimator is
        not asked again. Fewer, but 20 at least, where scores are many or rows are.
    random_state : int, RandomState instance or None, default=None
        Seed of what is drawn at random; an int gives the same result at every call.
    n_jobs : int, default=None
        Scores computed side by side, by joblib.
    sample_weight : array-like of shape (n_rows,), default=None
        Weight of each row; None weighs all alike.
    modalities : dict of str to columns, default=None
        Column groups, where X is an array or DataFrame and the estimator does not know them.

    Returns
    -------
    Bunch
        As from scikit-learn's ``permutation_importance``: ``importances_mean`` and ``importances_std`` of shape
        (n_modalities,), ``importances`` of shape (n_modalities, n_draws); and ``modality_names``,
        ``importances_sem``: the standard error, and ``importances_interval`` of shape (n_modalities, 2): 95 %, 1.96
        standard errors to both sides.

        Of ``"drop"`` and ``"shapley"`` they cover what other rows would have given, and the orders that were sampled,
        for the estimator as it is: not what another fit would have given. NaN without `n_bootstrap`, and for a callable
        of your own, which would have to predict again. Of ``"permute"`` they cover the shuffles alone.

    Raises
    ------
    ValueError
        If `method` is unknown, `n_repeats` or `n_bootstrap` is too small, `scoring` has several scores, or a score of
        scikit-learn meets labels that were not reported.

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
    if n_bootstrap < 0:
        raise ValueError(f"n_bootstrap must be at least 0. Got {n_bootstrap!r}.")
    scorer = _SubsetScore(estimator, X, y, scoring, sample_weight, modalities)
    n_modalities = len(scorer.names)
    rng = check_random_state(random_state)
    if method == "permute":
        draws = _permuted(scorer, n_modalities, n_repeats, rng, n_jobs)
        variance = np.zeros(n_modalities)
    else:
        subsets, gains_of = _plan(method, n_modalities, n_repeats, rng)
        gains = gains_of(scorer.scores(subsets, n_jobs, n_bootstrap, rng))
        draws = gains[..., 0]
        variance = _variance(gains[..., 1:].mean(axis=1))
    n_draws = draws.shape[1]
    mean = draws.mean(axis=1)
    sem = np.sqrt(variance + (draws.var(axis=1, ddof=1) / n_draws if n_draws > 1 else 0))
    return Bunch(
        importances_mean=mean,
        importances_std=draws.std(axis=1),
        importances_sem=sem,
        importances_interval=mean[:, None] + np.outer(sem, [-1.96, 1.96]),
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
        name, self.scorer = single_scorer(estimator, scoring, "modality_importance")
        refuse_unreported({name: self.scorer}, self.y)
        self.weight = checked_weight(sample_weight, self.y)

    def score_of(self, X):
        """Score of a version of X."""
        if self.scorer is None:
            return accuracy_of(self.problem, self.y, self.predictions.predicted(X), self.weight)
        weights = {} if self.weight is None else {"sample_weight": self.weight}
        with quiet_on_hidden():
            return self.scorer(self.predictions.estimator, X, self.y, **weights)

    def permuted(self, m, order):
        """Score with the rows of a modality in another order."""
        return self.score_of(self.predictions.form.permuted(self.names[m], order))

    def scores(self, subsets, n_jobs, n_bootstrap, rng):
        """Scores of subsets (bool rows; none at all is the prediction from nothing).

        Returns
        -------
        ndarray of shape (n_subsets, 1 + n_resamples)
            On the rows, and on rows drawn anew, the same for all subsets.
        """
        if self.scorer is None or isinstance(self.scorer, _BaseScorer):
            resamples = self._resamples(len(subsets), n_bootstrap, rng)
            probabilities = self.predictions.probabilities(subsets)
            return np.array([self._scores_of(probability, resamples) for probability in probabilities])
        hidden = (self.predictions.hidden(subset) for subset in subsets)
        return np.array(Parallel(n_jobs=n_jobs)(delayed(self.score_of)(X) for X in hidden))[:, None]

    def _resamples(self, n_subsets, n_bootstrap, rng):
        """Rows drawn with replacement, as often as the budget allows."""
        n_rows = len(self.y)
        cost = n_rows + (ACCURACY_COST if self.scorer is None else SCORER_COST)
        affordable = BUDGET // (n_subsets * cost)
        return rng.randint(n_rows, size=(min(n_bootstrap, max(20, affordable)), n_rows))

    def _scores_of(self, probability, resamples):
        """The score on all rows, then on each resample."""
        score = self._score_on(probability, slice(None))
        with warnings.catch_warnings():
            # Said once, of all rows.
            warnings.simplefilter("ignore", UserWarning)
            return [score, *(self._score_on(probability, rows) for rows in resamples)]

    def _score_on(self, probability, rows):
        weight = None if self.weight is None else self.weight[rows]
        given = (self.problem, self.y[rows], probability[rows], weight)
        return accuracy_of(*given) if self.scorer is None else score_of(self.scorer, *given)


def _variance(resampled):
    """Variance of each row's values, NaN of fewer than two."""
    known = [row[np.isfinite(row)] for row in resampled]
    return np.array([values.var(ddof=1) if len(values) > 1 else np.nan for values in known])


def _permuted(scorer, n_modalities, n_repeats, rng, n_jobs):
    """What each shuffle of each modality costs, of shape (n_modalities, n_repeats)."""
    full = scorer.score_of(scorer.predictions.X)
    orders = [[rng.permutation(len(scorer.y)) for _ in range(n_repeats)] for _ in range(n_modalities)]
    shuffled = Parallel(n_jobs=n_jobs)(
        delayed(scorer.permuted)(m, order) for m in range(n_modalities) for order in orders[m]
    )
    return full - np.reshape(shuffled, (n_modalities, n_repeats))


def _plan(method, n_modalities, n_repeats, rng):
    """Which subsets are scored, and what importances come of their scores.

    Returns
    -------
    subsets : ndarray of bool, shape (n_subsets, n_modalities)
    gains_of : callable
        From scores of shape (n_subsets, n) to gains of shape (n_modalities, n_draws, n).
    """
    if method == "drop":
        subsets = np.vstack([np.ones(n_modalities, dtype=bool), ~np.eye(n_modalities, dtype=bool)])
        return subsets, lambda scores: (scores[0] - scores[1:])[:, None]
    if n_modalities <= EXACT_UP_TO:
        return _exact_shapley(n_modalities)
    return _sampled_shapley(n_modalities, n_repeats * n_modalities, rng)


def _exact_shapley(n_modalities):
    subsets = (np.arange(2**n_modalities)[:, None] >> np.arange(n_modalities)) % 2 == 1
    weights = np.zeros((n_modalities, len(subsets)))
    for m in range(n_modalities):
        others = [k for k in range(n_modalities) if k != m]
        for size in range(n_modalities):
            weight = factorial(size) * factorial(n_modalities - size - 1) / factorial(n_modalities)
            for chosen in combinations(others, size):
                code = sum(1 << k for k in chosen)
                weights[m, [code | 1 << m, code]] = weight, -weight
    return subsets, lambda scores: (weights @ scores)[:, None]


def _sampled_shapley(n_modalities, n_orders, rng):
    """One draw an order: what each modality adds when modalities arrive in it."""
    orders = np.array([rng.permutation(n_modalities) for _ in range(n_orders)])
    prefixes = np.array(
        [np.isin(np.arange(n_modalities), order[:k]) for order in orders for k in range(n_modalities + 1)]
    )
    subsets, where = np.unique(prefixes, axis=0, return_inverse=True)
    where = where.reshape(n_orders, n_modalities + 1)

    def gains_of(scores):
        gains = np.empty((n_modalities, n_orders, scores.shape[1]))
        gains[orders, np.arange(n_orders)[:, None]] = np.diff(scores[where], axis=1)
        return gains

    return subsets, gains_of
