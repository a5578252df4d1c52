"""The terms of the objective: pure functions of tensors.

Axes: `b` rows, `k` members or views, `c` classes or labels. `kind` is ``"multiclass"`` (softmax) or ``"multilabel"``
(a sigmoid a label).
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812, torch's own habit


def probabilities(logits: Tensor, kind: str) -> Tensor:
    """Softmax over the last axis, or a sigmoid per label."""
    return torch.sigmoid(logits) if kind == "multilabel" else torch.softmax(logits, dim=-1)


def prediction_loss(logits: Tensor, target: Tensor, kind: str, label_weight: Tensor | None = None) -> Tensor:
    """Cross-entropy, or the mean binary cross-entropy over labels, of each row.

    Parameters
    ----------
    logits : Tensor of shape (..., b, c)
    target : Tensor
        Class indices of shape (b,), or 0/1 of shape (b, c).
    kind : {"multiclass", "multilabel"}
    label_weight : Tensor of shape (b, c), optional
        Multilabel only: weight of each entry, 0 where it was not reported.

    Returns
    -------
    Tensor of shape (..., b)
    """
    if kind == "multilabel":
        each = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
        return (each if label_weight is None else each * label_weight).mean(dim=-1)
    flat = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        target.expand(logits.shape[:-1]).reshape(-1),
        reduction="none",
    )
    return flat.view(logits.shape[:-1])


def refined_loss(
    logits: Tensor, target: Tensor, kind: str, weight: Tensor, label_weight: Tensor | None = None, n_steps: int = 8
) -> Tensor:
    """The prediction loss that is left when confidence is rescaled as well as it can be.

    Training first learns to tell the classes apart and then to be too sure of them; the loss turns with the second,
    which a temperature mends afterwards. What it cannot mend is compared here [1]_: the loss under the best common
    temperature of all rows and views, or, of several labels, under the best slope and offset of each label (ours), so
    that a rare label counts by how well its rows are ranked.

    Parameters
    ----------
    logits : Tensor of shape (v, b, c)
        Of `v` views of the same rows.
    target : Tensor
        Class indices of shape (b,), or 0/1 of shape (b, c).
    kind : {"multiclass", "multilabel"}
    weight : Tensor of shape (b,)
    label_weight : Tensor of shape (b, c), optional
        Multilabel only.
    n_steps : int, default=8
        Of Newton's method: a fixed number, so that nothing is fetched from the device.

    Returns
    -------
    Tensor
        0-d: a mean over views and rows like that of `prediction_loss`, and never more than it.

    References
    ----------
    .. [1] Berta, Holzmueller, Jordan and Bach, *Rethinking Early Stopping: Refine, Then Calibrate*, arXiv:2501.19195.
    """
    if kind == "multilabel":
        entries = weight[:, None] if label_weight is None else weight[:, None] * label_weight
        return _refined_by_label(logits, target, entries, n_steps)
    scale = torch.ones((), dtype=logits.dtype, device=logits.device)
    true_logits = logits.gather(-1, target.expand(logits.shape[:-1])[..., None])[..., 0]
    for _ in range(n_steps):
        p = torch.softmax(scale * logits, dim=-1)
        mean = (p * logits).sum(dim=-1)
        slope = ((mean - true_logits) * weight).sum()
        curvature = (((p * logits.square()).sum(dim=-1) - mean.square()) * weight).sum()
        # A step may overshoot where the loss is flat.
        scale = torch.clamp(scale - slope / curvature.clamp(min=1e-12), scale / 4, scale * 4)
    each = [(prediction_loss(factor * logits, target, kind) * weight).mean() for factor in (1, scale)]
    return torch.fmin(*each)


def _refined_by_label(logits, target, entries, n_steps):
    """Newton's method on slope and offset of every label.

    The slope turns a label's logits about their mean, or else every slope would need another offset, and the two could
    only be moved in small steps. It starts where the logits are neither too certain nor off the label's base rate. A
    pull to 1 and 0, by the weight of a hundredth of a row, decides where a label has one value only.
    """
    n_views, pull = len(logits), 0.01
    total = entries.sum(dim=0)
    mean = (logits * entries).sum(dim=(0, 1)) / (n_views * total).clamp(min=1e-12)
    centred = logits - mean
    variance = (centred.square() * entries).sum(dim=(0, 1)) / (n_views * total).clamp(min=1e-12)
    scale = variance.clamp(min=1).rsqrt()
    offset = torch.logit(((target * entries).sum(dim=0) + 0.5) / (total + 1)) - mean
    for _ in range(n_steps):
        p = torch.sigmoid(mean + offset + scale * centred)
        error, curvature = (p - target) * entries, p * (1 - p) * entries
        weighted = curvature * centred
        by_offset, by_scale, a, b, c = (
            each.sum(dim=(0, 1)) / n_views + pull * extra
            for each, extra in (
                (error, offset),
                (error * centred, scale - 1),
                (curvature, 1),
                (weighted, 0),
                (weighted * centred, 1),
            )
        )
        determinant = a * c - b * b
        to_offset, to_scale = (b * by_scale - c * by_offset) / determinant, (b * by_offset - a * by_scale) / determinant
        # Where the loss is flat a step overshoots; both are shortened together, so that its direction stays.
        room = torch.where(to_scale > 0, 3 * scale, 0.75 * scale)
        length = torch.fmin(2 / to_offset.abs(), room / to_scale.abs()).clamp(max=1)
        offset, scale = offset + length * to_offset, scale + length * to_scale
    each = [
        (F.binary_cross_entropy_with_logits(z, target.expand_as(z), reduction="none") * entries).mean(dim=(0, 1))
        for z in (logits, mean + offset + scale * centred)
    ]
    return torch.fmin(*each).mean()


def mean_logits(logits: Tensor, kind: str, dim: int) -> Tensor:
    """Logits of the mean of the members' probabilities.

    Parameters
    ----------
    logits : Tensor
    kind : {"multiclass", "multilabel"}
    dim : int
        Axis of the members.

    Returns
    -------
    Tensor
        `logits` without the axis `dim`.
    """
    if logits.shape[dim] == 1:
        return logits.squeeze(dim)
    tiny = torch.finfo(logits.dtype).tiny
    if kind == "multilabel":
        # Both tails by themselves: 1 - p would round to 0 where p is nearly 1.
        positive, negative = torch.sigmoid(logits).mean(dim), torch.sigmoid(-logits).mean(dim)
        return positive.clamp(min=tiny).log() - negative.clamp(min=tiny).log()
    return torch.softmax(logits, dim=-1).mean(dim).clamp(min=tiny).log()


def uncertainty(member_probabilities: Tensor) -> Tensor:
    """Variance over members (or stochastic passes) of the predicted probabilities, averaged over classes.

    Parameters
    ----------
    member_probabilities : Tensor of shape (k, b, c)

    Returns
    -------
    Tensor of shape (b,)

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417: ``Var_K`` by MC dropout or a deep ensemble.
    """
    # Tensor.var over the first axis is many times slower.
    return (member_probabilities - member_probabilities.mean(dim=0)).square().mean(dim=(0, -1))


def entropy_coefficient(
    spread: Tensor,
    *,
    scale: Tensor | float = 1.0,
    weight: float = 1.0,
    lambda_min: float = 0.0,
    lambda_max: float = float("inf"),
) -> Tensor:
    """Per-instance coefficient of the entropy term.

    ``lambda(x) = min(lambda_max, lambda_min + weight * softplus(U(x) / scale))``

    Parameters
    ----------
    spread : Tensor of shape (b,)
        ``U(x)``, see `uncertainty`.
    scale : float or Tensor, default=1
        1 is the paper's formula. `AECFClassifier` passes a running mean of U (ours): U is small, so that with scale
        1 the coefficient hardly differs between rows.
    weight : float, default=1
        1 is the paper's formula; `AECFClassifier` passes its ``entropy_weight`` (ours).
    lambda_min, lambda_max : float

    Returns
    -------
    Tensor of shape (b,)

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417, per-instance entropy coefficient.
    """
    return (lambda_min + weight * F.softplus(spread / scale)).clamp(max=lambda_max)


def normalized_entropy(entropy: Tensor, present: Tensor) -> Tensor:
    """Entropy over ``log|S|``, in [0, 1]; 0 for rows with one observed modality, which have none.

    Parameters
    ----------
    entropy : Tensor of shape (b,), in nats
    present : bool Tensor of shape (b, m)
    """
    size = present.sum(dim=-1)
    return torch.where(size > 1, entropy / size.clamp(min=2).to(entropy.dtype).log(), 0)


def confidence(probability: Tensor, kind: str) -> Tensor:
    """``c(f)``: the largest probability, or the mean over labels of ``max(p, 1 - p)``; shape (..., b)."""
    if kind == "multilabel":
        return torch.maximum(probability, 1 - probability).mean(dim=-1)
    return probability.amax(dim=-1)


def monotone_loss(smaller: Tensor, expert: Tensor, kind: str) -> Tensor:
    """Penalty where less evidence means more confidence: ``relu(c(f_S') - c(f_S))`` of each row.

    Parameters
    ----------
    smaller : Tensor of shape (..., b, c)
        Logits on a subset.
    expert : Tensor of shape (b, c)
        Probabilities on the full observed set; they get no gradient.
    kind : {"multiclass", "multilabel"}

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417, contrastive expert calibration.
    """
    return torch.relu(confidence(probabilities(smaller, kind), kind) - confidence(expert.detach(), kind))


def agreement_loss(smaller: Tensor, expert: Tensor, kind: str, label_weight: Tensor | None = None) -> Tensor:
    """``KL(f_S || f_S')`` of each row, mean over labels for multilabel (ours).

    Parameters
    ----------
    smaller : Tensor of shape (..., b, c)
        Logits on a subset.
    expert : Tensor of shape (b, c)
        Probabilities on the full observed set; they get no gradient.
    kind : {"multiclass", "multilabel"}
    label_weight : Tensor of shape (b, c), optional
        Multilabel only: 0 where a label was not reported, so that the network does not teach itself what nobody said.
    """
    p = expert.detach()
    if kind == "multilabel":
        cross = F.binary_cross_entropy_with_logits(smaller, p.expand_as(smaller), reduction="none")
        each = cross + (torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))
        return (each if label_weight is None else each * label_weight).mean(dim=-1)
    return torch.xlogy(p, p).sum(dim=-1) - (p * F.log_softmax(smaller, dim=-1)).sum(dim=-1)


def cec_loss(
    smaller: Tensor,
    expert: Tensor,
    kind: str,
    label_weight: Tensor | None = None,
    monotone_weight: float = 1.0,
) -> Tensor:
    """Contrastive expert calibration: `agreement_loss` plus `monotone_weight` times `monotone_loss`."""
    agreement = agreement_loss(smaller, expert, kind, label_weight)
    return agreement if monotone_weight == 0 else agreement + monotone_weight * monotone_loss(smaller, expert, kind)
