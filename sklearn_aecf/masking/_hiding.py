"""Which modalities to hide in training: strategies with scikit-learn parameters, and the draws that they are made of.

Axes: `b` rows, `v` draws (one per member), `m` modalities.
"""

from numbers import Real

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from sklearn_aecf.losses import normalized_entropy


class Masking(BaseEstimator):
    """What decides which modalities are hidden in training: base class of the strategies.

    A strategy of your own is a subclass with a method `draw`. Its parameters are those of ``__init__``, as for every
    scikit-learn estimator, so that they can be set, cloned and searched over (``masking__rate``). It keeps nothing on
    itself while training: what it learns goes into the tensor that `initial_state` starts and `update` returns.

    Examples
    --------
    Hide the modality that the gate listens to most, or nothing:

    >>> import torch
    >>> from sklearn_aecf.masking import Masking
    >>> class HideTheStrongest(Masking):
    ...     def __init__(self, rate=0.5):
    ...         self.rate = rate
    ...     def draw(self, present, weights, entropy, n_draws, state):
    ...         strongest = torch.nn.functional.one_hot(weights.argmax(dim=1), weights.shape[1]).bool()
    ...         several = present.sum(dim=1, keepdim=True) > 1
    ...         hidden = torch.rand(len(present), n_draws, 1) < self.rate
    ...         return present[:, None] & ~(hidden & (strongest & several)[:, None])
    >>> present = torch.tensor([[True, True, True], [True, False, False]])
    >>> weights = torch.tensor([[0.2, 0.7, 0.1], [1.0, 0.0, 0.0]])
    >>> HideTheStrongest(rate=1.0).draw(present, weights, None, n_draws=1, state=None)[:, 0]
    tensor([[ True, False,  True],
            [ True, False, False]])
    """

    def initial_state(self, n_modalities: int) -> Tensor:
        """What the strategy knows before training.

        Parameters
        ----------
        n_modalities : int
            How many modalities there are.

        Returns
        -------
        Tensor
            Empty for strategies that learn nothing. It is kept, moved and stored with the network.

        Raises
        ------
        ValueError
            If the strategy cannot handle so many modalities.
        """
        return torch.zeros(0)

    def draw(self, present: Tensor, weights: Tensor, entropy: Tensor, n_draws: int, state: Tensor) -> Tensor:
        """Subsets of the rows' modalities to learn from.

        Parameters
        ----------
        present : bool Tensor of shape (b, m)
            What each row has: at least one modality.
        weights : Tensor of shape (b, m)
            The gate's weights on all that a row has; no gradient flows through them.
        entropy : Tensor of shape (b,)
            Of the weights, in nats.
        n_draws : int
            Subsets a row: one for each member.
        state : Tensor
            From `initial_state` or `update`.

        Returns
        -------
        bool Tensor of shape (b, n_draws, m)
            Subsets of `present`, none of them empty. Draw from torch's generator, which ``fit`` has seeded.
        """
        raise TypeError(f"{type(self).__name__} must define draw(present, weights, entropy, n_draws, state).")

    def update(self, state: Tensor, subsets: Tensor, present: Tensor, losses: Tensor) -> Tensor:
        """What the strategy knows after a batch.

        Parameters
        ----------
        state : Tensor
            What the strategy has learnt so far.
        subsets : bool Tensor of shape (b, n_draws, m)
            As `draw` returned them.
        present : bool Tensor of shape (b, m)
            True where a modality is observed.
        losses : Tensor of shape (b, n_draws)
            Prediction loss of each row from each subset.

        Returns
        -------
        Tensor
            The next state, of the same shape.
        """
        return state


class UniformMasking(Masking):
    """Hide each modality by chance.

    Every row draws its own rate, uniform around `rate`: a batch then holds nearly complete rows and nearly empty ones,
    where one rate for all would train for that rate alone (ours).

    Parameters
    ----------
    rate : float, default=0.5
        Mean probability in [0, 1) that a modality is drawn to be hidden. One always stays, so that less is hidden than
        that: with two modalities and a rate of 0.5 a third.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.masking import UniformMasking
    >>> AECFClassifier(masking=UniformMasking(0.3)).get_params()["masking__rate"]
    0.3
    """

    def __init__(self, rate: float = 0.5):
        self.rate = rate

    def draw(self, present, weights, entropy, n_draws, state):
        """See `Masking.draw`.

        Parameters
        ----------
        present : bool Tensor of shape (b, m)
            True where a modality is observed.
        weights : Tensor of shape (b, m)
            Weights of the gate; those of a row sum to 1.
        entropy : Tensor of shape (b,)
            Entropy of the weights, in nats.
        n_draws : int
            Subsets drawn for each row.
        state : Tensor
            What the strategy has learnt so far.

        Returns
        -------
        bool Tensor of shape (b, n_draws, m)
            Subsets of `present`, none of them empty.
        """
        return draw_subsets(present, row_rates(self.rate, len(present), present.device) * present.float(), n_draws)

    def initial_state(self, n_modalities):
        """Nothing; see `Masking.initial_state`.

        Parameters
        ----------
        n_modalities : int
            How many modalities there are.

        Returns
        -------
        Tensor
            What `draw` and `update` get first.
        """
        _check_range(self, "rate", upper=1, closed=False)
        return super().initial_state(n_modalities)


