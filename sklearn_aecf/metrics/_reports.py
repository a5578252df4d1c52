"""Reports over subsets of modalities: how good, how calibrated, how monotone."""

import numpy as np
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils import Bunch

from sklearn_aecf._problem import problem_of, read_labels
from sklearn_aecf._rows import row_weights
from sklearn_aecf.metrics._calibration import error_of_read
from sklearn_aecf.metrics._scoring import accuracy_of, named_scorers, refuse_unreported, score_of
from sklearn_aecf.metrics._subsets import SubsetPredictions, choose_subsets, quiet_on_hidden, subset_name


def subset_report(
    estimator,
    X,
    y,
    *,
    scoring=None,
    subsets="all",
    max_subsets=64,
    modalities=None,
    sample_weight=None,
    kind=None,
    random_state=0,
):
    """What a classifier is worth on each subset of modalities.

    A subset is evaluated on the rows that have all of it, with everything else hidden, or broken; ``"observed"`` takes
    the rows that have exactly it. So subsets differ in their rows, whose number is in ``n_rows``. To compare them with
    each other, give rows that have all modalities.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
        Any that takes X with missing values; ours embeds every row once for all subsets.
    X : dict, MultimodalData, array-like or DataFrame
        Rows of several modalities, in any form that `AECFClassifier.fit` takes.
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        The true classes, or 0/1 a label.
    scoring : str, callable, list, dict or None, default=None
        As in scikit-learn's ``cross_validate``; adds a column a score, ``"score"`` of a callable. A callable of your
        own gets the estimator itself, the hidden rows and, where given, their weights.
    subsets : {"all", "observed", "single", "leave-one-out"} or list of lists of str, default="all"
    max_subsets : int, default=64
        For ``"all"`` and ``"observed"``.
    modalities : dict of str to columns, default=None
        Column groups, where X is an array or DataFrame and the estimator does not know them.
    sample_weight : array-like of shape (n_rows,), default=None
        Weight of each row; None weighs all alike.
    kind : str or sequence of str, default=None
        What is not of the subset is there, but broken in this way (`sklearn_aecf.compose.corrupt_modalities`). None
        hides it.
    random_state : int, RandomState instance or None, default=0
        Of the corruption.

    Returns
    -------
    dict of str to ndarray
        Columns ``subset`` (names joined by " + "), ``size``, ``n_rows``, ``accuracy`` (multilabel: of single labels),
        ``ece``, ``confidence`` (mean), and one per score. What no row can tell is NaN. ``pandas.DataFrame`` and
        ``polars.DataFrame`` take it as it is.

    Raises
    ------
    ValueError
        If a subset is empty or names an unknown modality, a score is named as another column, or a score of
        scikit-learn meets labels that were not reported.
    TypeError
        If the estimator has no ``predict_proba``.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.metrics import subset_report
    >>> X, y = make_multimodal_classification(300, n_modalities=2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=5, random_state=0).fit(X[:200], y[:200])
    >>> report = subset_report(clf, X[200:], y[200:], scoring="roc_auc")
    >>> report["subset"].tolist()
    ['a + b', 'a', 'b']
    """
    measures = SubsetMeasures(estimator, X, y, scoring, modalities, sample_weight, kind, random_state)
    predictions = measures.predictions
    chosen = choose_subsets(subsets, predictions.names, predictions.present, max_subsets)
    return measures.tables(chosen, predictions.rows_for(subsets))[0]


class SubsetMeasures:
    """Accuracy, calibration and scores of an estimator from subsets of modalities, on rows of choice.

    Parameters
    ----------
    estimator, X, y, scoring, modalities, sample_weight, kind, random_state
        As in `subset_report`.
    """

    def __init__(self, estimator, X, y, scoring, modalities, sample_weight=None, kind=None, random_state=0):
        self.predictions = SubsetPredictions(estimator, X, modalities, kind, random_state)
        self.y = checked_targets(y, self.predictions)
        self.weight = checked_weight(sample_weight, self.y)
        self.scorers = named_scorers(estimator, scoring)
        refuse_unreported(self.scorers, self.y)

    def tables(self, subsets, *rows_of):
        """Measure subsets.

        Parameters
        ----------
        subsets : ndarray of bool, shape (n_subsets, n_modalities)
        *rows_of : callable
            From a subset to the rows that it is measured on.

        Returns
        -------
        list of dict of str to ndarray
            A table for each of `rows_of`.
        """
        found = [[] for _ in rows_of]
        for subset, probability in zip(subsets, self.predictions.probabilities(subsets), strict=True):
            for table, rows in zip(found, rows_of, strict=True):
                table.append(self._measured(subset, probability, rows(subset)))
        return [{name: np.array([row[name] for row in table]) for name in table[0]} for table in found]

    def _measured(self, subset, probability, rows):
        summary = {
            "subset": subset_name(subset, self.predictions.names),
            "size": int(subset.sum()),
            "n_rows": len(rows),
            **dict.fromkeys(["accuracy", "ece", "confidence", *self.scorers], np.nan),
        }
        weight = None if self.weight is None else self.weight[rows]
        if len(rows) == 0 or (weight is not None and weight.sum() == 0):
            return summary
        probability, y = probability[rows], self.y[rows]
        problem = problem_of(y, self.predictions.classes)
        summary["ece"] = error_of_read(y, probability, problem.label_order, weight)
        summary["accuracy"] = accuracy_of(problem, y, probability, weight)
        summary["confidence"] = float(np.average(problem.sureness(probability), weights=weight))
        for name, scorer in self.scorers.items():
            if isinstance(scorer, _BaseScorer):
                summary[name] = score_of(scorer, problem, y, probability, weight)
            else:
                summary[name] = self._asked(scorer, subset, rows, weight)
        return summary

    def _asked(self, scorer, subset, rows, weight):
        """The score of a callable that wants the estimator itself."""
        weights = {} if weight is None else {"sample_weight": weight}
        hidden = self.predictions.rows_hidden(subset, rows)
        with quiet_on_hidden():
            return scorer(self.predictions.estimator, hidden, self.y[rows], **weights)


