"""Subsets of modalities, and what an estimator predicts from each."""

import itertools
import warnings
from collections.abc import Iterable
from contextlib import contextmanager

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_aecf._data import checked_name, flags_of, form_of
from sklearn_aecf._problem import Multiclass, Multilabel
from sklearn_aecf.compose import corrupt_modalities
from sklearn_aecf.metrics._inside import modalities_of, unwrapped


def subset_name(subset, names):
    """Readable name of a subset: its modalities joined by " + "."""
    return " + ".join(name for name, here in zip(names, subset, strict=True) if here)


def names_in(text, size, names):
    """The modalities that a readable name of a subset is made of, also where these have " + " in them.

    Parameters
    ----------
    text : str
        As from `subset_name`.
    size : int
        How many they are.
    names : sequence of str
        Modalities that there are, in any order.

    Returns
    -------
    list of str, or None
        None where the text is not made of so many of them.
    """
    if size == 1:
        return [text] if text in names else None
    for name in names:
        if text.startswith(f"{name} + "):
            others = names_in(text.removeprefix(f"{name} + "), size - 1, [other for other in names if other != name])
            if others is not None:
                return [name, *others]
    return None


@contextmanager
def quiet_on_empty_rows():
    """No word on rows that nothing is left of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no observed modality.*")
        yield


@contextmanager
def quiet_on_hidden():
    """No word on such rows, nor on classes that nothing is predicted as once modalities are hidden."""
    with quiet_on_empty_rows():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        yield


def choose_subsets(subsets, names, present, max_subsets=64):
    """Subsets that a report is made for.

    Parameters
    ----------
    subsets : {"all", "observed", "single", "leave-one-out"} or list
        All non-empty ones; the patterns that rows have; one modality each; all but one; or a list of lists of names.
    names : tuple of str
    present : ndarray of bool, shape (n_rows, n_modalities)
    max_subsets : int
        Above it, with a warning, those with fewest modalities hidden and with fewest left come first.

    Returns
    -------
    ndarray of bool, shape (n_subsets, n_modalities)
        Largest first.
    """
    n_modalities = len(names)
    if isinstance(subsets, str):
        if subsets == "all":
            chosen = _all_subsets(n_modalities, max_subsets)
        elif subsets == "observed":
            patterns, counts = np.unique(present, axis=0, return_counts=True)
            order = np.argsort(-counts, kind="stable")
            chosen = [tuple(patterns[i]) for i in order if patterns[i].any()][:max_subsets]
        elif subsets == "single":
            chosen = [tuple(row) for row in np.eye(n_modalities, dtype=bool)]
        elif subsets == "leave-one-out":
            full = np.ones((1, n_modalities), dtype=bool)
            chosen = [tuple(row) for row in np.vstack([full, ~np.eye(n_modalities, dtype=bool)]) if row.any()]
        else:
            raise ValueError(
                "subsets must be 'all', 'observed', 'single', 'leave-one-out' or a list of lists of modalities. "
                f"Got {subsets!r}."
            )
    elif not isinstance(subsets, Iterable):
        raise TypeError(
            "subsets must be 'all', 'observed', 'single', 'leave-one-out' or a list of lists of modalities. "
            f"Got {subsets!r}."
        )
    else:
        chosen = [_named_subset(subset, names) for subset in subsets]
    if not chosen:
        raise ValueError("subsets selects nothing; give at least one subset of modalities.")
    return np.array(sorted(dict.fromkeys(chosen), key=lambda s: (-sum(s), tuple(not here for here in s))))


def _all_subsets(n_modalities, max_subsets):
    n_all = 2**n_modalities - 1
    if n_all > max_subsets:
        warnings.warn(
            f"{n_modalities} modalities have {n_all} subsets; the report has {max_subsets} of them, those with the "
            "fewest modalities hidden or left. Raise max_subsets for more.",
            UserWarning,
            stacklevel=4,
        )
    # Sizes from both ends: n, 1, n - 1, 2, ...
    sizes = sorted(range(1, n_modalities + 1), key=lambda size: (min(n_modalities - size, size - 1), -size))
    combinations = itertools.chain.from_iterable(itertools.combinations(range(n_modalities), size) for size in sizes)
    return [tuple(m in chosen for m in range(n_modalities)) for chosen in itertools.islice(combinations, max_subsets)]


def _named_subset(subset, names):
    subset = [subset] if isinstance(subset, str) else list(subset)
    if not subset:
        raise ValueError("A subset is empty; name at least one modality in each.")
    return flags_of(subset, names)


def as_fitted(flags, names, fitted):
    """Columns of flags in an estimator's order of modalities, which X need not share; False for those X lacks."""
    ordered = np.zeros((len(flags), len(fitted)), dtype=bool)
    for m, name in enumerate(names):
        ordered[:, checked_name(name, fitted)] = np.asarray(flags)[:, m]
    return ordered


