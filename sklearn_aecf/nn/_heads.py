"""The heads: from fused embeddings to the logits of every member."""

import math

import torch
from torch import Tensor, nn

from sklearn_aecf.nn._dropout import Dropout

# Activations that stay in the cache of a core from one step to the next, and rows that they come in multiples of.
CACHED = 131_072
BLOCK_ROWS = 64


class MemberHeads(nn.Module):
    """A parameter-efficient ensemble after the fusion: K small heads that share everything before.

    Member ``k`` multiplies the fused embedding by its own vector ``r_k``, which starts near 1 (normal, standard
    deviation 1/2), adds its own bias, and has its own linear head after a common layer normalisation, ReLU and dropout
    (ours, in the manner of BatchEnsemble [1]_ and TabM [2]_). With one member there is no factor: the paper's network.

    Parameters
    ----------
    embed_dim : int
        Width ``d`` of a fused embedding.
    n_outputs : int
        Classes or labels.
    n_members : int
        Heads ``k``.
    dropout : float
        Rate of dropout, in [0, 1).

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
        """What the heads see before dropout, shape (..., k, d), of fused embeddings (..., k, d) or (..., 1, d).

        Parameters
        ----------
        fused : Tensor of shape (..., k, d) or (..., 1, d)
            Fused embeddings, for each member or one for all.

        Returns
        -------
        Tensor of shape (..., k, d)
            The activations.
        """
        adapted = fused if self.n_members == 1 else torch.addcmul(self.bias, fused, self.scale)
        return self.norm(adapted).relu_()

    def read_out(self, activations: Tensor) -> Tensor:
        """Logits (k, b, c) of activations (b, k, d).

        Parameters
        ----------
        activations : Tensor of shape (b, k, d)
            What `activate` returned.

        Returns
        -------
        Tensor of shape (k, b, c)
            The logits.
        """
        return torch.baddbmm(self.offset, activations.transpose(0, 1), self.weight)

    def forward(self, fused: Tensor) -> Tensor:
        """Logits (k, b, c) of fused embeddings (b, k, d), a view for each member, or (b, 1, d), one for all.

        Parameters
        ----------
        fused : Tensor of shape (b, k, d) or (b, 1, d)
            Fused embeddings, for each member or one for all.

        Returns
        -------
        Tensor of shape (k, b, c)
            The logits.
        """
        return self.read_out(self.dropout(self.activate(fused)))

    def in_portions(self, fused: Tensor, by_products: bool = False) -> Tensor:
        """What `forward` returns of one view for all members; where nothing is learnt, as many rows as a cache holds.

        Parameters
        ----------
        fused : Tensor of shape (b, 1, d)
            Fused embeddings.
        by_products : bool, default=False
            Whether many rows may be computed in another way, in half the time; it rounds in another way, too.

        Returns
        -------
        Tensor of shape (k, b, c)
            The logits.
        """
        n_rows = max(1, CACHED // (self.n_members * fused.shape[-1] * BLOCK_ROWS)) * BLOCK_ROWS
        learning = self.training or torch.is_grad_enabled()
        if learning or torch.compiler.is_compiling() or fused.device.type != "cpu" or len(fused) <= n_rows:
            return self(fused)
        logits = self._by_products(fused[:, 0], n_rows) if by_products and self.n_members > 1 else None
        if logits is None:
            logits = torch.cat([self(portion) for portion in fused.split(n_rows)], dim=1)
        return logits

    def _by_products(self, fused: Tensor, n_rows: int) -> Tensor | None:
        """Logits (k, b, c) of fused embeddings ``f`` (b, d) by products of matrices; None where they would be inexact.

        With ``x = r f + s`` of mean ``m`` and deviation ``v`` over ``d``, the normalised ``g (x - m) / v + h`` is
        ``(g r f + [1, m, v] @ [g s, -g, h]) / v``, and as ReLU keeps a positive factor, ``1 / v`` is left to the
        logits. ``m`` and ``v`` are products, too: of ``f`` and its squares.
        """
        r, s, g, h = self.scale, self.bias, self.norm.weight, self.norm.bias
        of_sum, of_square = (torch.cat([r, 2 * r * s]) / r.shape[1] @ fused.T).chunk(2)
        mean = of_sum + s.mean(dim=1, keepdim=True)
        square = torch.addmm(of_square, r.square() / r.shape[1], fused.square().T)
        square += s.square().mean(dim=1, keepdim=True)
        variance = square - mean.square()
        # A difference of large numbers has few digits.
        if not (variance > 0.1 * square).all():
            return None
        deviation = (variance + self.norm.eps).sqrt_()
        factors = torch.stack([torch.ones_like(mean), mean, deviation]).permute(1, 2, 0)
        constants = torch.stack([g * s, (-g).expand_as(s), h.expand_as(s)], dim=1)
        products, scale = [], (g * r)[:, None]
        for f, factor in zip(fused.split(n_rows), factors.split(n_rows, dim=1), strict=True):
            products.append(torch.bmm((f * scale).baddbmm_(factor, constants).relu_(), self.weight))
        return torch.addcdiv(self.offset, torch.cat(products, dim=1), deviation[..., None])
