"""Rows as tensors, and batches of them without a DataLoader's work per row."""

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sklearn_aecf._data import Modalities
from sklearn_aecf._data._values import CHUNK_ROWS
from sklearn_aecf._preparation import ModalityStatistics, fit_statistics, prepare

# Multiplications of a step up to which one thread is as fast as two.
SMALL_WORK = 100_000_000


@dataclass
class NetworkInputs:
    """How the modalities of X become inputs of the network.

    Attributes
    ----------
    active : ndarray of int
        Modalities that at least one training row had; the network has no part for the others.
    statistics : list of ModalityStatistics
        One per active modality.
    standardize : bool
    """

    active: np.ndarray
    statistics: list[ModalityStatistics]
    standardize: bool

    @classmethod
    def fit(cls, labelled, *, standardize, gap_indicator):
        """Statistics of the labelled rows, a chunk at a time."""
        data, rows = labelled.data, labelled.rows
        active = np.flatnonzero(data.present[rows].any(axis=0))
        statistics = [
            fit_statistics(
                _RowsOf(data.arrays[m], rows),
                data.present[rows, m],
                labelled.sample_weight[rows],
                standardize=standardize,
                gap_indicator=gap_indicator,
            )
            for m in active
        ]
        return cls(active, statistics, standardize)

    @property
    def widths(self) -> list[int]:
        """Inputs of the network, per active modality."""
        return [statistics.n_inputs for statistics in self.statistics]

    def chunk(self, data: Modalities, rows, out=None) -> list[Tensor]:
        """Network inputs of some rows (a slice or positions), written into `out` where given."""
        return [
            self.one(data, position, rows, None if out is None else out[position])
            for position in range(len(self.active))
        ]

    def one(self, data: Modalities, position: int, rows, out=None) -> Tensor:
        """Network inputs of some rows of one active modality."""
        m = self.active[position]
        values = np.asarray(data.arrays[m][rows])
        target = None if out is None else out.numpy()
        ready = prepare(
            values, data.present[rows, m], self.statistics[position], standardize=self.standardize, out=target
        )
        return torch.from_numpy(ready)

    def present(self, data: Modalities, rows) -> Tensor:
        """Presence of the active modalities, bool of shape (n_rows, n_active)."""
        return torch.from_numpy(np.ascontiguousarray(data.present[rows][:, self.active]))


class _RowsOf:
    """Some rows of an array, read only when a chunk of them is asked for."""

    def __init__(self, array, rows):
        self.array, self.rows = array, rows
        self.shape, self.dtype = (len(rows), *array.shape[1:]), array.dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, chunk):
        return self.array[self.rows[chunk]]


class RowTensors(torch.utils.data.Dataset):
    """Rows ready for training, resident on a device and sliced by index.

    Parameters
    ----------
    inputs : list of Tensor of shape (n_rows, n_inputs_m)
    present : bool Tensor of shape (n_rows, n_active)
    target : Tensor of shape (n_rows,) or (n_rows, n_labels)
    weight : Tensor of shape (n_rows,)
    label_weight : Tensor of shape (n_rows, n_labels), optional
    """

    def __init__(self, inputs, present, target, weight, label_weight=None):
        self.inputs, self.present = inputs, present
        self.target, self.weight, self.label_weight = target, weight, label_weight

    @classmethod
    def from_rows(cls, network_inputs, labelled, class_weight, device):
        """Convert labelled rows once, a chunk at a time, straight into their final place."""
        data, rows = labelled.data, labelled.rows
        inputs = [torch.empty(len(rows), width, device=device) for width in network_inputs.widths]
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            places = [x[start : start + CHUNK_ROWS] for x in inputs]
            if torch.device(device).type == "cpu":
                network_inputs.chunk(data, chunk, out=places)
            else:
                for place, part in zip(places, network_inputs.chunk(data, chunk), strict=True):
                    place.copy_(part)
        weight, label_weight = labelled.weights(class_weight)
        return cls(
            inputs,
            network_inputs.present(data, rows).to(device),
            torch.from_numpy(labelled.targets.encoded[rows]).to(device),
            torch.from_numpy(weight.astype(np.float32)).to(device),
            None if label_weight is None else torch.from_numpy(label_weight).to(device),
        )

    def __len__(self):
        return len(self.present)

    def __getitem__(self, index):
        labels = None if self.label_weight is None else self.label_weight[index]
        X = ([x[index] for x in self.inputs], self.present[index])
        return X, (self.target[index], self.weight[index], labels)


class BatchIterator:
    """Batches of `RowTensors` by index; what skorch takes for a DataLoader.

    Parameters
    ----------
    dataset : RowTensors
    batch_size : int
    shuffle : bool, default=False
        Draw a new order each epoch from torch's generator, which `fit` has seeded.
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle

    def __len__(self):
        return max(1, len(self._bounds()) - 1)

    def __iter__(self):
        order = torch.randperm(len(self.dataset), device=self.dataset.present.device) if self.shuffle else None
        bounds = self._bounds()
        for start, stop in pairwise(bounds):
            yield self.dataset[slice(start, stop) if order is None else order[start:stop]]

    def _bounds(self):
        n_rows = len(self.dataset)
        bounds = list(range(0, n_rows, self.batch_size)) + [n_rows]
        # A last batch of a few rows would move the weights as far as a full one, on noise.
        if self.shuffle and len(bounds) > 2 and bounds[-1] - bounds[-2] < self.batch_size // 4:
            del bounds[-2]
        return bounds


def choose_device(device: str) -> str:
    """The device that ``"auto"`` stands for: cuda, then mps, then cpu; any other name as it is."""
    if device != "auto":
        try:
            return str(torch.device(device))
        except RuntimeError:
            raise ValueError(
                f"device must be 'auto', 'cpu', 'cuda', 'cuda:1', 'mps' or the like. Got {device!r}."
            ) from None
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def seeded(seed: int, device: str):
    """torch's generators seeded, and afterwards as they were."""
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        # `torch.manual_seed` would reseed every GPU, also those that are not forked.
        torch.default_generator.manual_seed(seed)
        for used in cuda:
            with torch.cuda.device(used):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def suited_threads(work: int):
    """One thread where a step is small, and afterwards as many as before.

    Two threads finish a small step no sooner than one, and where another process is busy they wait for each other: a
    fit then takes many times as long.

    Parameters
    ----------
    work : int
        Multiplications of a step.
    """
    before = torch.get_num_threads()
    if before == 1 or work > SMALL_WORK:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
