"""Numbers into network inputs: NaN-aware statistics, and chunks of rows standardised, filled and as tensors."""

import functools
import math
import operator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_aecf._data import CHUNK_ROWS, Modalities
from sklearn_aecf.distributed import ALONE, Ranks

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


@dataclass(frozen=True)
class TableInput:
    """A modality whose features the shared networks embed: float32, standardised, gaps filled.

    Attributes
    ----------
    statistics : ModalityStatistics
    standardize : bool
    """

    statistics: ModalityStatistics
    standardize: bool

    dtype = torch.float32

    @property
    def shape(self):
        """Shape of a row's input."""
        return (self.statistics.n_inputs,)

    @property
    def n_values(self):
        """Inputs that are values; indicators of gaps follow them."""
        return len(self.statistics.mean)

    @property
    def standardized(self):
        """Whether values have mean 0 and spread 1, and gaps are exactly 0."""
        return self.standardize

    def fill(self, values, out):
        """Write the inputs of rows that have the modality into a float32 array."""
        prepare(values, self.statistics, standardize=self.standardize, out=out)


@dataclass(frozen=True)
class RawInput:
    """A modality with an encoder of its own: values as they are, 0 in rows without it.

    Attributes
    ----------
    name : str
        Of the modality, for messages.
    shape : tuple of int
        Of a row.
    dtype : torch.dtype
    statistics : ModalityStatistics or None
        Where the values are to be standardised all the same.
    """

    name: str
    shape: tuple
    dtype: torch.dtype
    statistics: ModalityStatistics | None = None

    # Of an input of any shape nothing is known but what its encoder makes of it.
    n_values = 0
    standardized = False

    def fill(self, values, out):
        """Write the inputs of rows that have the modality into an array of the input's dtype."""
        if self.statistics is not None:
            prepare(values.reshape(len(values), -1), self.statistics, out=out.reshape(len(out), -1))
        else:
            if out.dtype.kind in "iu" and values.dtype != out.dtype:
                self._refuse_other_numbers(values, out.dtype)
            np.copyto(out, values, casting="unsafe")

    def _refuse_other_numbers(self, values, dtype):
        """Codes may come as floats where NaN marks some as missing; other numbers were never learnt from."""
        limits = np.iinfo(dtype)
        with np.errstate(invalid="ignore"):
            wrong = ~((values >= limits.min) & (values <= limits.max) & (values == np.trunc(values)))
        if wrong.any():
            raise ValueError(
                f"Modality {self.name!r} holds {values[wrong][0]:g}, but was fitted with {dtype} numbers; give it the "
                "same kind of numbers, on the same scale."
            )


