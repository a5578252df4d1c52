"""Hide modalities at random: to simulate, and to make any classifier robust."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state

from sklearn_aecf._data import form_of
from sklearn_aecf.compose._hiding import drop_modalities


class ModalityDropout(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Hide each observed modality of each row with a given probability.

    Parameters
    ----------
    rate : float, default=0.5
        Probability in [0, 1].
    keep_one : bool, default=True
        A row that would lose all keeps one of its own.
    when : {"fit", "transform", "both"}, default="fit"
        ``"fit"`` hides in `fit_transform` only: in a pipeline, training rows lose modalities and rows to predict do
        not. ``"transform"`` hides in `transform` only, to simulate failures at prediction.
    modalities : dict of str to columns, default=None
        Column groups, for an array or a DataFrame with columns of one level.
    random_state : int, RandomState instance or None, default=None
        With an int, every call hides alike.

    Examples
    --------
    Any classifier that takes NaN becomes robust when it is trained on copies with modalities hidden:

    >>> import numpy as np
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn_aecf.compose import ModalityDropout
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(200, random_state=0)
    >>> X_more, y_more = ModalityDropout(0.5, random_state=0).augment(X, y, n_copies=2)
    >>> len(X_more), len(y_more)
    (600, 600)
    >>> clf = HistGradientBoostingClassifier().fit(np.asarray(X_more), y_more)
    """

    def __init__(self, rate=0.5, *, keep_one=True, when="fit", modalities=None, random_state=None):
        self.rate = rate
        self.keep_one = keep_one
        self.when = when
        self.modalities = modalities
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.requires_fit = False
        return tags

    def fit(self, X, y=None):
        """Check the parameters; nothing is learnt.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        y : ignored
            Not used.

        Returns
        -------
        self
            The estimator itself.
        """
        self._check()
        return self

    def transform(self, X):
        """X, with modalities hidden if ``when`` is "transform" or "both"; the same form as given.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.

        Returns
        -------
        the same form as `X`
            A copy where anything is hidden.
        """
        self._check()
        return self._hidden(X, check_random_state(self.random_state)) if self.when != "fit" else X

    def fit_transform(self, X, y=None):
        """X, with modalities hidden if ``when`` is "fit" or "both"; the same form as given.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        y : ignored
            Not used.

        Returns
        -------
        the same form as `X`
            A copy where anything is hidden.
        """
        self._check()
        return self._hidden(X, check_random_state(self.random_state)) if self.when != "transform" else X

    def augment(self, X, y, n_copies=1):
        """X and y followed by copies with modalities hidden, whatever `when` is.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            The true classes, or 0/1 a label.
        n_copies : int, default=1
            How many hidden copies of the rows to add.

        Returns
        -------
        X : the same form as given
            With ``(1 + n_copies) * n_rows`` rows.
        y : ndarray
            The labels, as many times.
        """
        self._check()
        if n_copies < 1:
            raise ValueError(f"n_copies must be at least 1. Got {n_copies!r}.")
        rng = check_random_state(self.random_state)
        copies = [self._hidden(X, rng) for _ in range(n_copies)]
        return form_of(X).stacked(copies), np.concatenate([np.asarray(y)] * (1 + n_copies))

    def _hidden(self, X, rng):
        return drop_modalities(X, self.rate, keep_one=self.keep_one, random_state=rng, modalities=self.modalities)

    def _check(self):
        if self.when not in ("fit", "transform", "both"):
            raise ValueError(f"when must be 'fit', 'transform' or 'both'. Got {self.when!r}.")
