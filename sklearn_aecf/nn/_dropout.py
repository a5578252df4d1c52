"""Dropout at the price of a multiplication."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zero each activation with probability `p` in training, and scale the others so that means stay.

    On CPU a byte of random bits decides each activation, because torch's own dropout, which draws from a Bernoulli
    distribution one number at a time, took a fifth of a training step. The rate is therefore `p` rounded to a multiple
    of 1/256 between 1/256 and 255/256 (and scaled for exactly); other devices use torch's.

    Parameters
    ----------
    p : float, default=0.5
        In [0, 1).

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.nn import Dropout
    >>> _ = torch.manual_seed(0)
    >>> Dropout(0.5)(torch.ones(8)).unique().tolist()
    [0.0, 2.0]
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p must be in [0, 1). Got {p}.")
        self.p = p
        self.threshold = min(max(round(256 * p), 1), 255) if p > 0 else 0

    def forward(self, x: Tensor) -> Tensor:
        """`x` with activations dropped in training, and `x` itself in evaluation.

        Parameters
        ----------
        x : Tensor
            Activations of any shape.

        Returns
        -------
        Tensor
            Of the same shape.
        """
        return self.sample(x) if self.training else x

    def sample(self, x: Tensor) -> Tensor:
        """`x` with activations dropped, in evaluation too: for Monte Carlo dropout.

        Parameters
        ----------
        x : Tensor
            Activations of any shape.

        Returns
        -------
        Tensor
            Of the same shape.
        """
        if self.p == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        return x * self.noise(x.shape, x.dtype)

    def noise(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """0 for what is dropped, the scale for what stays.

        Parameters
        ----------
        shape : torch.Size
            Shape of the activations.
        dtype : torch.dtype
            Type of the activations.

        Returns
        -------
        Tensor
            Factors of the shape given.
        """
        n = shape.numel()
        bits = torch.empty(-(-n // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = bits.view(torch.uint8)[:n].view(shape).to(dtype).ge_(self.threshold)
        return kept.mul_(256 / (256 - self.threshold))

    def extra_repr(self) -> str:
        """What ``repr`` shows between brackets.

        Returns
        -------
        str
            The rate.
        """
        return f"p={self.p}"
