"""A trained network for prediction: what needs no row is computed once, and the rest in fewer and larger steps."""

from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear
from torch.nn.utils.rnn import pad_sequence

from sklearn_aecf.nn._dropout import Dropout
from sklearn_aecf.nn._encoders import ModalityEmbeddings, ModalityEncoders
from sklearn_aecf.nn._fusion import MIN_TRUST, AECFFusion, ModalityGate
from sklearn_aecf.nn._heads import MemberHeads
from sklearn_aecf.nn._network import AECFNetwork
from sklearn_aecf.nn._reliability import (
    MAX_DISTANCE,
    ClassAgreement,
    ModalityReliability,
    ReliabilityDetector,
    ValueStatistics,
    softmax_of_few,
)

# What is folded; a network with any other part, a subclass of one included, is asked itself.
PARTS = {
    AECFNetwork,
    ModalityEncoders,
    ModalityEmbeddings,
    AECFFusion,
    ModalityGate,
    MemberHeads,
    ModalityReliability,
    ValueStatistics,
    ReliabilityDetector,
    ClassAgreement,
    Dropout,
    nn.Linear,
    nn.LayerNorm,
    nn.ModuleList,
    nn.ModuleDict,
}

# Zeros a row that cost less than further steps for another group of modalities.
MAX_PADDING = 128

_FOLDED: WeakKeyDictionary = WeakKeyDictionary()


def folded(network: nn.Module) -> "FoldedNetwork | None":
    """The folded form of a network, made where it is new or has changed since.

    Parameters
    ----------
    network : nn.Module

    Returns
    -------
    FoldedNetwork or None
        None of a network with parts, or hooks, of the user's.
    """
    tensors = _tensors_of(network)
    if tensors is None or not isinstance(network, AECFNetwork) or network.encoders.own:
        return None
    kept = _FOLDED.get(network)
    try:
        # What is written into `tensor.data` counts as no version, but changes its length.
        state = [(tensor.data_ptr(), tensor._version) for tensor in tensors] + _lengths_of(tensors)
    except RuntimeError:  # of inference mode, which counts no versions
        return None
    # Tensors that are kept cannot leave their place in memory to others.
    if kept is None or kept[0] != state:
        if any(tensor.dtype == torch.float64 for tensor in tensors):
            return None
        _FOLDED[network] = kept = state, tensors, FoldedNetwork(network)
    return kept[2]


def _lengths_of(tensors: list[Tensor]) -> list[float]:
    with torch.no_grad():
        # One by one, or by `get_total_norm`, it takes several times as long.
        return torch.stack(torch._foreach_norm([x for x in tensors if x.is_floating_point()])).tolist()


def _tensors_of(network: nn.Module) -> list[Tensor] | None:
    """All tensors of a network; None unless all of it is as this package has made it."""
    tensors: list[Tensor] = []
    waiting: list[nn.Module | None] = [network]
    # `modules()` and `parameters()` take five times as long.
    while waiting:
        module = waiting.pop()
        if module is None:
            continue
        kept = module.__dict__
        if type(module) not in PARTS or kept["_forward_hooks"] or kept["_forward_pre_hooks"] or "forward" in kept:
            return None
        tensors += kept["_parameters"].values()
        tensors += kept["_buffers"].values()
        waiting += kept["_modules"].values()
    return tensors


