"""Which sensor failed when: the reliability of every modality over time."""

import numpy as np

from sklearn_aecf.inspection._style import (
    COLOURS,
    GREY,
    as_frame,
    new_axes,
    room_for,
    split_axes,
    tidy,
    titled,
    wrapped,
)
from sklearn_aecf.metrics._inside import innermost
from sklearn_aecf.metrics._subsets import SubsetPredictions


class SensorDisplay:
    """Reliability of every modality in every row, row after row, with the confidence of the prediction below.

    Dark cells are sensors that are not believed, grey ones are missing.

    Parameters
    ----------
    reliability : ndarray of shape (n_rows, n_modalities)
        NaN where a modality is missing.
    modality_names : list of str
        Names, in the order of the columns.
    confidence : ndarray of shape (n_rows,), default=None
        Largest probability of each row; of several labels the mean of ``max(p, 1 - p)``.
    times : array-like of shape (n_rows,), default=None
        Ascending, numbers or dates; by default the position of the row.
    threshold : float, default=0.5
        Reliability below which a modality is marked as failed.

    Attributes
    ----------
    ax_ : matplotlib Axes
    confidence_ax_ : matplotlib Axes or None
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.inspection import SensorDisplay
    >>> X, y = make_multimodal_classification(300, random_state=0)
    >>> clf = AECFClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> display = SensorDisplay.from_estimator(clf, X[:100])
    """

    def __init__(self, reliability, modality_names, *, confidence=None, times=None, threshold=0.5):
        self.reliability = np.asarray(reliability, dtype=float)
        self.modality_names = modality_names
        self.confidence = confidence
        self.times = times
        self.threshold = threshold

    @classmethod
    def from_estimator(cls, estimator, X, *, times=None, threshold=0.5, modalities=None, ax=None):
        """Ask for the reliability and the confidence of every row, and plot.

        Parameters
        ----------
        estimator : fitted AECFClassifier
            Also a Pipeline or a search that ends in one, or anything with ``modality_reliability``.
        X : dict, MultimodalData, array-like or DataFrame
            Rows in the order of time.
        times : array-like of shape (n_rows,), default=None
            Ascending, numbers or dates; by default the position of the row.
        threshold : float, default=0.5
            Values with a lower reliability count as failed.
        modalities : dict of str to columns, default=None
            Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        SensorDisplay

        Raises
        ------
        TypeError
            If the estimator has no ``modality_reliability``.
        """
        classifier, X = innermost(estimator, X)
        if not hasattr(classifier, "modality_reliability"):
            raise TypeError(
                f"{type(classifier).__name__} has no modality_reliability; give a fitted AECFClassifier, or a Pipeline "
                "or search that ends in one."
            )
        predictions = SubsetPredictions(classifier, X, modalities)
        return cls.from_predictions(
            classifier.modality_reliability(X),
            list(getattr(classifier, "modality_names_", predictions.names)),
            confidence=predictions.problem.sureness(predictions.predicted(X)),
            times=times,
            threshold=threshold,
            ax=ax,
        )

    @classmethod
    def from_predictions(cls, reliability, modality_names, *, confidence=None, times=None, threshold=0.5, ax=None):
        """Plot reliabilities that were computed elsewhere.

        Parameters
        ----------
        reliability : array-like of shape (n_rows, n_modalities)
            NaN where a modality is missing.
        modality_names : list of str
            Names, in the order of the columns.
        confidence : array-like of shape (n_rows,), default=None
            Largest probability of each row; None draws none.
        times : array-like of shape (n_rows,), default=None
            When each row was measured; None counts rows.
        threshold : float, default=0.5
            Values with a lower reliability count as failed.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        SensorDisplay

        Raises
        ------
        ValueError
            If the shapes do not fit, or times do not ascend.
        """
        reliability = np.asarray(reliability, dtype=float)
        if len(reliability) == 0:
            raise ValueError("reliability has no rows; give at least one.")
        if reliability.ndim != 2 or reliability.shape[1] != len(modality_names):
            raise ValueError(
                f"reliability must have {len(modality_names)} columns, one per modality. Got shape {reliability.shape}."
            )
        for name, column in (("times", times), ("confidence", confidence)):
            if column is not None and len(column) != len(reliability):
                raise ValueError(f"{name} has {len(column)} entries but reliability has {len(reliability)} rows.")
        if times is not None:
            times = np.asarray(times)
            if not (times[1:] >= times[:-1]).all():
                raise ValueError("times must ascend, without gaps; sort the rows by them.")
        return cls(reliability, list(modality_names), confidence=confidence, times=times, threshold=threshold).plot(
            ax=ax
        )

    def plot(self, *, ax=None):
        """Draw a strip a modality, and the confidence below.

        Parameters
        ----------
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        self
            The display itself, with ``figure_`` and ``ax_``.
        """
        names, n_rows = self.modality_names, len(self.reliability)
        height = 2.1 + 0.5 * len(names)
        self.ax_ = new_axes("SensorDisplay.plot", ax, figsize=(8.5 + room_for(names, 30), height))
        self.figure_ = self.ax_.figure
        from matplotlib.colors import LinearSegmentedColormap

        times = np.arange(n_rows) if self.times is None else self.times
        confidence_ax = None
        if self.confidence is not None:
            confidence_ax = split_axes(self.ax_, "bottom", share=min(0.34, 1.4 / height), gap=0.1)
        # From the colour of alarm over a pale middle to the colour of all others.
        shades = LinearSegmentedColormap.from_list("reliability", [COLOURS[1], "#F7E3D5", "#CFE3F1", COLOURS[0]])
        shades = shades.with_extremes(bad=GREY)
        mesh = self.ax_.pcolormesh(
            times,
            np.arange(len(names)),
            np.ma.masked_invalid(self.reliability.T),
            cmap=shades, vmin=0, vmax=1, shading="nearest", rasterized=True,
        )  # fmt: skip
        self.ax_.hlines(np.arange(len(names) - 1) + 0.5, times[0], times[-1], color="white", linewidth=3)
        self.ax_.set_yticks(np.arange(len(names)), [wrapped(name) for name in names], fontsize=9)
        self.ax_.invert_yaxis()
        self.ax_.spines[:].set_visible(False)
        self.ax_.tick_params(length=0)
        for m, share in enumerate(self.failed_share()):
            self.ax_.annotate(
                "always missing" if np.isnan(share) else f"{share:.0%} failed",
                (1.01, m), xycoords=("axes fraction", "data"), va="center", fontsize=8,
                color=COLOURS[1] if share >= 0.005 else "#555555",
            )  # fmt: skip
        bar = self.figure_.colorbar(mesh, ax=self.ax_, location="top", aspect=50, pad=0.02, fraction=0.06)
        bar.set_label("reliability, from 0 to 1 (grey: missing)", fontsize=9)
        titled(bar.ax, f"Which sensor failed when (failed: reliability below {self.threshold:g})")
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, length=0)
        self.confidence_ax_ = confidence_ax
        last = self.ax_
        if confidence_ax is not None:
            confidence_ax.plot(times, self.confidence, color=GREY, linewidth=0.8, label="each row")
            window = n_rows // 40
            if window > 1:
                padded = np.pad(self.confidence, (window // 2, (window - 1) // 2), mode="edge")
                smooth = np.convolve(padded, np.full(window, 1 / window), "valid")
                confidence_ax.plot(times, smooth, color="#222222", label=f"mean of {window} rows")
                confidence_ax.legend(frameon=False, fontsize=8, loc="lower left", ncols=2)
            confidence_ax.set(ylabel="confidence\n(share)", ylim=(0, 1.02))
            tidy(confidence_ax)
            self.ax_.tick_params(labelbottom=False)
            last = confidence_ax
        last.set_xlabel("row" if self.times is None else "time")
        if np.asarray(times).dtype.kind == "M":
            from matplotlib.dates import ConciseDateFormatter

            last.xaxis.set_major_formatter(ConciseDateFormatter(last.xaxis.get_major_locator()))
        return self

    def failed_share(self):
        """Share of the rows with a modality in which its reliability is below the threshold, by modality.

        NaN where no row has the modality.

        Returns
        -------
        ndarray of shape (n_modalities,)
            From 0 to 1.
        """
        there = ~np.isnan(self.reliability)
        failed = np.where(there, self.reliability, np.inf) < self.threshold
        count = there.sum(axis=0)
        return np.divide(failed.sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)

    def frame(self):
        """What is drawn: a DataFrame with a row per row of X, a column per modality, and the confidence.

        The column of a modality that is called "time" or "confidence" is ``"time (reliability)"``.

        Returns
        -------
        DataFrame
            One row for each row of X.
        """
        times = np.arange(len(self.reliability)) if self.times is None else self.times
        confidence = {} if self.confidence is None else {"confidence": np.asarray(self.confidence)}
        columns = {"time": times}
        for name, values in zip(self.modality_names, self.reliability.T, strict=True):
            while name in columns or name in confidence:
                name = f"{name} (reliability)"
            columns[name] = values
        return as_frame(columns | confidence, "SensorDisplay.frame")
