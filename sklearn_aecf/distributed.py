"""Several processes that train one model: each computes its share of every step."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

__all__ = ["data_parallel"]


class OtherRankError(RuntimeError):
    """Another process failed, so this one cannot go on."""


class _Failure(NamedTuple):
    rank: int
    what: str


class Ranks:
    """The processes that train together; by default this one alone, to which nothing here does anything.

    What is exchanged comes in the order of the ranks, and all do the same with it, so that all of them have the same
    bits afterwards.

    Parameters
    ----------
    rank : int
        Number of this process, from 0 on.
    size : int
        How many there are.

    Attributes
    ----------
    is_first : bool
        Whether this is rank 0, which saves and prints.
    """

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    def __repr__(self):
        return f"Ranks(rank={self.rank}, size={self.size})"

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.size == 1

    # Objects

    def exchange(self, value: Any) -> list:
        """What every rank gives, in their order.

        Raises
        ------
        OtherRankError
            If a rank failed instead.
        """
        if self.alone:
            return [value]
        values: list = [None] * self.size
        distributed.all_gather_object(values, value)
        for failure in values:
            if isinstance(failure, _Failure) and not isinstance(value, _Failure):
                raise OtherRankError(f"Rank {failure.rank} stopped this fit, so all others stop too: {failure.what}")
        return values

    @contextmanager
    def together(self):
        """Inside, an error of one rank is an error of all: none waits for what the failed one would have given."""
        try:
            yield
        except OtherRankError:
            raise
        except Exception as error:
            self.exchange(_Failure(self.rank, f"{type(error).__name__}: {error}"))
            raise

    def from_first(self, compute: Callable) -> Any:
        """What rank 0 computes, for all."""
        with self.together():
            return self.exchange(compute() if self.is_first else None)[0]

    def in_turn(self, items: list) -> list:
        """The items of all ranks, which were dealt out one by one."""
        lists = self.exchange(items)
        return [lists[i % self.size][i // self.size] for i in range(sum(map(len, lists)))]

    # Rows

    def share(self, n_rows: int) -> slice:
        """Positions of this rank's rows, consecutive, so that a disk reads in sequence.

        All ranks have as many, and therefore as many steps; where they cannot be divided so, a few rows have two ranks.
        """
        n_own = -(-n_rows // self.size)
        start = min(self.rank * n_own, n_rows - n_own)
        return slice(start, start + n_own)

    def portion(self, n_rows: int) -> slice:
        """Consecutive positions, of which no rank has those of another."""
        return slice(n_rows * self.rank // self.size, n_rows * (self.rank + 1) // self.size)

    def part_of(self, batch_size: int) -> int:
        """Rows of a step that are this rank's."""
        return -(-batch_size // self.size)

    # Tensors

    def device(self, chosen: str) -> str:
        """A GPU of this rank's own, where ``"cuda"`` was chosen."""
        if self.alone or chosen != "cuda":
            return chosen
        return f"cuda:{int(os.environ.get('LOCAL_RANK', self.rank)) % torch.cuda.device_count()}"

    @torch.no_grad()
    def mean(self, values: Tensor) -> Tensor:
        """The mean over ranks, of tensors of one shape."""
        if self.alone:
            return values
        values = values.clone()
        distributed.all_reduce(values)
        return values / self.size

    @torch.no_grad()
    def start_alike(self, modules: Iterable[nn.Module]):
        """Weights and buffers of rank 0, for all."""
        if self.alone:
            return
        tensors = [tensor for module in modules for tensor in [*module.parameters(), *module.buffers()]]
        shapes = self.exchange([tuple(tensor.shape) for tensor in tensors])
        if any(other != shapes[0] for other in shapes):
            raise ValueError(
                "encoders or network make modules of other shapes on other ranks; let them depend on nothing but the "
                "parameters."
            )
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)

    @torch.no_grad()
    def average_step(self, parameters: Iterable[nn.Parameter], buffers: Iterable[Tensor]):
        """Gradients, and running means, as one process has them of all ranks' rows: means over the ranks.

        A weight that no rank has used keeps no gradient; one that some have not used got 0 from them.
        """
        if self.alone:
            return
        parameters = [weights for weights in parameters if weights.requires_grad]
        unused = torch.tensor([weights.grad is None for weights in parameters])
        for weights in parameters:
            if weights.grad is None:
                weights.grad = torch.zeros_like(weights)
        moving = [buffer for buffer in buffers if buffer.is_floating_point()]
        used = torch.where(unused, 0.0, 1.0).to(parameters[0].device)
        tensors = [weights.grad for weights in parameters if weights.grad is not None] + moving + [used]
        for group in _by_kind(tensors):
            # One message instead of one a tensor.
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            distributed.all_reduce(flat)
            flat /= self.size
            for tensor, values in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(values.view_as(tensor))
        if unused.any():
            for weights, share in zip(parameters, used.tolist(), strict=True):
                if share == 0:
                    weights.grad = None

    @torch.no_grad()
    def average_buffers(self, modules: Iterable[nn.Module]):
        """Running statistics of layers, which each rank has of its own rows."""
        if self.alone:
            return
        for buffer in (buffer for module in modules for buffer in module.buffers()):
            if buffer.is_floating_point():
                buffer.copy_(self.mean(buffer))
            else:
                distributed.broadcast(buffer, src=0)

    def vary_generators(self, device: str):
        """Other draws of dropout and of what is hidden on every rank, once all have the same weights."""
        if self.alone:
            return
        seed = (torch.initial_seed() + 1_000_003 * self.rank) % 2**63
        torch.default_generator.manual_seed(seed)
        if torch.device(device).type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)


