"""What broken sensors do to values: strategies with scikit-learn parameters, for training what tells them from others.

Values are standardised by their training rows: 0 is the training mean of a feature, 1 its standard deviation.
"""

import torch
from sklearn.base import BaseEstimator
from torch import Tensor


class Corruption(BaseEstimator):
    """What is taken for broken when reliability is learnt: base class of the strategies.

    A strategy of your own is a subclass with a method `corrupt`. Its parameters are those of ``__init__``, as for every
    scikit-learn estimator.

    Examples
    --------
    A sensor that clips:

    >>> import torch
    >>> from sklearn_aecf.masking import Corruption
    >>> class Clipped(Corruption):
    ...     def __init__(self, limit=0.5):
    ...         self.limit = limit
    ...     def corrupt(self, values, genuine):
    ...         return values.clamp(-self.limit, self.limit)
    >>> Clipped().corrupt(torch.tensor([[2.0, -0.1]]), None)
    tensor([[ 0.5000, -0.1000]])
    """

    def check(self) -> None:
        """Look at the parameters, before anything is trained.

        Raises
        ------
        ValueError
            If one of them makes no sense.
        """

    def corrupt(self, values: Tensor, genuine: Tensor) -> Tensor:
        """What a broken sensor might have given in place of some rows' values.

        Parameters
        ----------
        values : Tensor of shape (b, f)
            Of one modality, standardised. Of an encoder of the user's its input, flattened; of bytes and codes nobody
            asks, these are taken from other rows.
        genuine : Tensor of shape (n, f)
            Training rows of the modality, to take values from.

        Returns
        -------
        Tensor of shape (b, f)
            Draw from torch's generator, which ``fit`` has seeded.
        """
        raise TypeError(f"{type(self).__name__} must define corrupt(values, genuine).")


class RandomCorruption(Corruption):
    """One of several kinds of corruption in each row, drawn uniformly.

    Parameters
    ----------
    kinds : sequence of str, default=all of them
        ``"noise"`` (normal, of any strength), ``"partial_noise"`` (in some of the features), ``"mixed"`` (each feature
        from another row), ``"constant"`` (one value in all features), ``"gain"`` (values too large or too small, at
        times with the wrong sign), ``"offset"``, ``"flip"`` (wrong sign in some features), ``"reflection"`` (at a
        random plane), ``"scramble"`` (features in another order).

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.masking import RandomCorruption
    >>> genuine = torch.arange(12.0).reshape(6, 2)
    >>> mixed = RandomCorruption(kinds=["mixed"]).corrupt(genuine, genuine)
    >>> bool(torch.isin(mixed[:, 0], genuine[:, 0]).all())
    True
    """

    KINDS = ("noise", "partial_noise", "mixed", "constant", "gain", "offset", "flip", "reflection", "scramble")

    def __init__(self, kinds=KINDS):
        self.kinds = kinds

    def check(self):
        """See `Corruption.check`."""
        kinds = self.kinds if isinstance(self.kinds, list | tuple) else [self.kinds]
        unknown = [repr(kind) for kind in kinds if kind not in self.KINDS]
        if unknown or kinds is not self.kinds or not kinds:
            raise ValueError(
                f"kinds of RandomCorruption must be a list of {', '.join(self.KINDS)}. Got "
                f"{', '.join(unknown) or repr(self.kinds)}."
            )

    def corrupt(self, values, genuine):
        """See `Corruption.corrupt`.

        Parameters
        ----------
        values : Tensor of shape (b, f)
            Standardised values of one modality.
        genuine : Tensor of shape (n, f)
            Genuine rows of the same modality, to take values from.

        Returns
        -------
        Tensor of shape (b, f)
            The values, broken.
        """
        self.check()
        drawn = torch.randint(len(self.kinds), (len(values),), device=values.device)
        corrupted = values.clone()
        for i, kind in enumerate(self.kinds):
            rows = (drawn == i).nonzero()[:, 0]
            if len(rows):
                corrupted[rows] = getattr(self, f"_{kind}")(values[rows], genuine)
        return corrupted

    def _noise(self, values, genuine):
        return torch.randn_like(values) * (0.7 * _normal(values)).exp()

    def _partial_noise(self, values, genuine):
        share = 0.3 + 0.6 * _uniform(values)
        return torch.where(torch.rand_like(values) < share, 1.5 * torch.randn_like(values), values)

    def _mixed(self, values, genuine):
        rows = torch.randint(len(genuine), values.shape, device=values.device)
        return genuine.gather(0, rows)

    def _constant(self, values, genuine):
        return (2 * _normal(values)).expand_as(values)

    def _gain(self, values, genuine):
        power = 0.8 + 2 * _uniform(values)
        gain = torch.where(_uniform(values) < 0.5, power, -power).exp()
        return values * torch.where(_uniform(values) < 0.3, -gain, gain)

    def _offset(self, values, genuine):
        return values + _normal(values).sign() * (1 + 2 * _uniform(values))

    def _flip(self, values, genuine):
        share = 0.2 + 0.6 * _uniform(values)
        return torch.where(torch.rand_like(values) < share, -values, values)

    def _reflection(self, values, genuine):
        normalize = torch.nn.functional.normalize
        across = normalize(torch.randn_like(values), dim=1)
        normal = normalize(normalize(values, dim=1) * _normal(values) + across, dim=1)
        return values - 2 * normal * (values * normal).sum(dim=1, keepdim=True)

    def _scramble(self, values, genuine):
        order = torch.rand_like(values).argsort(dim=1)
        return values.gather(1, order)


def _uniform(values):
    return torch.rand(len(values), 1, device=values.device)


def _normal(values):
    return torch.randn(len(values), 1, device=values.device)