@dataclass(frozen=True)
class NetworkInputs:
    """How the modalities of X become inputs of the network.

    Attributes
    ----------
    active : ndarray of int
        Modalities that the network has a part for: those that at least one training row had, or may have later.
    parts : list of TableInput or RawInput
        One per active modality.
    seen : ndarray of bool, shape (n_active,), or None
        Which of them a training row had; None is all.
    """

    active: np.ndarray
    parts: list
    seen: np.ndarray | None = None

    @classmethod
    def fit(cls, labelled, *, standardized, gap_indicator, raw=frozenset(), more_to_come=False, ranks: Ranks = ALONE):
        """Statistics of the labelled rows, a chunk at a time.

        Parameters
        ----------
        labelled : LabelledRows
        standardized : callable
            Whether the modality of a name is to be standardised.
        gap_indicator : bool
        raw : set of str
            Modalities with an encoder of their own.
        more_to_come : bool
            Whether further rows will follow: of modalities that nobody has yet, and with gaps in any feature.
        ranks : Ranks
            Each reads its portion of the rows.
        """
        data, rows = labelled.data, labelled.rows
        seen = data.present[rows].any(axis=0)
        wide = np.asarray([np.prod(array.shape[1:]) > 0 for array in data.arrays])
        active = np.flatnonzero(wide if more_to_come else seen)
        parts = []
        for m in active:
            name, array = data.names[m], data.arrays[m]
            own = name in raw
            statistics = None
            if standardized(name) or not own:
                statistics = _statistics(
                    labelled,
                    m,
                    standardize=standardized(name),
                    gap_indicator=gap_indicator and not own,
                    ranks=ranks,
                )
                if more_to_come and gap_indicator and not own:
                    statistics = replace(statistics, gaps=np.arange(len(statistics.mean)))
            if own:
                dtype = torch.float32 if statistics is not None else _raw_dtype(array.dtype)
                parts.append(RawInput(name, array.shape[1:], dtype, statistics))
            else:
                parts.append(TableInput(statistics, standardized(name)))
        return cls(active, parts, seen[active] if more_to_come else None)

    def updated(self, labelled):
        """The same with the statistics of further rows merged in.

        Parameters
        ----------
        labelled : LabelledRows

        Returns
        -------
        NetworkInputs
        """
        present = labelled.present(self.active).any(axis=0)
        parts = list(self.parts)
        for i in np.flatnonzero(present):
            part, m = self.parts[i], self.active[i]
            if part.statistics is not None:
                standardize = getattr(part, "standardize", True)
                further = _statistics(labelled, m, standardize=standardize)
                parts[i] = replace(part, statistics=part.statistics.merged(further, standardize=standardize))
        return replace(self, parts=parts, seen=None if self.seen is None else self.seen | present)

    def seen_among(self, n_modalities):
        """Which modalities of X a training row had, bool of shape (n_modalities,)."""
        seen = np.zeros(n_modalities, dtype=bool)
        seen[self.active] = True if self.seen is None else self.seen
        return seen

    @property
    def n_features(self) -> list[int]:
        """Inputs of the network, per active modality."""
        return [math.prod(part.shape) for part in self.parts]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's inputs."""
        return sum(math.prod(part.shape) * part.dtype.itemsize for part in self.parts)

    def empty(self, n_rows: int, **options) -> list[Tensor]:
        """Tensors for the inputs of so many rows."""
        return [torch.empty(n_rows, *part.shape, dtype=part.dtype, **options) for part in self.parts]

    def fill(self, data: Modalities, rows, out: list[Tensor]):
        """Write the inputs of some rows (positions or a slice) into the first places of tensors."""
        if all(x.device.type == "cpu" for x in out):
            self.write(data, rows, [x.numpy() for x in out])
            return
        staged = [torch.empty(x.shape, dtype=x.dtype) for x in out]
        self.write(data, rows, [x.numpy() for x in staged])
        for x, values in zip(out, staged, strict=True):
            x.copy_(values)

    def write(self, data: Modalities, rows, out: list[np.ndarray]):
        """The same into arrays of the inputs' dtypes; 0 in rows without the modality."""
        for m, part, x in zip(self.active, self.parts, out, strict=True):
            present = data.present[rows, m]
            target = x[: len(present)]
            values = np.asarray(data.arrays[m][rows])
            if present.all():
                part.fill(values, target)
                continue
            # Rows without the modality are not worth preparing.
            target[...] = 0
            having = np.empty((int(present.sum()), *target.shape[1:]), dtype=target.dtype)
            if len(having):
                part.fill(values[present], having)
                target[present] = having

    def tensors(self, data: Modalities, rows, device="cpu", pin=False) -> list[Tensor]:
        """Network inputs of many rows, prepared a chunk at a time straight into their final place."""
        inputs = self.empty(len(rows), device=device, pin_memory=pin)
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            self.fill(data, rows[chunk], [x[chunk] for x in inputs])
        return inputs

    def present(self, data: Modalities, rows) -> Tensor:
        """Presence of the active modalities, bool of shape (n_rows, n_active)."""
        return torch.from_numpy(np.ascontiguousarray(data.present[rows][:, self.active]))


