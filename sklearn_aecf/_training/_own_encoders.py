"""Encoders of the user's, made ready: copied or made, tried on a few rows, and adapted to the common width."""

import copy

import numpy as np
import torch
from torch import nn

from sklearn_aecf._data import CHUNK_ROWS
from sklearn_aecf.nn import OwnEncoder
from sklearn_aecf.nn._encoders import as_encoder_input, named_errors

# Rows that an encoder is tried on before training.
N_TRIED = 64


def own_encoders(encoders, inputs, labelled, embed_dim):
    """What the network takes as `encoders`.

    Parameters
    ----------
    encoders : dict of str to nn.Module or callable
        A module is copied, with the weights that it has; anything else is called, and must return one.
    inputs : NetworkInputs
    labelled : LabelledRows
        To try the encoders on.
    embed_dim : int

    Returns
    -------
    dict of int to OwnEncoder
        By position among the active modalities.

    Raises
    ------
    TypeError, ValueError
        If an encoder is none, fails on rows of its modality, or does not return a finite vector a row.
    """
    made = {}
    for position, m in enumerate(inputs.active):
        name = labelled.data.names[m]
        if name in encoders:
            module = module_of(encoders[name], name)
            example = inputs.tensors(labelled.data, _rows_to_try(labelled, m))[position]
            made[position] = OwnEncoder(module, _width(module, example, name), embed_dim, name)
    return made


def _rows_to_try(labelled, m):
    """The first rows with modality `m`, and one of those with NaN inside, which an encoder may not be ready for.

    Where no row has it yet, the first rows of all, whose inputs are zeros.
    """
    having = labelled.rows[labelled.data.present[labelled.rows, m]]
    if len(having) == 0:
        return labelled.rows[:N_TRIED]
    array = labelled.data.arrays[m]
    if array.dtype.kind == "f":
        for start in range(0, len(having), CHUNK_ROWS):
            chunk = having[start : start + CHUNK_ROWS]
            gaps = np.isnan(array[chunk].reshape(len(chunk), -1)).any(axis=1)
            if gaps.any():
                return np.unique(np.append(having[: N_TRIED - 1], chunk[gaps.argmax()]))
    return having[:N_TRIED]


def module_of(encoder, name):
    """The module that an entry of `encoders` stands for, copied: fits must not share weights."""
    if isinstance(encoder, nn.Module):
        return copy.deepcopy(encoder)
    if not callable(encoder):
        raise TypeError(
            f"encoders[{name!r}] must be a torch module, or a callable without arguments that returns one. Got "
            f"{type(encoder).__name__}."
        )
    try:
        module = encoder()
    except TypeError as error:
        raise TypeError(f"encoders[{name!r}] must be callable without arguments: {error}.") from error
    if not isinstance(module, nn.Module):
        raise TypeError(f"encoders[{name!r}] was called and must return a torch module. Got {type(module).__name__}.")
    # A function may return the same module every time.
    return copy.deepcopy(module)


@torch.no_grad()
def _width(module, example, name):
    """Width of what a module returns, after checks of all that training relies on."""
    x = as_encoder_input(example)
    module.eval()
    with named_errors(name, x):
        encoded = module(x)
    module.train()
    if not isinstance(encoded, torch.Tensor) or encoded.ndim != 2 or len(encoded) != len(x):
        found = tuple(encoded.shape) if isinstance(encoded, torch.Tensor) else type(encoded).__name__
        raise ValueError(
            f"The encoder of modality {name!r} must return a vector a row, a tensor of shape (b, d). Got {found} from "
            f"a batch of shape {tuple(x.shape)}; flatten or pool its output."
        )
    if not encoded.is_floating_point():
        raise ValueError(
            f"The encoder of modality {name!r} must return floating numbers. Got {encoded.dtype}; embed codes, e.g. "
            "with torch.nn.Embedding."
        )
    if not torch.isfinite(encoded).all():
        cause = "holds NaN inside observed rows: fill or pad them" if torch.isnan(x).any() else "leads to such values"
        raise ValueError(f"The encoder of modality {name!r} returns NaN or infinity; its input {cause}.")
    return encoded.shape[1]
