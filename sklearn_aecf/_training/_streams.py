"""Rows that fit neither memory nor the device: read part by part, one part ahead of the training."""

import mmap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sklearn_aecf._data import StoredRows
from sklearn_aecf._training._batches import RowTensors, target_and_columns

# Inputs that lie on disk and need more than this as float32 are not loaded whole.
MAX_LOADED = 2**28

# Share of a GPU's free memory that the inputs may take; the rest is for activations and other programs.
RESIDENT_SHARE = 0.5

# Consecutive rows read together at most, so that a disk reads in sequence, and bytes of a part, within which rows are
# mixed. A part has several blocks, however wide the rows are: in data sorted by class one block has one class.
BLOCK_ROWS = 256
PART_BYTES = 2**25
BLOCKS_PER_PART = 16


class StreamedRows(torch.utils.data.Dataset):
    """Rows that stay where they are, and become `RowTensors` a part at a time.

    A part is made of blocks drawn at random, each of consecutive rows; batches mix the rows of a part. A thread
    prepares the next part while one is trained on.

    Parameters
    ----------
    network_inputs : NetworkInputs
    labelled : LabelledRows
    device : str
    views : bool Tensor of shape (n_rows, n_views, n_active), optional
    """

    def __init__(self, network_inputs, labelled, device, views=None):
        self.network_inputs, self.labelled, self.device = network_inputs, labelled, device
        self.target, self.columns = target_and_columns(network_inputs, labelled, views)
        row_bytes = max(1, network_inputs.row_bytes)
        self.block_rows = max(1, min(BLOCK_ROWS, PART_BYTES // (row_bytes * BLOCKS_PER_PART)))
        self.blocks_per_part = max(BLOCKS_PER_PART, PART_BYTES // (row_bytes * self.block_rows))

    def __len__(self):
        return len(self.target)

    def __getitem__(self, index):
        """Rows at a slice or at positions, as a batch."""
        return self.load(index)[:]

    def load(self, index):
        """`RowTensors` of the rows at a slice or at positions."""
        rows = self.labelled.rows[np.asarray(index) if torch.is_tensor(index) else index]
        columns = {name: None if column is None else column[index] for name, column in self.columns.items()}
        pin = torch.device(self.device).type == "cuda"
        inputs = self.network_inputs.tensors(self.labelled.data, rows, pin=pin)
        return RowTensors(inputs, self.target[index], **columns).to(self.device)

    def parts(self, shuffle):
        """The parts of an epoch, each prepared while the one before is used."""
        whole, rest = divmod(len(self), self.block_rows)
        # A last block of fewer rows stays last, so that the sizes of the parts are known.
        blocks = torch.cat(
            [torch.randperm(whole) if shuffle else torch.arange(whole), torch.arange(whole, whole + (rest > 0))]
        )
        with ThreadPoolExecutor(1) as thread:
            ahead = None
            for chosen in blocks.split(self.blocks_per_part):
                positions = (chosen.sort().values[:, None] * self.block_rows + torch.arange(self.block_rows)).flatten()
                following = thread.submit(self.load, positions[positions < len(self)])
                if ahead is not None:
                    yield ahead.result()
                ahead = following
            yield ahead.result()

    def part_sizes(self):
        """Rows of each part."""
        size = self.blocks_per_part * self.block_rows
        return [min(size, len(self) - start) for start in range(0, len(self), size)]


def training_rows(network_inputs, labelled, device, views=None):
    """Rows as tensors where they fit, else streamed.

    Returns
    -------
    RowTensors or StreamedRows
    """
    needed = len(labelled) * network_inputs.row_bytes
    on_disk = any(_is_on_disk(labelled.data.arrays[m]) for m in network_inputs.active)
    fits = not on_disk or needed <= MAX_LOADED
    if torch.device(device).type == "cuda":
        fits = fits and needed <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    if fits:
        return RowTensors.from_rows(network_inputs, labelled, device, views)
    return StreamedRows(network_inputs, labelled, device, views)


def _is_on_disk(array):
    """Whether an array stays where it is stored, or it, or what it is a view of, is a file mapped into memory."""
    if isinstance(array, StoredRows):
        return True
    while array is not None:
        if isinstance(array, np.memmap | mmap.mmap):
            return True
        array = getattr(array, "base", None)
    return False
