"""Each subset's score as a chart of bars over a matrix of dots."""

import numpy as np

from sklearn_aecf.inspection._style import COLOURS, as_frame, dot_matrix, is_unit_range, new_axes, score_label, tidy
from sklearn_aecf.metrics import subset_report


class SubsetDisplay:
    """Score of every subset of modalities, in the manner of an UpSet plot [1]_.

    Parameters
    ----------
    report : dict of str to ndarray
        As `sklearn_aecf.metrics.subset_report` returns it.
    modality_names : list of str
    score : str, default="accuracy"
        The column that is drawn.

    Attributes
    ----------
    ax_, matrix_ax_ : matplotlib Axes
        Bars, and dots below.
    figure_ : matplotlib Figure

    References
    ----------
    .. [1] Lex et al., *UpSet: Visualization of Intersecting Sets*, IEEE TVCG 2014.
    """

    def __init__(self, report, modality_names, *, score="accuracy"):
        self.report = report
        self.modality_names = modality_names
        self.score = score

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        scoring=None,
        subsets="all",
        max_subsets=64,
        modalities=None,
        kind=None,
        random_state=0,
        sort="size",
        ax=None,
    ):
        """Evaluate the subsets and plot.

        Parameters
        ----------
        estimator, X, y, subsets, max_subsets, modalities, kind, random_state
            As in `sklearn_aecf.metrics.subset_report`: with `kind` what a subset lacks is broken instead of hidden.
        scoring : str, callable or None, default=None
            None is accuracy.
        sort : {"size", "score"}, default="size"
        ax : Axes, default=None

        Returns
        -------
        SubsetDisplay
        """
        report = subset_report(
            estimator,
            X,
            y,
            scoring=scoring,
            subsets=subsets,
            max_subsets=max_subsets,
            modalities=modalities,
            kind=kind,
            random_state=random_state,
        )
        score = "accuracy" if scoring is None else scoring if isinstance(scoring, str) else "score"
        return cls(report, _names_in(report), score=score).plot(ax=ax, sort=sort)

    @classmethod
    def from_predictions(cls, y_true, predictions, *, sort="size", ax=None):
        """Plot accuracies of predictions that were made elsewhere.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,)
        predictions : dict of tuple of str to array-like of shape (n_rows,)
            Predicted classes for each subset of modalities.
        sort : {"size", "score"}, default="size"
        ax : Axes, default=None

        Returns
        -------
        SubsetDisplay
        """
        y_true = np.asarray(y_true)
        subsets = sorted(predictions, key=lambda subset: -len(subset))
        report = {
            "subset": np.array([" + ".join(subset) for subset in subsets]),
            "size": np.array([len(subset) for subset in subsets]),
            "n_rows": np.full(len(subsets), len(y_true)),
            "accuracy": np.array([np.mean(np.asarray(predictions[subset]) == y_true) for subset in subsets]),
        }
        return cls(report, _names_in(report)).plot(ax=ax, sort=sort)

    def plot(self, *, ax=None, sort="size"):
        """Draw the bars and the dots.

        Returns
        -------
        self
        """
        if sort not in ("size", "score"):
            raise ValueError(f"sort must be 'size' or 'score'. Got {sort!r}.")
        score, size = self.report[self.score], self.report["size"]
        order = np.lexsort((-score, -size)) if sort == "size" else np.argsort(-score, kind="stable")
        n_subsets = len(order)
        self.ax_ = new_axes("SubsetDisplay.plot", ax, figsize=(max(5.0, min(13.0, 2 + 0.18 * n_subsets)), 4.6))
        self.figure_ = self.ax_.figure
        subsets = np.array([[n in str(s).split(" + ") for n in self.modality_names] for s in self.report["subset"]])
        sizes = size[order]
        shades = [COLOURS[0] if s == len(self.modality_names) else COLOURS[5] for s in sizes]
        self.ax_.bar(np.arange(n_subsets), score[order], color=shades, width=0.7)
        self.ax_.set_ylabel(score_label(self.score))
        self.ax_.set_xlim(-0.7, n_subsets - 0.3)
        if is_unit_range(score):
            self.ax_.set_ylim(0, 1)
        tidy(self.ax_)
        self.matrix_ax_ = dot_matrix(self.ax_, subsets[order], self.modality_names)
        return self

    def frame(self):
        """What is drawn: the report as a DataFrame."""
        return as_frame(self.report, "SubsetDisplay.frame")


def _names_in(report):
    """Modalities in the order of the largest subset, then of their first appearance."""
    return list(dict.fromkeys(name for subset in report["subset"] for name in str(subset).split(" + ")))