def monotonicity_report(estimator, X, *, tolerance=0.01, max_pairs=256, modalities=None):
    """Whether confidence falls when a modality is taken away.

    For a calibrated classifier the *average* confidence cannot rise with less evidence; single rows may rightly lose
    confidence when evidence conflicts. Both are reported, for every pair of a subset and the same without one modality.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
        What is measured; also a Pipeline or a search that ends in one.
    X : dict, MultimodalData, array-like or DataFrame
        Rows of several modalities, in any form that `AECFClassifier.fit` takes.
    tolerance : float, default=0.01
        Growth of a row's confidence that does not count.
    max_pairs : int, default=256
        Pairs with the largest subsets come first.
    modalities : dict of str to columns, default=None
        Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.

    Returns
    -------
    Bunch
        ``pairs``: dict of arrays with columns ``larger``, ``removed``, ``n_rows``, ``violation_rate`` (share of rows
        whose confidence grows by more than `tolerance`), ``gap`` (mean confidence without the modality minus with it:
        above 0 is a violation on average); ``violation_rate``: over all rows of all pairs; ``gap``: the largest.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.metrics import monotonicity_report
    >>> X, y = make_multimodal_classification(300, n_modalities=2, random_state=0)
    >>> report = monotonicity_report(AECFClassifier(max_epochs=5, random_state=0).fit(X, y), X)
    >>> report.pairs["larger"].tolist(), report.pairs["removed"].tolist()
    (['a + b', 'a + b'], ['a', 'b'])
    """
    predictions = SubsetPredictions(estimator, X, modalities)
    n_modalities = len(predictions.names)
    if n_modalities < 2:
        raise ValueError("X has one modality, so none can be taken away; give at least two.")
    subsets = choose_subsets("all", predictions.names, predictions.present, max_subsets=2 ** min(n_modalities, 10))
    found, problem = {}, predictions.problem
    for subset, probability in zip(subsets, predictions.probabilities(subsets), strict=True):
        found[tuple(subset)] = problem.sureness(probability)
    pairs = []
    for larger in sorted(found, key=lambda subset: -sum(subset)):
        for m in np.flatnonzero(larger) if sum(larger) > 1 else ():
            smaller = tuple(here and k != m for k, here in enumerate(larger))
            rows = predictions.rows_with(np.array(larger))
            if smaller in found and len(rows) and len(pairs) < max_pairs:
                growth = found[smaller][rows] - found[larger][rows]
                pairs.append(
                    {
                        "larger": subset_name(larger, predictions.names),
                        "removed": predictions.names[m],
                        "n_rows": len(rows),
                        "violation_rate": float((growth > tolerance).mean()),
                        "gap": float(growth.mean()),
                    }
                )
    if not pairs:
        raise ValueError("No row has two observed modalities, so none can be taken away.")
    columns = {name: np.array([pair[name] for pair in pairs]) for name in pairs[0]}
    return Bunch(
        pairs=columns,
        violation_rate=float(np.average(columns["violation_rate"], weights=columns["n_rows"])),
        gap=float(columns["gap"].max()),
    )


def checked_targets(y, predictions):
    """y as an array with a row a sample and no class that the estimator does not know."""
    y = read_labels(y)
    if len(y) != len(predictions.present):
        raise ValueError(f"X has {len(predictions.present)} rows but y has {len(y)}; give one label per row.")
    if y.ndim == 1 and predictions.classes is not None:
        unknown = ~np.isin(y, predictions.classes)
        if unknown.any():
            raise ValueError(
                f"y has class {y[unknown].tolist()[0]!r}, which {type(predictions.estimator).__name__} was not fitted "
                f"with; its classes are {np.asarray(predictions.classes).tolist()}."
            )
    return y


def checked_weight(sample_weight, y):
    """Weights as floats, one a row, or None."""
    if sample_weight is None:
        return None
    return row_weights(sample_weight, len(y))