class Preparation(nn.Module):
    """What `NetworkInputs` does to arrays, as a graph of tensors: NaN in all of a row's values is a missing modality.

    Parameters
    ----------
    inputs : NetworkInputs
    """

    def __init__(self, inputs: NetworkInputs):
        super().__init__()
        self.parts = nn.ModuleList(
            PreparedRaw(part) if part.statistics is None else PreparedTable(part) for part in inputs.parts
        )

    def forward(self, arrays: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Inputs of the network, and the presence (b, m) of the modalities, of arrays of shape (b, ...)."""
        # A modality of one number a row may have no second axis.
        tables = [x.flatten(1) if x.dim() > 1 else x[:, None] for x in arrays]
        missing = [x.isnan() for x in tables]
        present = torch.stack([~flags.all(dim=1) for flags in missing], dim=1)
        prepared = [
            part(x, flags, present[:, m])
            for m, (part, x, flags) in enumerate(zip(self.parts, tables, missing, strict=True))
        ]
        return prepared, present


def _shaped(values: Tensor, shape: tuple) -> Tensor:
    """Rows (b, n_values) in the shape of an input (b, ...)."""
    return values.unflatten(1, shape) if shape else values[:, 0]


class PreparedTable(nn.Module):
    """Of one modality what `prepare` does, and 0 in rows without it.

    Parameters
    ----------
    part : TableInput or RawInput
        With statistics.
    """

    mean: Tensor
    scale: Tensor
    gaps: Tensor

    def __init__(self, part):
        super().__init__()
        statistics = part.statistics
        self.shape = part.shape
        self.standardize = getattr(part, "standardize", True)
        for name, values in {"mean": statistics.mean, "scale": statistics.scale}.items():
            self.register_buffer(name, torch.from_numpy(np.array(values, dtype=np.float64)))
        self.register_buffer("gaps", torch.from_numpy(np.array(statistics.gaps, dtype=np.int64)))

    def forward(self, x: Tensor, missing: Tensor, present: Tensor) -> Tensor:
        """Float32 of shape (b, n_inputs) or that of `part`.

        Parameters
        ----------
        x : Tensor of shape (b, n_features)
        missing : bool Tensor of shape (b, n_features)
        present : bool Tensor of shape (b,)
        """
        # In float64, so a large mean under a small spread keeps its digits.
        wide = x.double()
        if self.standardize:
            values = ((wide - self.mean) / self.scale).clamp(-CLIP, CLIP).masked_fill(missing, 0)
        else:
            fill = self.mean.clamp(-CLIP_UNSCALED, CLIP_UNSCALED)
            values = torch.where(missing, fill, wide.clamp(-CLIP_UNSCALED, CLIP_UNSCALED))
        if len(self.gaps):
            values = torch.cat([values, missing[:, self.gaps].double()], dim=1)
        return _shaped(values.float().masked_fill(~present[:, None], 0), self.shape)


class PreparedRaw(nn.Module):
    """Of a modality with an encoder of its own: values as they are, in its dtype, and 0 in rows without it.

    Parameters
    ----------
    part : RawInput
    """

    def __init__(self, part):
        super().__init__()
        self.shape, self.dtype = part.shape, part.dtype

    def forward(self, x: Tensor, missing: Tensor, present: Tensor) -> Tensor:
        """See `PreparedTable.forward`."""
        return _shaped(x.masked_fill(~present[:, None], 0).to(self.dtype), self.shape)


def _statistics(labelled, m, **options):
    """`fit_statistics` of one modality of the labelled rows."""
    data, rows = labelled.data, labelled.rows
    return fit_statistics(_RowsOf(data.arrays[m], rows), data.present[rows, m], labelled.sample_weight[rows], **options)


class _RowsOf:
    """Some rows of an array, each as one vector, read only when a chunk of them is asked for."""

    def __init__(self, array, rows):
        self.array, self.rows = array, rows
        self.shape, self.dtype = (len(rows), math.prod(array.shape[1:])), array.dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, chunk):
        rows = self.array[self.rows[chunk]]
        return rows.reshape(len(rows), -1)


def _raw_dtype(dtype):
    """What holds a raw modality until its encoder gets it: bytes stay small, signed integers are codes."""
    if dtype.kind == "i":
        return torch.int64
    return torch.uint8 if dtype.kind == "b" or dtype == np.uint8 else torch.float32
