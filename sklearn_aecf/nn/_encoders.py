"""What turns modalities into embeddings of one width: small networks computed together, and encoders of the user's."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce

import torch
from torch import Tensor, nn

from sklearn_aecf.nn._dropout import Dropout


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
        Width ``h`` of the layer before the embedding.
    embed_dim : int
        Width ``d`` of a modality's embedding.
    dropout : float
        Rate of dropout, in [0, 1).

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

    def phi(self, hidden: Tensor) -> Tensor:
        """Normalisation, ReLU and dropout of hidden values of shape (m, b, h).

        Parameters
        ----------
        hidden : Tensor of shape (m, b, h)
            Hidden values.

        Returns
        -------
        Tensor of shape (m, b, h)
            The activations.
        """
        normalised = nn.functional.layer_norm(hidden, (self.hidden_dim,))
        return self.dropout(torch.addcmul(self.norm_bias, normalised, self.norm_weight).relu_())

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Embeddings (b, m, d) of finite inputs, each of shape (b, f_m).

        Parameters
        ----------
        inputs : list of Tensor of shape (b, f_m)
            Finite values of each modality.

        Returns
        -------
        Tensor of shape (b, m, d)
            The embeddings.
        """
        hidden = torch.stack([layer(x) for layer, x in zip(self.first, inputs, strict=True)])
        return torch.baddbmm(self.bias, self.phi(hidden), self.weight).transpose(0, 1)


class OwnEncoder(nn.Module):
    """An encoder of the user's, called on the rows that have its modality, and what adapts its width.

    Parameters
    ----------
    encoder : nn.Module
        From a batch of the modality, of shape (b, ...), to one vector a row, of shape (b, any).
    width : int
        Width of these vectors.
    embed_dim : int
        Another width goes through a linear layer.
    name : str, default=""
        Of the modality, for messages.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import OwnEncoder
    >>> encoder = OwnEncoder(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten()), width=72, embed_dim=16)
    >>> embeddings = encoder(torch.randn(3, 1, 8, 8), torch.tensor([True, False, True]))
    >>> embeddings.shape, bool((embeddings[1] == 0).all())
    (torch.Size([3, 16]), True)
    """

    def __init__(self, encoder: nn.Module, width: int, embed_dim: int, name: str = ""):
        super().__init__()
        self.name = name
        self.encoder = encoder
        self.embed_dim = embed_dim
        self.adapter = nn.Identity() if width == embed_dim else nn.Linear(width, embed_dim)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Embeddings (b, d); zeros in rows without the modality, of which the encoder sees nothing.

        Parameters
        ----------
        x : Tensor of shape (b, ...)
            Values of one modality.
        present : bool Tensor of shape (b,)
            True where a modality is observed.

        Returns
        -------
        Tensor of shape (b, d)
            The embeddings.
        """
        x = as_encoder_input(x)
        if torch.compiler.is_compiling():
            # A traced graph has one shape for all patterns: absent rows are computed, and their embeddings dropped.
            return self.adapter(self.encoder(x).float()).masked_fill(~present[:, None], 0)
        rows = present.nonzero()[:, 0]
        if len(rows) == 0:
            return torch.zeros(len(x), self.embed_dim, device=x.device)
        having = x if len(rows) == len(x) else x[rows]
        # Layers that normalise over a batch refuse to train on a single row; two of the same are normalised to 0.
        alone = len(rows) == 1 and self.training
        with named_errors(self.name, having):
            encoded = self.encoder(torch.cat([having, having]) if alone else having)[: len(rows)]
        if encoded.dtype == torch.float64:
            encoded = encoded.float()
        encoded = self.adapter(encoded)
        if len(rows) == len(x):
            return encoded
        return encoded.new_zeros(len(x), self.embed_dim).index_copy(0, rows, encoded)


@contextmanager
def named_errors(name: str, x: Tensor) -> Iterator[None]:
    """Errors of an encoder with the name of its modality and the shape of the batch."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        kind = str(x.dtype).removeprefix("torch.")
        raise ValueError(
            f"The encoder of modality {name!r} failed on a batch of shape {tuple(x.shape)} ({kind}): {error}"
        ) from error


def as_encoder_input(x: Tensor) -> Tensor:
    """What an encoder gets: float32, but int64 of signed integers, which are codes. Pictures of bytes become floats."""
    if x.dtype in (torch.int8, torch.int16, torch.int32, torch.int64):
        return x.long()
    return x.float()


class ModalityEncoders(nn.Module):
    """Embeddings of all modalities: those with an encoder of their own, and the others together.

    Parameters
    ----------
    n_features : list of int
        Features of each modality; not used where it has an encoder.
    hidden_dim, embed_dim : int
    dropout : float
    encoders : mapping of int to OwnEncoder
        By position of the modality.
    """

    def __init__(
        self,
        n_features: list[int],
        hidden_dim: int,
        embed_dim: int,
        dropout: float,
        encoders: Mapping[int, OwnEncoder],
    ):
        super().__init__()
        self.shared = [m for m in range(len(n_features)) if m not in encoders]
        self.embeddings = None
        if self.shared:
            self.embeddings = ModalityEmbeddings([n_features[m] for m in self.shared], hidden_dim, embed_dim, dropout)
        self.own = nn.ModuleDict({str(m): encoder for m, encoder in encoders.items()})

    def forward(self, inputs: list[Tensor], present: Tensor) -> Tensor:
        """Embeddings (b, m, d) of inputs, each of shape (b, ...), of rows with the modalities `present` (b, m)."""
        parts: dict[int, Tensor] = {}
        if self.embeddings is not None:
            shared = [inputs[m] for m in self.shared]
            some_absent = present.device.type != "cpu" or torch.compiler.is_compiling() or not present.all()
            if some_absent and torch.is_grad_enabled():
                # What stands in absent rows, NaN included, must not reach the gradient of the weights.
                shared = [x.masked_fill(~present[:, m, None], 0) for m, x in zip(self.shared, shared, strict=True)]
            embedded = self.embeddings(shared)
            if some_absent and not torch.is_grad_enabled():
                # One step instead of one a modality.
                here = present[:, self.shared] if self.own else present
                embedded = embedded.masked_fill(~here[..., None], 0)
            if not self.own:
                return embedded
            parts.update(zip(self.shared, embedded.unbind(dim=1), strict=True))
        for position, encoder in self.own.items():
            parts[int(position)] = encoder(inputs[int(position)], present[:, int(position)])
        # Under autocast an encoder may answer in another precision than the shared networks.
        dtype = reduce(torch.promote_types, (part.dtype for part in parts.values()))
        return torch.stack([parts[m].to(dtype) for m in range(len(parts))], dim=1)
