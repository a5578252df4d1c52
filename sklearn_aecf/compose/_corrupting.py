"""Modalities broken on purpose, to see whether a model believes a sensor that lies."""

from numbers import Real

import numpy as np
from sklearn.utils import check_random_state

from sklearn_aecf._data import (
    checked_name,
    form_of,
    frame_columns,
    is_frame,
    only_counts,
    quoted,
    refuse_twins,
    select_columns,
)
from sklearn_aecf.compose._hiding import drawn_modalities


def corrupt_modalities(X, rate, *, kind="noise", keep_one=True, random_state=None, modalities=None):
    """Break each observed modality of each row with a given probability: its values are there, and wrong.

    Parameters
    ----------
    X : dict, MultimodalData, array-like or DataFrame
        What is usual in a modality is taken from its rows, so give more than a few.
    rate : float, or array-like or DataFrame of bool, shape (n_rows, n_modalities)
        Probability in [0, 1] that an observed modality is broken; or which of them are. The columns of a DataFrame are
        the modalities by name, in any order.
    kind : str or sequence of str, default="noise"
        Of several each broken modality gets one, drawn uniformly. In units of a feature's mean and standard deviation:

        - ``"noise"``: normal noise in place of the values; ``"heavy_noise"``: Laplace noise;
          ``"uniform_noise"``: anything between the least and the largest value;
        - ``"added_noise"``: Student noise of twice the standard deviation on the values; ``"spikes"``: a fifth of the
          features 10 standard deviations away; ``"drift"``: a random walk over the features added;
        - ``"dead"``: 0 in all features; ``"half_dead"``: in half of them; ``"stuck"``: one value, drawn once, in all
          features and rows; ``"saturated"``: each feature's largest value;
        - ``"gain"``: values three to ten times too large or too small; ``"offset"``: two to four standard deviations
          too high or too low;
        - ``"negated"``: mirrored at the mean; ``"shuffled"``: features in another order;
        - ``"swapped"``: the values of another row; ``"blended"``: the mean of two rows.
    keep_one : bool, default=True
        In a row of several modalities of which all would break, one stays as it is, drawn uniformly. A row with a
        single modality keeps it. Not used where `rate` says which are broken.
    random_state : int, RandomState instance or None, default=None
        Seed of what is drawn at random; an int gives the same result at every call.
    modalities : dict of str to columns, default=None
        Column groups, for an array or a DataFrame with columns of one level.

    Returns
    -------
    As X
        Gaps stay gaps, and what is missing stays missing. What nothing is broken of may be shared with X.

    Raises
    ------
    ValueError
        If `rate` is no probability, a kind is unknown, a modality is not made of numbers, or the modalities of X are
        unknown.

    See Also
    --------
    drop_modalities : Hide modalities instead.
    sklearn_aecf.masking.RandomCorruption : What is learnt from in training; other kinds for the most part.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf.compose import corrupt_modalities
    >>> X = {"image": np.arange(8.0).reshape(4, 2), "audio": np.ones((4, 1))}
    >>> broken = np.array([[False, True], [True, False], [False, False], [False, False]])
    >>> corrupt_modalities(X, broken, kind="dead")["image"].tolist()
    [[0.0, 1.0], [0.0, 0.0], [4.0, 5.0], [6.0, 7.0]]
    """
    kinds = checked_kinds(kind)
    rng = check_random_state(random_state)
    form = form_of(X, modalities)
    names, present = form.presence()
    if is_frame(rate):
        rate = _by_name(rate, names, form.index())
    broken = _draw(rate, present, keep_one, rng)
    changes = {}
    for m, name in enumerate(names):
        rows = np.flatnonzero(broken[:, m])
        if len(rows):
            changes[name] = rows, _broken(name, form.values(name), present[:, m], rows, kinds, rng)
    return form.replaced(changes)


def checked_kinds(kind):
    """One or several kinds of corruption as a list of names."""
    kinds = list(kind) if isinstance(kind, list | tuple | set) else [kind]
    unknown = [name for name in kinds if not (isinstance(name, str) and name in KINDS)]
    if unknown or not kinds:
        raise ValueError(f"kind must be among {', '.join(KINDS)}. Got {', '.join(map(repr, unknown)) or 'none'}.")
    return kinds


def _by_name(rate, names, index):
    """Flags of a DataFrame, with the modalities in the order of X."""
    columns = list(map(str, frame_columns(rate)))
    refuse_twins(columns, "rate")
    for name in columns:
        checked_name(name, names)
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise ValueError(f"rate lacks a column for modality {lacking[0]!r}; give one for each of {quoted(names)}.")
    if index is not None and hasattr(rate, "iloc") and not (only_counts(rate.index) or rate.index.equals(index)):
        raise ValueError("rate has rows of other names than X, or in another order; give rate.loc[X.index].")
    given = dict(zip(columns, frame_columns(rate), strict=True))
    return select_columns(rate, [given[name] for name in names]).to_numpy()


