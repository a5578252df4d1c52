"""Scorers for `scoring=`: what a classifier is worth when modalities are missing or broken."""

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state

from sklearn_aecf._data import checked_name, form_of
from sklearn_aecf.compose import corrupt_modalities, drop_modalities
from sklearn_aecf.compose._corrupting import checked_kinds
from sklearn_aecf.metrics._calibration import expected_calibration_error
from sklearn_aecf.metrics._inside import modalities_of
from sklearn_aecf.metrics._scoring import refuse_unreported
from sklearn_aecf.metrics._subsets import as_matrix, choose_subsets, quiet_on_empty_rows


class _HidingScorer:
    """A scorer over several versions of X with modalities hidden.

    Subclasses say in ``versions(X, modalities)`` what is hidden, and in `combine` how the scores add up.
    """

    def __init__(self, scoring, modalities=None):
        self.scoring = scoring
        self.modalities = modalities

    def combine(self, scores):
        return float(np.mean(scores))

    def __call__(self, estimator, X, y, sample_weight=None):
        scorer = check_scoring(estimator, self.scoring)
        refuse_unreported({str(self.scoring): scorer}, y)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        modalities = modalities_of(estimator, X, self.modalities)
        with quiet_on_empty_rows():
            return self.combine([scorer(estimator, hidden, y, **weights) for hidden in self.versions(X, modalities)])

    def __repr__(self):
        given = {name: value for name, value in vars(self).items() if name != "modalities" or value is not None}
        return f"{self.maker}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


class _DrawnScorer(_HidingScorer):
    """Several draws of hidden or broken modalities; subclasses say in ``drawn(X, modalities, rng)`` what a draw is."""

    def versions(self, X, modalities):
        rng = check_random_state(self.random_state)
        for _ in range(self.n_repeats):
            yield self.drawn(X, modalities, rng)


class _DropScorer(_DrawnScorer):
    maker = "missing_modality_scorer"

    def __init__(self, scoring, drop_rate, n_repeats, keep_one, random_state, modalities):
        super().__init__(scoring, modalities)
        self.drop_rate = drop_rate
        self.n_repeats = n_repeats
        self.keep_one = keep_one
        self.random_state = random_state

    def drawn(self, X, modalities, rng):
        return drop_modalities(X, self.drop_rate, keep_one=self.keep_one, random_state=rng, modalities=modalities)


class _CorruptionScorer(_DrawnScorer):
    maker = "corrupted_modality_scorer"

    def __init__(self, scoring, corruption_rate, kind, n_repeats, random_state, modalities):
        super().__init__(scoring, modalities)
        self.corruption_rate = corruption_rate
        self.kind = kind
        self.n_repeats = n_repeats
        self.random_state = random_state

    def drawn(self, X, modalities, rng):
        return corrupt_modalities(X, self.corruption_rate, kind=self.kind, random_state=rng, modalities=modalities)


class _SubsetScorer(_HidingScorer):
    maker = "subset_scorer"

    def __init__(self, scoring, present, modalities):
        super().__init__(scoring, modalities)
        self.present = present

    def versions(self, X, modalities):
        form = form_of(X, modalities)
        names, observed = form.presence()
        keep = np.zeros_like(observed)
        for name in self.present:
            keep[:, checked_name(name, names)] = True
        yield form.with_presence(keep)


class _WorstSubsetScorer(_HidingScorer):
    maker = "worst_subset_scorer"

    def versions(self, X, modalities):
        form = form_of(X, modalities)
        names, observed = form.presence()
        for subset in choose_subsets("all", names, observed):
            yield form.with_presence(np.broadcast_to(subset, observed.shape))

    def combine(self, scores):
        return float(np.min(scores))


def missing_modality_scorer(scoring, *, drop_rate=0.5, n_repeats=3, keep_one=True, random_state=0, modalities=None):
    """Make a scorer that hides each modality of each row with a given probability.

    Parameters
    ----------
    scoring : str or callable
        Any scorer of scikit-learn, e.g. ``"accuracy"``.
    drop_rate : float, default=0.5
        In [0, 1].
    n_repeats : int, default=3
        Draws whose scores are averaged.
    keep_one : bool, default=True
        A row that would lose all keeps one.
    random_state : int, RandomState instance or None, default=0
        With an int every candidate of a search is scored on the same draws.
    modalities : dict of str to columns, default=None
        Column groups, where X is an array or DataFrame and the estimator does not know them.

    Returns
    -------
    callable ``scorer(estimator, X, y, sample_weight=None)``
        A scorer for searches and for ``cross_val_score``.

    Examples
    --------
    >>> from sklearn_aecf.metrics import missing_modality_scorer
    >>> missing_modality_scorer("accuracy", drop_rate=0.3)
    missing_modality_scorer(scoring='accuracy', drop_rate=0.3, n_repeats=3, keep_one=True, random_state=0)
    """
    if not 0 <= drop_rate <= 1:
        raise ValueError(f"drop_rate must be a probability in [0, 1]. Got {drop_rate!r}.")
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1. Got {n_repeats!r}.")
    return _DropScorer(scoring, drop_rate, n_repeats, keep_one, random_state, modalities)