class EntropyMasking(Masking):
    """The paper's adaptive curriculum: hide most what the gate leans on.

    The probability of hiding modality ``m`` is ``r_m = min(cap, rate (q + (1 - q) |S| p_m))`` with ``q`` the gate's
    normalised entropy and ``p`` its weights: uniform while the gate spreads out, aimed at the dominant modality as it
    collapses. The formula is ours; the mean over a row's modalities is the rate before the cap.

    Parameters
    ----------
    rate : float, default=0.5
        See `UniformMasking`; rows draw their own here too.
    cap : float, default=0.9
        Largest probability of a single modality, in [0, 1].

    References
    ----------
    .. [1] Chlon, Chlon and Awada, arXiv:2505.15417, adaptive curriculum masking.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.masking import EntropyMasking
    >>> clf = AECFClassifier(masking=EntropyMasking(rate=0.4, cap=0.8))
    """

    def __init__(self, rate: float = 0.5, cap: float = 0.9):
        self.rate = rate
        self.cap = cap

    def rates(self, present: Tensor, weights: Tensor, entropy: Tensor, rate: float | Tensor) -> Tensor:
        """Probability of hiding each modality.

        Parameters
        ----------
        present : bool Tensor of shape (b, m)
            True where a modality is observed.
        weights : Tensor of shape (b, m)
            Weights of the gate; those of a row sum to 1.
        entropy : Tensor of shape (b,), in nats
            Entropy of the gate's weights in each row, in nats.
        rate : float or Tensor of shape (b, 1)
            One for all rows, or each its own.

        Returns
        -------
        Tensor of shape (b, m), 0 where absent
            Probability that each modality is hidden.
        """
        q = normalized_entropy(entropy, present)[:, None]
        size = present.sum(dim=-1, keepdim=True)
        return (rate * (q + (1 - q) * size * weights)).clamp(max=self.cap) * present

    def draw(self, present, weights, entropy, n_draws, state):
        """See `Masking.draw`.

        Parameters
        ----------
        present : bool Tensor of shape (b, m)
            True where a modality is observed.
        weights : Tensor of shape (b, m)
            Weights of the gate; those of a row sum to 1.
        entropy : Tensor of shape (b,)
            Entropy of the weights, in nats.
        n_draws : int
            Subsets drawn for each row.
        state : Tensor
            What the strategy has learnt so far.

        Returns
        -------
        bool Tensor of shape (b, n_draws, m)
            Subsets of `present`, none of them empty.
        """
        rate = row_rates(self.rate, len(present), present.device)
        return draw_subsets(present, self.rates(present, weights, entropy, rate), n_draws)

    def initial_state(self, n_modalities):
        """Nothing; see `Masking.initial_state`.

        Parameters
        ----------
        n_modalities : int
            How many modalities there are.

        Returns
        -------
        Tensor
            What `draw` and `update` get first.
        """
        _check_range(self, "rate", upper=1, closed=False)
        _check_range(self, "cap", upper=1, closed=True)
        return super().initial_state(n_modalities)


