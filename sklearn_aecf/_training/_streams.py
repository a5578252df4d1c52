"""Rows that fit neither memory nor the device: read part by part, one part ahead of the training."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sklearn_aecf._training._batches import RowTensors

# Inputs that lie on disk and need more than this as float32 are not loaded whole.
MAX_LOADED = 2**28

# Share of a GPU's free memory that the inputs may take; the rest is for activations and other programs.
RESIDENT_SHARE = 0.5

# Consecutive rows read together, so that a disk reads in sequence, and bytes of a part, within which rows are mixed.
BLOCK_ROWS = 256
PART_BYTES = 2**25


class StreamedRows(torch.utils.data.Dataset):
    """Rows that stay where they are, and become `RowTensors` a part at a time.

    A part is made of blocks drawn at random, each of consecutive rows; batches mix the rows of a part. A thread
    prepares the next part while one is trained on.

    Parameters
    ----------
    network_inputs : NetworkInputs
    labelled : LabelledRows
    class_weight : dict, "balanced" or None
    device : str
    """

    def __init__(self, network_inputs, labelled, class_weight, device):
        self.network_inputs, self.labelled, self.device = network_inputs, labelled, device
        self.present = network_inputs.present(labelled.data, labelled.rows)
        self.target, self.weight, self.label_weight = RowTensors.targets(labelled, class_weight)
        row_bytes = 4 * max(1, sum(network_inputs.widths))
        self.blocks_per_part = max(1, PART_BYTES // (row_bytes * BLOCK_ROWS))

    def __len__(self):
        return len(self.present)

    def __getitem__(self, index):
        """Rows at a slice or at positions, as a batch."""
        return self.load(index)[:]

    def load(self, index):
        """`RowTensors` of the rows at a slice or at positions."""
        rows = self.labelled.rows[np.asarray(index) if torch.is_tensor(index) else index]
        chosen = [self.present, self.target, self.weight, self.label_weight]
        chosen = [None if tensor is None else tensor[index] for tensor in chosen]
        return RowTensors(self.network_inputs.tensors(self.labelled.data, rows, pin=self.device != "cpu"), *chosen).to(
            self.device
        )

    def parts(self, shuffle):
        """The parts of an epoch, each prepared while the one before is used."""
        n_blocks = -(-len(self) // BLOCK_ROWS)
        blocks = torch.randperm(n_blocks) if shuffle else torch.arange(n_blocks)
        with ThreadPoolExecutor(1) as thread:
            ahead = None
            for chosen in blocks.split(self.blocks_per_part):
                positions = (chosen.sort().values[:, None] * BLOCK_ROWS + torch.arange(BLOCK_ROWS)).flatten()
                following = thread.submit(self.load, positions[positions < len(self)])
                if ahead is not None:
                    yield ahead.result()
                ahead = following
            yield ahead.result()

    def part_sizes(self):
        """Rows of each part; the last block, which may be shorter, counts as whole."""
        size = self.blocks_per_part * BLOCK_ROWS
        return [min(size, len(self) - start) for start in range(0, len(self), size)]


def training_rows(network_inputs, labelled, class_weight, device):
    """Rows as tensors where they fit, else streamed.

    Returns
    -------
    RowTensors or StreamedRows
    """
    needed = 4 * len(labelled) * sum(network_inputs.widths)
    on_disk = any(getattr(labelled.data.arrays[m], "_mmap", None) is not None for m in network_inputs.active)
    fits = not on_disk or needed <= MAX_LOADED
    if torch.device(device).type == "cuda":
        fits = fits and needed <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    make = RowTensors.from_rows if fits else StreamedRows
    return make(network_inputs, labelled, class_weight, device)
