"""A torch module as a fixed function: set to evaluation for a call, its output pooled to one row per item."""

import itertools
import re
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sklearn_aecf.nn._runtime import GENERATOR_LOCK, choose_device, usual_torch

# Where the features are in the output of a Hugging Face model or a sentence-transformers one; the first that is there.
OUTPUTS = ("image_embeds", "text_embeds", "sentence_embedding", "pooler_output", "last_hidden_state")


def encoder_device(module: nn.Module, device: str) -> torch.device:
    """Where a module computes: ``"auto"`` is the accelerator that its weights are on, then cuda, then mps, then cpu."""
    places = (tensor.device for tensor in module.parameters() if tensor.device.type not in ("cpu", "meta"))
    chosen = next(places, None) if device == "auto" else None
    if chosen is None:
        chosen = torch.device(choose_device(device))
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", torch.cuda.current_device())
    return chosen


@contextmanager
def frozen(module: nn.Module, device: torch.device, helpers=()):
    """A module in evaluation on a device, without gradients; afterwards all of it as it was.

    Training flags are set and put back one by one, parameters keep their identity, and what the module writes into
    its buffers goes into copies. Nothing of the module is copied but buffers and, to another device, weights. torch's
    random state is put back, too. What the caller has set for all of torch (gradients, inference, precision, default
    dtype) has no say in it.

    Parameters
    ----------
    module : nn.Module
    device : torch.device
        Weights that are on an accelerator already, perhaps on several, stay there if it is one of these.
    helpers : iterable of nn.Module, default=()
        Modules called on the way, which are set to evaluation too, but stay on their device.
    """
    # Two encoders may share a module in two threads: the first to finish would switch the other's back to training.
    wide = module_dtype(module) == torch.float64
    usual = usual_torch(torch.float64 if wide else torch.float32)
    with GENERATOR_LOCK, usual, torch.autocast("cuda" if device.type == "cuda" else "cpu", enabled=False):
        flags = [(part, part.training) for root in (module, *helpers) for part in root.modules()]
        buffers = [(part, dict(part._buffers)) for part in module.modules()]
        places = {tensor.device for tensor in module.parameters()}
        spread = device in places and all(place.type != "cpu" for place in places)
        move = not spread and places != {device}
        # A module may put other data into its own weights; what a lazy one has yet to make cannot be put back.
        weights = [(parameter, parameter.data) for parameter in module.parameters() if not is_lazy(parameter)]
        cuda = [device] if device.type == "cuda" else []
        try:
            for part, _ in flags:
                part.training = False
            if move:
                for parameter, data in weights:
                    parameter.data = data.to(device)
            _use_copies(buffers, device if move else None)
            with torch.random.fork_rng(devices=cuda), torch.no_grad():
                yield
        finally:
            for part, training in flags:
                part.training = training
            for parameter, data in weights:
                parameter.data = data
            for part, kept in buffers:
                for name in set(part._buffers.keys()) - kept.keys():
                    del part._buffers[name]
                for name, tensor in kept.items():  # one by one, which is all that TorchScript can do
                    part._buffers[name] = tensor


def _use_copies(buffers, device):
    copies = {}
    for part, kept in buffers:
        for name, tensor in kept.items():
            if tensor is not None:
                copy = copies.setdefault(id(tensor), tensor.detach().to(device or tensor.device, copy=True))
                part._buffers[name] = copy


