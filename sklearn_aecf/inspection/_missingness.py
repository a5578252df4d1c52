"""Which patterns of missing modalities data has, and how often."""

import numpy as np

from sklearn_aecf._data import form_of
from sklearn_aecf.inspection._style import COLOURS, as_frame, dot_matrix, new_axes, room_for, tidy, titled
from sklearn_aecf.metrics._subsets import subset_name


class MissingnessDisplay:
    """Patterns of observed modalities with their share of the rows.

    Parameters
    ----------
    patterns : ndarray of bool, shape (n_patterns, n_modalities)
        Most frequent first.
    counts : ndarray of int, shape (n_patterns,)
        Rows with each pattern.
    modality_names : list of str
        Names, in the order of the columns.
    n_rows : int
        Rows altogether.

    Attributes
    ----------
    ax_, matrix_ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(200, missing_rate=0.2, random_state=0)
    >>> from sklearn_aecf.inspection import MissingnessDisplay
    >>> display = MissingnessDisplay.from_data(X)
    >>> display.frame().shape[0]
    7
    """

    def __init__(self, patterns, counts, modality_names, *, n_rows):
        self.patterns = patterns
        self.counts = counts
        self.modality_names = modality_names
        self.n_rows = n_rows

    @classmethod
    def from_data(cls, X, *, modalities=None, max_patterns=30, ax=None):
        """Count the patterns of X and plot.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        modalities : dict of str to columns, default=None
            Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.
        max_patterns : int, default=30
            The most frequent ones are drawn.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        MissingnessDisplay
        """
        names, present = form_of(X, modalities).presence()
        patterns, counts = np.unique(present, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:max_patterns]
        return cls(patterns[order], counts[order], list(names), n_rows=len(present)).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the bars and the dots.

        Parameters
        ----------
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        self
            The display itself, with ``figure_`` and ``ax_``.
        """
        n_patterns = len(self.counts)
        width = room_for(self.modality_names) + max(4.4, min(11.0, 1.2 + 0.3 * n_patterns))
        figsize = (width, 3.4 + 0.17 * len(self.modality_names))
        self.ax_ = new_axes("MissingnessDisplay.plot", ax, figsize=figsize)
        self.figure_ = self.ax_.figure
        complete = self.patterns.all(axis=1)
        share = self.counts / self.n_rows
        self.ax_.bar(np.arange(n_patterns), share, color=[COLOURS[0] if c else COLOURS[5] for c in complete], width=0.7)
        if n_patterns <= 20:
            for x, (height, count) in enumerate(zip(share, self.counts, strict=True)):
                self.ax_.text(x, height + 0.01, str(count), ha="center", va="bottom", fontsize=8)
        written = " (number above)" if n_patterns <= 20 else ""
        self.ax_.set(
            ylabel=f"share of rows{written}", ylim=(0, min(1.0, share.max() * 1.15)), xlim=(-0.7, n_patterns - 0.3)
        )
        drawn = self.counts.sum() / self.n_rows
        most = "" if drawn == 1 else f"\nthe {n_patterns} most frequent patterns: {drawn:.0%} of {self.n_rows} rows"
        titled(self.ax_, f"Which modalities rows have (dark: all){most}")
        tidy(self.ax_)
        counts = None if n_patterns <= 20 else self.counts
        self.matrix_ax_ = dot_matrix(self.ax_, self.patterns, self.modality_names, counts)
        return self

    def frame(self):
        """What is drawn: a DataFrame with a row per pattern.

        Returns
        -------
        DataFrame
            One row for each pattern.
        """
        observed = [subset_name(pattern, self.modality_names) or "(nothing)" for pattern in self.patterns]
        columns = {"observed": observed, "n_rows": self.counts, "share": self.counts / self.n_rows}
        return as_frame(columns, "MissingnessDisplay.frame")