def _draw(rate, present, keep_one, rng):
    """Which observed modalities break."""
    if np.ndim(rate) == 2:
        chosen = np.asarray(rate)
        if chosen.dtype != bool or chosen.shape != present.shape:
            raise ValueError(
                f"rate must be a probability, or bools of shape {present.shape}. Got {chosen.dtype} of shape "
                f"{chosen.shape}."
            )
        return chosen & present
    if not isinstance(rate, Real) or not 0 <= rate <= 1:
        raise ValueError(f"rate must be a probability in [0, 1], or bools of shape {present.shape}. Got {rate!r}.")
    return drawn_modalities(present, rate, keep_one, rng)


def _broken(name, array, present, rows, kinds, rng):
    """Values of the rows in which the modality is broken."""
    if array.dtype.kind not in "biuf":
        raise ValueError(f"Modality {name!r} is not made of numbers, so that no sensor of it can be broken on purpose.")
    having = np.flatnonzero(present)
    shape = (len(rows), *array.shape[1:])
    usual = np.asarray(array[having], dtype=float).reshape(len(having), -1)
    # One infinity would leave a feature without a mean.
    usual[~np.isfinite(usual)] = np.nan
    # A feature that nobody has is a gap everywhere; any number will do.
    filled = np.where(np.isnan(usual).all(axis=0), 0, usual)
    with np.errstate(all="ignore"):
        sensor = _Sensor(
            usual,
            np.nanmean(filled, axis=0),
            np.nanstd(filled, axis=0),
            np.nanmin(filled, axis=0),
            np.nanmax(filled, axis=0),
            rng,
        )
    values = np.asarray(array[rows], dtype=float).reshape(len(rows), -1)
    drawn = rng.randint(len(kinds), size=len(rows))
    changed = values.copy()
    for i, kind in enumerate(kinds):
        chosen = drawn == i
        if chosen.any():
            with np.errstate(all="ignore"):
                changed[chosen] = getattr(sensor, kind)(values[chosen])
    # Near the largest float some kinds lead beyond it: such values stay.
    changed = np.where(np.isfinite(changed), changed, values)
    return np.where(np.isnan(values), np.nan, changed).reshape(shape)


class _Sensor:
    """What a modality usually gives, and what it gives when it is broken: a method a kind."""

    def __init__(self, usual, mean, spread, least, largest, rng):
        self.usual, self.mean, self.spread, self.rng = usual, mean, spread, rng
        self.least, self.largest = least, largest

    def noise(self, values):
        return self.mean + self.spread * self.rng.normal(size=values.shape)

    def heavy_noise(self, values):
        return self.mean + self.spread * self.rng.laplace(size=values.shape) / np.sqrt(2)

    def uniform_noise(self, values):
        return self.least + (self.largest - self.least) * self.rng.uniform(size=values.shape)

    def added_noise(self, values):
        return values + 2 * self.spread * self.rng.standard_t(3, size=values.shape)

    def spikes(self, values):
        spike = self.mean + 10 * self.spread * self.rng.choice([-1, 1], size=values.shape)
        return np.where(self._some(values, 0.2), spike, values)

    def drift(self, values):
        steps = self.rng.normal(size=values.shape).cumsum(axis=1)
        return values + 3 * self.spread * steps / np.sqrt(np.arange(1, values.shape[1] + 1))

    def dead(self, values):
        return np.zeros_like(values)

    def half_dead(self, values):
        return np.where(self._some(values, 0.5), 0, values)

    def stuck(self, values):
        return np.broadcast_to(self.mean + self.spread * self.rng.normal(), values.shape)

    def saturated(self, values):
        return np.broadcast_to(self.largest, values.shape)

    def gain(self, values):
        gain = self.rng.uniform(3, 10, size=(len(values), 1))
        return values * np.where(self.rng.uniform(size=gain.shape) < 0.5, gain, 1 / gain)

    def offset(self, values):
        size = self.rng.uniform(2, 4, size=(len(values), 1))
        return values + self.spread * size * self.rng.choice([-1, 1], size=size.shape)

    def negated(self, values):
        return 2 * self.mean - values

    def shuffled(self, values):
        scaled = (values - self.mean) / np.where(self.spread > 0, self.spread, 1)
        order = self.rng.uniform(size=values.shape).argsort(axis=1)
        return self.mean + self.spread * np.take_along_axis(np.nan_to_num(scaled), order, axis=1)

    def swapped(self, values):
        other = self.usual[self.rng.randint(len(self.usual), size=len(values))]
        return np.where(np.isnan(other), values, other)

    def blended(self, values):
        return (values + self.swapped(values)) / 2

    def _some(self, values, share):
        """Some of the features, one at least."""
        chosen = self.rng.uniform(size=values.shape) < share
        chosen[np.arange(len(values)), self.rng.randint(values.shape[1], size=len(values))] = True
        return chosen


KINDS = tuple(name for name in vars(_Sensor) if not name.startswith("_"))