class RegretMasking(Masking):
    """Train most on the subsets that are handled worst (ours).

    Each subset of the modalities has a weight, which grows by exponentiated gradient with its loss; subsets are drawn
    in proportion to it.

    Parameters
    ----------
    rate : float, default=0.5
        Share in [0, 1) of the draws that hide anything.
    step : float, default=0.1
        Of the exponentiated gradient, in units of the typical loss.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.masking import RegretMasking
    >>> clf = AECFClassifier(masking=RegretMasking(rate=0.7))
    """

    MAX_MODALITIES = 8

    def __init__(self, rate: float = 0.5, step: float = 0.1):
        self.rate = rate
        self.step = step

    def initial_state(self, n_modalities):
        """Logarithms of equal weights, one for each of `all_subsets`.

        Parameters
        ----------
        n_modalities : int
            How many modalities there are.

        Returns
        -------
        Tensor
            What `draw` and `update` get first.
        """
        _check_range(self, "rate", upper=1, closed=False)
        _check_range(self, "step", upper=float("inf"), closed=False)
        if n_modalities > self.MAX_MODALITIES:
            raise ValueError(
                f"RegretMasking keeps a number per subset, for up to {self.MAX_MODALITIES} modalities. Got "
                f"{n_modalities}; use masking='entropy' or 'uniform'."
            )
        return torch.zeros(2**n_modalities - 1)

    def draw(self, present, weights, entropy, n_draws, state):
        """See `Masking.draw`.

        Parameters
        ----------
        present : bool Tensor of shape (b, m)
            True where a modality is observed.
        weights : Tensor of shape (b, m)
            Weights of the gate; those of a row sum to 1.
        entropy : Tensor of shape (b,)
            Entropy of the weights, in nats.
        n_draws : int
            Subsets drawn for each row.
        state : Tensor
            What the strategy has learnt so far.

        Returns
        -------
        bool Tensor of shape (b, n_draws, m)
            Subsets of `present`, none of them empty.
        """
        rows, n_modalities = present.shape
        codes = torch.multinomial(torch.softmax(state, dim=0), rows * n_draws, replacement=True)
        drawn = all_subsets(n_modalities, present.device)[codes.view(rows, n_draws)] & present[:, None]
        keep_all = torch.rand(rows, n_draws, device=present.device) >= self.rate
        return torch.where((keep_all | ~drawn.any(dim=-1))[..., None], present[:, None], drawn)

    def update(self, state, subsets, present, losses):
        """The weights after a batch, within 3 of their mean: no subset is ever given up or trained alone.

        Parameters
        ----------
        state : Tensor
            The weights before the batch.
        subsets : bool Tensor of shape (b, n_draws, m)
            What was drawn.
        present : bool Tensor of shape (b, m)
            True where a modality is observed.
        losses : Tensor of shape (b, n_draws)
            Prediction loss of each row from each subset.

        Returns
        -------
        Tensor
            The next state, of the same shape.
        """
        hidden = (subsets != present[:, None]).any(dim=-1).reshape(-1)
        powers = 2 ** torch.arange(subsets.shape[-1], device=subsets.device)
        codes = ((subsets * powers).sum(dim=-1) - 1).reshape(-1)
        values = losses.reshape(-1) * hidden
        total = torch.zeros_like(state).index_add_(0, codes, values)
        count = torch.zeros_like(state).index_add_(0, codes, hidden.to(state.dtype))
        typical = total.sum() / count.sum().clamp(min=1)
        above = torch.where(count > 0, total / count.clamp(min=1) - typical, 0)
        moved = state + self.step * above / typical.clamp(min=1e-6)
        return (moved - moved.mean()).clamp(-3, 3)


def _check_range(masking, name, upper, closed):
    value = getattr(masking, name)
    fits = isinstance(value, Real) and value >= 0 and (value <= upper if closed else value < upper)
    if not fits:
        raise ValueError(
            f"{name} of {type(masking).__name__} must be in [0, {upper}{']' if closed else ')'}. Got {value!r}."
        )


def row_rates(rate: float, n_rows: int, device=None) -> Tensor:
    """A mask rate for each row, uniform around `rate`: ``U(rate - s, rate + s)`` with ``s = min(rate, 1 - rate)``.

    Parameters
    ----------
    rate : float
        In [0, 1); the mean.
    n_rows : int
        How many rows there are.
    device : torch.device, optional
        Where the result lies; None is the CPU.

    Returns
    -------
    Tensor of shape (n_rows, 1)
        A rate for each row.

    Examples
    --------
    >>> from sklearn_aecf.masking import row_rates
    >>> rates = row_rates(0.5, 100)
    >>> bool((rates >= 0).all() and (rates <= 1).all())
    True
    """
    spread = min(rate, 1 - rate)
    return rate + spread * (2 * torch.rand(n_rows, 1, device=device) - 1)


def draw_subsets(present: Tensor, rates: Tensor, n_draws: int) -> Tensor:
    """Hide each observed modality with its own probability; at least one stays.

    A row that would lose all keeps one of its own, drawn uniformly.

    Parameters
    ----------
    present : bool Tensor of shape (b, m)
        True where a modality is observed.
    rates : Tensor of shape (b, m)
        Probability that each modality is hidden.
    n_draws : int
        Subsets drawn for each row.

    Returns
    -------
    bool Tensor of shape (b, n_draws, m)
        Subsets of `present`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_aecf.masking import draw_subsets
    >>> present = torch.tensor([[True, True, False]])
    >>> draw_subsets(present, torch.ones(1, 3), n_draws=4).sum(dim=-1)
    tensor([[1, 1, 1, 1]])
    """
    shape = (present.shape[0], n_draws, present.shape[1])
    kept = (torch.rand(shape, device=present.device) >= rates[:, None]) & present[:, None]
    order = torch.rand(shape, device=present.device).masked_fill(~present[:, None], -1)
    fallback = torch.zeros_like(kept).scatter_(2, order.argmax(dim=-1, keepdim=True), True) & present[:, None]
    return torch.where(kept.any(dim=-1, keepdim=True), kept, fallback)


def all_subsets(n_modalities: int, device=None) -> Tensor:
    """Every non-empty subset, bool of shape (2**m - 1, m); subset ``i`` has the modalities of the bits of ``i + 1``.

    Parameters
    ----------
    n_modalities : int
        How many modalities there are.
    device : torch.device, optional
        Where the result lies; None is the CPU.

    Returns
    -------
    bool Tensor of shape (2**m - 1, m)
        True where a subset has the modality.

    Examples
    --------
    >>> from sklearn_aecf.masking import all_subsets
    >>> len(all_subsets(3))
    7
    """
    codes = torch.arange(1, 2**n_modalities, device=device)
    return (codes[:, None] >> torch.arange(n_modalities, device=device)) % 2 == 1
