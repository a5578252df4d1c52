"""Reliability: whether a modality's values are such as its sensor gave in training, and what the others say to it."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from sklearn_aecf.nn._runtime import full_precision

# Values are looked at up to so many standard deviations from the mean.
MAX_DISTANCE = 1e6

# Added to energies and distances before their logarithm is taken: below it lies the rounding of float32, which depends
# on who computes. Models of before it was stored were fitted with FIRST_FLOOR.
FLOOR = 1e-2
FIRST_FLOOR = 1e-3


class ValueStatistics(nn.Module):
    """What tells genuine values from others, of all modalities at once: energies, and likeness to what is typical.

    Values are looked at as principal scores, whitened and as they are: noise shows in the small components, a wrong
    level in the large ones. Sums and extremes see what the scores leave over, and distances to the nearest of some
    typical points what energies are blind to, such as a wrong sign (ours).

    Parameters
    ----------
    tensors : dict of str to Tensor
        As `fit` makes them, and `state_dict` returns them.
    """

    bands: Tensor
    left_over: Tensor
    width: Tensor
    kept: Tensor
    prototypes: Tensor
    level: Tensor
    plain_prototypes: Tensor
    plain_level: Tensor
    floor: Tensor

    # Of the whitened scores' squares: means over all components, over the largest quarter and over the smaller half of
    # them; and sums weighted by their variances, as these are and relative to the largest.
    N_BANDS = 5

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        self.is_standardized = tensors["standardized"].tolist()
        widths = [len(tensors[f"columns_{m}"]) for m in range(len(self.is_standardized))]
        self.register_buffer("width", torch.tensor(widths)[:, None], persistent=False)

    @classmethod
    def fit(
        cls,
        values: list[Tensor],
        standardized: list[bool],
        prototypes_of: Callable[[Tensor], Tensor],
        n_components: int = 32,
    ) -> "ValueStatistics":
        """What is usual in genuine rows.

        Parameters
        ----------
        values : list of Tensor of shape (n_rows, f_m)
            Genuine training rows of each modality.
        standardized : list of bool
            Whether a modality's values have mean 0 and standard deviation 1 already.
        prototypes_of : callable
            From whitened scores (n_rows, k) to points (n_prototypes, k) that distances are measured to; as many for
            every modality.
        n_components : int, default=32
            Principal components, at most; fewer where the rows or the features are few.

        Returns
        -------
        ValueStatistics
        """
        found = [cls._principal(x, known, n_components) for x, known in zip(values, standardized, strict=True)]
        n_kept = [len(spread) for *_, spread, _ in found]
        width = max(n_kept)
        tensors: dict[str, Tensor] = {}
        order = torch.arange(width)
        bands = torch.zeros(len(values), width, cls.N_BANDS)
        whitened = []
        for m, (mean, scale, components, spread, _) in enumerate(found):
            kept = n_kept[m]
            columns = torch.zeros(len(components), width + 1)
            columns[:, :kept] = components / spread
            columns[:, width] = 1 / len(components)
            tensors |= {f"columns_{m}": columns, f"mean_{m}": mean, f"scale_{m}": scale}
            several = [order < kept, order < max(1, kept // 4), (order >= kept // 2) & (order < kept)]
            bands[m, :, :3] = torch.stack([band / band.sum() for band in several], dim=1)
            bands[m, :kept, 3] = spread.square()
            bands[m, :kept, 4] = (spread / spread[0]).square()
            whitened.append(prototypes_of(((values[m] - mean) / scale @ columns)[:, :width]))
        # The largest of w.p - |p|^2 / 2 belongs to the nearest prototype p.
        points = torch.stack(whitened)
        plain = points * bands[:, None, :, 4]
        return cls(
            {
                **tensors,
                "bands": bands,
                "left_over": torch.stack([left for *_, left in found])[:, None],
                "kept": torch.tensor(n_kept)[:, None],
                "prototypes": points.transpose(1, 2).contiguous(),
                "level": -points.square().sum(dim=2)[:, None] / 2,
                "plain_prototypes": plain.transpose(1, 2).contiguous(),
                "plain_level": -(plain * points).sum(dim=2)[:, None] / 2,
                "standardized": torch.tensor(standardized),
                "floor": torch.tensor(FLOOR),
            }
        )

    @staticmethod
    def _principal(x: Tensor, standardized: bool, n_components: int):
        """Mean and scale (f,), components (f, k), their standard deviations, and what they leave of a row's square."""
        n_rows, width = x.shape
        mean, scale = torch.zeros(width), torch.ones(width)
        if not standardized:
            scale, mean = torch.std_mean(x, dim=0, correction=0)
            scale = torch.where(scale > 0, scale, 1)
        z = (x - mean) / scale
        wanted = max(1, min(n_components, width, n_rows // 5))
        _, singular, directions = torch.svd_lowrank(z, q=min(wanted + 8, *z.shape), niter=3)
        variance = singular.square() / n_rows
        kept = max(1, int((variance[:wanted] > 1e-6 * variance[0]).sum()))
        total = z.square().mean(dim=0).sum()
        left = torch.zeros(())
        if kept < width:
            left = torch.maximum(total - variance[:kept].sum(), 1e-3 * total / width)
        return mean, scale, directions[:, :kept], variance[:kept].clamp(min=1e-6).sqrt(), left

    def scale_of(self, m: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of modality `m`'s values in training, each (f_m,)."""
        return getattr(self, f"mean_{m}"), getattr(self, f"scale_{m}")

    def _scaled(self, x: Tensor, m: int) -> Tensor:
        mean, scale = self.scale_of(m)
        # Squares of what is further out would be infinite.
        return ((x - mean) / scale).clamp(-MAX_DISTANCE, MAX_DISTANCE)

    def forward(self, values: list[Tensor]) -> Tensor:
        """Statistics (m, b, 14) of values, each of shape (b, f_m)."""
        scores, lengths, largest, beside = [], [], [], []
        for m, x in enumerate(values):
            z = x if self.is_standardized[m] else self._scaled(x, m)
            columns = getattr(self, f"columns_{m}")
            scores.append(z @ columns)
            lengths.append(torch.linalg.vector_norm(z, dim=1))
            largest.append(z.abs().amax(dim=1))
            # What the components leave, itself: as a difference of squares it would be rounding in most rows.
            explained = (scores[-1][:, :-1] * self.bands[m, :, 3]) @ columns[:, :-1].T
            beside.append(torch.linalg.vector_norm(z - explained, dim=1))
        stacked = torch.stack(scores)
        whitened, mean = stacked[..., :-1], stacked[..., -1:]
        square = whitened.square()
        energies = torch.bmm(square, self.bands)
        total = torch.stack(lengths).square()
        # Where the components are as many as the features, what they leave is rounding.
        left = torch.where(self.left_over > 0, torch.stack(beside).square() / self.left_over, 0.0)
        mean_square = total / self.width
        nearest = energies[..., 0] * self.kept - 2 * torch.baddbmm(self.level, whitened, self.prototypes).amax(dim=-1)
        plain = energies[..., 4] - 2 * torch.baddbmm(self.plain_level, whitened, self.plain_prototypes).amax(dim=-1)
        positive = torch.stack(
            [
                mean_square,
                torch.stack(largest).square(),
                left,
                *energies[..., :3].unbind(dim=-1),
                square.square().mean(dim=-1),
                square.amax(dim=-1),
                nearest.clamp(min=0),
                plain.clamp(min=0),
                energies[..., 4],
            ],
            dim=-1,
        )
        logarithms = (positive + self.floor).log()
        relative = logarithms[..., [2, 8, 9]] - logarithms[..., [0, 3, 10]]
        return torch.cat([mean, logarithms[..., :10], relative], dim=-1)


class ReliabilityDetector(nn.Module):
    """A small network a modality, from statistics to the log odds that the values are genuine.

    Parameters
    ----------
    tensors : dict of str to Tensor
        As `untrained` makes them, and `state_dict` returns them.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__()
        for name, tensor in tensors.items():
            if name in ("centre", "spread"):
                self.register_buffer(name, tensor)
            else:
                self.register_parameter(name, nn.Parameter(tensor))
        self.n_layers = sum(name.startswith("weight_") for name in tensors)

    @classmethod
    def untrained(cls, centre: Tensor, spread: Tensor, hidden_dim: int = 32) -> "ReliabilityDetector":
        """Random weights.

        Parameters
        ----------
        centre, spread : Tensor of shape (m, 1, s)
            Mean and standard deviation of the statistics of rows that it is to be trained on.
        hidden_dim : int, default=32
            Width of both hidden layers.
        """
        n_modalities, tensors = len(centre), {"centre": centre, "spread": spread}
        for i, (before, after) in enumerate(pairwise([centre.shape[-1], hidden_dim, hidden_dim, 1])):
            bound = before**-0.5
            tensors[f"weight_{i}"] = torch.empty(n_modalities, before, after).uniform_(-bound, bound)
            tensors[f"bias_{i}"] = torch.zeros(n_modalities, 1, after)
        return cls(tensors)

    def forward(self, statistics: Tensor) -> Tensor:
        """Log odds (m, b) of statistics (m, b, s)."""
        hidden = ((statistics - self.centre) / self.spread).clamp(-30, 30)
        for i in range(self.n_layers):
            weight, bias = getattr(self, f"weight_{i}"), getattr(self, f"bias_{i}")
            hidden = torch.baddbmm(bias, hidden if i == 0 else hidden.relu_(), weight)
        return hidden[..., 0]


class ClassAgreement(nn.Module):
    """What the modalities say about each other, by the classes that each of them points to.

    Each modality is genuine with probability ``e_m``, and says nothing about the class otherwise. With ``q_m`` the
    class probabilities from modality ``m`` alone and ``pi`` the prior, the class has the probabilities
    ``w(c) ~ pi(c) prod_m (e_m q_m(c)/pi(c) + 1 - e_m)``, and modality ``m`` is genuine with probability
    ``sum_c w(c) e_m q_m(c)/pi(c) / (e_m q_m(c)/pi(c) + 1 - e_m)``: Bayes' rule under independence given the class
    (ours). ``q_m`` is a linear map of the embedding that imitates the network's own prediction from it.

    Parameters
    ----------
    weight : Tensor of shape (m, d, c)
    bias : Tensor of shape (m, 1, c)
        With `weight`: from the embedding to the logits of ``q_m``.
    prior : Tensor of shape (c,)
        Positive.
    lying : Tensor of shape ()
        Share of modalities with genuine looking values that are taken not to belong to the row.
    """

    weight: Tensor
    bias: Tensor
    prior: Tensor
    lying: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, prior: Tensor, lying: Tensor):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("prior", prior)
        self.register_buffer("lying", lying)

    def forward(self, embeddings: Tensor, rho: Tensor, views: Tensor) -> Tensor:
        """Factors (b, v, m) on reliabilities `rho` (b, m): above 1 where the others agree, 1 where there are none.

        Parameters
        ----------
        embeddings : Tensor of shape (b, m, d)
        rho : Tensor of shape (b, m)
        views : bool Tensor of shape (b, v, m)
        """
        logits = torch.baddbmm(self.bias, embeddings.transpose(0, 1), self.weight)
        return self.factors(logits, rho, views.to(logits.dtype))

    def factors(self, logits: Tensor, rho: Tensor, observed: Tensor) -> Tensor:
        """The same from the logits of ``q_m``, (m, b, c), and views (b, v, m) of 1 where observed."""
        ratio = softmax_of_few(logits) / self.prior
        genuine = (1 - self.lying) * rho.T[..., None]
        either = torch.addcmul(1 - genuine, genuine, ratio)
        evidence, share = either.log(), ratio / either
        posterior = softmax_of_few(torch.baddbmm(self.prior.log(), observed, evidence.transpose(0, 1)))
        factor = torch.bmm(posterior, share.permute(1, 2, 0))
        # Of a modality alone the others say nothing.
        return factor.masked_fill(observed.sum(dim=-1, keepdim=True) < 2, 1)


class ModalityReliability(nn.Module):
    """``rho_m`` of each row: the probability that the values of modality ``m`` are worth listening to (ours).

    Parameters
    ----------
    widths : int Tensor of shape (m,)
        Values of each modality that are looked at: the first so many of its inputs, without indicators of gaps; 0 for
        a modality with an encoder of the user's, of which the embedding is looked at.
    known : bool Tensor of shape (m,)
        Modalities with training rows enough to tell; the others are taken to be reliable.
    floor : Tensor of shape (m,)
        Reliability that one genuine row in ten falls short of. What reaches it is trusted wholly, so that ordinary
        rows are predicted as if there were no detector.
    statistics : ValueStatistics
        What turns values into statistics of how usual they are.
    detector : ReliabilityDetector
        What turns statistics into the logarithm of the odds that values are genuine.
    agreement : ClassAgreement, optional
        What compares the modalities with each other; None compares nothing.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(600, missing_rate=0.2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> clf.net_.module_.reliability.floor.shape
    torch.Size([3])
    """

    floor: Tensor
    known: Tensor

    def __init__(
        self,
        widths: Tensor,
        known: Tensor,
        floor: Tensor,
        statistics: ValueStatistics,
        detector: ReliabilityDetector,
        agreement: ClassAgreement | None = None,
    ):
        super().__init__()
        self.register_buffer("n_values", widths)
        self.register_buffer("known", known)
        self.register_buffer("floor", floor)
        self.widths = widths.tolist()
        self.statistics = statistics
        self.detector = detector
        self.agreement = agreement
        self.requires_grad_(False)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "ModalityReliability":
        """The module that a `state_dict` belongs to: all of it is in the tensors.

        Parameters
        ----------
        state : dict of str to Tensor
            What ``state_dict`` returned.
        """

        def part(prefix):
            return {k.removeprefix(prefix): v.detach().clone() for k, v in state.items() if k.startswith(prefix)}

        agreement = part("agreement.")
        return cls(
            state["n_values"].detach().clone(),
            state["known"].detach().clone(),
            state["floor"].detach().clone(),
            ValueStatistics(part("statistics.")),
            ReliabilityDetector(part("detector.")),
            ClassAgreement(**agreement) if agreement else None,
        )

    def forward(
        self, inputs: list[Tensor], embeddings: Tensor, present: Tensor, views: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Reliabilities.

        Parameters
        ----------
        inputs : list of Tensor of shape (b, f_m)
            Values of each modality.
        embeddings : Tensor of shape (b, m, d)
            What the encoders made of them.
        present : bool Tensor of shape (b, m)
            True where a modality is observed.
        views : bool Tensor of shape (b, v, m)
            True for what each view of a row may use.

        Returns
        -------
        reliability : Tensor of shape (b, v, m)
            In [0, 1]; 0 where absent.
        trust : Tensor of shape (b, v, m)
            What the gate multiplies its weights by: 1 for most genuine values.
        """
        with full_precision(embeddings.device.type):
            embeddings = embeddings.float()
            odds = self.detector(self.statistics(looked_at(inputs, embeddings, self.widths)))
            # What stands in rows without the modality, NaN included, ends here.
            rho = odds.T.sigmoid().masked_fill(~self.known, 1).masked_fill(~present, 0)
            trust = (rho / self.floor).clamp(max=1)
            factor = views.to(rho.dtype)
            if self.agreement is not None:
                factor = self.agreement(embeddings, trust, views) * factor
            return (rho[:, None] * factor).clamp(max=1), (trust[:, None] * factor).clamp(max=1)


def softmax_of_few(logits: Tensor) -> Tensor:
    """Softmax over the last axis; along another one torch is up to ten times as fast, unless it is a long one."""
    return logits.transpose(-1, -2).softmax(dim=-2).transpose(-1, -2)


def looked_at(inputs: list[Tensor], embeddings: Tensor, widths: list[int]) -> list[Tensor]:
    """Values of each modality that its reliability is told from, (b, f_m): of width 0 its embedding, else its input."""
    looked = zip(inputs, embeddings.unbind(dim=1), widths, strict=True)
    return [(x if x.shape[1] == width else x[:, :width]) if width else embedding for x, embedding, width in looked]
