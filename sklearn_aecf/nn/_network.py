"""The whole network: an embedding per modality, the fusion, and a head per member."""

import math

import torch
from torch import Tensor, nn

from sklearn_aecf.nn._dropout import Dropout
from sklearn_aecf.nn._fusion import AECFFusion


class ModalityEmbeddings(nn.Module):
    """``e_m = W_m phi(A_m x_m)``: each modality's features into the common space.

    ``phi`` is layer normalisation, ReLU and dropout (ours; measured better than a linear map). There is no batch
    normalisation, so a row's embedding does not depend on the batch it is in. All modalities go through ``phi`` and
    ``W`` together: with several small ones, what is done to each costs more than the arithmetic.

    Parameters
    ----------
    n_features : list of int
        Features of each modality.
    hidden_dim : int
    embed_dim : int
    dropout : float

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import ModalityEmbeddings
    >>> embed = ModalityEmbeddings([10, 3], hidden_dim=32, embed_dim=16, dropout=0.2)
    >>> embed([torch.randn(4, 10), torch.randn(4, 3)]).shape                # rows, modalities, embedding
    torch.Size([4, 2, 16])
    """

    def __init__(self, n_features: list[int], hidden_dim: int, embed_dim: int, dropout: float):
        super().__init__()
        n_modalities, bound = len(n_features), 1 / math.sqrt(hidden_dim)
        self.hidden_dim = hidden_dim
        self.first = nn.ModuleList(nn.Linear(width, hidden_dim) for width in n_features)
        self.norm_weight = nn.Parameter(torch.ones(n_modalities, 1, hidden_dim))
        self.norm_bias = nn.Parameter(torch.zeros(n_modalities, 1, hidden_dim))
        self.dropout = Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(n_modalities, hidden_dim, embed_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_modalities, 1, embed_dim).uniform_(-bound, bound))

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Embeddings (b, m, d) of finite inputs, each of shape (b, f_m)."""
        hidden = torch.stack([layer(x) for layer, x in zip(self.first, inputs, strict=True)])
        activations = self._phi(hidden, self.norm_weight, self.norm_bias)
        return torch.baddbmm(self.bias, activations, self.weight).transpose(0, 1)

    def one(self, m: int, x: Tensor) -> Tensor:
        """Embeddings (b, d) of modality `m` alone, for rows that have it."""
        activations = self._phi(self.first[m](x), self.norm_weight[m], self.norm_bias[m])
        return torch.addmm(self.bias[m], activations, self.weight[m])

    def _phi(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        normalised = nn.functional.layer_norm(hidden, (self.hidden_dim,))
        return self.dropout(torch.relu(torch.addcmul(bias, normalised, weight)))


class MemberHeads(nn.Module):
    """A parameter-efficient ensemble after the fusion: K small heads that share everything before.

    Member ``k`` multiplies the fused embedding by its own vector ``r_k``, which starts near 1 (normal, standard
    deviation 1/2), adds its own bias, and has its own linear head after a common layer normalisation, ReLU and dropout
    (ours, in the manner of BatchEnsemble [1]_ and TabM [2]_). With one member there is no factor: the paper's network.

    Parameters
    ----------
    embed_dim, n_outputs : int
    n_members : int
    dropout : float

    References
    ----------
    .. [1] Wen, Tran and Ba, *BatchEnsemble*, ICLR 2020.
    .. [2] Gorishniy, Kotelnikov and Babenko, *TabM*, ICLR 2025.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import MemberHeads
    >>> heads = MemberHeads(embed_dim=16, n_outputs=3, n_members=4, dropout=0.2)
    >>> heads(torch.randn(8, 1, 16)).shape, heads(torch.randn(8, 4, 16)).shape      # one view for all, or one each
    (torch.Size([4, 8, 3]), torch.Size([4, 8, 3]))
    """

    def __init__(self, embed_dim: int, n_outputs: int, n_members: int, dropout: float):
        super().__init__()
        self.n_members = n_members
        if n_members > 1:
            self.scale = nn.Parameter(1 + 0.5 * torch.randn(n_members, embed_dim))
            self.bias = nn.Parameter(torch.zeros(n_members, embed_dim))
        self.norm = nn.LayerNorm(embed_dim)
        self.dropout = Dropout(dropout)
        bound = 1 / math.sqrt(embed_dim)
        self.weight = nn.Parameter(torch.empty(n_members, embed_dim, n_outputs).uniform_(-bound, bound))
        self.offset = nn.Parameter(torch.zeros(n_members, 1, n_outputs))

    def activate(self, fused: Tensor) -> Tensor:
        """What the heads see before dropout, shape (..., k, d), of fused embeddings (..., k, d) or (..., 1, d)."""
        adapted = fused if self.n_members == 1 else torch.addcmul(self.bias, fused, self.scale)
        return torch.relu(self.norm(adapted))

    def read_out(self, activations: Tensor) -> Tensor:
        """Logits (k, b, c) of activations (b, k, d)."""
        return torch.baddbmm(self.offset, activations.transpose(0, 1), self.weight)

    def forward(self, fused: Tensor) -> Tensor:
        """Logits (k, b, c) of fused embeddings (b, k, d), a view for each member, or (b, 1, d), one for all."""
        return self.read_out(self.dropout(self.activate(fused)))

    def every_member(self, fused: Tensor) -> Tensor:
        """Logits (v, k, b, c) of all members on the same views, of fused embeddings (b, v, d)."""
        rows, views, d = fused.shape
        logits = self(fused.reshape(rows * views, 1, d))
        return logits.view(self.n_members, rows, views, -1).permute(2, 0, 1, 3)


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
    dropout : float, default=0.5
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
        dropout: float = 0.5,
        fusion_exponent: float | str = 0.0,
        n_members: int = 8,
    ):
        super().__init__()
        self.embeddings = ModalityEmbeddings(n_features, hidden_dim, embed_dim, dropout)
        self.fusion = AECFFusion(len(n_features), embed_dim, gate_hidden_dim, fusion_exponent)
        self.heads = MemberHeads(embed_dim, n_outputs, n_members, dropout)

    @property
    def n_members(self) -> int:
        return self.heads.n_members

    def embed(self, inputs: list[Tensor]) -> Tensor:
        """Embeddings (b, m, d) of inputs that are finite everywhere, each of shape (b, f_m)."""
        return self.embeddings(inputs)

    def gate(self, embeddings: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (b, m) or (b, v, m), and their entropy; see `ModalityGate`."""
        return self.fusion.gate(embeddings, present)

    def fuse(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Fused embeddings (b, v, d) of views (b, v, m), before any member adapts them."""
        weights, _ = self.gate(embeddings, present)
        return self.fusion.combine(embeddings, weights, present)

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
        return self.heads.every_member(self.fuse(embeddings, present))

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
