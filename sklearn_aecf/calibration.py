"""Temperatures that depend on which modalities a row has: one scalar, and one number per modality."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_aecf._problem import problem_of

__all__ = ["SubsetTemperature"]


class SubsetTemperature(BaseEstimator):
    """Calibrate logits with a temperature for every subset of modalities.

    ``log T(S) = a + sum over absent m of b_m`` with ``b_m >= 0``, fitted by minimising the loss of ``f_S / T(S)``
    (ours). ``M + 1`` numbers cover all ``2**M - 1`` subsets, those never seen included, and losing a modality never
    makes the temperature fall. It works on any classifier's logits; `AECFClassifier` fits it on rows that its weights
    never saw.

    Parameters
    ----------
    method : {"subset", "global"}, default="subset"
        ``"global"`` fits ``a`` alone: plain temperature scaling [1]_.
    prior : float, default=1.0
        Strength of a quadratic pull of ``a`` and ``b`` towards 0, in rows: it decides on a handful of rows and
        vanishes on thousands.

    Attributes
    ----------
    log_scale_ : float
        ``a``.
    absence_ : ndarray of shape (n_modalities,)
        ``b``; zeros with ``method="global"``.

    References
    ----------
    .. [1] Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.calibration import SubsetTemperature
    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    >>> present = np.array([[True, True], [True, False], [True, False], [True, True]])
    >>> scaler = SubsetTemperature().fit(logits, [0, 1, 1, 0], present)
    >>> full, alone = scaler.temperature([[True, True], [True, False]])
    >>> bool(full < alone)
    True
    """

    def __init__(self, method="subset", prior=1.0):
        self.method = method
        self.prior = prior

    def fit(self, logits, y, present, sample_weight=None):
        """Fit the temperatures.

        Parameters
        ----------
        logits : array-like of shape (n_rows, n_classes)
            One column per class (softmax), or per label (sigmoid) if `y` is 2-D.
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            Class indices, or 0/1 a label with NaN or -1 where it was not reported.
        present : array-like of bool, shape (n_rows, n_modalities)
            True where a modality is observed.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row; None weighs all alike.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        ValueError
            If the shapes do not fit, or a logit is not finite.
        """
        if self.method not in ("subset", "global"):
            raise ValueError(f"method must be 'subset' or 'global'. Got {self.method!r}.")
        logits, present = _checked(logits, present)
        y = np.asarray(y)
        if len(y) != len(logits) or (y.ndim == 2 and y.shape != logits.shape):
            raise ValueError(f"y has shape {y.shape}, which does not fit logits of shape {logits.shape}.")
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        absent = (~present).astype(float)
        n_modalities = absent.shape[1] if self.method == "subset" else 0
        problem = problem_of(y, np.arange(logits.shape[1]))

        def objective(theta):
            log_temperature = theta[0] + absent[:, :n_modalities] @ theta[1:]
            value, slope = problem.scaled_loss(logits * np.exp(-log_temperature)[:, None], y)
            pull = self.prior * theta
            gradient = np.append((weight * slope).sum(), absent[:, :n_modalities].T @ (weight * slope))
            return (weight @ value) + 0.5 * pull @ theta, gradient + pull

        bounds = [(-3.0, 3.0)] + [(0.0, 3.0)] * n_modalities
        theta = minimize(objective, np.zeros(1 + n_modalities), jac=True, method="L-BFGS-B", bounds=bounds).x
        self.log_scale_ = float(theta[0])
        self.absence_ = np.append(theta[1:], np.zeros(present.shape[1] - n_modalities))
        return self

    def temperature(self, present):
        """Temperature of each row.

        Parameters
        ----------
        present : array-like of bool or float, shape (n_rows, n_modalities)
            Between 0 and 1 where a modality is there, but trusted in part only.

        Returns
        -------
        ndarray of shape (n_rows,), positive
            One a row, greater than 0.
        """
        check_is_fitted(self)
        present = np.asarray(present, dtype=float)
        if present.ndim != 2 or present.shape[1] != len(self.absence_):
            raise ValueError(f"present must have {len(self.absence_)} columns. Got shape {present.shape}.")
        return np.exp(self.log_scale_ + (1 - present) @ self.absence_)

    def transform(self, logits, present):
        """Logits divided by the temperature of their row, shape (n_rows, n_classes).

        Parameters
        ----------
        logits : array-like of shape (n_rows, n_classes)
            What a network returns before the softmax or the sigmoid.
        present : array-like of bool or float, shape (n_rows, n_modalities)
            Between 0 and 1 where a modality is there, but trusted in part only.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            The rescaled logits.
        """
        check_is_fitted(self)
        logits, present = _checked(logits, present)
        return logits / self.temperature(present)[:, None]

    def predict_proba(self, logits, present, *, multilabel=False):
        """Calibrated probabilities: softmax of `transform`, or a sigmoid a label if `multilabel`.

        Parameters
        ----------
        logits : array-like of shape (n_rows, n_classes)
            What a network returns before the softmax or the sigmoid.
        present : array-like of bool or float, shape (n_rows, n_modalities)
            Between 0 and 1 where a modality is there, but trusted in part only.
        multilabel : bool, default=False
            Whether each column is a label of its own.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            From 0 to 1.
        """
        scaled = self.transform(logits, present)
        return expit(scaled) if multilabel else softmax(scaled, axis=1)


def _checked(logits, present):
    logits, present = np.asarray(logits, dtype=float), np.asarray(present, dtype=bool)
    if logits.ndim != 2 or present.ndim != 2 or len(logits) != len(present):
        raise ValueError(
            "logits and present must be 2-D with the same number of rows. "
            f"Got shapes {logits.shape} and {present.shape}."
        )
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite. Got NaN or infinity.")
    return logits, present