def corrupted_modality_scorer(
    scoring, *, corruption_rate=0.5, kind="noise", n_repeats=3, random_state=0, modalities=None
):
    """Make a scorer that breaks each modality of each row with a given probability; one of several stays good.

    Parameters
    ----------
    scoring : str or callable
        Any scorer of scikit-learn, e.g. ``"accuracy"``.
    corruption_rate : float, default=0.5
        In [0, 1].
    kind : str or sequence of str, default="noise"
        As in `sklearn_aecf.compose.corrupt_modalities`.
    n_repeats : int, default=3
        Draws whose scores are averaged.
    random_state : int, RandomState instance or None, default=0
        With an int every candidate of a search is scored on the same draws.
    modalities : dict of str to columns, default=None
        Column groups, where X is an array or DataFrame and the estimator does not know them.

    Returns
    -------
    callable ``scorer(estimator, X, y, sample_weight=None)``
        A scorer for searches and for ``cross_val_score``.

    Examples
    --------
    >>> from sklearn_aecf.metrics import corrupted_modality_scorer
    >>> corrupted_modality_scorer("accuracy", kind="dead")
    corrupted_modality_scorer(scoring='accuracy', corruption_rate=0.5, kind='dead', n_repeats=3, random_state=0)
    """
    if not 0 <= corruption_rate <= 1:
        raise ValueError(f"corruption_rate must be a probability in [0, 1]. Got {corruption_rate!r}.")
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1. Got {n_repeats!r}.")
    checked_kinds(kind)
    return _CorruptionScorer(scoring, corruption_rate, kind, n_repeats, random_state, modalities)


def subset_scorer(scoring, present, *, modalities=None):
    """Make a scorer that hides all but some modalities.

    Parameters
    ----------
    scoring : str or callable
        Any of scikit-learn's scorers, by name, or a callable ``(estimator, X, y)``.
    present : list of str
        The modalities that stay.
    modalities : dict of str to columns, default=None
        Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.

    Returns
    -------
    callable ``scorer(estimator, X, y, sample_weight=None)``
        A scorer for searches and for ``cross_val_score``.

    Examples
    --------
    >>> from sklearn_aecf.metrics import subset_scorer
    >>> subset_scorer("roc_auc", present=["audio"])
    subset_scorer(scoring='roc_auc', present=['audio'])
    """
    present = [present] if isinstance(present, str) else list(present)
    if not present:
        raise ValueError("present is empty; name at least one modality that stays.")
    return _SubsetScorer(scoring, present, modalities)


def worst_subset_scorer(scoring, *, modalities=None):
    """Make a scorer of the worst subset of modalities.

    Parameters
    ----------
    scoring : str or callable
        Any of scikit-learn's scorers, by name, or a callable ``(estimator, X, y)``.
    modalities : dict of str to columns, default=None
        Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.

    Returns
    -------
    callable ``scorer(estimator, X, y, sample_weight=None)``
        The lowest score over all non-empty subsets (64 at most).

    Examples
    --------
    >>> from sklearn_aecf.metrics import worst_subset_scorer
    >>> worst_subset_scorer("accuracy")
    worst_subset_scorer(scoring='accuracy')
    """
    return _WorstSubsetScorer(scoring, modalities)


def ece_scorer(estimator, X, y, sample_weight=None):
    """Score by the negative expected calibration error: greater is better.

    A scorer as it is: ``scoring=ece_scorer``.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
        What is measured; also a Pipeline or a search that ends in one.
    X : dict, MultimodalData, array-like or DataFrame
        Rows of several modalities, in any form that `AECFClassifier.fit` takes.
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        The true classes, or 0/1 a label.
    sample_weight : array-like of shape (n_rows,), default=None
        Weight of each row; None weighs all alike.

    Returns
    -------
    float
        Minus the calibration error: greater is better.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(200, missing_rate=0.2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> from sklearn_aecf.metrics import ece_scorer
    >>> -1 <= ece_scorer(clf, X, y) <= 0
    True
    """
    probability = as_matrix(estimator.predict_proba(X))
    labels = None if np.ndim(y) == 2 else estimator.classes_
    return -float(expected_calibration_error(y, probability, labels=labels, sample_weight=sample_weight))
