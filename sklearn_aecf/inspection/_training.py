"""How a fit went: losses, gate, coefficient and what was hidden, by epoch."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_aecf.inspection._style import as_frame, line_style, tidy, titled

# By title, with the label of the vertical axis.
_PANELS = {
    ("Loss", "nats"): {
        "train_loss": "training",
        "valid_loss": "validation, mean of mask rates",
        "valid_refined_loss": "the same, confidence rescaled",
    },
    ("Gate entropy", "share of largest"): {"gate_entropy": ""},
    ("Entropy coefficient", "weight in the loss"): {"entropy_coefficient": ""},
    ("Modalities hidden", "share"): {"hidden_share": ""},
}


class TrainingDisplay:
    """History of a fit, with the epoch whose weights were kept.

    Parameters
    ----------
    history : dict of str to ndarray
        As ``AECFClassifier.history_``.
    best_epoch : int or None
        Epoch whose weights are kept, from 1 on; None marks none.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
    ax_ : matplotlib Axes
        The first.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(200, missing_rate=0.2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> from sklearn_aecf.inspection import TrainingDisplay
    >>> display = TrainingDisplay.from_estimator(clf)
    >>> display.frame().shape[0]
    2
    """

    def __init__(self, history, *, best_epoch=None):
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Plot the history of a fitted `AECFClassifier`.

        Parameters
        ----------
        estimator : fitted AECFClassifier
            What was fitted.
        ax : array of 4 Axes, default=None
            Four axes to draw into; None makes a new figure.

        Returns
        -------
        TrainingDisplay
        """
        check_is_fitted(estimator)
        return cls(estimator.history_, best_epoch=estimator.best_epoch_).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw four panels.

        Parameters
        ----------
        ax : array of 4 Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        self
            The display itself, with ``figure_`` and ``ax_``.
        """
        from sklearn.utils._optional_dependencies import check_matplotlib_support

        check_matplotlib_support("TrainingDisplay.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(2, 2, figsize=(8.4, 5.4), sharex=True, layout="constrained")[1]
        self.axes_ = list(np.ravel(ax))
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        epochs = self.history.get("epoch", np.arange(1))
        for axes, ((title, unit), columns) in zip(self.axes_, _PANELS.items(), strict=True):
            drawn = [name for name in columns if name in self.history]
            for index, name in enumerate(drawn):
                axes.plot(epochs, self.history[name], label=columns[name], **line_style(index))
            if self.best_epoch is not None and "valid_loss" in self.history:
                axes.axvline(self.best_epoch, color="#888888", linewidth=1, linestyle="--", label="epoch kept")
            titled(axes, title)
            axes.set_ylabel(unit)
            axes.xaxis.get_major_locator().set_params(integer=True)
            tidy(axes)
            if unit.startswith("share"):
                axes.set_ylim(0, 1.02)
            if not drawn:
                axes.text(0.5, 0.5, "switched off", ha="center", va="center", transform=axes.transAxes, color="#666666")
        low, high = self.ax_.get_ylim()
        self.ax_.set_ylim(low, high + 0.5 * (high - low))  # for the legend
        self.ax_.legend(loc="upper right", fontsize=8, framealpha=0.8, edgecolor="none")
        for axes in self.axes_[2:]:
            axes.set_xlabel("epoch")
        return self

    def frame(self):
        """What is drawn: the history as a DataFrame with a row per epoch.

        Returns
        -------
        DataFrame
            One row for each epoch.
        """
        return as_frame(self.history, "TrainingDisplay.frame")
