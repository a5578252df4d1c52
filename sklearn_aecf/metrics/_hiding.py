"""Modalities hidden on purpose, to see what a model does without them."""

import numpy as np
from sklearn.utils import check_random_state

from sklearn_aecf._data import did_you_mean, presence, quoted, with_presence


def drop_modalities(X, rate, *, keep_one=True, random_state=None, modalities=None):
    """Hide each observed modality of each row with a given probability.

    Parameters
    ----------
    X : dict, MultimodalData, array-like or DataFrame
    rate : float
        Probability in [0, 1] that an observed modality is hidden.
    keep_one : bool, default=True
        A row that would lose all keeps one of its own, drawn uniformly.
    random_state : int, RandomState instance or None, default=None
    modalities : dict of str to columns, default=None
        Column groups, for an array or a DataFrame with columns of one level.

    Returns
    -------
    As X
        NaN (None in raw modalities) where a modality was hidden; what nothing is hidden of may be shared with X.

    Raises
    ------
    ValueError
        If `rate` is no probability, or the modalities of X are unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.metrics import drop_modalities
    >>> X = {"image": np.ones((4, 2)), "audio": np.ones((4, 1))}
    >>> drop_modalities(X, 0.5, random_state=0)["audio"].ravel().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be a probability in [0, 1]. Got {rate!r}.")
    rng = check_random_state(random_state)
    _, present = presence(X, modalities)
    keep = present & (rng.uniform(size=present.shape) >= rate)
    if keep_one:
        # The largest of the row's own random numbers is one of its modalities, drawn uniformly.
        favourite = np.where(present, rng.uniform(size=present.shape), -1).argmax(axis=1)
        lost = present.any(axis=1) & ~keep.any(axis=1)
        keep[lost, favourite[lost]] = True
    return with_presence(X, keep | ~present, modalities)


def hide(X, names, *, modalities=None):
    """Hide modalities in every row.

    Parameters
    ----------
    X : dict, MultimodalData, array-like or DataFrame
    names : str or list of str
    modalities : dict of str to columns, default=None
        Column groups, for an array or a DataFrame with columns of one level.

    Returns
    -------
    As X
        NaN (None in raw modalities) where a modality was hidden; the other modalities may be shared with X.

    Raises
    ------
    ValueError
        If a name is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.metrics import hide
    >>> hide({"image": np.ones((2, 2)), "audio": np.ones((2, 1))}, "audio")["audio"].tolist()
    [[nan], [nan]]
    """
    known, present = presence(X, modalities)
    keep = np.ones_like(present)
    for name in [names] if isinstance(names, str) else names:
        keep[:, checked_name(name, known)] = False
    return with_presence(X, keep, modalities)


def checked_name(name, known):
    """Position of a modality among the known ones."""
    if name not in known:
        raise ValueError(f"Unknown modality {name!r}{did_you_mean(name, known)} Modalities: {quoted(known)}.")
    return list(known).index(name)


def modalities_of(estimator, X, modalities=None):
    """Column groups that were given, or those that the estimator, or one inside it, reads X with."""
    if modalities is not None:
        return modalities
    owner = _owner_of_groups(estimator)
    # Positions mean the columns of the frame that was fitted, whose order this one need not have.
    labels = getattr(getattr(owner, "_spec", None), "labels", None)
    if labels is not None and hasattr(X, "columns"):
        return {name: list(columns) for name, columns in labels.items()}
    return getattr(owner, "modalities", None)


def _owner_of_groups(estimator):
    if getattr(estimator, "modalities", None) is not None:
        return estimator
    inner = [step for _, step in reversed(estimator.steps)] if hasattr(estimator, "steps") else []
    inner += [getattr(estimator, name, None) for name in ("best_estimator_", "estimator_", "estimator")]
    found = (_owner_of_groups(each) for each in inner if each is not None and not isinstance(each, str))
    return next((owner for owner in found if owner is not None), None)
