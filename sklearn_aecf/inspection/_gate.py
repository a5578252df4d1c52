"""The gate's weights: by modality, by class, and how even they are."""

import numpy as np

from sklearn_aecf._data import form_of
from sklearn_aecf.inspection._style import (
    COLOURS,
    as_frame,
    line_style,
    new_axes,
    room_for,
    split_axes,
    tidy,
    titled,
    wrapped,
)
from sklearn_aecf.metrics._inside import innermost, modalities_of
from sklearn_aecf.metrics._subsets import as_fitted


def gate_summary(estimator, X, y=None, *, modalities=None):
    """Mean gate weight of each modality where it is observed, overall and by class.

    Parameters
    ----------
    estimator : fitted AECFClassifier, a Pipeline or search that ends in one, or anything with ``gate_weights``
        What is measured; also a Pipeline or a search that ends in one.
    X : dict, MultimodalData, array-like or DataFrame
        Rows of several modalities, in any form that `AECFClassifier.fit` takes.
    y : array-like of shape (n_rows,) or (n_rows, n_labels), default=None
        Adds a column per class; of several labels one per label, of the rows in which it is 1.
    modalities : dict of str to columns, default=None
        Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.

    Returns
    -------
    dict of str to ndarray
        Columns ``modality``, ``n_rows`` (that have it), ``mean``, ``std``, ``mean_even`` (what an even gate would
        give), and ``mean_<class>`` for each class (``mean_class_even`` of one that is called "even").

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.inspection import gate_summary
    >>> X, y = make_multimodal_classification(300, random_state=0)
    >>> summary = gate_summary(AECFClassifier(max_epochs=5, random_state=0).fit(X, y), X)
    >>> summary["modality"].tolist(), round(float(summary["mean"].sum()), 6)
    (['a', 'b', 'c'], 1.0)
    """
    names, present, weights = _weights(estimator, X, modalities)
    return _summary(names, present, weights, y)