def module_dtype(module: nn.Module) -> torch.dtype:
    """The floating dtype that a module computes in, that of its first weights, else of its first buffer."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    floating = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    return next(floating, torch.float32)


def moved(value, device: torch.device, dtype: torch.dtype):
    """A tensor, or a mapping of tensors, on a device; floating tensors in a dtype. Anything else as it is."""
    if isinstance(value, Mapping):
        return {name: moved(part, device, dtype) for name, part in value.items()}
    if not isinstance(value, Tensor):
        return value
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)


def called(module: nn.Module, method: str, batch):
    """What a method of a module gives for a batch: a mapping goes to it as keyword arguments, anything else as it is.

    Raises
    ------
    TypeError
        If it fails on integers where it wants floats, or on a list where it wants a tensor.
    """
    function = getattr(module, method)
    if isinstance(batch, Mapping):
        return function(**batch)
    try:
        return function(batch)
    except (AttributeError, TypeError) as error:
        if not isinstance(batch, list):
            raise
        got, cause = f"a list of {type(batch[0]).__name__}", error
        remedy = "give preprocess a function that makes tensors of them, such as a torchvision transform."
    except (RuntimeError, ValueError) as error:
        integers = isinstance(batch, Tensor) and not batch.is_floating_point()
        if not integers or not re.search("type|not implemented for", str(error)):
            raise
        got, cause = f"a batch of {str(batch.dtype).removeprefix('torch.')}", error
        remedy = (
            "integers stay integers, so have preprocess return floats of the scale that the module was trained on, "
            "such as image.astype('float32') / 255."
        )
    reason = str(cause).partition("\n")[0].removesuffix(", but expected one of:")
    raise TypeError(f"{type(module).__name__}.{method} failed on {got} ({reason}); {remedy}") from cause


def pool(output, pooling, present: Tensor | None = None) -> Tensor:
    """One row per item from a module's output.

    Parameters
    ----------
    output : Tensor, ndarray, tuple or mapping
        Of a tuple the first part, of a mapping the first of `OUTPUTS` that is not None.
    pooling : {"auto", "mean", "cls"} or callable
        See `FrozenEncoder`.
    present : Tensor of shape (b, t), optional
        1 where a token is one, 0 where it is padding.

    Returns
    -------
    Tensor of shape (b, d)

    Raises
    ------
    ValueError
        If the output cannot be pooled that way.
    """
    if callable(pooling):
        return _as_tensor(pooling(output))
    tensor = _as_tensor(_features_of(output, pooling)).float()
    if pooling == "cls":
        if tensor.ndim != 3:
            raise ValueError(f"pooling='cls' needs an output of shape (b, t, d). Got {tuple(tensor.shape)}.")
        return tensor[:, 0]
    if pooling == "mean" and tensor.ndim < 3:
        raise ValueError(
            f"pooling='mean' needs an output of shape (b, t, d) or (b, c, ...). Got {tuple(tensor.shape)}."
        )
    if tensor.ndim == 3:
        return _token_mean(tensor, present)
    if tensor.ndim > 3:
        return tensor.flatten(2).mean(dim=2)
    return tensor[:, None] if tensor.ndim == 1 else tensor


def _features_of(output, pooling):
    if isinstance(output, Mapping):
        names = OUTPUTS if pooling == "auto" else ("last_hidden_state",)
        for name in names:
            if output.get(name) is not None:
                return output[name]
        raise ValueError(
            f"pooling={pooling!r} looks for {' or '.join(map(repr, names))} in the module's output, which has "
            f"{', '.join(map(repr, output))}; give pooling a function from the output to a tensor of shape (b, d)."
        )
    return output[0] if isinstance(output, tuple) else output


def _as_tensor(value):
    if isinstance(value, Tensor):
        return value
    try:
        if isinstance(value, list) and value and isinstance(value[0], Tensor):
            return torch.stack(value)
        return torch.from_numpy(np.array(value, dtype=np.float32))
    except (TypeError, ValueError, RuntimeError):
        parts = " of parts that differ in shape" if isinstance(value, list) else ""
        raise TypeError(
            "The module must return a tensor, an array, a tuple or a mapping of them. Got "
            f"{type(value).__name__}{parts}; give pooling a function from the output to a tensor of shape (b, d)."
        ) from None


def _token_mean(tensor, present):
    if present is None or bool(present.all()):
        return tensor.mean(dim=1)
    if present.shape != tensor.shape[:2]:
        raise ValueError(
            f"The module gives {tensor.shape[1]} tokens for an attention mask of {present.shape[1]}, so padding cannot "
            "be told apart; set batch_size=1, or give pooling a function."
        )
    share = present.to(tensor.dtype)[:, :, None]
    return (tensor * share).sum(dim=1) / share.sum(dim=1).clamp_min(1)
