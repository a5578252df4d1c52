"""Rows as tensors, and batches of them without a DataLoader's work per row."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sklearn_aecf._data import Modalities
from sklearn_aecf._data._values import CHUNK_ROWS
from sklearn_aecf._preparation import ModalityStatistics, fit_statistics, prepare

# Multiplications of a step that make a further thread worth while.
WORK_PER_THREAD = 100_000_000


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

    def one(self, data: Modalities, position: int, rows, out=None) -> Tensor:
        """Network inputs of some rows of one active modality."""
        m = self.active[position]
        values = np.asarray(data.arrays[m][rows])
        target = None if out is None else out.numpy()
        ready = prepare(
            values, data.present[rows, m], self.statistics[position], standardize=self.standardize, out=target
        )
        return torch.from_numpy(ready)

    def tensors(self, data: Modalities, rows, device="cpu", pin=False) -> list[Tensor]:
        """Network inputs of many rows, prepared a chunk at a time straight into their final place."""
        inputs = [torch.empty(len(rows), width, device=device, pin_memory=pin) for width in self.widths]
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            for position, x in enumerate(inputs):
                if x.device.type == "cpu":
                    self.one(data, position, rows[chunk], out=x[chunk])
                else:
                    x[chunk].copy_(self.one(data, position, rows[chunk]))
        return inputs

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
        inputs = network_inputs.tensors(data, rows, device)
        return cls(inputs, network_inputs.present(data, rows), *cls.targets(labelled, class_weight)).to(device)

    @staticmethod
    def targets(labelled, class_weight):
        """Targets, weights of rows and weights of labels (or None)."""
        weight, label_weight = labelled.weights(class_weight)
        return (
            torch.from_numpy(labelled.targets.encoded[labelled.rows]),
            torch.from_numpy(weight.astype(np.float32)),
            None if label_weight is None else torch.from_numpy(label_weight),
        )

    def to(self, device):
        """The same on a device."""
        tensors = [self.present, self.target, self.weight, self.label_weight]
        return RowTensors(
            [x.to(device, non_blocking=True) for x in self.inputs],
            *(None if tensor is None else tensor.to(device, non_blocking=True) for tensor in tensors),
        )

    def parts(self, shuffle):
        """What an epoch goes through in turn: everything at once."""
        yield self

    def part_sizes(self):
        return [len(self)]

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
        return sum(len(self._bounds(n_rows)) - 1 for n_rows in self.dataset.part_sizes())

    def __iter__(self):
        for part in self.dataset.parts(self.shuffle):
            order = torch.randperm(len(part), device=part.present.device) if self.shuffle else None
            for start, stop in pairwise(self._bounds(len(part))):
                yield part[slice(start, stop) if order is None else order[start:stop]]

    def _bounds(self, n_rows):
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


_GENERATORS = threading.RLock()


@contextmanager
def seeded(seed: int, device: str):
    """torch's generators seeded, and afterwards as they were; one at a time, because a process has one set of them."""
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with _GENERATORS, torch.random.fork_rng(devices=cuda):
        # `torch.manual_seed` would reseed every GPU, also those that are not forked.
        torch.default_generator.manual_seed(seed)
        for used in cuda:
            with torch.cuda.device(used):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def suited_threads(work: int):
    """As many threads as a step can use, one less than allowed, and afterwards as many as before.

    Two threads finish a small step no sooner than one. And where another process is busy on a core that a step needs,
    all other threads wait for that core: on two cores a step then takes two to three times as long as on one. So a
    core is left free.

    Parameters
    ----------
    work : int
        Multiplications of a step.
    """
    before = torch.get_num_threads()
    suited = max(1, min(before - 1, work // WORK_PER_THREAD))
    if suited == before:
        yield
        return
    torch.set_num_threads(suited)
    try:
        yield
    finally:
        torch.set_num_threads(before)
