"""Rows as tensors, and batches of them without a DataLoader's work per row."""

from itertools import pairwise

import numpy as np
import torch


class RowTensors(torch.utils.data.Dataset):
    """Rows ready for training, resident on a device and sliced by index.

    Parameters
    ----------
    inputs : list of Tensor of shape (n_rows, ...)
    target : Tensor of shape (n_rows,) or (n_rows, n_labels)
    present : bool Tensor of shape (n_rows, n_active)
    weight : Tensor of shape (n_rows,)
    label_weight : Tensor of shape (n_rows, n_labels), optional
    views : bool Tensor of shape (n_rows, n_views, n_active), optional
        Subsets of each row's modalities that it is validated on.
    """

    def __init__(self, inputs, target, **columns):
        self.inputs, self.target, self.columns = inputs, target, columns

    @classmethod
    def from_rows(cls, network_inputs, labelled, device, views=None):
        """Convert labelled rows once, a chunk at a time, straight into their final place."""
        inputs = network_inputs.tensors(labelled.data, labelled.rows, device)
        target, columns = target_and_columns(network_inputs, labelled, views)
        return cls(inputs, target, **columns).to(device)

    @property
    def present(self):
        """Presence of the active modalities."""
        return self.columns["present"]

    def to(self, device):
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def parts(self, shuffle):
        """What an epoch goes through in turn: everything at once."""
        yield self

    def part_sizes(self):
        """Rows of each part."""
        return [len(self)]

    def __len__(self):
        return len(self.target)

    def __getitem__(self, index):
        """A batch (X, y): X has the inputs and, by name, everything else that a step needs."""
        chosen = self._each(lambda tensor: tensor[index])
        return {"inputs": chosen.inputs, **chosen.columns}, chosen.target

    def _each(self, change):
        columns = {name: None if column is None else change(column) for name, column in self.columns.items()}
        return RowTensors([change(x) for x in self.inputs], change(self.target), **columns)


def target_and_columns(network_inputs, labelled, views=None):
    """What a batch has beside its inputs, for all labelled rows.

    Returns
    -------
    target : Tensor
    columns : dict of str to Tensor or None
        To be given to `RowTensors` by name; see there.
    """
    label_weight = labelled.label_weight
    return torch.from_numpy(labelled.chosen_targets.encoded), {
        "present": network_inputs.present(labelled.data, labelled.rows),
        "weight": torch.from_numpy(labelled.weight.astype(np.float32)),
        "label_weight": None if label_weight is None else torch.from_numpy(label_weight),
        "views": views,
    }


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
