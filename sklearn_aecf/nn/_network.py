"""The whole network: an embedding per modality, the fusion, and a head per member."""

import math

import torch
from torch import Tensor, nn

from sklearn_aecf.nn._fusion import AECFFusion, weighted_sum


class ModalityEmbedding(nn.Sequential):
    """``e = W phi(A x)``: a modality's features into the common space.

    ``phi`` is layer normalisation, ReLU and dropout (ours; measured better than a linear map). There is no batch
    normalisation, so a row's embedding does not depend on the batch it is in.

    Parameters
    ----------
    n_features : int
    hidden_dim : int
    embed_dim : int
    dropout : float

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import ModalityEmbedding
    >>> ModalityEmbedding(10, hidden_dim=32, embed_dim=16, dropout=0.2)(torch.randn(4, 10)).shape
    torch.Size([4, 16])
    """

    def __init__(self, n_features: int, hidden_dim: int, embed_dim: int, dropout: float):
        super().__init__(
            nn.Linear(n_features, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, embed_dim),
        )


class MemberHeads(nn.Module):
    """A parameter-efficient ensemble after the embeddings: K small heads that share everything before.

    Member ``k`` multiplies modality ``m``'s embedding by its own vector ``r_km``, drawn from N(1, 1/2), adds its own
    bias to the weighted sum, and has its own linear head after a common layer normalisation, ReLU and dropout (ours,
    in the manner of BatchEnsemble [1]_ and TabM [2]_). With one member there is no factor: the paper's network.

    Parameters
    ----------
    n_modalities, embed_dim, n_outputs : int
    n_members : int
    dropout : float

    References
    ----------
    .. [1] Wen, Tran and Ba, *BatchEnsemble*, ICLR 2020.
    .. [2] Gorishniy, Kotelnikov and Babenko, *TabM*, ICLR 2025.
    """

    def __init__(self, n_modalities: int, embed_dim: int, n_outputs: int, n_members: int, dropout: float):
        super().__init__()
        self.n_members = n_members
        if n_members > 1:
            self.scale = nn.Parameter(1 + 0.5 * torch.randn(n_members, n_modalities, embed_dim))
            self.bias = nn.Parameter(torch.zeros(n_members, 1, embed_dim))
        self.norm = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)
        bound = 1 / math.sqrt(embed_dim)
        self.weight = nn.Parameter(torch.empty(n_members, embed_dim, n_outputs).uniform_(-bound, bound))
        self.offset = nn.Parameter(torch.zeros(n_members, 1, n_outputs))

    def activate(self, embeddings: Tensor, weights: Tensor) -> Tensor:
        """What the heads see before dropout, shape (v, b, d); view v belongs to member ``v % n_members``.

        Parameters
        ----------
        embeddings : Tensor of shape (b, m, d)
        weights : Tensor of shape (b, v, m)
            ``v`` a multiple of ``n_members``.
        """
        repeats = weights.shape[1] // self.n_members
        if self.n_members == 1:
            fused = weighted_sum(embeddings, weights)
        else:
            fused = weighted_sum(embeddings, weights, self.scale.repeat(repeats, 1, 1))
            fused = fused + self.bias.repeat(repeats, 1, 1)
        return torch.relu(self.norm(fused))

    def read_out(self, activations: Tensor) -> Tensor:
        """Logits (v, b, c) of activations (v, b, d)."""
        repeats = activations.shape[0] // self.n_members
        weight: Tensor = self.weight
        offset: Tensor = self.offset
        if repeats > 1 and self.n_members > 1:
            weight, offset = weight.repeat(repeats, 1, 1), offset.repeat(repeats, 1, 1)
        elif repeats > 1:
            return activations @ weight[0] + offset[0]
        return torch.baddbmm(offset, activations, weight)

    def forward(self, embeddings: Tensor, weights: Tensor) -> Tensor:
        """Logits (v, b, c) of the views that `weights` describes."""
        return self.read_out(self.dropout(self.activate(embeddings, weights)))

    def every_member(self, embeddings: Tensor, weights: Tensor) -> Tensor:
        """Logits of all members on the same views, shape (v, k, b, c).

        What members make of an embedding is computed once; each view is then one matrix product.

        Parameters
        ----------
        embeddings : Tensor of shape (b, m, d)
        weights : Tensor of shape (b, v, m)
        """
        rows, _, d = embeddings.shape
        n_views, members = weights.shape[1], self.n_members
        if members > 1:
            adapted = (embeddings[:, :, None] * self.scale.transpose(0, 1).contiguous()).flatten(2)
            # The bias as one more modality, of weight 1, comes with the product.
            bias = self.bias.reshape(1, 1, members * d).expand(rows, 1, -1)
            ones = weights.new_ones(rows, n_views, 1)
            fused = torch.bmm(torch.cat([weights, ones], dim=2).to(adapted.dtype), torch.cat([adapted, bias], dim=1))
        else:
            fused = torch.bmm(weights.to(embeddings.dtype), embeddings)
        fused = fused.view(rows * n_views, members, d)
        activations = self.dropout(torch.relu(self.norm(fused))).transpose(0, 1)
        logits = torch.baddbmm(self.offset, activations, self.weight)
        return logits.view(members, rows, n_views, -1).permute(2, 0, 1, 3)


