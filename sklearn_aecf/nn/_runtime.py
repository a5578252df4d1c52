"""Where torch computes, how precisely, with which random numbers and on how many threads."""

import threading
from contextlib import contextmanager

import torch

# Multiplications of a step that make a further thread worth while.
WORK_PER_THREAD = 100_000_000


def choose_device(device: str) -> str:
    """The device that ``"auto"`` stands for: cuda, then mps, then cpu; any other name as it is.

    Parameters
    ----------
    device : str

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If torch knows no such device.
    """
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


def autocast(device: str, precision: str) -> torch.autocast:
    """The context that computes matrix products in bfloat16 where that was asked for.

    Parameters
    ----------
    device : str
    precision : {"float32", "bfloat16"}
    """
    # Older torch would hand weights that were cast for a pass without gradient to the passes that learn.
    return torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False
    )


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
