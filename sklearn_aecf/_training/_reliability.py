"""The reliability of modalities, learnt from training rows and corrupted copies of them once the network is trained.

Network and temperature stay as they are. So genuine rows are predicted as they would be without it.
"""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from sklearn_aecf.nn import ModalityReliability
from sklearn_aecf.nn._reliability import ClassAgreement, ReliabilityDetector, ValueStatistics, looked_at

# Training rows that are looked at, at most, and how much memory they may take.
MAX_ROWS = 2000
MAX_BYTES = 2**28

# Rows of a modality below which nobody can say what is usual there: for reference, and to learn from.
MIN_ROWS = 100

# Rows of each modality that are looked at, where there are so many.
ROWS_OF_EACH = 1000

# Rows to learn from that are enough.
ENOUGH = 300

# Typical points of a modality, and rows that each stands for on average, at least.
N_PROTOTYPES, ROWS_OF_A_CENTRE = 128, 8

# Corrupted copies of each row.
N_COPIES = 6

# Share of a corrupted modality's usefulness that is granted: what lies is to stay below what does not.
GRANTED = 0.8

# Of the detectors: steps, rows of each kind a step, learning rate.
N_STEPS, BATCH_ROWS, LEARNING_RATE = 300, 128, 3e-3

# Share of modalities whose values look genuine and belong to another row; and a factor on what single modalities say of
# the class, because they are not as independent of each other as Bayes' rule takes them to be.
LYING, BELIEF = 0.05, 0.7

# Noise on the statistics while the detectors learn, in standard deviations: of few rows they would learn each by heart,
# and doubt what is merely new.
SMOOTHING = 0.4

# A genuine row in so many falls below the reliability that is trusted wholly.
ONE_IN = 10


def fit_reliability(model, training, held_out, corruption, rate) -> ModalityReliability | None:
    """Learn which values to trust.

    For each modality a small network learns to tell genuine rows from corrupted copies of them, by statistics of the
    values. A corrupted copy counts as genuine to the extent that the network still predicts better from it alone than
    by the prior: ``0.8 max(0, 2 sigmoid(log q(y) - log pi(y)) - 1)`` (ours). So what is damaged but useful is weighed
    down, and what misleads is shut out.

    Parameters
    ----------
    model : Model
        Trained, without reliability.
    training : LabelledRows
    held_out : LabelledRows or None
        Rows that the network was not trained on: on them its predictions are as good as on any others.
    corruption : Corruption
    rate : float
        Share of modalities that are taken to be broken, before anything is seen of them.

    Returns
    -------
    ModalityReliability or None
        None where there are too few rows of every modality.

    Raises
    ------
    TypeError, ValueError
        If the corruption of the user's does not return finite values of the shape that it was given.
    """
    sample = _Sample(model, training, held_out)
    known = sample.known
    if not any(known):
        return None
    # Of a modality that nobody knows two rows of zeros are as good as any.
    values = [sample.reference(m) if known[m] else torch.zeros(2, sample.width(m)) for m in range(sample.n_modalities)]
    statistics = ValueStatistics.fit(values, sample.standardized, _centres)
    with torch.no_grad():
        genuine = sample.statistics(statistics, sample.inputs, sample.embeddings)
        copies = [sample.corrupted(statistics, corruption) for _ in range(N_COPIES)]
    corrupted = torch.cat([copy.statistics for copy in copies], dim=1)
    granted = torch.cat([copy.granted for copy in copies], dim=1)
    learnt = sample.is_learnt.T
    detector = _fit_detector(genuine, corrupted, granted, learnt, rate)
    with torch.no_grad():
        rho = torch.sigmoid(detector(genuine))
        floor = torch.stack(
            [torch.quantile(rho[m][learnt[m]], 1 / ONE_IN) if known[m] else torch.ones(()) for m in range(len(rho))]
        )
        agreement = sample.agreement(copies)
    found = ModalityReliability(
        torch.tensor(sample.widths), torch.tensor(known), floor.clamp(min=1e-3), statistics, detector, agreement
    )
    return found.to(model.device)