class SubsetPredictions:
    """Predictions of an estimator from subsets of the modalities, each made once.

    Estimators with a method ``predict_proba_subsets`` (ours) embed every row once for all subsets; others predict from
    a copy of X a subset.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
    X : dict, MultimodalData, array-like or DataFrame
    modalities : dict of str to columns, default=None
    kind : str or sequence of str, default=None
        What is outside a subset is broken in this way; by default it is hidden.
    random_state : int, RandomState instance or None, default=0
    """

    def __init__(self, estimator, X, modalities=None, kind=None, random_state=0):
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"{type(estimator).__name__} has no predict_proba; give a classifier that predicts probabilities, e.g. "
                "wrapped in CalibratedClassifierCV."
            )
        self.estimator, self.X = unwrapped(estimator, X)
        self.modalities = modalities_of(self.estimator, self.X, modalities)
        self.form = form_of(self.X, self.modalities)
        self.names, self.present = self.form.presence()
        if len(self.present) == 0:
            raise ValueError("X has 0 rows; at least one is needed.")
        self.kind, self.random_state = kind, random_state

    @property
    def classes(self):
        return getattr(self.estimator, "classes_", None)

    @property
    def problem(self):
        """What the estimator predicts, as its own prediction of one row says."""
        # A row that has something, or the estimator may warn.
        row = int(self.present.any(axis=1).argmax())
        with quiet_on_empty_rows():
            predicted = self.estimator.predict(self.form.rows([row]))
        if np.ndim(predicted) == 2:
            return Multilabel(np.arange(len(self.estimator.classes_)))
        return Multiclass(self.estimator.classes_)

    def rows_with(self, subset):
        """Rows that have every modality of the subset."""
        return np.flatnonzero(self.present[:, subset].all(axis=1))

    def rows_with_exactly(self, subset):
        """Rows that have the modalities of the subset and no other."""
        return np.flatnonzero((self.present == subset).all(axis=1))

    def rows_for(self, subsets):
        """How a choice of subsets, as in `choose_subsets`, selects the rows that a subset is measured on."""
        return self.rows_with_exactly if isinstance(subsets, str) and subsets == "observed" else self.rows_with

    def all_rows(self, subset=None):
        """All rows, whatever the subset."""
        return np.arange(len(self.present))

    def complete_rows(self, subset=None):
        """Rows that have all modalities, whatever the subset."""
        return np.flatnonzero(self.present.all(axis=1))

    def hidden(self, subset):
        """X with everything but the subset hidden, or broken."""
        within = np.broadcast_to(subset, self.present.shape)
        if self.kind is None:
            return self.form.with_presence(within)
        return corrupt_modalities(
            self.X, ~within, kind=self.kind, random_state=self.random_state, modalities=self.modalities
        )

    def rows_hidden(self, subset, rows):
        """Some rows of X with everything but the subset hidden."""
        return form_of(self.hidden(subset), self.modalities).rows(rows)

    def probabilities(self, subsets):
        """Probabilities of each subset for all rows, one subset at a time.

        Yields
        ------
        ndarray of shape (n_rows, n_classes)
        """
        shared = getattr(self.estimator, "predict_proba_subsets", None)
        if shared is not None and self.kind is None:
            yield from shared(self.X, as_fitted(subsets, self.names, self.estimator.modality_names_))
            return
        for subset in subsets:
            yield self.predicted(self.hidden(subset))

    def predicted(self, X):
        """Probabilities of a version of X, without a word on rows that nothing is left of."""
        with quiet_on_empty_rows():
            return as_matrix(self.estimator.predict_proba(X))


def as_matrix(probability):
    """A list of two-column arrays a label, as forests return it, as one array of a column a label."""
    if isinstance(probability, list):
        return np.column_stack([column[:, 1] for column in probability])
    return np.asarray(probability)


class FixedPredictions(ClassifierMixin, BaseEstimator):
    """A classifier that answers with given probabilities, so that scikit-learn's scorers can score them.

    Parameters
    ----------
    probability : ndarray of shape (n_rows, n_classes) or (n_rows, n_labels)
    problem : Multiclass or Multilabel
    """

    def __init__(self, probability, problem):
        self.probability = probability
        self.problem = problem
        self.classes_ = problem.classes

    def fit(self, X=None, y=None):
        return self

    def predict_proba(self, X):
        return self.probability

    def predict(self, X):
        return self.problem.decode(self.probability)