class FoldedNetwork:
    """What an `AECFNetwork` with the encoders of this package predicts, up to rounding, in half the time.

    Modalities of like width go through their layers together, padded with zeros, and stand in another order.

    Parameters
    ----------
    network : AECFNetwork
        It is not kept, but its heads are.

    Attributes
    ----------
    groups : list of list of int
        Positions of the modalities that are computed together.
    order : list of int
        Positions of all modalities as they stand here.
    """

    @torch.no_grad()
    def __init__(self, network: AECFNetwork):
        embeddings, gate, reliability = network.encoders.embeddings, network.fusion.gate, network.reliability
        assert embeddings is not None  # there are no other encoders
        self.heads = network.heads
        first: list[tuple[Tensor, Tensor]] = [(layer.bias, layer.weight.T) for layer in embeddings.first]
        self.widths = [len(weight) for _, weight in first]
        self.groups = alike(self.widths)
        self.order = [m for group in self.groups for m in group]
        self.first = [
            (
                torch.stack([first[m][0] for m in group])[:, None],
                pad_sequence([first[m][1] for m in group], batch_first=True),
            )
            for group in self.groups
        ]
        self.norm = embeddings.norm_bias[self.order], embeddings.norm_weight[self.order]
        self.second = embeddings.bias[self.order], embeddings.weight[self.order]
        self.gate_bias = gate.bias.clone()
        self.to_scores = gate.to_scores.weight[self.order], gate.to_scores.bias[self.order]
        self.reliability = None if reliability is None else FoldedReliability(reliability, self.groups, self.widths)
        bias: list[Tensor] = [gate.from_presence[:, None]]
        weight: list[Tensor] = [gate.from_embeddings]
        if reliability is not None and reliability.agreement is not None:
            bias.append(reliability.agreement.bias)
            weight.append(reliability.agreement.weight)
        self.evidence = torch.cat(bias, dim=-1)[self.order], torch.cat(weight, dim=-1)[self.order]

    def room(self, n_rows: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Where to write inputs of so many rows: a part for each modality, and the groups that they are parts of."""
        groups, parts = [], dict[int, np.ndarray]()
        for group in self.groups:
            x = np.zeros((len(group), n_rows, max(self.widths[m] for m in group)), dtype=np.float32)
            groups.append(x)
            parts |= {m: x[i, :, : self.widths[m]] for i, m in enumerate(group)}
        return [parts[m] for m in range(len(parts))], groups

    def __call__(self, groups: list[Tensor], present: Tensor, views: Tensor) -> tuple[Tensor, Tensor | None]:
        """Predict.

        Parameters
        ----------
        groups : list of Tensor of shape (g, b, f)
            As from `room`; 0 in rows without the modality.
        present : float Tensor of shape (b, m)
            1 where observed; in the order of `order`.
        views : float Tensor of shape (b, v, m)

        Returns
        -------
        logits : Tensor of shape (k, b, v, c)
        trust : Tensor of shape (b, v, m), or None
        """
        n_rows, n_views, _ = views.shape
        hidden = _joined([torch.baddbmm(bias, x, weight) for x, (bias, weight) in zip(groups, self.first, strict=True)])
        norm_bias, norm_weight = self.norm
        activations = torch.addcmul(norm_bias, layer_norm(hidden, hidden.shape[-1:]), norm_weight).relu_()
        embeddings = torch.baddbmm(self.second[0], activations, self.second[1])
        evidence = torch.baddbmm(self.evidence[0], embeddings, self.evidence[1])
        n_hidden = len(self.gate_bias)
        trust = None
        if self.reliability is not None:
            trust = self.reliability(groups, evidence[..., n_hidden:], present, views)
        weights = self._weigh(evidence[..., :n_hidden].transpose(0, 1), views, trust)
        fused = torch.bmm(weights, embeddings.transpose(0, 1))
        logits = self.heads.in_portions(fused.view(n_rows * n_views, 1, -1), by_products=n_views > 1)
        return logits.view(len(logits), n_rows, n_views, -1), trust

    def _weigh(self, evidence: Tensor, views: Tensor, trust: Tensor | None) -> Tensor:
        """See `ModalityGate.weigh`; rows with nothing observed get equal weights."""
        heard = views if trust is None else trust
        scores = linear(torch.baddbmm(self.gate_bias, heard, evidence).relu_(), *self.to_scores)
        if trust is not None:
            scores += heard.clamp(min=MIN_TRUST).log_()
        return softmax_of_few(scores.masked_fill_(views == 0, torch.finfo(scores.dtype).min))


class FoldedReliability:
    """What `ModalityReliability` makes of the inputs of groups of modalities.

    Parameters
    ----------
    reliability : ModalityReliability
    groups : list of list of int
    widths : list of int
        Of all inputs.
    """

    def __init__(self, reliability: ModalityReliability, groups: list[list[int]], widths: list[int]):
        order = [m for group in groups for m in group]
        statistics, detector, agreement = reliability.statistics, reliability.detector, reliability.agreement
        bands = statistics.bands[order]
        self.looks = [GroupStatistics(statistics, group, [widths[m] for m in group]) for group in groups]
        # Further columns: what the likeness to typical points is a difference to.
        self.bands = torch.cat([bands, bands[..., :1] * statistics.kept[order, None], bands[..., 4:]], dim=-1)
        points = statistics.prototypes[order], statistics.plain_prototypes[order]
        level = statistics.level[order], statistics.plain_level[order]
        self.points, self.level = 2 * torch.cat(points, dim=-1), 2 * torch.cat(level, dim=-1)
        left = statistics.left_over[order]
        factor = torch.ones(len(order), 1, 12, device=bands.device)
        factor[..., 0] = 1 / statistics.width[order]
        factor[..., 2] = torch.where(left > 0, 1 / left, 0)
        self.factor, self.floor = factor, statistics.floor.clone()
        self.detector, self.trusted_from = self._detector(detector, reliability.known, order), reliability.floor[order]
        self.agreement = agreement

    @staticmethod
    def _detector(detector, known, order):
        """Biases and weights of its layers; the first takes the mean and the logarithms."""
        # Columns: the mean, and of the logarithms the row's square, the largest, what is left, five energies, of
        # which the fourth is not looked at, two distances, fourth moment and peak.
        statistics = torch.zeros(13, 14, device=known.device)
        for column, rows in enumerate([0, 1, 2, 3, 4, 5, 6, 11, 12, 9, 10]):
            statistics[rows, column] = 1
        for column, (more, less) in enumerate([(3, 1), (9, 4), (10, 8)], start=11):
            statistics[more, column], statistics[less, column] = 1, -1
        spread, centre = detector.spread[order], detector.centre[order]
        layers = [(-centre / spread, statistics / spread)]
        for i in range(detector.n_layers):
            layers.append((getattr(detector, f"bias_{i}")[order], getattr(detector, f"weight_{i}")[order]))
        # Of a modality of which too little is known every value is genuine.
        bias, weight = layers[-1]
        unknown = ~known[order, None, None]
        layers[-1] = bias.masked_fill(unknown, torch.inf), weight.masked_fill(unknown, 0)
        return layers

    def __call__(self, groups: list[Tensor], class_logits: Tensor, present: Tensor, views: Tensor) -> Tensor:
        """Trust (b, v, m), 0 where absent."""
        found = [look(x) for look, x in zip(self.looks, groups, strict=True)]
        scores, sizes = (_joined(parts) for parts in zip(*found, strict=True))
        whitened, mean = scores[..., :-1], scores[..., -1:]
        square = whitened.square()
        energies = torch.bmm(square, self.bands)
        likeness = torch.baddbmm(self.level, whitened, self.points).view(*square.shape[:2], 2, -1).amax(dim=-1)
        fourth, peak = square.square().mean(dim=-1, keepdim=True), square.amax(dim=-1, keepdim=True)
        positive = torch.cat([sizes, energies[..., :5], energies[..., 5:] - likeness, fourth, peak], dim=-1)
        logarithms = torch.addcmul(self.floor, positive.clamp_(min=0), self.factor).log_()
        (bias, weight), *layers = self.detector
        hidden = torch.baddbmm(bias, torch.cat([mean, logarithms], dim=-1), weight).clamp_(-30, 30)
        for i, (bias, weight) in enumerate(layers):
            hidden = torch.baddbmm(bias, hidden if i == 0 else hidden.relu_(), weight)
        trust = (hidden[..., 0].T.sigmoid() * present / self.trusted_from).clamp_(max=1)
        if self.agreement is None:
            return trust[:, None] * views
        factor = self.agreement.factors(class_logits, trust, views)
        return (trust[:, None] * views).mul_(factor).clamp_(max=1)


class GroupStatistics:
    """Scores and sizes of rows of some modalities that are computed together.

    Parameters
    ----------
    statistics : ValueStatistics
    group : list of int
    widths : list of int
        Of their inputs.
    """

    def __init__(self, statistics: ValueStatistics, group: list[int], widths: list[int]):
        columns = pad_sequence([getattr(statistics, f"columns_{m}") for m in group], batch_first=True)
        self.to_scores, back = columns, columns[..., :-1] * statistics.bands[group, None, :, 3]
        self.from_scores = back.transpose(1, 2).contiguous()
        self.width, self.scale = columns.shape[1], None
        if not all(statistics.is_standardized[m] for m in group):
            mean = pad_sequence([statistics.scale_of(m)[0] for m in group], batch_first=True)
            scale = pad_sequence([statistics.scale_of(m)[1] for m in group], batch_first=True, padding_value=1)
            self.scale = mean[:, None], scale[:, None]
        looked_at = [len(getattr(statistics, f"columns_{m}")) for m in group]
        self.counted = None
        if looked_at != widths:
            # Indicators of gaps stand behind the values that are looked at.
            counted = torch.arange(self.width) < torch.tensor(looked_at)[:, None, None]
            self.counted = counted.to(columns)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (g, b, k + 1), and the rows' square, largest square and square of what scores leave (g, b, 3)."""
        z = x[..., : self.width]
        if self.scale is not None:
            mean, scale = self.scale
            z = ((z - mean) / scale).clamp_(-MAX_DISTANCE, MAX_DISTANCE)
        if self.counted is not None:
            z = z * self.counted
        scores = torch.bmm(z, self.to_scores)
        left = torch.baddbmm(z, scores[..., :-1], self.from_scores, alpha=-1)
        square = z.square()
        return scores, torch.stack([square.sum(dim=-1), square.amax(dim=-1), left.square_().sum(dim=-1)], dim=-1)


def alike(widths: list[int]) -> list[list[int]]:
    """Positions of modalities in groups, each so alike in width that little is lost by padding it to the widest."""
    groups: list[list[int]] = []
    for m in sorted(range(len(widths)), key=widths.__getitem__):
        wider = [*groups[-1], m] if groups else [m]
        if groups and len(wider) * widths[m] - sum(widths[i] for i in wider) <= MAX_PADDING:
            groups[-1] = wider
        else:
            groups.append([m])
    return [sorted(group) for group in groups]


def _joined(parts) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
