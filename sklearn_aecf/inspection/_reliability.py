"""Reliability diagrams by the number of observed modalities."""

import numpy as np
from sklearn.utils import check_random_state

from sklearn_aecf._problem import problem_of
from sklearn_aecf.inspection._style import as_frame, line_style, new_axes, split_axes, tidy, titled
from sklearn_aecf.metrics import expected_calibration_error, reliability_curve
from sklearn_aecf.metrics._reports import checked_targets
from sklearn_aecf.metrics._subsets import SubsetPredictions

# More lines than this are no picture, and bins of fewer rows than this are marks without a line.
MANY_LINES, FEW_ROWS = 6, 5


class ReliabilityDisplay:
    """Accuracy against confidence, one line per number of observed modalities, with counts below.

    Parameters
    ----------
    curves : dict of int to ReliabilityCurve
        A curve for each number of observed modalities.
    errors : dict of int to float
        Expected calibration error of each, in 15 bins as everywhere, however many are drawn.
    n_rows : dict of int to int, default=None
        Rows of each.

    Attributes
    ----------
    ax_, count_ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(200, missing_rate=0.2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> from sklearn_aecf.inspection import ReliabilityDisplay
    >>> display = ReliabilityDisplay.from_estimator(clf, X, y)
    >>> sorted(display.curves)  # by number of observed modalities
    [1, 2, 3]
    """

    def __init__(self, curves, errors, *, n_rows=None):
        self.curves = curves
        self.errors = errors
        self.n_rows = n_rows

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, n_bins=10, strategy="uniform", random_state=0, modalities=None, ax=None
    ):
        """Predict from random subsets of every size, and plot.

        For a line of ``k`` modalities, every row with at least ``k`` keeps ``k`` of its own, drawn uniformly.

        Parameters
        ----------
        estimator : fitted classifier with ``predict_proba``
            What is measured; also a Pipeline or a search that ends in one.
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        y : array-like
            The true classes, or 0/1 a label.
        n_bins : int, default=10
            Into how many bins confidence is divided.
        strategy : {"uniform", "quantile"}, default="uniform"
        random_state : int, RandomState instance or None, default=0
            Seed of what is drawn at random; an int gives the same result at every call.
        modalities : dict of str to columns, default=None
            Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        ReliabilityDisplay
        """
        predictions = SubsetPredictions(estimator, X, modalities)
        rng = check_random_state(random_state)
        y = checked_targets(y, predictions)
        all_y, all_probability, n_observed = [], [], []
        # A row's modalities in random order, observed ones first.
        keys = np.where(predictions.present, -rng.uniform(size=predictions.present.shape), 1)
        rank = keys.argsort(axis=1).argsort(axis=1)
        for size in range(1, int(predictions.present.sum(axis=1).max()) + 1):
            rows = predictions.present.sum(axis=1) >= size
            hidden = predictions.form.with_presence(~predictions.present | (rank < size))
            all_probability.append(predictions.predicted(hidden)[rows])
            all_y.append(y[rows])
            n_observed.append(np.full(rows.sum(), size))
        return cls.from_predictions(
            np.concatenate(all_y), np.concatenate(all_probability), np.concatenate(n_observed),
            n_bins=n_bins, strategy=strategy, labels=problem_of(y, predictions.classes).label_order, ax=ax,
        )  # fmt: skip

    @classmethod
    def from_predictions(cls, y_true, y_prob, n_observed=None, *, n_bins=10, strategy="uniform", labels=None, ax=None):
        """Plot from probabilities that were predicted elsewhere.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,) or (n_rows, n_labels)
            Classes; or 0/1 a label, with NaN or -1 where it was not reported (skipped).
        y_prob : array-like of shape (n_rows,), (n_rows, n_classes) or (n_rows, n_labels)
            Probability of the positive class (1-D), of each class, or of each label.
        n_observed : array-like of int, shape (n_rows,), default=None
            Modalities that each row has; one line for each number.
        n_bins : int, default=10
            Into how many bins confidence is divided.
        strategy : {"uniform", "quantile"}, default="uniform"
            Bins of equal width, or with equally many rows.
        labels : array-like of shape (n_classes,), default=None
            Classes in the order of the columns of `y_prob`.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        ReliabilityDisplay
        """
        y_true, y_prob = np.asarray(y_true), np.asarray(y_prob)
        sizes = np.zeros(len(y_true), dtype=int) if n_observed is None else np.asarray(n_observed)
        options = {"strategy": strategy, "labels": labels}
        curves, errors, n_rows = {}, {}, {}
        for size in np.unique(sizes)[::-1]:
            rows = sizes == size
            curve = reliability_curve(y_true[rows], y_prob[rows], n_bins=n_bins, **options)
            # Rows of several labels of which none was reported have no bin.
            if len(curve.count):
                curves[int(size)], n_rows[int(size)] = curve, int(rows.sum())
                errors[int(size)] = float(expected_calibration_error(y_true[rows], y_prob[rows], **options))
        return cls(curves, errors, n_rows=n_rows).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the diagram and the counts.

        Parameters
        ----------
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        self
            The display itself, with ``figure_`` and ``ax_``.
        """
        self.ax_ = new_axes("ReliabilityDisplay.plot", ax, figsize=(7.6, 5.8))
        self.figure_ = self.ax_.figure
        self.count_ax_ = split_axes(self.ax_, "bottom", share=0.25)
        self.ax_.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--", zorder=1)
        sizes = list(self.curves)
        if len(sizes) > MANY_LINES:
            sizes = [sizes[at] for at in np.linspace(0, len(sizes) - 1, MANY_LINES).round().astype(int)]
        for index, size in enumerate(sizes):
            curve = self.curves[size]
            style = line_style(index)
            what = "all rows" if size == 0 else f"{size} modalit{'y' if size == 1 else 'ies'}"
            rows = "" if self.n_rows is None else f" (n={self.n_rows[size]})"
            label = f"{what}{rows}, ECE {self.errors[size]:.3f}"
            # The area of a mark grows with its rows: bins of one or two rows must not catch the eye.
            area = 6 + 60 * np.sqrt(curve.count / curve.count.max())
            enough = curve.count >= FEW_ROWS
            self.ax_.plot(curve.confidence[enough], curve.accuracy[enough], linewidth=1, alpha=0.6, **style)
            self.ax_.scatter(curve.confidence, curve.accuracy, s=area, color=style["color"], label=label, zorder=3)
            self.count_ax_.plot(curve.confidence, curve.count, marker="o", markersize=3, **style)
        self.ax_.set(ylabel="accuracy (share right)", xlim=(0, 1.02), ylim=(-0.03, 1.03))
        some = f" ({len(sizes)} of {len(self.curves)} drawn)" if len(sizes) < len(self.curves) else ""
        by = "" if list(self.curves) == [0] else f", by number of modalities{some}"
        titled(self.ax_, f"Is confidence right{by}?")
        self.ax_.tick_params(axis="x", labelbottom=False)
        self.count_ax_.set(xlabel="confidence (share expected to be right)", ylabel="rows")
        self.count_ax_.set_yscale("symlog", linthresh=1)
        self.count_ax_.set_ylim(0, 2 * max((curve.count.max() for curve in self.curves.values()), default=1))
        self.count_ax_.yaxis.set_major_formatter("{x:,.0f}")
        for axes in (self.ax_, self.count_ax_):
            tidy(axes)
        self.ax_.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
        return self

    def frame(self):
        """What is drawn: a DataFrame with a row per bin.

        Returns
        -------
        DataFrame
            One row for each bin.
        """
        curves = self.curves.values()
        columns = {
            "n_observed": np.repeat(list(self.curves), [len(curve.count) for curve in curves]),
            "confidence": np.concatenate([curve.confidence for curve in curves]),
            "accuracy": np.concatenate([curve.accuracy for curve in curves]),
            "n_rows": np.concatenate([curve.count for curve in curves]),
        }
        return as_frame(columns, "ReliabilityDisplay.frame")
