"""The terms of the objective: pure functions of tensors.

Axes: `b` rows, `k` members or views, `c` classes or labels. For the two kinds of target there is one function each:
``multiclass`` (one class a row, a softmax) and ``multilabel`` (0 or 1 a label, a sigmoid each).
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812, torch's own habit

# Up to here a softmax over the last axis is slower than one along another.
FEW_CLASSES = 16

__all__ = [
    "entropy_coefficient",
    "mean_multiclass_logits",
    "mean_multilabel_logits",
    "monotone_loss",
    "multiclass_agreement_loss",
    "multiclass_confidence",
    "multiclass_loss",
    "multilabel_agreement_loss",
    "multilabel_confidence",
    "multilabel_loss",
    "normalized_entropy",
    "refined_multiclass_loss",
    "refined_multilabel_loss",
    "uncertainty",
]


def multiclass_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each row.

    Parameters
    ----------
    logits : Tensor of shape (..., b, c)
        What a network returns before the softmax or the sigmoid.
    target : long Tensor of shape (b,)
        Class indices.

    Returns
    -------
    Tensor of shape (..., b), in nats
        A loss for each row.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import multiclass_loss
    >>> multiclass_loss(torch.zeros(2, 4), torch.tensor([0, 3]))
    tensor([1.3863, 1.3863])
    """
    flat = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        target.expand(logits.shape[:-1]).reshape(-1),
        reduction="none",
    )
    return flat.view(logits.shape[:-1])


