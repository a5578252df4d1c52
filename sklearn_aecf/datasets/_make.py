"""Multimodal data made to order."""

import string

import numpy as np
from sklearn.utils import check_random_state

from sklearn_aecf._data import MultimodalData


def make_multimodal_classification(
    n_samples=1000,
    *,
    n_classes=2,
    n_modalities=3,
    n_features=16,
    informativeness=None,
    noise_spread=0.5,
    missing_rate=0.0,
    missing_by_class=0.0,
    keep_one=True,
    random_state=None,
):
    """Make rows of several modalities that inform about the class to a different degree.

    In modality ``m`` a row is its class's centre plus normal noise. Centres lie ``informativeness[m]`` apart, in units
    of the typical standard deviation of the noise, which differs between rows: a camera may see one scene well and the
    next one badly.

    Parameters
    ----------
    n_samples : int, default=1000
        How many rows to draw.
    n_classes : int, default=2
        As frequent as each other.
    n_modalities : int, default=3
        Called ``"a"``, ``"b"``, ...; at most 26.
    n_features : int or sequence of int, default=16
        Width of all or of each modality.
    informativeness : sequence of float, default=None
        Distance between class centres in each modality; 0 is noise alone. The default falls from 3 to 1.
    noise_spread : float, default=0.5
        Standard deviation of the logarithm of a row's noise in a modality; 0 makes all rows equally noisy.
    missing_rate : float or sequence of float, default=0.0
        Probability that a modality is missing, for all or for each.
    missing_by_class : float, default=0.0
        In [-1, 1]. How missingness depends on the class: the rate of class ``k`` is multiplied by
        ``1 + missing_by_class * (2 k / (n_classes - 1) - 1)`` and cut at 1.
    keep_one : bool, default=True
        Leave every row at least one modality, drawn uniformly where all would go.
    random_state : int, RandomState instance or None, default=None
        Seed of what is drawn at random; an int gives the same result at every call.

    Returns
    -------
    X : MultimodalData
        Rows of NaN where a modality is missing.
    y : ndarray of int, shape (n_samples,)
        Classes from 0 on.

    Raises
    ------
    ValueError
        If a sequence has not one entry per modality, or a value is out of range.

    Examples
    --------
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(100, n_features=[8, 4, 2], missing_rate=0.3, random_state=0)
    >>> X.names, X.shape
    (('a', 'b', 'c'), (100, 14))
    """
    if not 1 <= n_modalities <= 26:
        raise ValueError(f"n_modalities must be between 1 and 26. Got {n_modalities}.")
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2. Got {n_classes}.")
    if not -1 <= missing_by_class <= 1:
        raise ValueError(f"missing_by_class must be in [-1, 1]. Got {missing_by_class}.")
    if informativeness is None:
        informativeness = np.linspace(3, 1, n_modalities) if n_modalities > 1 else [3.0]
    widths = _one_each(n_features, n_modalities, "n_features").astype(int)
    distances = _one_each(informativeness, n_modalities, "informativeness")
    rates = _one_each(missing_rate, n_modalities, "missing_rate")
    if (rates < 0).any() or (rates > 1).any():
        raise ValueError(f"missing_rate must be in [0, 1]. Got {missing_rate}.")
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    by_class = 1 + missing_by_class * (2 * np.arange(n_classes) / (n_classes - 1) - 1)
    missing = rng.uniform(size=(n_samples, n_modalities)) < np.minimum(rates * by_class[y][:, None], 1)
    if keep_one:
        empty = np.flatnonzero(missing.all(axis=1))
        missing[empty, rng.randint(n_modalities, size=len(empty))] = False
    arrays = {}
    for m, (width, distance) in enumerate(zip(widths, distances, strict=True)):
        centres = distance * _unit_apart(n_classes, width, rng)
        noise = np.exp(noise_spread * rng.standard_normal((n_samples, 1)))
        values = centres[y] + noise * rng.standard_normal((n_samples, width))
        values[missing[:, m]] = np.nan
        arrays[string.ascii_lowercase[m]] = values
    return MultimodalData(arrays), y


def _one_each(value, n_modalities, name):
    values = np.full(n_modalities, value) if np.ndim(value) == 0 else np.asarray(value)
    if values.shape != (n_modalities,):
        raise ValueError(f"{name} must have one entry per modality ({n_modalities}). Got {value!r}.")
    return values


def _unit_apart(n_classes, width, rng):
    """Centres at distance 1 from each other where there is room for that, else at distance 1 on average."""
    if width >= n_classes:
        orthonormal, _ = np.linalg.qr(rng.standard_normal((width, n_classes)))
        return orthonormal.T / np.sqrt(2)
    centres = rng.standard_normal((n_classes, width))
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    return centres / distances[np.triu_indices(n_classes, 1)].mean()
