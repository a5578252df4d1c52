"""Adaptive curriculum masking: which modalities to hide in training, as functions of tensors.

Axes: `b` rows, `v` draws (one per member), `m` modalities.
"""

import torch
from torch import Tensor

from sklearn_aecf.losses import normalized_entropy

MAX_REGRET_MODALITIES = 8


def mask_rate_at(epoch: int, max_epochs: int, mask_rate: float, warmup: float) -> float:
    """Mask rate of an epoch: a linear warm-up, ``pi_t = pi_max min(1, t / (warmup E))``.

    Parameters
    ----------
    epoch : int
        From 1 on.
    max_epochs : int
    mask_rate : float
        ``pi_max``, reached after the warm-up.
    warmup : float
        Share of `max_epochs` in [0, 1].
    """
    length = warmup * max_epochs
    return mask_rate * min(1.0, epoch / length) if length > 0 else mask_rate


def row_rates(rate: float, n_rows: int, device=None, generator: torch.Generator | None = None) -> Tensor:
    """A mask rate for each row, uniform around `rate`: ``U(rate - s, rate + s)`` with ``s = min(rate, 1 - rate)``.

    A batch then holds every drop rate, nearly complete rows and nearly empty ones, where one rate for all would train
    for that rate alone (ours).

    Parameters
    ----------
    rate : float
        In [0, 1); the mean.
    n_rows : int
    device : torch.device, optional
    generator : torch.Generator, optional

    Returns
    -------
    Tensor of shape (n_rows, 1)
    """
    spread = min(rate, 1 - rate)
    return rate + spread * (2 * torch.rand(n_rows, 1, device=device, generator=generator) - 1)


def entropy_rates(weights: Tensor, entropy: Tensor, present: Tensor, rate: float | Tensor, cap: float = 0.9) -> Tensor:
    """Probability of hiding each modality, from the gate's own entropy.

    ``r_m = min(cap, rate (q + (1 - q) |S| p_m))`` with ``q`` the normalised entropy: uniform while the gate spreads
    out, aimed at the dominant modality as it collapses (ours). The mean over a row's modalities is `rate` before the
    cap.

    Parameters
    ----------
    weights : Tensor of shape (b, m)
        Gate weights ``p``.
    entropy : Tensor of shape (b,), in nats
    present : bool Tensor of shape (b, m)
    rate : float or Tensor of shape (b, 1)
        One for all rows, or each its own.
    cap : float, default=0.9

    Returns
    -------
    Tensor of shape (b, m), 0 where absent

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417, adaptive curriculum masking.
    """
    q = normalized_entropy(entropy, present)[:, None]
    size = present.sum(dim=-1, keepdim=True)
    return (rate * (q + (1 - q) * size * weights)).clamp(max=cap) * present


def uniform_rates(present: Tensor, rate: float | Tensor) -> Tensor:
    """The same probability for every observed modality, shape (b, m)."""
    return rate * present.float()


def draw_subsets(present: Tensor, rates: Tensor, n_draws: int, generator: torch.Generator | None = None) -> Tensor:
    """Hide each observed modality with its own probability; at least one stays.

    A row that would lose all keeps one of its own, drawn uniformly.

    Parameters
    ----------
    present : bool Tensor of shape (b, m)
    rates : Tensor of shape (b, m)
    n_draws : int
    generator : torch.Generator, optional

    Returns
    -------
    bool Tensor of shape (b, n_draws, m)
        Subsets of `present`.
    """
    shape = (present.shape[0], n_draws, present.shape[1])
    draws = torch.rand(shape, device=present.device, generator=generator)
    kept = (draws >= rates[:, None]) & present[:, None]
    order = torch.rand(shape, device=present.device, generator=generator).masked_fill(~present[:, None], -1)
    fallback = torch.zeros_like(kept).scatter_(2, order.argmax(dim=-1, keepdim=True), True) & present[:, None]
    return torch.where(kept.any(dim=-1, keepdim=True), kept, fallback)


def all_subsets(n_modalities: int) -> Tensor:
    """Every non-empty subset, bool of shape (2**m - 1, m)."""
    codes = torch.arange(1, 2**n_modalities)
    return (codes[:, None] >> torch.arange(n_modalities)) % 2 == 1


def draw_regret_subsets(
    present: Tensor, log_weights: Tensor, rate: float, n_draws: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Subsets drawn in proportion to how badly each is handled; the worst is trained most (ours).

    Parameters
    ----------
    present : bool Tensor of shape (b, m)
    log_weights : Tensor of shape (2**m - 1,)
        Unnormalised log-probability of each subset of `all_subsets`, kept by `update_regret`.
    rate : float
        Share of the draws that hide anything; the others are the row's own set.
    n_draws : int
    generator : torch.Generator, optional

    Returns
    -------
    subsets : bool Tensor of shape (b, n_draws, m)
    codes : long Tensor of shape (b, n_draws)
        Index of the subset that was drawn, -1 where the row kept its own set.
    """
    rows, n_modalities = present.shape
    probabilities = torch.softmax(log_weights, dim=0)
    codes = torch.multinomial(probabilities, rows * n_draws, replacement=True, generator=generator)
    codes = codes.view(rows, n_draws)
    keep_all = torch.rand(rows, n_draws, device=present.device, generator=generator) >= rate
    drawn = all_subsets(n_modalities).to(present.device)[codes] & present[:, None]
    empty = ~drawn.any(dim=-1)
    untouched = keep_all | empty
    return torch.where(untouched[..., None], present[:, None], drawn), codes.masked_fill(untouched, -1)


def update_regret(log_weights: Tensor, codes: Tensor, losses: Tensor, step: float = 0.1) -> Tensor:
    """Exponentiated-gradient step on the losses of the subsets that were drawn.

    Parameters
    ----------
    log_weights : Tensor of shape (s,)
    codes : long Tensor of shape (b, v)
        As `draw_regret_subsets` returned them.
    losses : Tensor of shape (b, v)
    step : float, default=0.1

    Returns
    -------
    Tensor of shape (s,)
        Kept within 3 of its mean, so that no subset is ever given up or trained alone.
    """
    flat, values = codes.reshape(-1), losses.reshape(-1)
    values = torch.where(flat >= 0, values, 0)
    index = flat.clamp(min=0)
    total = torch.zeros_like(log_weights).index_add_(0, index, values)
    count = torch.zeros_like(log_weights).index_add_(0, index, (flat >= 0).to(values.dtype))
    drawn = count > 0
    mean = total / count.clamp(min=1)
    typical = total.sum() / count.sum().clamp(min=1)
    moved = log_weights + step * torch.where(drawn, mean - typical, 0) / typical.clamp(min=1e-6)
    return (moved - moved.mean()).clamp(-3, 3)
