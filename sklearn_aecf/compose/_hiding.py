"""Modalities hidden on purpose, to see what a model does without them."""

from collections.abc import Iterable
from numbers import Real

import numpy as np
from sklearn.utils import check_random_state

from sklearn_aecf._data import checked_name, form_of


def drop_modalities(X, rate, *, keep_one=True, random_state=None, modalities=None):
    """Hide each observed modality of each row with a given probability.

    Parameters
    ----------
    X : dict, MultimodalData, array-like or DataFrame
        Rows of several modalities, in any form that `AECFClassifier.fit` takes.
    rate : float
        Probability in [0, 1] that an observed modality is hidden.
    keep_one : bool, default=True
        A row that would lose all keeps one of its own, drawn uniformly.
    random_state : int, RandomState instance or None, default=None
        Seed of what is drawn at random; an int gives the same result at every call.
    modalities : dict of str to columns, default=None
        Column groups, for an array or a DataFrame with columns of one level.

    Returns
    -------
    As X
        NaN where a modality was hidden, None in raw modalities, and a masked row in numbers that are no table; what
        nothing is hidden of may be shared with X.

    Raises
    ------
    ValueError
        If `rate` is no probability, or the modalities of X are unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.compose import drop_modalities
    >>> X = {"image": np.ones((4, 2)), "audio": np.ones((4, 1))}
    >>> drop_modalities(X, 0.5, random_state=0)["audio"].ravel().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if not isinstance(rate, Real) or not 0 <= rate <= 1:
        raise ValueError(f"rate must be a probability in [0, 1]. Got {rate!r}.")
    rng = check_random_state(random_state)
    form = form_of(X, modalities)
    _, present = form.presence()
    return form.with_presence(~drawn_modalities(present, rate, keep_one, rng))


def drawn_modalities(present, rate, keep_one, rng):
    """Observed modalities that chance picks in each row; with `keep_one` never all of a row."""
    drawn = present & (rng.uniform(size=present.shape) < rate)
    if keep_one:
        # The largest of the row's own random numbers is one of its modalities, drawn uniformly.
        favourite = np.where(present, rng.uniform(size=present.shape), -1).argmax(axis=1)
        all_drawn = present.any(axis=1) & (drawn == present).all(axis=1)
        drawn[all_drawn, favourite[all_drawn]] = False
    return drawn


def hide(X, names, *, modalities=None):
    """Hide modalities in every row.

    Parameters
    ----------
    X : dict, MultimodalData, array-like or DataFrame
        Rows of several modalities, in any form that `AECFClassifier.fit` takes.
    names : str or list of str
        What to hide, by name.
    modalities : dict of str to columns, default=None
        Column groups, for an array or a DataFrame with columns of one level.

    Returns
    -------
    As X
        NaN where a modality was hidden, None in raw modalities, and a masked row in numbers that are no table; the
        other modalities may be shared with X.

    Raises
    ------
    ValueError
        If a name is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.compose import hide
    >>> hide({"image": np.ones((2, 2)), "audio": np.ones((2, 1))}, "audio")["audio"].tolist()
    [[nan], [nan]]
    """
    form = form_of(X, modalities)
    known, present = form.presence()
    keep = np.ones_like(present)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, Iterable):
        raise TypeError(f"names must be a modality or a list of modalities. Got {names!r}.")
    for name in names:
        keep[:, checked_name(name, known)] = False
    return form.with_presence(keep)
