"""Numbers into network inputs: NaN-aware statistics, and float32 chunks standardised and filled."""

from dataclasses import dataclass

import numpy as np

from sklearn_aecf._data._values import CHUNK_ROWS

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
    """

    mean: np.ndarray
    scale: np.ndarray
    gaps: np.ndarray

    @property
    def n_inputs(self):
        """Columns that the network sees."""
        return len(self.mean) + len(self.gaps)


def fit_statistics(array, present, sample_weight, *, standardize=True, gap_indicator=False):
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

    Returns
    -------
    ModalityStatistics
    """
    n_features = array.shape[1]
    total, first, second = (np.zeros(n_features) for _ in range(3))
    gaps = np.zeros(n_features, dtype=bool)
    shift = None
    size = max(1, min(CHUNK_ROWS, CHUNK_VALUES // max(1, n_features)))
    for start in range(0, len(array), size):
        rows = present[start : start + size]
        if not rows.any():
            continue
        chunk = np.asarray(array[start : start + size][rows], dtype=np.float64)
        weight = sample_weight[start : start + size][rows]
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
    shift = np.zeros(n_features) if shift is None else shift
    total = np.where(total > 0, total, 1)
    offset = first / total
    mean = shift + offset
    variance = np.maximum(second / total - offset**2, 0)
    # Below the rounding error of the sums a spread is noise: the feature is constant.
    constant = variance <= (10 * np.finfo(np.float64).eps * mean) ** 2
    scale = np.where(constant | (variance == 0), 1, np.sqrt(variance))
    if not standardize:
        scale = np.ones(n_features)
    return ModalityStatistics(mean, scale, np.flatnonzero(gaps) if gap_indicator else np.zeros(0, dtype=np.intp))


def prepare(chunk, present, statistics, *, standardize=True, out=None):
    """Network inputs of some rows: float32, standardised, 0 in gaps and in rows without the modality.

    Parameters
    ----------
    chunk : ndarray of shape (n_rows, n_features)
    present : ndarray of bool, shape (n_rows,)
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
    if chunk.shape[1] == 0:
        out[:] = 0
        return out
    # The statistics have float64's precision, so a large mean under a small spread keeps its digits.
    with np.errstate(invalid="ignore", over="ignore"):
        if not standardize:
            np.copyto(values, chunk, casting="unsafe")
            np.clip(values, -CLIP_UNSCALED, CLIP_UNSCALED, out=values)
        elif chunk.dtype == np.float32:
            np.subtract(chunk, statistics.mean.astype(np.float32), out=values)
            values *= (1 / statistics.scale).astype(np.float32)
            np.clip(values, -CLIP, CLIP, out=values)
        else:
            wide = np.subtract(chunk, statistics.mean, dtype=np.float64)
            wide /= statistics.scale
            np.clip(wide, -CLIP, CLIP, out=values, casting="same_kind")
    if chunk.dtype.kind == "f":
        missing = np.isnan(chunk)
        if missing.any():
            fill = 0 if standardize else statistics.mean.astype(np.float32)
            np.copyto(values, fill, where=missing)
        if statistics.gaps.size:
            out[:, n_features:] = missing[:, statistics.gaps]
    elif statistics.gaps.size:
        out[:, n_features:] = 0
    if not present.all():
        out[~present] = 0
    return out