class GateDisplay:
    """Gate weights by modality, overall and by class, and the distribution of the gate's evenness.

    Parameters
    ----------
    summary : dict of str to ndarray
        As from `gate_summary`.
    evenness : ndarray
        Entropy of each row's weights over the logarithm of the number of its modalities, for rows with two or more.
    classes : list
        What is marked: of each, the summary has a column ``mean_<class>``.
    by : {"class", "label", "reliability"}, default="class"
        What the marks are.

    Attributes
    ----------
    ax_, entropy_ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(200, missing_rate=0.2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> from sklearn_aecf.inspection import GateDisplay
    >>> display = GateDisplay.from_estimator(clf, X, y)
    >>> display.frame().shape[0]
    3
    """

    def __init__(self, summary, evenness, *, classes=(), by="class"):
        self.summary = summary
        self.evenness = evenness
        self.classes = classes
        self.by = by

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, by="class", modalities=None, ax=None):
        """Compute the gate weights of X, and plot.

        Parameters
        ----------
        estimator : fitted AECFClassifier, a Pipeline or search that ends in one, or anything with ``gate_weights``
            What is measured; also a Pipeline or a search that ends in one.
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        y : array-like of shape (n_rows,) or (n_rows, n_labels), default=None
            Adds a mark per class; of several labels one per label, of the rows in which it is 1.
        by : {"class", "reliability"}, default="class"
            ``"reliability"`` marks the rows in which a modality is reliable, and those in which it is not
            (reliability below 0.5), instead of classes.
        modalities : dict of str to columns, default=None
            Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        GateDisplay

        Raises
        ------
        ValueError
            If `by` is something else, or the model has not learnt which values to trust.
        """
        if by not in ("class", "reliability"):
            raise ValueError(f"by must be 'class' or 'reliability'. Got {by!r}.")
        # Once: a Pipeline would otherwise transform X a second time.
        classifier, X = innermost(estimator, X)
        names, present, weights = _weights(classifier, X, modalities)
        if by == "class":
            return cls.from_predictions(weights, present, names, y, ax=ax)
        return cls.from_predictions(weights, present, names, reliability=classifier.modality_reliability(X), ax=ax)

    @classmethod
    def from_predictions(cls, weights, present, modality_names, y=None, *, reliability=None, ax=None):
        """Plot from weights that were computed elsewhere.

        Parameters
        ----------
        weights : ndarray of shape (n_rows, n_modalities)
            Weights of the gate; those of a row sum to 1.
        present : ndarray of bool, shape (n_rows, n_modalities)
            True where a modality is observed.
        modality_names : list of str
            Names, in the order of the columns.
        y : array-like of shape (n_rows,) or (n_rows, n_labels), default=None
            Classes to group rows by; None groups none.
        reliability : array-like of shape (n_rows, n_modalities), default=None
            Marks reliable and unreliable rows of each modality instead of classes.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        GateDisplay
        """
        weights, present = np.asarray(weights), np.asarray(present, dtype=bool)
        if weights.shape != present.shape or weights.shape[1] != len(modality_names):
            raise ValueError(
                f"weights, present and modality_names must agree. Got shapes {weights.shape}, {present.shape} and "
                f"{len(modality_names)} names."
            )
        several = present.sum(axis=1) > 1
        chosen = weights[several]
        entropy = -(chosen * np.log(np.where(chosen > 0, chosen, 1))).sum(axis=1)
        evenness = entropy / np.log(np.maximum(present[several].sum(axis=1), 2))
        summary = _summary(modality_names, present, weights, y)
        if reliability is not None:
            reliability = np.asarray(reliability)
            # NaN, of a modality that was never seen in training, is neither.
            summary["mean_reliable"] = _mean_where(weights, present & (reliability >= 0.5))
            summary["mean_unreliable"] = _mean_where(weights, present & (reliability < 0.5))
            return cls(summary, evenness, classes=["reliable", "unreliable"], by="reliability").plot(ax=ax)
        classes = [] if y is None else list(_rows_by_class(y, len(weights)))
        by = "label" if np.ndim(y) == 2 and np.shape(y)[1] > 1 else "class"
        return cls(summary, evenness, classes=classes, by=by).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the weights and, beside them, the evenness.

        Parameters
        ----------
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        self
            The display itself, with ``figure_`` and ``ax_``.
        """
        names = self.summary["modality"]
        shown = self.classes if len(self.classes) <= len(COLOURS) else []
        labels = [wrapped(label if self.by == "reliability" else f"{self.by} {label}", 24) for label in shown]
        longest = max(len(line) for label in [*labels, "even gate"] for line in label.split("\n"))
        # As many columns as fit below the bars.
        n_columns = int(np.clip(64 // (longest + 7), 1, 4))
        height = 2 + 0.5 * len(names) + 0.15 * -(-sum(1 + label.count("\n") for label in labels) // n_columns)
        self.ax_ = new_axes("GateDisplay.plot", ax, figsize=(7.5 + room_for(names, 30), height))
        self.figure_ = self.ax_.figure
        self.entropy_ax_ = split_axes(self.ax_, "right", share=0.36, gap=0.12)
        rows = np.arange(len(names))
        self.ax_.barh(rows, self.summary["mean"], color="#CFE3F1", height=0.75, label="all rows", zorder=1)
        self.ax_.scatter(
            self.summary["mean_even"], rows, marker="|", s=220, color="#555555", label="even gate", zorder=2
        )
        widest = [self.summary["mean"], self.summary["mean_even"]]
        for index, (label, shown_as) in enumerate(zip(shown, labels, strict=True)):
            offset = (index - (len(shown) - 1) / 2) * 0.6 / max(len(shown), 1)
            means = self.summary[_column(label)]
            self.ax_.scatter(means, rows + offset, s=18, color=line_style(index)["color"], label=shown_as, zorder=3)
            widest.append(means)
        counted = [f"{wrapped(name)}\nn={n}" for name, n in zip(names, self.summary["n_rows"], strict=True)]
        end = np.nanmax(np.concatenate(widest), initial=0)
        self.ax_.set_yticks(rows, counted, fontsize=9)
        self.ax_.set(xlabel="mean gate weight where observed (share)", xlim=(0, min(1.02, 1.15 * end or 1)))
        self.ax_.invert_yaxis()
        titled(self.ax_, "Which modality is listened to")
        self.ax_.legend(
            frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=5.5, ncols=n_columns, fontsize=8
        )
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.entropy_ax_.hist(self.evenness, bins=np.linspace(0, 1, 21), color=COLOURS[0])
        self.entropy_ax_.set(xlabel="gate entropy (share of largest)", ylabel="rows", xlim=(0, 1))
        titled(self.entropy_ax_, "How evenly")
        tidy(self.entropy_ax_)
        return self

    def frame(self):
        """What is drawn: the summary as a DataFrame.

        Returns
        -------
        DataFrame
            One row for each modality.
        """
        return as_frame(self.summary, "GateDisplay.frame")


def _weights(estimator, X, modalities):
    classifier, X = innermost(estimator, X)
    if not hasattr(classifier, "gate_weights"):
        raise TypeError(
            f"{type(classifier).__name__} has no gate_weights; give a fitted AECFClassifier, or a Pipeline or search "
            "that ends in one."
        )
    names, present = form_of(X, modalities_of(classifier, X, modalities)).presence()
    known = list(getattr(classifier, "modality_names_", names))
    return known, as_fitted(present, names, known), classifier.gate_weights(X)


def _summary(names, present, weights, y):
    size = np.maximum(present.sum(axis=1, keepdims=True), 1)
    summary = {
        "modality": np.array(names, dtype=object),
        "n_rows": present.sum(axis=0),
        "mean": _mean_where(weights, present),
        "std": np.sqrt(np.maximum(_mean_where(weights**2, present) - _mean_where(weights, present) ** 2, 0)),
        "mean_even": _mean_where(np.broadcast_to(1 / size, weights.shape), present),
    }
    if y is not None:
        for label, rows in _rows_by_class(y, len(weights)).items():
            summary[_column(label)] = _mean_where(weights[rows], present[rows])
    return summary


def _rows_by_class(y, n_rows):
    """Rows of each class, or of each label's 1s, as bools."""
    y = np.asarray(y)
    y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    if len(y) != n_rows:
        raise ValueError(f"X has {n_rows} rows but y has {len(y)}; give one label per row.")
    if y.ndim == 2:
        return {label: y[:, label] == 1 for label in range(y.shape[1])}
    return {label: y == label for label in np.unique(y).tolist()}


def _column(label):
    """The column of a class; ``mean_even`` is that of an even gate."""
    return "mean_class_even" if label == "even" else f"mean_{label}"


def _mean_where(values, present):
    count = present.sum(axis=0)
    return np.divide((values * present).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)
