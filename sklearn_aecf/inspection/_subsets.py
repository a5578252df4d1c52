"""Each subset's score as a chart of bars over a matrix of dots."""

import numpy as np

from sklearn_aecf.inspection._style import (
    COLOURS,
    as_frame,
    dot_matrix,
    is_unit_range,
    new_axes,
    plain,
    room_for,
    score_label,
    tidy,
    titled,
)
from sklearn_aecf.metrics._reports import SubsetMeasures
from sklearn_aecf.metrics._subsets import choose_subsets, names_in


class SubsetDisplay:
    """Score of every subset of modalities, in the manner of an UpSet plot [1]_.

    A bar is the score on the rows that have the subset; their number stands below. A mark is the score of the same
    subset on the rows that have all modalities. So marks compare with each other, and bars need not.

    Parameters
    ----------
    report : dict of str to ndarray
        As `sklearn_aecf.metrics.subset_report` returns it.
    modality_names : list of str
        Names, in the order of the columns.
    score : str, default="accuracy"
        The column that is drawn.
    complete : dict of str to ndarray, default=None
        The report on the rows that have all modalities, which is drawn as marks.

    Attributes
    ----------
    ax_, matrix_ax_ : matplotlib Axes
        Bars, and dots below.
    figure_ : matplotlib Figure

    References
    ----------
    .. [1] Lex et al., *UpSet: Visualization of Intersecting Sets*, IEEE TVCG 2014.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(200, missing_rate=0.2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> from sklearn_aecf.inspection import SubsetDisplay
    >>> display = SubsetDisplay.from_estimator(clf, X, y)
    >>> display.frame().shape[0]
    7
    """

    def __init__(self, report, modality_names, *, score="accuracy", complete=None):
        self.report = report
        self.modality_names = modality_names
        self.score = score
        self.complete = complete

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
        estimator : fitted classifier with ``predict_proba``
            What is measured; also a Pipeline or a search that ends in one.
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            The true classes, or 0/1 a label.
        scoring : str, callable, list, dict or None, default=None
            None is accuracy. Of several the first is drawn.
        subsets : {"all", "observed", "single", "leave-one-out"} or list of lists of str, default="all"
            Which subsets are drawn; see `sklearn_aecf.metrics.subset_report`.
        max_subsets : int, default=64
            How many subsets there may be.
        modalities : dict of str to columns, default=None
            Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.
        kind : str, default=None
            With a kind of corruption what a subset lacks is broken instead of hidden; see
            `sklearn_aecf.compose.corrupt_modalities`.
        random_state : int, RandomState instance or None, default=0
            Seed of what is broken.
        sort : {"size", "score"}, default="size"
            Whether the bars are in the order of their size or of their score.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        SubsetDisplay
        """
        measures = SubsetMeasures(estimator, X, y, scoring, modalities, kind=kind, random_state=random_state)
        predictions = measures.predictions
        chosen = choose_subsets(subsets, predictions.names, predictions.present, max_subsets)
        report, complete = measures.tables(chosen, predictions.rows_for(subsets), predictions.complete_rows)
        score = next(iter(measures.scorers), "accuracy")
        return cls(report, list(predictions.names), score=score, complete=complete).plot(ax=ax, sort=sort)

    @classmethod
    def from_predictions(cls, y_true, predictions, *, sort="size", ax=None):
        """Plot accuracies of predictions that were made elsewhere.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,)
            The true classes, or 0/1 a label.
        predictions : dict of tuple of str to array-like of shape (n_rows,)
            Predicted classes for each subset of modalities. Of several labels those count that were reported.
        sort : {"size", "score"}, default="size"
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        SubsetDisplay
        """
        y_true = np.asarray(y_true)
        y_true = y_true.ravel() if y_true.ndim == 2 and y_true.shape[1] == 1 else y_true
        counted = np.isin(y_true, (0, 1)) if y_true.ndim == 2 else np.ones(len(y_true), dtype=bool)
        subsets = sorted(predictions, key=lambda subset: -len(subset))
        names = list(dict.fromkeys(name for subset in subsets for name in subset))
        right = [np.asarray(predictions[subset]).reshape(y_true.shape) == y_true for subset in subsets]
        report = {
            "subset": np.array([" + ".join(subset) for subset in subsets]),
            "size": np.array([len(subset) for subset in subsets]),
            "n_rows": np.full(len(subsets), len(y_true)),
            "accuracy": np.array([each[counted].mean() for each in right]),
        }
        return cls(report, names).plot(ax=ax, sort=sort)

    def plot(self, *, ax=None, sort="size"):
        """Draw the bars and the dots.

        Parameters
        ----------
        ax : Axes, default=None
            What to draw into; None makes a new figure.
        sort : {"size", "score"}, default="size"
            Whether the bars are in the order of their size or of their score.

        Returns
        -------
        self
            The display itself, with ``figure_`` and ``ax_``.
        """
        if sort not in ("size", "score"):
            raise ValueError(f"sort must be 'size' or 'score'. Got {sort!r}.")
        score, size = self.report[self.score], self.report["size"]
        order = np.lexsort((-score, -size)) if sort == "size" else np.argsort(-score, kind="stable")
        n_subsets = len(order)
        names = self.modality_names
        width = room_for(names) + max(4.4, min(11.0, 1.2 + 0.18 * n_subsets))
        self.ax_ = new_axes("SubsetDisplay.plot", ax, figsize=(width, 4.0 + 0.17 * len(names)))
        self.figure_ = self.ax_.figure
        subsets = self._held()[order]
        shades = [COLOURS[0] if n == len(names) else COLOURS[5] for n in size[order]]
        self.ax_.bar(np.arange(n_subsets), score[order], color=shades, width=0.7)
        self.ax_.set_ylabel(plain(score_label(self.score)))
        self.ax_.set_xlim(-0.7, n_subsets - 0.3)
        if is_unit_range(score):
            self.ax_.set_ylim(0, 1)
        for x in np.flatnonzero(np.isnan(score[order])):
            self.ax_.annotate(
                "no score", (x, 0.02), xycoords=("data", "axes fraction"), rotation=90, ha="center", fontsize=7
            )
        self._mark_complete(order)
        titled(self.ax_, "Score of each subset of modalities (dark: all)")
        tidy(self.ax_)
        self.matrix_ax_ = dot_matrix(self.ax_, subsets, names, self.report["n_rows"][order])
        return self

    def _held(self):
        """Which subset has which modality, a row a subset of the report."""
        held = []
        for text, size in zip(self.report["subset"].tolist(), self.report["size"].tolist(), strict=True):
            inside = names_in(text, size, self.modality_names)
            if inside is None:
                raise ValueError(
                    f"The report has the subset {text!r}, which is not made of the modalities "
                    f"{', '.join(map(repr, self.modality_names))}."
                )
            held.append([name in inside for name in self.modality_names])
        return np.array(held)

    def _mark_complete(self, order):
        """Mark the scores on the rows that have all modalities, where these are not the rows of the bars."""
        if self.complete is None or not self._n_complete or (self.report["n_rows"] == self._n_complete).all():
            return
        rows = "row that has" if self._n_complete == 1 else f"{self._n_complete} rows that have"
        self.ax_.scatter(
            np.arange(len(order)), self.complete[self.score][order], marker="_", s=70, color="#222222", zorder=3,
            label=f"on the {rows} all",
        )  # fmt: skip
        self.ax_.legend(loc="lower left", fontsize=8, framealpha=0.9, edgecolor="none")

    @property
    def _n_complete(self):
        return int(self.complete["n_rows"][0])

    def frame(self):
        """What is drawn: the report as a DataFrame, and the marks as a column ``<score>_complete``.

        Returns
        -------
        DataFrame
            One row for each subset.
        """
        marks = {} if self.complete is None else {f"{self.score}_complete": self.complete[self.score]}
        return as_frame({**self.report, **marks}, "SubsetDisplay.frame")