class AECFNetwork(nn.Module):
    """Embeddings, gated fusion and heads: the network that `AECFClassifier` trains.

    Parameters
    ----------
    n_features : list of int
        Features of each modality.
    n_outputs : int
        Classes or labels.
    embed_dim : int, default=128
    hidden_dim : int, default=256
    gate_hidden_dim : int, default=32
    dropout : float, default=0.3
    fusion_exponent : float or "learned", default=0.0
        See `AECFFusion`.
    n_members : int, default=8
        See `MemberHeads`.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import AECFNetwork
    >>> network = AECFNetwork([10, 6], n_outputs=3, n_members=4)
    >>> present = torch.tensor([[True, True], [True, False]])
    >>> network([torch.randn(2, 10), torch.randn(2, 6)], present).shape     # members, rows, classes
    torch.Size([4, 2, 3])
    """

    def __init__(
        self,
        n_features: list[int],
        n_outputs: int,
        embed_dim: int = 128,
        hidden_dim: int = 256,
        gate_hidden_dim: int = 32,
        dropout: float = 0.3,
        fusion_exponent: float | str = 0.0,
        n_members: int = 8,
    ):
        super().__init__()
        self.embeddings = nn.ModuleList(
            ModalityEmbedding(width, hidden_dim, embed_dim, dropout) for width in n_features
        )
        self.fusion = AECFFusion(len(n_features), embed_dim, gate_hidden_dim, fusion_exponent)
        self.heads = MemberHeads(len(n_features), embed_dim, n_outputs, n_members, dropout)

    @property
    def n_members(self) -> int:
        return self.heads.n_members

    def embed(self, inputs: list[Tensor]) -> Tensor:
        """Embeddings (b, m, d) of inputs that are finite everywhere, each of shape (b, f_m)."""
        return torch.stack([embed(x) for embed, x in zip(self.embeddings, inputs, strict=True)], dim=1)

    def gate(self, embeddings: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (b, m) or (b, v, m), and their entropy; see `ModalityGate`."""
        return self.fusion.gate(embeddings, present)

    def classify(self, embeddings: Tensor, weights: Tensor, present: Tensor) -> Tensor:
        """Logits (v, b, c) of views with these gate weights, both of shape (b, v, m)."""
        return self.heads(embeddings, self.fusion.scaled(weights, present))

    def member_logits(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Logits of every member on every view.

        Parameters
        ----------
        embeddings : Tensor of shape (b, m, d)
        present : bool Tensor of shape (b, v, m)

        Returns
        -------
        Tensor of shape (v, k, b, c)
        """
        weights, _ = self.gate(embeddings, present)
        return self.heads.every_member(embeddings, self.fusion.scaled(weights, present))

    def fuse(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Fused embeddings (b, d) of the observed sets (b, m), before any member adapts them."""
        weights, _ = self.gate(embeddings, present)
        return weighted_sum(embeddings, self.fusion.scaled(weights, present)[:, None])[0]

    def forward(self, inputs: list[Tensor], present: Tensor) -> Tensor:
        """Logits of every member.

        Parameters
        ----------
        inputs : list of Tensors of shape (b, f_m)
            What stands in rows without the modality, NaN included, has no influence.
        present : bool Tensor of shape (b, m)

        Returns
        -------
        Tensor of shape (k, b, c)
        """
        clean = [x.masked_fill(~present[:, m, None], 0) for m, x in enumerate(inputs)]
        return self.member_logits(self.embed(clean), present[:, None])[0]