def _by_kind(tensors):
    """Tensors that one message can hold, in an order that is the same on all ranks."""
    kinds: dict = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device.type), []).append(tensor)
    return kinds.values()


ALONE = Ranks()

_CURRENT: ContextVar[Ranks] = ContextVar("ranks", default=ALONE)


def current_ranks() -> Ranks:
    """The processes that a fit here trains with."""
    return _CURRENT.get()


@contextmanager
def data_parallel() -> Iterator[Ranks]:
    """Let every fit inside be one training of all processes that a launcher has started.

    The launcher is ``torchrun`` or ``accelerate launch``; it runs the same script several times, on one machine or on
    many. Each process is a *rank*. All of them give ``fit`` the same X and y. A rank trains on its own share of the
    rows, and of a file mapped into memory it reads no others in an epoch. ``batch_size`` is what all of them take
    together in a step, so the schedule is that of one process. Gradients, losses and statistics of the features are
    those of all rows. Afterwards every rank has the same fitted estimator and the same ``history_``.

    Without a launcher there is one rank, and nothing changes.

    Yields
    ------
    Ranks
        With ``rank``, the number of this process; ``size``, how many there are; and ``is_first``, whether it is number
        0.

    Raises
    ------
    ValueError
        By ``fit``, on every rank, if they were given different rows, modalities, labels or parameters.
    RuntimeError
        By ``fit``, on all other ranks, if one of them fails before the first epoch. If a process ends during an epoch,
        the others stop with the error of torch's communication.

    Notes
    -----
    Ranks speak through ``torch.distributed``: over NCCL where every rank has a GPU of its own, otherwise over gloo. A
    group that exists already is used. One that was made here lasts until the process ends, or an error leaves the
    block. Held-out rows are shared, too, except where a callback listens to batches. Callbacks run on every rank; those
    that write files need a folder for each. ``partial_fit`` trains each rank by itself.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.distributed import data_parallel
    >>> X, y = make_multimodal_classification(300, random_state=0)
    >>> with data_parallel() as ranks:
    ...     clf = AECFClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> ranks.is_first, ranks.size
    (True, 1)
    """
    exists = distributed.is_available() and distributed.is_initialized()
    if not exists and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        distributed.init_process_group(_backend())
        _MADE.append(distributed.group.WORLD)
        exists = True
    ranks = Ranks(distributed.get_rank(), distributed.get_world_size()) if exists else ALONE
    before = _CURRENT.set(ranks)
    try:
        yield ranks
    except BaseException:
        _end()  # by which the other ranks learn that this one has failed
        raise
    finally:
        _CURRENT.reset(before)


# Groups of processes that were made here. They last, because torch cannot make another where the first one met.
_MADE: list = []


@atexit.register
def _end():
    while _MADE:
        group = _MADE.pop()
        if distributed.is_initialized() and distributed.group.WORLD is group:
            distributed.destroy_process_group()


def _backend() -> str:
    """NCCL takes one rank a GPU; objects always go over gloo."""
    n_local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    one_each = torch.cuda.is_available() and distributed.is_nccl_available() and n_local <= torch.cuda.device_count()
    return "cpu:gloo,cuda:nccl" if one_each else "gloo"
