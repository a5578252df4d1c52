"""Where torch computes, how precisely, with which random numbers and on how many threads."""

import os
import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext

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
        If torch knows no such device, or it is not there.
    """
    if device != "auto":
        try:
            chosen = torch.device(device)
        except RuntimeError:
            raise ValueError(
                f"device must be 'auto', 'cpu', 'cuda', 'cuda:1', 'mps' or the like. Got {device!r}."
            ) from None
        try:
            torch.empty(0, device=chosen).cpu()
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            if not {"cuda": torch.cuda, "mps": torch.backends.mps}.get(chosen.type, torch.cpu).is_available():
                reason = "torch finds none"
            raise ValueError(f"device={device!r} cannot be used here ({reason}); use 'auto' or 'cpu'.") from error
        return str(chosen)
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def autocast(device: str, precision: str) -> AbstractContextManager:
    """The context that computes matrix products in bfloat16 where that was asked for.

    Parameters
    ----------
    device : str
    precision : {"float32", "bfloat16"}
    """
    if precision == "float32":
        return full_precision(torch.device(device).type)
    # Older torch would hand weights that were cast for a pass without gradient to the passes that learn.
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, cache_enabled=False)


def full_precision(device_type: str) -> AbstractContextManager:
    """The context that computes in float32 whatever was asked for; one of torch's only if needed: they are slow.

    Parameters
    ----------
    device_type : str
    """
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, where the thread that held it does not live on."""

    def __init__(self):
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self):
        self._lock = threading.RLock()

    def __enter__(self):
        self._lock.acquire()
        return self

    def __exit__(self, *exception):
        self._lock.release()


# A process has one set of torch's generators; two threads may share a module, too.
GENERATOR_LOCK = ForkSafeLock()


@contextmanager
def seeded(seed: int, device: str):
    """torch's generators seeded, and afterwards as they were; one at a time, because a process has one set of them."""
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with GENERATOR_LOCK, torch.random.fork_rng(devices=cuda):
        # `torch.manual_seed` would reseed every GPU, also those that are not forked.
        torch.default_generator.manual_seed(seed)
        for used in cuda:
            with torch.cuda.device(used):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def usual_dtype(dtype: torch.dtype = torch.float32):
    """A default dtype, whatever the caller has set for the process."""
    before = torch.get_default_dtype()
    if before != dtype:
        torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        if before != dtype:
            torch.set_default_dtype(before)


@contextmanager
def usual_torch(dtype: torch.dtype = torch.float32):
    """A default dtype, and gradients: whatever the caller has set for the process."""
    with usual_dtype(dtype), torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def some_threads(n_threads: int):
    """As many threads as given, and afterwards as many as before."""
    before = torch.get_num_threads()
    if n_threads == before:
        yield
        return
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_thread(wanted: bool):
    """One thread, if that is wanted: two would wait for each other longer than they compute."""
    return some_threads(1 if wanted else torch.get_num_threads())


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
    return some_threads(max(1, min(torch.get_num_threads() - 1, work // WORK_PER_THREAD)))
