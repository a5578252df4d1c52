"""Statistics of numbers with gaps, portion by portion, and rows standardised by them."""

import functools
import operator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sklearn_aecf._data import CHUNK_ROWS
from sklearn_aecf.distributed import ALONE

# Values further than this from the training mean, in standard deviations, are cut: they are errors of
# measurement or of units, and one of them would otherwise decide a row alone.
CLIP = 1e3
CLIP_UNSCALED = 1e6

# Values that are converted to float64 together, at most.
CHUNK_VALUES = 2**22


@dataclass(frozen=True)
class ModalityStatistics:
    """What one modality's training rows looked like.

    Attributes
    ----------
    mean, scale : ndarray of float64, shape (n_features,)
        Weighted mean and standard deviation of the observed values; a constant feature has scale 1.
    gaps : ndarray of int
        Features that get an indicator column, because training rows lack them at times.
    total, variance : ndarray of float64, shape (n_features,), or None
        Weight of the observed values and their variance, also where the scale is 1: what further rows are merged with.
        None where a file did not say.
    """

    mean: np.ndarray
    scale: np.ndarray
    gaps: np.ndarray
    total: np.ndarray | None = None
    variance: np.ndarray | None = None

    @property
    def n_inputs(self):
        """Columns that the network sees."""
        return len(self.mean) + len(self.gaps)

    def merged(self, further, *, standardize=True):
        """Statistics of these rows and further ones together.

        Parameters
        ----------
        further : ModalityStatistics
        standardize : bool

        Returns
        -------
        ModalityStatistics

        References
        ----------
        .. [1] Chan, Golub and LeVeque, *Algorithms for Computing the Sample Variance*, The American Statistician 37(3).
        """
        total = self.total + further.total
        share = np.divide(further.total, total, out=np.zeros_like(total), where=total > 0)
        step = further.mean - self.mean
        mean = self.mean + share * step
        variance = (1 - share) * self.variance + share * further.variance + share * (1 - share) * step**2
        return replace(self, mean=mean, scale=_scale(mean, variance, standardize), total=total, variance=variance)

    @cached_property
    def fit_float32(self):
        """Whether float32 can hold the means and the factors."""
        return bool((np.abs(self.mean) < 1e30).all() and ((self.scale > 1e-30) & (self.scale < 1e30)).all())

    @cached_property
    def as_float32(self):
        """Means, what rounding took from them, and factors, in float32.

        Near a large mean the difference to the rounded one is exact; the rest makes it that to the mean.
        """
        mean = self.mean.astype(np.float32)
        return mean, (self.mean - mean).astype(np.float32), (1 / self.scale).astype(np.float32)


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over observed values of each feature: of 1, of the distance from `shift`, and of its square."""

    shift: np.ndarray
    total: np.ndarray
    first: np.ndarray
    second: np.ndarray
    gaps: np.ndarray

    def about(self, shift):
        """The same, of distances from another point."""
        moved = self.shift - shift
        return _Sums(
            shift,
            self.total,
            self.first + moved * self.total,
            self.second + 2 * moved * self.first + moved**2 * self.total,
            self.gaps,
        )

    def __add__(self, other):
        if not other.total.any():
            return self
        if not self.total.any():
            return other
        other = other.about(self.shift)
        return _Sums(
            self.shift,
            self.total + other.total,
            self.first + other.first,
            self.second + other.second,
            self.gaps | other.gaps,
        )


def fit_statistics(array, present, sample_weight, *, standardize=True, gap_indicator=False, ranks=ALONE):
    """Weighted mean and standard deviation of a modality's observed values, a chunk of rows at a time.

    Parameters
    ----------
    array : ndarray of shape (n_rows, n_features)
        NaN marks a gap.
    present : ndarray of bool, shape (n_rows,)
    sample_weight : ndarray of shape (n_rows,)
    standardize : bool
        False leaves the values as they are; gaps are still filled with the mean.
    gap_indicator : bool
        Whether features with gaps get an indicator column.
    ranks : Ranks
        Each reads its portion of the rows.

    Returns
    -------
    ModalityStatistics
    """
    each = ranks.exchange(_sums(array, present, sample_weight, ranks.portion(len(array))))
    sums = functools.reduce(operator.add, each)
    divisor = np.where(sums.total > 0, sums.total, 1)
    offset = sums.first / divisor
    mean = sums.shift + offset
    variance = np.maximum(sums.second / divisor - offset**2, 0)
    indicated = np.flatnonzero(sums.gaps) if gap_indicator else np.zeros(0, dtype=np.intp)
    return ModalityStatistics(mean, _scale(mean, variance, standardize), indicated, sums.total, variance)


def _scale(mean, variance, standardize):
    """Standard deviations, 1 where a feature is constant or not standardised."""
    if not standardize:
        return np.ones(len(mean))
    # Below the rounding error of the sums a spread is noise: the feature is constant.
    constant = variance <= (10 * np.finfo(np.float64).eps * mean) ** 2
    return np.where(constant | (variance == 0), 1, np.sqrt(variance))


def _sums(array, present, sample_weight, portion):
    """Sums over the observed values of some consecutive rows, a chunk at a time."""
    n_features = array.shape[1]
    total, first, second = (np.zeros(n_features) for _ in range(3))
    gaps = np.zeros(n_features, dtype=bool)
    shift = None
    size = max(1, min(CHUNK_ROWS, CHUNK_VALUES // max(1, n_features)))
    for start in range(portion.start, portion.stop, size):
        here = slice(start, min(start + size, portion.stop))
        rows = present[here]
        if not rows.any():
            continue
        chunk = np.asarray(array[here][rows], dtype=np.float64)
        weight = sample_weight[here][rows]
        missing = np.isnan(chunk)
        if shift is None:
            # Squares of distances from a typical value: squares of the values themselves would cancel.
            counts = np.maximum((~missing).sum(axis=0), 1)
            shift = np.where(missing, 0, chunk).sum(axis=0) / counts
        chunk -= shift
        if missing.any():
            gaps |= missing.any(axis=0)
            chunk[missing] = 0
            total += weight @ ~missing
        else:
            total += weight.sum()
        first += weight @ chunk
        second += weight @ np.square(chunk, out=chunk)
    return _Sums(np.zeros(n_features) if shift is None else shift, total, first, second, gaps)


def prepare(chunk, statistics, *, standardize=True, out=None):
    """Network inputs of rows that have the modality: float32, standardised, 0 in gaps.

    Parameters
    ----------
    chunk : ndarray of shape (n_rows, n_features)
    statistics : ModalityStatistics
    standardize : bool
        False keeps the values; gaps then become the training mean.
    out : ndarray of float32, shape (n_rows, n_inputs), default=None
        Where to write; a new array by default.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_inputs)
    """
    n_rows, n_features = len(chunk), len(statistics.mean)
    if out is None:
        out = np.empty((n_rows, statistics.n_inputs), dtype=np.float32)
    values = out[:, :n_features]
    # The statistics have float64's precision, so a large mean under a small spread keeps its digits.
    with np.errstate(invalid="ignore", over="ignore"):
        if not standardize:
            np.copyto(values, chunk, casting="unsafe")
            np.clip(values, -CLIP_UNSCALED, CLIP_UNSCALED, out=values)
        elif chunk.dtype == np.float32 and statistics.fit_float32:
            mean, rest, factor = statistics.as_float32
            np.subtract(chunk, mean, out=values)
            values -= rest
            values *= factor
            np.clip(values, -CLIP, CLIP, out=values)
        else:
            wide = np.subtract(chunk, statistics.mean, dtype=np.float64)
            wide /= statistics.scale
            np.clip(wide, -CLIP, CLIP, out=values, casting="same_kind")
    if chunk.dtype.kind == "f":
        missing = np.isnan(chunk)
        if missing.any():
            fill = 0 if standardize else np.clip(statistics.mean, -CLIP_UNSCALED, CLIP_UNSCALED)
            np.copyto(values, fill, where=missing, casting="same_kind")
        if statistics.gaps.size:
            out[:, n_features:] = missing[:, statistics.gaps]
    elif statistics.gaps.size:
        out[:, n_features:] = 0
    return out