def multilabel_loss(logits: Tensor, target: Tensor, label_weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of each row, a mean over its labels.

    Parameters
    ----------
    logits : Tensor of shape (..., b, c)
        What a network returns before the softmax or the sigmoid.
    target : float Tensor of shape (b, c)
        0 or 1 a label.
    label_weight : Tensor of shape (b, c), optional
        Weight of each entry, 0 where it was not reported.

    Returns
    -------
    Tensor of shape (..., b), in nats
        A loss for each row.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import multilabel_loss
    >>> multilabel_loss(torch.zeros(2, 3), torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    tensor([0.6931, 0.6931])
    """
    each = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
    return (each if label_weight is None else each * label_weight).mean(dim=-1)


def refined_multiclass_loss(logits: Tensor, target: Tensor, weight: Tensor, n_steps: int = 8) -> Tensor:
    """The loss that is left when one temperature rescales confidence as well as it can.

    Training first learns to tell the classes apart and then to be too sure of them; the loss turns with the second,
    which a temperature mends afterwards. What it cannot mend is compared here [1]_.

    Parameters
    ----------
    logits : Tensor of shape (v, b, c)
        Of ``v`` views of the same rows.
    target : long Tensor of shape (b,)
        Class indices.
    weight : Tensor of shape (b,)
        Weight of each row.
    n_steps : int, default=8
        Of Newton's method: a fixed number, so that nothing is fetched from the device.

    Returns
    -------
    Tensor
        0-d: a mean over views and rows like that of `multiclass_loss`, and never more than it.

    References
    ----------
    .. [1] Berta, Holzmueller, Jordan and Bach, *Rethinking Early Stopping: Refine, Then Calibrate*, arXiv:2501.19195.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import refined_multiclass_loss
    >>> logits = torch.tensor([[[20.0, 0.0], [0.0, 20.0], [20.0, 0.0]]])
    >>> target = torch.tensor([0, 1, 1])
    >>> loss = refined_multiclass_loss(logits, target, torch.ones(3))
    >>> bool(loss < torch.nn.functional.cross_entropy(logits[0], target))
    True
    """
    scale = torch.ones((), dtype=logits.dtype, device=logits.device)
    true_logits = logits.gather(-1, target.expand(logits.shape[:-1])[..., None])[..., 0]
    for _ in range(n_steps):
        p = torch.softmax(scale * logits, dim=-1)
        mean = (p * logits).sum(dim=-1)
        slope = ((mean - true_logits) * weight).sum()
        curvature = (((p * logits.square()).sum(dim=-1) - mean.square()) * weight).sum()
        # A step may overshoot where the loss is flat.
        scale = torch.clamp(scale - slope / curvature.clamp(min=1e-12), scale / 4, scale * 4)
    each = [(multiclass_loss(factor * logits, target) * weight).mean() for factor in (1, scale)]
    return torch.fmin(*each)


def refined_multilabel_loss(
    logits: Tensor, target: Tensor, weight: Tensor, label_weight: Tensor | None = None, n_steps: int = 8
) -> Tensor:
    """The loss that is left when a slope and an offset of each label rescale confidence (ours).

    See `refined_multiclass_loss`. A rare label counts by how well its rows are ranked, not by its base rate.

    Parameters
    ----------
    logits : Tensor of shape (v, b, c)
        What a network returns before the softmax or the sigmoid.
    target : float Tensor of shape (b, c)
        0 or 1 a label.
    weight : Tensor of shape (b,)
        Weight of each row.
    label_weight : Tensor of shape (b, c), optional
        Weight of each entry, 0 where it was not reported.
    n_steps : int, default=8
        Of Newton's method.

    Returns
    -------
    Tensor
        0-d: a mean over views, rows and labels.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import refined_multilabel_loss
    >>> logits = torch.tensor([[[20.0, 0.0], [0.0, 20.0], [20.0, 0.0]]])
    >>> target = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> loss = refined_multilabel_loss(logits, target, torch.ones(3))
    >>> bool(loss < torch.nn.functional.binary_cross_entropy_with_logits(logits[0], target))
    True
    """
    # The slope turns a label's logits about their mean: else every slope would need another offset, and the two could
    # only be moved in small steps. It starts where the logits are neither too certain nor off the label's base rate. A
    # pull to 1 and 0, by the weight of a hundredth of a row, decides where a label has one value only.
    entries = weight[:, None] if label_weight is None else weight[:, None] * label_weight
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


def mean_multiclass_logits(logits: Tensor, dim: int) -> Tensor:
    """Logits of the mean of the members' probabilities.

    Parameters
    ----------
    logits : Tensor of shape (..., c)
        What a network returns before the softmax or the sigmoid.
    dim : int
        Axis of the members, not the last.

    Returns
    -------
    Tensor
        `logits` without the axis `dim`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import mean_multiclass_logits
    >>> logits = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]]])
    >>> torch.softmax(mean_multiclass_logits(logits, dim=0), dim=-1).round(decimals=2)
    tensor([[0.8800, 0.1200]])
    """
    if logits.shape[dim] == 1:
        return logits.squeeze(dim)
    return class_probabilities(logits).mean(dim).clamp(min=torch.finfo(logits.dtype).tiny).log()


def class_probabilities(logits: Tensor) -> Tensor:
    """Softmax over the last axis; along another one torch is up to ten times as fast where classes are few."""
    if logits.dim() < 2 or logits.shape[-1] > FEW_CLASSES:
        return torch.softmax(logits, dim=-1)
    return torch.softmax(logits.transpose(-1, -2), dim=-2).transpose(-1, -2)


def mean_multilabel_logits(logits: Tensor, dim: int) -> Tensor:
    """Logits of the mean of the members' probabilities, a sigmoid a label.

    Parameters
    ----------
    logits : Tensor of shape (..., c)
        What a network returns before the softmax or the sigmoid.
    dim : int
        Axis of the members, not the last.

    Returns
    -------
    Tensor
        `logits` without the axis `dim`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import mean_multilabel_logits
    >>> logits = torch.tensor([[[2.0, 0.0]], [[-2.0, 0.0]]])
    >>> torch.sigmoid(mean_multilabel_logits(logits, dim=0)).round(decimals=2)
    tensor([[0.5000, 0.5000]])
    """
    if logits.shape[dim] == 1:
        return logits.squeeze(dim)
    tiny = torch.finfo(logits.dtype).tiny
    # Both tails by themselves: 1 - p would round to 0 where p is nearly 1.
    positive, negative = torch.sigmoid(logits).mean(dim), torch.sigmoid(-logits).mean(dim)
    return positive.clamp(min=tiny).log() - negative.clamp(min=tiny).log()


def uncertainty(member_probabilities: Tensor) -> Tensor:
    """Variance over members (or stochastic passes) of the predicted probabilities, averaged over classes.

    Parameters
    ----------
    member_probabilities : Tensor of shape (k, b, c)
        Probabilities of each member.

    Returns
    -------
    Tensor of shape (b,)
        One number a row.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417: ``Var_K`` by MC dropout or a deep ensemble.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import uncertainty
    >>> members = torch.tensor([[[0.9, 0.1]], [[0.7, 0.3]]])
    >>> uncertainty(members)
    tensor([0.0100])
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
        Smallest coefficient.

    Returns
    -------
    Tensor of shape (b,)
        A coefficient for each row.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417, per-instance entropy coefficient.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import entropy_coefficient
    >>> entropy_coefficient(torch.tensor([0.0, 1.0])).round(decimals=2)
    tensor([0.6900, 1.3100])
    """
    return (lambda_min + weight * F.softplus(spread / scale)).clamp(max=lambda_max)


def normalized_entropy(entropy: Tensor, present: Tensor) -> Tensor:
    """Entropy over ``log|S|``, in [0, 1]; 0 for rows with one observed modality, which have none.

    Parameters
    ----------
    entropy : Tensor of shape (b,), in nats
        Entropy of the gate's weights in each row, in nats.
    present : bool Tensor of shape (b, m)
        True where a modality is observed.

    Returns
    -------
    Tensor of shape (b,)
        From 0 to 1.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import normalized_entropy
    >>> present = torch.tensor([[True, True, False], [True, False, False]])
    >>> normalized_entropy(torch.tensor([0.6931, 0.0]), present).round(decimals=2)
    tensor([1., 0.])
    """
    size = present.sum(dim=-1)
    return torch.where(size > 1, entropy / size.clamp(min=2).to(entropy.dtype).log(), 0)


def multiclass_confidence(probability: Tensor) -> Tensor:
    """``c(f)``: the largest probability of each row, shape (..., b) of (..., b, c).

    Parameters
    ----------
    probability : Tensor of shape (..., b, c)
        Predicted probabilities.

    Returns
    -------
    Tensor of shape (..., b)
        From 0 to 1.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import multiclass_confidence
    >>> multiclass_confidence(torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
    tensor([0.7500, 0.5000])
    """
    return probability.amax(dim=-1)


def multilabel_confidence(probability: Tensor) -> Tensor:
    """``c(f)``: the mean over labels of ``max(p, 1 - p)``, shape (..., b) of (..., b, c).

    Parameters
    ----------
    probability : Tensor of shape (..., b, c)
        Predicted probabilities.

    Returns
    -------
    Tensor of shape (..., b)
        From 0.5 to 1.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import multilabel_confidence
    >>> multilabel_confidence(torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
    tensor([0.7500, 0.5000])
    """
    return torch.maximum(probability, 1 - probability).mean(dim=-1)


def monotone_loss(smaller: Tensor, expert: Tensor) -> Tensor:
    """Penalty where less evidence means more confidence: ``relu(c(f_S') - c(f_S))`` of each row.

    Parameters
    ----------
    smaller : Tensor of shape (..., b)
        Confidence from a subset, see `multiclass_confidence` and `multilabel_confidence`.
    expert : Tensor of shape (b,)
        Confidence from all that the row has; it gets no gradient.

    Returns
    -------
    Tensor of shape (..., b)
        A loss for each row.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417, contrastive expert calibration.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import monotone_loss
    >>> monotone_loss(torch.tensor([0.9, 0.5]), torch.tensor([0.6, 0.6]))
    tensor([0.3000, 0.0000])
    """
    return torch.relu(smaller - expert.detach())


def multiclass_agreement_loss(smaller: Tensor, expert: Tensor) -> Tensor:
    """``KL(f_S || f_S')`` of each row (ours).

    Parameters
    ----------
    smaller : Tensor of shape (..., b, c)
        Logits on a subset.
    expert : Tensor of shape (b, c)
        Probabilities on the full observed set; they get no gradient.

    Returns
    -------
    Tensor of shape (..., b), in nats
        A loss for each row.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import multiclass_agreement_loss
    >>> expert = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    >>> smaller = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    >>> multiclass_agreement_loss(smaller, expert).round(decimals=2)
    tensor([0.0000, 0.8600])
    """
    p = expert.detach()
    return torch.xlogy(p, p).sum(dim=-1) - (p * F.log_softmax(smaller, dim=-1)).sum(dim=-1)


def multilabel_agreement_loss(smaller: Tensor, expert: Tensor, label_weight: Tensor | None = None) -> Tensor:
    """``KL(f_S || f_S')`` of each row, a mean over its labels (ours).

    Parameters
    ----------
    smaller : Tensor of shape (..., b, c)
        Logits on a subset.
    expert : Tensor of shape (b, c)
        Probabilities on the full observed set; they get no gradient.
    label_weight : Tensor of shape (b, c), optional
        0 where a label was not reported, so that the network does not teach itself what nobody said.

    Returns
    -------
    Tensor of shape (..., b), in nats
        A loss for each row.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.losses import multilabel_agreement_loss
    >>> expert = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    >>> smaller = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    >>> multilabel_agreement_loss(smaller, expert).round(decimals=2)
    tensor([0.0000, 0.4300])
    """
    p = expert.detach()
    cross = F.binary_cross_entropy_with_logits(smaller, p.expand_as(smaller), reduction="none")
    each = cross + (torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))
    return (each if label_weight is None else each * label_weight).mean(dim=-1)