class _Copy(NamedTuple):
    """A corrupted copy of every modality of every row.

    ``statistics`` (m, n, s), ``granted`` usefulness (m, n), ``embeddings`` (n, m, d) and logits from each modality
    ``alone`` (n, m, c).
    """

    statistics: Tensor
    granted: Tensor
    embeddings: Tensor
    alone: Tensor


class _Sample:
    """Rows as tensors, some for reference and others to learn from.

    To statistics that were made of them rows look more usual than any others do; and of rows that the network was
    trained on it knows too much. So what is held out is learnt from, and where that is little a part of the rest.
    """

    def __init__(self, model, training, held_out):
        self.model = model
        parts = model.inputs.parts
        # Of every copy of a row its inputs are kept for a moment, and to the end what each modality predicts alone.
        row_bytes = model.inputs.row_bytes + 4 * (1 + N_COPIES) * len(parts) * model.problem.n_outputs
        at_most = int(min(MAX_ROWS, max(200, MAX_BYTES // row_bytes)))
        active = model.inputs.active
        sources = [_some_rows(training, at_most, active)]
        if held_out is not None:
            sources.append(_some_rows(held_out, at_most // 2, active))
        self.inputs = [
            torch.cat(each)
            for each in zip(*(model.inputs.tensors(rows.data, rows.rows) for rows in sources), strict=True)
        ]
        self.present = torch.cat([model.inputs.present(rows.data, rows.rows) for rows in sources])
        self.n_modalities = len(parts)
        self.widths = [part.n_values for part in parts]
        self.standardized = [part.standardized for part in parts]
        self.gaps = [
            torch.cat([_gaps(rows.data.arrays[m], rows.rows, width) for rows in sources]) if width else None
            for m, width in zip(active, self.widths, strict=True)
        ]
        self.target = torch.cat([torch.from_numpy(rows.chosen_targets.encoded) for rows in sources])
        weights = [rows.label_weight for rows in sources]
        self.label_weight = None if weights[0] is None else torch.from_numpy(np.concatenate(weights))
        self.is_learnt = self._learnt(len(sources[0]))
        self.embeddings, self.alone = self.seen(self.inputs)

    def _learnt(self, n_trained_on):
        """Which rows are learnt from, by modality (n, m): those held out, and where they are few others beside them."""
        learnt = self.present & (torch.arange(len(self.present)) >= n_trained_on)[:, None]
        for m in range(self.n_modalities):
            others = self.present[:n_trained_on, m].nonzero()[:, 0]
            n_wanted = min(-(-len(others) // 3), max(0, ENOUGH - int(learnt[:, m].sum())))
            learnt[others[torch.randperm(len(others))[:n_wanted]], m] = True
        return learnt

    @property
    def known(self):
        """Modalities with rows enough to say what is usual, and to learn what is not."""
        n_reference = (self.present & ~self.is_learnt).sum(dim=0)
        return ((n_reference >= MIN_ROWS) & (self.is_learnt.sum(dim=0) >= MIN_ROWS)).tolist()

    def width(self, m):
        """Values of modality `m` that are looked at."""
        return self.widths[m] or self.embeddings.shape[-1]

    def reference(self, m):
        """Genuine values of the rows for reference."""
        values = looked_at(self.inputs, self.embeddings, self.widths)[m]
        return values[self.present[:, m] & ~self.is_learnt[:, m]]

    @torch.no_grad()
    def seen(self, inputs):
        """Embeddings (n, m, d), and logits (n, m, c) of the prediction from each modality alone, calibrated."""
        views = torch.eye(self.n_modalities, dtype=torch.bool)
        return self.model.seen_alone(inputs, self.present, views)

    def statistics(self, statistics, inputs, embeddings):
        """Statistics (m, n, s) of values as the network will see them."""
        return statistics(looked_at(inputs, embeddings, self.widths))

    def corrupted(self, statistics, corruption):
        """A corrupted copy of every modality of every row."""
        inputs = [self._corrupted_input(m, statistics, corruption) for m in range(self.n_modalities)]
        embeddings, alone = self.seen(inputs)
        prior = torch.as_tensor(self.model.prior, dtype=torch.float32)
        gain = self.model.problem.gain(alone.transpose(0, 1), self.target, prior, self.label_weight)
        granted = GRANTED * (2 * torch.sigmoid(gain) - 1).clamp(min=0)
        return _Copy(self.statistics(statistics, inputs, embeddings), granted, embeddings, alone)

    def _corrupted_input(self, m, statistics, corruption):
        x, having = self.inputs[m], self.present[:, m].nonzero()[:, 0]
        corrupted = x.clone()
        if len(having) == 0:
            return corrupted
        width = self.widths[m]
        values = x[having][:, :width] if width else x[having].reshape(len(having), -1)
        if not x.is_floating_point():
            # Codes have no noise; those of other rows, place by place, are what a broken source of them might give.
            changed = values.gather(0, torch.randint(len(having), values.shape))
        else:
            changed = self._corrupted_values(m, having, values, statistics, corruption)
        if width:
            corrupted[having, :width] = changed
        else:
            corrupted[having] = changed.view_as(x[having])
        return corrupted

    def _corrupted_values(self, m, having, values, statistics, corruption):
        if self.widths[m]:
            gaps = self.gaps[m][having]
            mean, scale = statistics.scale_of(m)
        else:
            gaps = values.isnan()
            mean = values.nanmean(dim=0).nan_to_num()
            scale = (values - mean).square().nanmean(dim=0).nan_to_num().sqrt()
            scale = torch.where(scale > 0, scale, 1)
        standardized = ((values - mean) / scale).masked_fill(gaps, 0)
        changed = corruption.corrupt(standardized.clone(), standardized)
        if not isinstance(changed, Tensor) or changed.shape != standardized.shape or not torch.isfinite(changed).all():
            found = f"values of shape {tuple(changed.shape)}" if isinstance(changed, Tensor) else str(type(changed))
            raise ValueError(
                f"{type(corruption).__name__}.corrupt must return finite values of shape {tuple(standardized.shape)}. "
                f"Got {found}."
            )
        return torch.where(gaps, values, changed.to(values.dtype) * scale + mean)

    def agreement(self, copies):
        """What imitates the network's predictions from single modalities: ridge regression on embeddings."""
        prior = self.model.problem.exclusive_prior(self.model.prior)
        if prior is None or self.n_modalities == 1:
            return None
        prior = torch.as_tensor(prior, dtype=torch.float32)
        embeddings = torch.cat([self.embeddings, *[copy.embeddings for copy in copies]])
        odds = torch.cat([self.alone, *[copy.alone for copy in copies]]) - prior.clamp(min=1e-6).log()
        odds = odds - odds.mean(dim=-1, keepdim=True)
        present = self.present.repeat(1 + len(copies), 1)
        fits = [_ridge(embeddings[:, m][present[:, m]], odds[:, m][present[:, m]]) for m in range(self.n_modalities)]
        weight, bias = (BELIEF * torch.stack(each) for each in zip(*fits, strict=True))
        prior = prior.clamp(min=1e-6)
        return ClassAgreement(weight, bias + prior.log(), prior, torch.tensor(LYING))


def _ridge(x, y):
    """Weight (d, c) and offset (1, c) of a ridge regression."""
    if len(x) == 0:
        return torch.zeros(x.shape[1], y.shape[1]), torch.zeros(1, y.shape[1])
    x, y = x.double(), y.double()
    centre, level = x.mean(dim=0), y.mean(dim=0, keepdim=True)
    x = x - centre
    penalty = 1e-3 * x.square().sum() / x.shape[1] + 1e-6
    weight = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype), x.T @ (y - level))
    return weight.float(), (level - centre @ weight).float()


def _some_rows(labelled, at_most, active):
    """At most so many of the rows, drawn at random, and more of those that have a modality that few have."""
    order = torch.randperm(len(labelled)).numpy()
    present = labelled.present(active)[order]
    enough = min(ROWS_OF_EACH, at_most)
    rare = present & (present.cumsum(axis=0) <= enough) & (present[:at_most].sum(axis=0) < enough)
    wanted = rare.any(axis=1)
    wanted[:at_most] = True
    return labelled.some(np.sort(order[wanted]))


def _gaps(array, rows, width):
    """Where rows of a table have gaps; one without features is of a modality that none of them has."""
    if array.dtype.kind != "f" or array.shape[1] == 0:
        return torch.zeros(len(rows), width, dtype=torch.bool)
    return torch.from_numpy(np.isnan(array[rows]))


def _centres(points):
    """Centres of clusters, never single rows: a model that leaves the house must not carry anybody's values."""
    # Categories have few different rows, and of these there are no more clusters.
    n_different = len({row.tobytes() for row in (points + 0.0).numpy()})
    n_clusters = min(N_PROTOTYPES, n_different, max(1, len(points) // ROWS_OF_A_CENTRE))
    seed = int(torch.randint(2**31 - 1, ()))
    found = KMeans(n_clusters, n_init=1, max_iter=20, random_state=seed).fit(points.double().numpy())
    large = np.bincount(found.labels_, minlength=n_clusters) >= ROWS_OF_A_CENTRE // 2
    centres = torch.from_numpy(found.cluster_centers_[large if large.any() else slice(None)]).float()
    return centres[torch.arange(N_PROTOTYPES) % len(centres)]


def _fit_detector(genuine, corrupted, granted, learnt, rate):
    """Train the detectors of all modalities side by side.

    Parameters
    ----------
    genuine : Tensor of shape (m, n, s)
    corrupted : Tensor of shape (m, copies * n, s)
    granted : Tensor of shape (m, copies * n)
    learnt : bool Tensor of shape (m, n)
        Rows with the modality to learn from.
    rate : float
    """
    n_modalities, n_copies = len(genuine), corrupted.shape[1] // genuine.shape[1]
    chance = learnt.float() + 1e-12
    both = torch.cat([genuine, corrupted], dim=1)
    # Statistics are compared with those of rows that are learnt from, genuine and corrupted alike.
    weight = torch.cat([chance, chance.repeat(1, n_copies) / n_copies], dim=1)[..., None]
    centre = (weight * both).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
    spread = ((weight * (both - centre).square()).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)).sqrt()
    detector = ReliabilityDetector.untrained(centre, spread.clamp(min=1e-3))
    optimizer = torch.optim.AdamW(detector.parameters(), lr=LEARNING_RATE, weight_decay=1e-2, fused=True)
    good = torch.multinomial(chance, N_STEPS * BATCH_ROWS, replacement=True)
    bad = torch.multinomial(chance.repeat(1, n_copies), N_STEPS * BATCH_ROWS, replacement=True)
    softplus = torch.nn.functional.softplus
    places = torch.arange(n_modalities)[:, None]
    for step in range(N_STEPS):
        batch = slice(step * BATCH_ROWS, (step + 1) * BATCH_ROWS)
        rows, wrong = good[:, batch], bad[:, batch]
        seen = torch.cat([genuine[places, rows], corrupted[places, wrong]], dim=1)
        odds = detector(seen + SMOOTHING * detector.spread * torch.randn_like(seen))
        of_good, of_bad, useful = odds[:, :BATCH_ROWS], odds[:, BATCH_ROWS:], granted[places, wrong]
        lost = useful * softplus(-of_bad) + (1 - useful) * softplus(of_bad)
        loss = ((1 - rate) * softplus(-of_good) + rate * lost).mean(dim=1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return detector.eval()
