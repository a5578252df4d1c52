"""One page on what a classifier does when modalities are missing or broken."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sklearn_aecf.inspection._captions import captions
from sklearn_aecf.inspection._drop_rate import DropRateDisplay
from sklearn_aecf.inspection._gate import GateDisplay
from sklearn_aecf.inspection._importance import modality_importance
from sklearn_aecf.inspection._missingness import MissingnessDisplay
from sklearn_aecf.inspection._page import as_page, picture, report_as_html
from sklearn_aecf.inspection._reliability import ReliabilityDisplay
from sklearn_aecf.inspection._style import score_label
from sklearn_aecf.inspection._subsets import SubsetDisplay
from sklearn_aecf.inspection._summary import summary
from sklearn_aecf.metrics import corruption_report, monotonicity_report
from sklearn_aecf.metrics._inside import unwrapped
from sklearn_aecf.metrics._reports import SubsetMeasures
from sklearn_aecf.metrics._subsets import choose_subsets

# Fewer complete rows than this are too few to compare subsets on.
FEW_ROWS = 10
# More bars than this are too narrow to read.
MANY_SUBSETS = 32


@dataclass
class RobustnessReport:
    """Tables and pictures on how a classifier bears missing and broken modalities.

    Parameters
    ----------
    title : str
        The heading of the page.
    numbers : dict of str to str
        What stands at the top.
    tables : dict of str to dict of str to ndarray
        Columns of each table, by heading.
    displays : dict of str to Display
        By heading.
    captions : dict of str to str, default={}
        What stands below a heading; ``"numbers"``: below the numbers.
    summary : list of str, default=[]
        What stands above the numbers: the findings in plain sentences.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(200, missing_rate=0.2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> from sklearn_aecf.inspection import robustness_report
    >>> report = robustness_report(clf, X, y, n_repeats=1)
    >>> "accuracy" in " ".join(report.numbers).lower()
    True
    """

    title: str
    numbers: dict
    tables: dict
    displays: dict = field(repr=False)
    captions: dict = field(default_factory=dict, repr=False)
    summary: list = field(default_factory=list, repr=False)

    def to_html(self, path=None):
        """Write one page that needs no network: pictures embedded, tables sortable, fit for paper of A4.

        Parameters
        ----------
        path : str or path-like, default=None
            Where to write it; None returns the page.

        Returns
        -------
        str or None
            The page, or where it was written.
        """
        page = as_page(self.title, self._repr_html_())
        if path is None:
            return page
        with open(path, "w", encoding="utf-8") as file:
            file.write(page)
        return None

    @cached_property
    def _images(self):
        return {name: picture(display, name) for name, display in self.displays.items()}

    def _repr_html_(self):
        return report_as_html(self, self._images)


def robustness_report(
    estimator,
    X,
    y,
    *,
    scoring=None,
    n_repeats=3,
    random_state=0,
    modalities=None,
    pos_label=None,
    threshold=None,
):
    """Bundle the measures and pictures of robustness to missing and broken modalities.

    Numbers that compare are of the same rows, and every number says of how many. "As observed" is the estimator on all
    rows as they are. All modalities, the worst subset and the marks in the picture of subsets are of the rows that have
    all modalities; with fewer than 10 such rows, the worst subset is of the rows that have it. The table of sensitivity
    and specificity hides a modality in all rows; it is there for two classes. Accuracy, confidence and calibration are
    of the most probable class, whatever the threshold.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
        What is measured; also a Pipeline or a search that ends in one.
    X : dict, MultimodalData, array-like or DataFrame
        Rows that the estimator was not fitted on.
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        The true classes, or 0/1 a label.
    scoring : str, callable, list, dict or None, default=None
        As in `sklearn_aecf.metrics.subset_report`; None is accuracy, of several labels that of the reported ones. Each
        score is a number and a column, and the first is drawn and shared out among the modalities.
    n_repeats : int, default=3
        Draws a drop rate.
    random_state : int, RandomState instance or None, default=0
        Seed of what is drawn at random; an int gives the same result at every call.
    modalities : dict of str to columns, default=None
        Column groups, where X is an array or DataFrame and the estimator does not know them.
    pos_label : class, default=None
        Of two classes the one that sensitivity is about; None is that of a ``FixedThresholdClassifier``, or
        ``classes_[1]``, the last in sorted order.
    threshold : float, default=None
        Probability of ``pos_label`` from which a row is called so, in (0, 1). None is that of a
        ``TunedThresholdClassifierCV`` or ``FixedThresholdClassifier``, or 0.5.

    Returns
    -------
    RobustnessReport
        With ``to_html(path)``; a notebook shows it as it is.

    Raises
    ------
    ValueError
        If `pos_label` is no class or there are not two, or `threshold` is not in (0, 1).

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.inspection import robustness_report
    >>> X, y = make_multimodal_classification(200, random_state=0)
    >>> report = robustness_report(AECFClassifier(max_epochs=3, random_state=0).fit(X, y), X, y)
    >>> list(report.tables)[2:]
    ['At threshold 0.5', 'Confidence without a modality', 'What if a sensor lies']
    >>> list(report.numbers)[:2]
    ['rows', 'accuracy, as observed (n=200)']
    """
    from sklearn.utils._optional_dependencies import check_matplotlib_support

    check_matplotlib_support("robustness_report")
    name = type(estimator).__name__
    estimator, threshold, pos_label = _without_threshold(estimator, threshold, pos_label)
    estimator, X = unwrapped(estimator, X)
    measures = SubsetMeasures(estimator, X, y, scoring, modalities)
    predictions, y = measures.predictions, measures.y
    pos_label = _positive(pos_label, predictions.classes, y)
    subsets = choose_subsets("all", predictions.names, predictions.present)
    each, complete = measures.tables(subsets, predictions.rows_with, predictions.complete_rows)
    n_complete = int(complete["n_rows"][0])
    complete = complete if n_complete >= FEW_ROWS else None
    (observed,) = measures.tables(subsets[:1], predictions.all_rows)
    scores = list(measures.scorers) or ["accuracy"]
    first = {name: measures.scorers[name] for name in scores[:1]} if measures.scorers else None
    # The same for every part, which computes on its own.
    given = {"X": X, "y": y, "modalities": predictions.modalities, "random_state": random_state}
    importance = modality_importance(estimator, scoring=first, method="shapley", **given)
    several = (predictions.present.sum(axis=1) > 1).any()
    lying = _lying(estimator, predictions, given) if several else None
    monotone = monotonicity_report(estimator, X, modalities=predictions.modalities) if several else None
    numbers = _numbers(scores, observed, each, complete, predictions.present)
    if monotone is not None:
        numbers["rows surer with less"] = f"{monotone.violation_rate:.1%} of {monotone.pairs['n_rows'].sum()} removals"
    decided = _at_threshold(predictions, y, pos_label, threshold)
    tables = {
        "Each subset of modalities": _with_complete(each, complete),
        "Importance of each modality": _importance_table(importance, predictions.present),
        f"At threshold {threshold:g}": decided,
        "Confidence without a modality": monotone and monotone.pairs,
        "What if a sensor lies": lying,
    }
    worst = None if lying is None else _worst_lie(lying)
    if worst is not None:
        numbers |= _lie_in_numbers(worst)
    bars, some = _bars(each, complete, predictions.names, scores[0])
    displays = _displays(estimator, bars, first, n_repeats, given)
    words = captions(
        n_rows=len(y),
        n_complete=0 if complete is None else n_complete,
        score=score_label(scores[0]),
        positive=pos_label,
        threshold=threshold,
        labels=y.ndim == 2,
        some_subsets=some,
    )
    drawn = displays["Score against drop rate"]
    short = summary(
        score=score_label(scores[0]),
        observed=_line(observed, 0, scores[0]),
        complete=None if complete is None or n_complete == len(y) else _line(complete, 0, scores[0]),
        drop_rates=drawn.drop_rates,
        dropped=next(iter(drawn.scores.values())).mean(axis=1),
        importance=tables["Importance of each modality"],
        lying=worst,
        decided=_decided(decided, pos_label, threshold),
    )
    tables = {heading: table for heading, table in tables.items() if table is not None}
    return RobustnessReport(f"{name} without some modalities", numbers, tables, displays, words, short)


def _line(table, row, score):
    """One line of a table, with its score under that name."""
    return {name: column[row] for name, column in table.items()} | {"score": table[score][row]}


def _bars(each, complete, names, score):
    """The picture of subsets, and whether it leaves out those of middling size, because all are too many to read."""
    some = len(each["subset"]) > MANY_SUBSETS
    if some:
        kept = np.isin(each["size"], (1, len(names) - 1, len(names)))
        each, complete = (
            None if table is None else {name: column[kept] for name, column in table.items()}
            for table in (each, complete)
        )
    return SubsetDisplay(each, list(names), score=score, complete=complete), some


def _displays(estimator, bars, scoring, n_repeats, given):
    import matplotlib.pyplot as plt

    X, y, modalities = given["X"], given["y"], given["modalities"]
    with plt.ioff():
        displays = {
            "Score against drop rate": DropRateDisplay.from_estimator(
                estimator, scoring=scoring, n_repeats=n_repeats, **given
            ),
            "Score of each subset": bars.plot(),
            "Reliability by number of modalities": ReliabilityDisplay.from_estimator(estimator, **given),
        }
        if hasattr(estimator, "gate_weights"):
            displays["Gate weights"] = GateDisplay.from_estimator(estimator, X, y, modalities=modalities)
        displays["What the data has"] = MissingnessDisplay.from_data(X, modalities=modalities)
    for display in displays.values():
        plt.close(display.figure_)
    return displays


def _numbers(scores, observed, each, complete, present):
    """What stands at the top: each score and the calibration error, as observed, with everything, and at worst."""
    n_rows, n_complete = len(present), int(present.all(axis=1).sum())
    numbers = {"rows": f"{n_rows} ({n_complete} with all modalities)"}
    empty = int((~present.any(axis=1)).sum())
    if empty:
        numbers["rows without any modality"] = str(empty)
    compared = _with_enough_rows(each, "ece") if complete is None else complete
    for score, title, worst in [
        *((score, score_label(score), np.nanargmin) for score in scores),
        ("ece", "ECE", np.nanargmax),
    ]:
        numbers[f"{title}, as observed (n={n_rows})"] = _shown(observed[score][0])
        if complete is not None:
            numbers[f"{title}, all modalities (n={n_complete})"] = _shown(complete[score][0])
        if len(each["subset"]) > 1 and not np.isnan(compared[score]).all():
            at = worst(compared[score])
            rows = f"{'' if complete is None else 'the same '}n={compared['n_rows'][at]}"
            numbers[f"{title}, worst subset: {compared['subset'][at]} ({rows})"] = _shown(compared[score][at])
    return numbers


def _with_enough_rows(table, measure):
    """Lines of a table of more than a few rows, if there is any: the worst of small numbers is chance."""
    enough = (table["n_rows"] >= FEW_ROWS) & ~np.isnan(table[measure])
    return {name: column[enough] for name, column in table.items()} if enough.any() else table


def _worst_lie(lying):
    """The line of the table with the lowest accuracy while a sensor lies."""
    lying = _with_enough_rows(lying, "lying")
    worst = int(np.nanargmin(lying["lying"]))
    return {name: column[worst] for name, column in lying.items()}


def _lie_in_numbers(worst):
    told = f"{_shown(worst['missing'])} missing, {_shown(worst['genuine'])} genuine"
    title = f"accuracy, {worst['modality']} lying ({worst['kind']}, n={worst['n_rows']})"
    return {title: f"{_shown(worst['lying'])} ({told})"}


def _shown(value):
    return "not defined" if np.isnan(value) else f"{value:.3f}"


def _with_complete(each, complete):
    """The table of subsets, with what they are worth on the rows that have all, where these are others."""
    if complete is None or (each["n_rows"] == complete["n_rows"][0]).all():
        return each
    measured = [name for name in each if name not in ("subset", "size", "n_rows", "confidence")]
    return each | {f"{name}_complete": complete[name] for name in measured}


def _importance_table(importance, present):
    return {
        "modality": np.array(importance.modality_names),
        "n_rows": present.sum(axis=0),
        "shapley": importance.importances_mean,
        "low": importance.importances_interval[:, 0],
        "high": importance.importances_interval[:, 1],
    }


def _without_threshold(estimator, threshold, pos_label):
    """The classifier inside one that shifts the threshold, with the threshold and the class that it is of."""
    if threshold is not None and not 0 < threshold < 1:
        raise ValueError(f"threshold must be in (0, 1). Got {threshold!r}.")
    own = getattr(estimator, "best_threshold_", getattr(estimator, "threshold", None))
    if not hasattr(estimator, "estimator_") or own is None:
        return estimator, 0.5 if threshold is None else threshold, pos_label
    pos_label = getattr(estimator, "pos_label", None) if pos_label is None else pos_label
    own = 0.5 if own == "auto" else float(own)
    return estimator.estimator_, own if threshold is None else threshold, pos_label


def _positive(pos_label, classes, y):
    """The class that sensitivity is about, None without two."""
    two = y.ndim == 1 and len(classes) == 2
    if pos_label is None:
        return classes[1] if two else None
    if not two or pos_label not in classes:
        raise ValueError(f"pos_label must be one of two classes. Got {pos_label!r}; classes: {list(classes)}.")
    return pos_label


def _at_threshold(predictions, y, pos_label, threshold):
    """Sensitivity and specificity on all rows, as they are and without each modality; None without two classes."""
    if pos_label is None:
        return None
    n_modalities = len(predictions.names)
    kept = np.vstack([np.ones(n_modalities, dtype=bool), ~np.eye(n_modalities, dtype=bool)])
    # Nothing is left without the only one.
    kept = kept[kept.any(axis=1)]
    positive, column = y == pos_label, list(predictions.classes).index(pos_label)
    called = np.array([probability[:, column] >= threshold for probability in predictions.probabilities(kept)])
    return {
        "modalities": np.array(["as observed", *(f"without {name}" for name in predictions.names)])[: len(kept)],
        "n_rows": np.full(len(kept), len(y)),
        "n_hidden": np.array([0, *predictions.present.sum(axis=0)])[: len(kept)],
        "n_positive": np.full(len(kept), positive.sum()),
        "sensitivity": _share(called[:, positive]),
        "n_negative": np.full(len(kept), (~positive).sum()),
        "specificity": _share(~called[:, ~positive]),
    }


def _decided(table, pos_label, threshold):
    """What the threshold does on the rows as they are, for the summary."""
    if table is None:
        return None
    shares = {name: table[name][0] for name in ("sensitivity", "specificity")}
    return {"class": pos_label, "threshold": threshold, **shares}


def _share(chosen):
    """Share of True in each row, NaN of none."""
    return chosen.mean(axis=1) if chosen.shape[1] else np.full(len(chosen), np.nan)


def _lying(estimator, predictions, given):
    """The report on corruption, or None where no modality is made of numbers."""
    if all(predictions.form.values(name).dtype.kind not in "biuf" for name in predictions.names):
        return None
    report = corruption_report(estimator, **given)
    return None if np.isnan(report["lying"]).all() else report
