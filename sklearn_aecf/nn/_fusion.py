"""The gate and the fusion: which modality counts how much, and their weighted sum."""

import math

import torch
from torch import Tensor, nn

from sklearn_aecf.nn._runtime import full_precision

# Below this a modality is as good as absent; the logarithm of 0 would give gradients that are no numbers.
MIN_TRUST = 1e-6


class ModalityGate(nn.Module):
    """Weigh each row's observed modalities.

    A two-layer network scores the modalities; a softmax over the observed ones turns scores into weights. What the
    first layer needs is computed once per modality, so that many subsets of the same rows (views) cost little: each
    is a masked sum. The last layer starts at zero, hence weights start uniform (ours).

    Parameters
    ----------
    n_modalities : int
        How many modalities there are.
    embed_dim : int
        Width ``d`` of a modality embedding.
    hidden_dim : int, default=32
        Width of the hidden layer.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, *Robust Multimodal Learning via Entropy-Gated Contrastive Fusion*,
       arXiv:2505.15417, the entropy-regularised gate.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import ModalityGate
    >>> gate = ModalityGate(n_modalities=3, embed_dim=4)
    >>> present = torch.tensor([[True, True, False], [False, True, False]])
    >>> weights, entropy = gate(torch.randn(2, 3, 4), present)
    >>> weights[1].tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(self, n_modalities: int, embed_dim: int, hidden_dim: int = 32):
        super().__init__()
        self.n_modalities = n_modalities
        bound = 1 / math.sqrt(n_modalities * embed_dim + n_modalities)
        self.from_embeddings = nn.Parameter(torch.empty(n_modalities, embed_dim, hidden_dim).uniform_(-bound, bound))
        self.from_presence = nn.Parameter(torch.empty(n_modalities, hidden_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(hidden_dim).uniform_(-bound, bound))
        self.to_scores = nn.Linear(hidden_dim, n_modalities)
        nn.init.zeros_(self.to_scores.weight)
        nn.init.zeros_(self.to_scores.bias)

    def evidence(self, embeddings: Tensor) -> Tensor:
        """What each modality adds to the hidden layer where it is observed, shape (b, m, hidden_dim).

        Parameters
        ----------
        embeddings : Tensor of shape (b, m, d)
            One a modality.

        Returns
        -------
        Tensor of shape (b, m, hidden_dim)
            What is added to the hidden layer.
        """
        with full_precision(embeddings.device.type):
            hidden = torch.bmm(embeddings.to(self.from_embeddings.dtype).transpose(0, 1), self.from_embeddings)
        return (hidden + self.from_presence[:, None]).transpose(0, 1)

    def weigh(self, evidence: Tensor, present: Tensor, trust: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weights and entropy of views ``present`` of shape (b, v, m), from `evidence`; see `forward` for `trust`.

        Parameters
        ----------
        evidence : Tensor of shape (b, m, hidden_dim)
            What the method `evidence` returned.
        present : bool Tensor of shape (b, v, m)
            What each view may use.
        trust : Tensor of shape (b, v, m), default=None
            How far each modality is trusted, from 0 to 1.

        Returns
        -------
        tuple of Tensor
            Weights of shape (b, v, m), and entropies of shape (b, v) in nats.
        """
        with full_precision(evidence.device.type):
            heard = present.to(evidence.dtype) if trust is None else trust * present
            scores = self.to_scores(torch.relu(torch.bmm(heard, evidence) + self.bias))
            if trust is not None:
                scores = scores + heard.clamp(min=MIN_TRUST).log()
            return masked_softmax(scores, present)

    def forward(self, embeddings: Tensor, present: Tensor, trust: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weigh the modalities of each row.

        Parameters
        ----------
        embeddings : Tensor of shape (b, m, d)
            Finite, also where a modality is absent (what stands there has no influence).
        present : bool Tensor of shape (b, m) or (b, v, m)
            With ``v``, that many subsets of every row are weighed. At least one True a row is expected, but not
            checked here, because that would synchronise a GPU; `AECFClassifier` sees to it. A row without one gets
            weights of 0.
        trust : Tensor of the shape of `present`, optional
            In [0, 1]: how reliable each modality is. Weights are proportional to ``trust exp(score)``, and a modality
            adds to the scores of the others in this proportion: at 0 it is as if it were absent (ours).

        Returns
        -------
        weights : Tensor of the shape of `present`
            Rows sum to 1; exactly 0 where absent.
        entropy : Tensor of shape (b,) or (b, v)
            Of the weights, in nats.
        """
        views = present if present.dim() == 3 else present[:, None]
        if trust is not None and trust.dim() == 2:
            trust = trust[:, None]
        weights, entropy = self.weigh(self.evidence(embeddings), views, trust)
        return (weights, entropy) if present.dim() == 3 else (weights[:, 0], entropy[:, 0])


class AECFFusion(nn.Module):
    """Fuse the embeddings of frozen backbones: a gated sum over the modalities that a row has.

    Parameters
    ----------
    n_modalities : int
        How many modalities there are.
    embed_dim : int
        Width ``d``, the same for all modalities.
    gate_hidden_dim : int, default=32
        Width of the gate's hidden layer.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417, entropy-gated fusion.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import AECFFusion
    >>> fusion = AECFFusion(n_modalities=2, embed_dim=16)
    >>> image, audio = torch.randn(8, 16), torch.randn(8, 16)
    >>> present = torch.ones(8, 2, dtype=torch.bool)
    >>> present[0, 1] = False                       # the first row has no audio
    >>> fused, weights, entropy = fusion([image, audio], present)
    >>> fused.shape, weights[0].tolist()
    (torch.Size([8, 16]), [1.0, 0.0])
    """

    def __init__(self, n_modalities: int, embed_dim: int, gate_hidden_dim: int = 32):
        super().__init__()
        self.n_modalities = n_modalities
        self.embed_dim = embed_dim
        self.gate = ModalityGate(n_modalities, embed_dim, gate_hidden_dim)

    def combine(self, embeddings: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums (b, v, d) of embeddings (b, m, d), one per view; weights are (b, v, m).

        Parameters
        ----------
        embeddings : Tensor of shape (b, m, d)
            One a modality.
        weights : Tensor of shape (b, v, m)
            A view's rows sum to 1.

        Returns
        -------
        Tensor of shape (b, v, d)
            The weighted sums.
        """
        return torch.bmm(weights.to(embeddings.dtype), embeddings)

    def forward(
        self, embeddings: list[Tensor], present: Tensor, trust: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse one row's modalities into one vector.

        Parameters
        ----------
        embeddings : list of m Tensors of shape (b, d), or a Tensor of shape (b, m, d)
            In fitted order. What stands where a modality is absent, NaN included, has no influence.
        present : bool Tensor of shape (b, m)
            True where a modality is observed.
        trust : Tensor of shape (b, m), optional
            How reliable each modality is, in [0, 1]; see `ModalityGate.forward`.

        Returns
        -------
        fused : Tensor of shape (b, d)
            The weighted sum of the embeddings.
        weights : Tensor of shape (b, m)
            Rows sum to 1; exactly 0 where absent; all 0 in a row with nothing observed, whose ``fused`` is 0.
        entropy : Tensor of shape (b,)
            Of the weights, in nats.

        Raises
        ------
        ValueError
            If the number of embeddings, their shapes or that of `present` do not fit.
        """
        stacked = embeddings if isinstance(embeddings, Tensor) else self._stacked(embeddings)
        if stacked.dim() != 3 or stacked.shape[1:] != (self.n_modalities, self.embed_dim):
            raise ValueError(
                f"embeddings must have shape (b, {self.n_modalities}, {self.embed_dim}). Got {tuple(stacked.shape)}."
            )
        if present.dtype != torch.bool or present.shape != stacked.shape[:2]:
            raise ValueError(
                f"present must be a bool tensor of shape {tuple(stacked.shape[:2])}. "
                f"Got {present.dtype} of shape {tuple(present.shape)}."
            )
        stacked = stacked.masked_fill(~present[..., None], 0)
        weights, entropy = self.gate(stacked, present, trust)
        return self.combine(stacked, weights[:, None])[:, 0], weights, entropy

    def _stacked(self, embeddings: list[Tensor]) -> Tensor:
        if len(embeddings) != self.n_modalities:
            raise ValueError(f"AECFFusion fuses {self.n_modalities} modalities. Got {len(embeddings)} embeddings.")
        shapes = {tuple(embedding.shape) for embedding in embeddings}
        if len(shapes) > 1:
            raise ValueError(f"All embeddings must have the same shape (b, {self.embed_dim}). Got {sorted(shapes)}.")
        return torch.stack(list(embeddings), dim=1)


def masked_softmax(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax over the observed entries of the last axis, and its entropy in nats.

    Exactly 0 where absent, also in the gradient; a row without any observed entry gets zeros. Neither infinities nor
    ``0 * log 0`` arise, so gradients stay finite for every pattern.
    """
    if torch.is_grad_enabled():
        return _MaskedSoftmax.apply(scores, present)
    weights = _masked_weights(scores, present)
    return weights, _entropy(weights)


def _masked_weights(scores, present):
    masked = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
    weights = (masked - masked.amax(dim=-1, keepdim=True)).exp_().mul_(present)
    weights /= weights.sum(dim=-1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).tiny)
    return weights


def _entropy(weights):
    return torch.xlogy(weights, weights).sum(dim=-1).neg_()


class _MaskedSoftmax(torch.autograd.Function):
    """With a gradient by hand: the many small steps of it took longer than the rest of a gate's."""

    @staticmethod
    def forward(ctx, scores, present):
        weights = _masked_weights(scores, present)
        ctx.save_for_backward(weights)
        return weights, _entropy(weights)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, weights_gradient, entropy_gradient):
        (weights,) = ctx.saved_tensors
        logarithm = weights.clamp(min=torch.finfo(weights.dtype).tiny).log_()
        inner = weights_gradient - entropy_gradient[..., None] * logarithm
        return weights * (inner - (weights * inner).sum(dim=-1, keepdim=True)), None
