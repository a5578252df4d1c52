"""Modalities into network inputs: chunks of rows standardised, filled and as tensors."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sklearn_aecf._data import CHUNK_ROWS, Modalities
from sklearn_aecf._statistics import ModalityStatistics, fit_statistics, prepare
from sklearn_aecf.distributed import ALONE, Ranks


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
