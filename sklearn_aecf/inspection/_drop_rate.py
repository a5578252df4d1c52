"""Score against the rate at which modalities are missing or broken."""

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import check_scoring, get_scorer
from sklearn.utils import check_random_state

from sklearn_aecf.compose import corrupt_modalities, drop_modalities
from sklearn_aecf.inspection._style import (
    as_frame,
    is_unit_range,
    line_style,
    new_axes,
    plain,
    score_label,
    tidy,
    titled,
    wrapped,
)
from sklearn_aecf.metrics._inside import modalities_of, unwrapped
from sklearn_aecf.metrics._scoring import accuracy_scorer, refuse_unreported, single_scorer
from sklearn_aecf.metrics._subsets import quiet_on_hidden

# What the rates that we draw are shares of, and what happens at them.
_RATES = {
    "drop rate": ("drop rate (share hidden)", "Score as modalities go missing"),
    "corruption rate": ("corruption rate (share broken)", "Score as modalities break"),
}


class DropRateDisplay:
    """Score of one or several classifiers against the rate at which modalities are missing, or broken.

    Parameters
    ----------
    drop_rates : ndarray of shape (n_rates,)
        Probabilities with which a modality is hidden.
    scores : dict of str to ndarray of shape (n_rates, n_repeats)
        Scores by name of the estimator, a row for each rate and a column for each draw.
    score_name : str
        Label of the vertical axis.
    rate_name : str, default="drop rate"
        Label of the horizontal axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to Line2D

    Examples
    --------
    What happens when modalities fail, in two lines:

    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.inspection import DropRateDisplay
    >>> X, y = make_multimodal_classification(300, random_state=0)
    >>> clf = AECFClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> display = DropRateDisplay.from_estimator(clf, X, y, random_state=0)
    """

    def __init__(self, drop_rates, scores, *, score_name="score", rate_name="drop rate"):
        self.drop_rates = drop_rates
        self.scores = scores
        self.score_name = score_name
        self.rate_name = rate_name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        drop_rates=(0.0, 0.1, 0.3, 0.5, 0.7),
        scoring=None,
        n_repeats=5,
        keep_one=True,
        kind=None,
        random_state=0,
        modalities=None,
        ax=None,
    ):
        """Hide or break modalities at several rates, score and plot.

        Parameters
        ----------
        estimator : fitted classifier, or dict of str to fitted classifier
            One estimator, or several by name to compare.
        X : dict, MultimodalData, array-like or DataFrame
            The same for all estimators.
        y : array-like
            The true classes, or 0/1 a label.
        drop_rates : sequence of float, default=(0.0, 0.1, 0.3, 0.5, 0.7)
            Probabilities with which a modality is hidden, or broken.
        scoring : str, callable, list or dict of one score, or None, default=None
            None is accuracy; for multilabel targets the accuracy of the labels that were reported.
        n_repeats : int, default=5
            Draws a rate; the band shows their standard deviation.
        keep_one : bool, default=True
            Whether a row always keeps one of its modalities.
        kind : str or sequence of str, default=None
            Modalities are broken in this way (`sklearn_aecf.compose.corrupt_modalities`). None hides them.
        random_state : int, RandomState instance or None, default=0
            Seed of what is drawn at random; an int gives the same result at every call.
        modalities : dict of str to columns, default=None
            Column groups, where ``X`` is an array or a DataFrame and the estimator does not know them.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        DropRateDisplay

        Raises
        ------
        ValueError
            If `scoring` has several scores, or a score of scikit-learn meets labels that were not reported.
        """
        estimators = estimator if isinstance(estimator, Mapping) else {type(estimator).__name__: estimator}
        seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)

        def without(X, rate, **options):
            if kind is None:
                return drop_modalities(X, rate, keep_one=keep_one, **options)
            return corrupt_modalities(X, rate, kind=kind, keep_one=keep_one, **options)

        scores = {}
        for name, fitted in estimators.items():
            fitted, seen = unwrapped(fitted, X)
            score_name, scorer = single_scorer(fitted, scoring, "DropRateDisplay")
            refuse_unreported({score_name: scorer}, y)
            if scorer is None:
                scorer = accuracy_scorer if np.ndim(y) == 2 else check_scoring(fitted, None)
            groups = modalities_of(fitted, seen, modalities)
            # Every estimator meets the same draws.
            rng = np.random.RandomState(seed)
            with quiet_on_hidden():
                scores[name] = np.array(
                    [
                        [
                            scorer(fitted, without(seen, rate, random_state=rng, modalities=groups), y)
                            for _ in range(n_repeats)
                        ]
                        for rate in drop_rates
                    ]
                )
        rate_name = "drop rate" if kind is None else "corruption rate"
        rates = np.asarray(drop_rates, dtype=float)
        display = cls(rates, scores, score_name=score_label(score_name), rate_name=rate_name)
        return display.plot(ax=ax)

    @classmethod
    def from_predictions(cls, y_true, predictions, *, scoring="accuracy", name="classifier", ax=None):
        """Plot from predictions that were made elsewhere.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,)
            The true classes, or 0/1 a label.
        predictions : dict of float to list of array-like
            For each drop rate the predicted classes of each repeat.
        scoring : str, default="accuracy"
            A scorer of predicted classes.
        name : str
            Label of the line.
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        DropRateDisplay

        Raises
        ------
        ValueError
            If the scorer wants probabilities.
        """
        score = get_scorer(scoring)
        if score._response_method != "predict":
            raise ValueError(f"scoring must be a score of predicted classes, such as 'accuracy'. Got {scoring!r}.")
        rates = np.array(sorted(predictions))

        def score_of(y):
            return score._sign * score._score_func(y_true, y, **score._kwargs)

        values = [[score_of(y) for y in predictions[rate]] for rate in rates]
        return cls(rates, {name: np.array(values)}, score_name=score_label(scoring)).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw lines for the means and bands for the standard deviations.

        Parameters
        ----------
        ax : Axes, default=None
            What to draw into; None makes a new figure.

        Returns
        -------
        self
            The display itself, with ``figure_`` and ``ax_``.
        """
        self.ax_ = new_axes("DropRateDisplay.plot", ax)
        self.figure_ = self.ax_.figure
        self.lines_ = {}
        for index, (name, values) in enumerate(self.scores.items()):
            mean, spread = values.mean(axis=1), values.std(axis=1)
            style = line_style(index)
            (self.lines_[name],) = self.ax_.plot(
                self.drop_rates, mean, marker="o", markersize=4, label=wrapped(name, 40), **style
            )
            self.ax_.fill_between(
                self.drop_rates, mean - spread, mean + spread, color=style["color"], alpha=0.15, linewidth=0
            )
        rate_label, title = _RATES.get(self.rate_name, (self.rate_name, f"Score against {self.rate_name}"))
        self.ax_.set(xlabel=plain(rate_label), ylabel=plain(self.score_name))
        titled(self.ax_, plain(title))
        self.ax_.set_xlim(0, max(1e-3, self.drop_rates.max()) * 1.02)
        if is_unit_range(np.concatenate([values.ravel() for values in self.scores.values()])):
            self.ax_.set_ylim(0, 1)
        tidy(self.ax_)
        if len(self.scores) > 1:
            self.ax_.legend(frameon=False, loc="best")
        return self

    def frame(self):
        """What is drawn: a DataFrame with a row per estimator and rate.

        Returns
        -------
        DataFrame
            One row for each estimator and rate.
        """
        values = np.concatenate(list(self.scores.values()))
        columns = {
            "estimator": np.repeat(list(self.scores), len(self.drop_rates)),
            self.rate_name.replace(" ", "_"): np.tile(self.drop_rates, len(self.scores)),
            self.score_name: values.mean(axis=1),
            "std": values.std(axis=1),
        }
        return as_frame(columns, "DropRateDisplay.frame")
