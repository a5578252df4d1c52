"""The objective of one batch: a list of weighted terms over what the network's forward gave."""

import io
from functools import cached_property

import torch
from torch import Tensor, nn

from sklearn_aecf.losses import entropy_coefficient, monotone_loss, normalized_entropy, uncertainty
from sklearn_aecf.masking import EntropyMasking, RegretMasking, UniformMasking, draw_subsets

# Strategies whose draws need no check.
BUILT_IN = (UniformMasking, EntropyMasking, RegretMasking)

# Stochastic passes that measure the uncertainty of a single member.
N_SAMPLES = 8

# The entropy coefficient is at most so many times its weight, where its scale is "auto".
MAX_COEFFICIENT = 3


class Outcome:
    """What the network gave for a batch, and what the terms ask of it, each computed once.

    Parameters
    ----------
    problem : Multiclass or Multilabel
    output : dict of str to Tensor
        As from `AECFNetwork.forward`.
    target : Tensor of shape (b,) or (b, c)
    X : dict of str to Tensor
        The batch: ``present`` (b, m) and ``label_weight`` (b, c) or None.

    Attributes
    ----------
    logits : Tensor of shape (k, b, c)
        Of every member on all that the rows have.
    masked_logits : Tensor of shape (k, b, c), or None
        Of every member on its own subset.
    coefficient : Tensor of shape (b,), or None
        Of the entropy term in each row.
    """

    def __init__(self, problem, output, target, X):
        self.problem, self.output, self.target = problem, output, target
        self.present, self.label_weight = X["present"], X["label_weight"]
        self.coefficient: Tensor | None = None
        # Taken here, not when first asked for, which may be where gradients are off.
        self.logits = output["logits"][0].float()
        self.masked_logits = output["masked_logits"].float() if "masked_logits" in output else None

    @cached_property
    def predicted(self):
        """Probabilities of every member on all that the rows have, (k, b, c); no gradient."""
        return self.problem.probabilities(self.logits.detach())

    @cached_property
    def expert(self):
        """Their mean, (b, c): what predictions from fewer modalities learn from."""
        return self.predicted.mean(dim=0)

    @cached_property
    def evenness(self):
        """Entropy of the gate on all that the rows have, over its largest value, (b,)."""
        return normalized_entropy(self.output["entropy"][:, 0], self.present)

    @cached_property
    def spread(self):
        """Variance of the members' probabilities, or of stochastic passes, (b,); no gradient."""
        if "samples" not in self.output:
            return uncertainty(self.predicted)
        return uncertainty(self.problem.probabilities(self.output["samples"].float()))

    @cached_property
    def complete_loss(self):
        """Prediction loss on all that the rows have, (b,)."""
        return self.problem.loss(self.logits, self.target, self.label_weight).mean(dim=0)

    @cached_property
    def masked_losses(self):
        """Prediction loss of every member on its own subset, (k, b)."""
        return self.problem.loss(self.masked_logits, self.target, self.label_weight)


class AECFObjective(nn.Module):
    """Loss of a batch, for every row on its observed set S and on one sampled subset S' per member.

    ``L = l(f_S', y) - lambda(x) H(p_S) / log|S| + agreement_weight KL(f_S || f_S') + monotone_weight relu(c(f_S') -
    c(f_S))``

    Without masking ``L = l(f_S, y) - lambda(x) H(p_S) / log|S|``. Further terms are further entries of `terms`. Its
    state is a running mean of the uncertainty, what the masking has learnt, and what a resumed training goes on from.

    Parameters
    ----------
    problem : Multiclass or Multilabel
    n_modalities : int
    masking : Masking or None
    entropy_weight : float
    entropy_scale : float or "auto"
    agreement_weight, monotone_weight : float
    """

    typical_spread: Tensor
    masking_state: Tensor

    def __init__(
        self, problem, n_modalities, masking, entropy_weight, entropy_scale, agreement_weight, monotone_weight
    ):
        super().__init__()
        self.problem = problem
        # There is nothing to hide from a row with a single modality.
        self.masking = masking if n_modalities > 1 else None
        self.entropy_weight = entropy_weight
        self.entropy_scale = entropy_scale
        self.register_buffer("typical_spread", torch.zeros(()))
        state = torch.zeros(0) if self.masking is None else self.masking.initial_state(n_modalities)
        self.register_buffer("masking_state", self._checked_state(state))
        self.resume_from: dict = {}
        masked = self.masking is not None
        # Name, weight and what is minimised: a function of an Outcome to a value a row.
        self.terms = [
            (name, weight, term)
            for name, weight, term in [
                ("masked_loss", float(masked), self._masked_loss),
                ("prediction_loss", float(not masked), self._prediction_loss),
                ("entropy_term", float(entropy_weight > 0), self._entropy_term),
                ("agreement_loss", agreement_weight * masked, self._agreement_loss),
                ("monotone_loss", monotone_weight * masked, self._monotone_loss),
            ]
            if weight > 0
        ]

    @property
    def forward_options(self):
        """What the network's forward is to compute for this objective."""
        options = {"n_samples": N_SAMPLES if self.entropy_weight > 0 else 0}
        return options if self.masking is None else {**options, "draw": self._draw}

    def _draw(self, present, weights, entropy, n_draws):
        subsets = self.masking.draw(present, weights, entropy, n_draws, self.masking_state)
        if type(self.masking) not in BUILT_IN:
            self._check_subsets(subsets, present, n_draws)
        return subsets

    def _check_subsets(self, subsets, present, n_draws):
        """Refuse what a strategy of the user's must not return: it would be learnt from all the same."""
        name, shape = type(self.masking).__name__, (len(present), n_draws, present.shape[1])
        if not isinstance(subsets, Tensor) or subsets.dtype != torch.bool or subsets.shape != shape:
            found = f"{subsets.dtype} of shape {tuple(subsets.shape)}" if isinstance(subsets, Tensor) else type(subsets)
            raise ValueError(f"{name}.draw must return a bool tensor of shape {shape}. Got {found}.")
        if not subsets.any(dim=-1).all():
            raise ValueError(f"{name}.draw returned an empty subset; every row must keep a modality that it has.")
        if (subsets & ~present[:, None]).any():
            raise ValueError(f"{name}.draw returned a modality that a row lacks; subsets must lie within `present`.")

    def _checked_state(self, state):
        if not isinstance(state, Tensor):
            name = type(self.masking).__name__
            raise TypeError(f"{name} must keep its state in a tensor. Got {type(state).__name__}.")
        return state

    def forward(self, output, target, X) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch, and what the history records of it (0-d tensors, not yet fetched)."""
        outcome = Outcome(self.problem, output, target, X)
        if self.entropy_weight > 0:
            outcome.coefficient = self._coefficient(outcome)
        parts = {name: term(outcome) for name, _, term in self.terms}
        loss = sum(parts[name] if weight == 1 else weight * parts[name] for name, weight, _ in self.terms)
        if self.masking is not None:
            self._learn_masking(outcome)
        means = self._means({**parts, **self._diagnostics(outcome)}, X["weight"])
        return (loss * X["weight"]).mean(), means

    def _masked_loss(self, outcome):
        return outcome.masked_losses.mean(dim=0)

    def _prediction_loss(self, outcome):
        return outcome.complete_loss

    def _entropy_term(self, outcome):
        return -outcome.coefficient * outcome.evenness

    def _agreement_loss(self, outcome):
        each = self.problem.agreement_loss(outcome.masked_logits, outcome.expert, outcome.label_weight)
        return each.mean(dim=0)

    def _monotone_loss(self, outcome):
        smaller = self.problem.confidence(self.problem.probabilities(outcome.masked_logits))
        return monotone_loss(smaller, self.problem.confidence(outcome.expert)).mean(dim=0)

    @torch.no_grad()
    def _coefficient(self, outcome):
        """lambda(x), which grows with the row's uncertainty."""
        if self.entropy_scale != "auto":
            return entropy_coefficient(outcome.spread, scale=self.entropy_scale, weight=self.entropy_weight)
        mean = outcome.spread.mean()
        # The first batch starts the running mean, without asking the device whether it is the first.
        self.typical_spread = torch.where(
            self.typical_spread == 0, mean, torch.lerp(self.typical_spread, mean, 0.01)
        ).clamp(min=1e-12)
        return entropy_coefficient(
            outcome.spread,
            scale=self.typical_spread,
            weight=self.entropy_weight,
            lambda_max=MAX_COEFFICIENT * self.entropy_weight,
        )

    @torch.no_grad()
    def _learn_masking(self, outcome):
        losses = outcome.masked_losses.detach().T
        subsets = outcome.output["subsets"]
        state = self._checked_state(self.masking.update(self.masking_state, subsets, outcome.present, losses))
        if state.shape != self.masking_state.shape:
            raise ValueError(
                f"{type(self.masking).__name__}.update must return a state of shape {tuple(self.masking_state.shape)}. "
                f"Got {tuple(state.shape)}."
            )
        self.masking_state = state

    @torch.no_grad()
    def _diagnostics(self, outcome):
        """Columns of the history that are not minimised as they are."""
        found = {"prediction_loss": outcome.complete_loss, "gate_entropy": outcome.evenness}
        if self.entropy_weight > 0:
            found["entropy_coefficient"] = outcome.coefficient
        if self.masking is not None:
            subsets = outcome.output["subsets"]
            found["hidden_share"] = 1 - subsets.sum(dim=(1, 2)) / (subsets.shape[1] * outcome.present.sum(dim=1))
        return found

    @staticmethod
    @torch.no_grad()
    def _means(parts, weight):
        means = torch.stack(list(parts.values())).detach() @ weight / len(weight)
        return dict(zip(parts, means.unbind(), strict=True))

    # What is stored with a checkpoint beside weights and buffers, as bytes: a tensor, so that safetensors take it too

    def get_extra_state(self):
        stream = io.BytesIO()
        torch.save(self.resume_from, stream)
        return torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)

    def set_extra_state(self, state):
        self.resume_from = torch.load(io.BytesIO(state.cpu().numpy().tobytes()), weights_only=True)


@torch.no_grad()
def validation_views(labelled, inputs, rates=(0.0, 0.3, 0.5, 0.7)) -> Tensor | None:
    """Each held-out row's observed set, and one subset of it per mask rate: what validation averages over.

    Drawn once, so that epochs are compared, and temperatures fitted, on the same views.

    Parameters
    ----------
    labelled : LabelledRows or None
    inputs : NetworkInputs
    rates : sequence of float

    Returns
    -------
    bool Tensor of shape (n_rows, n_rates, n_active), or None without rows
        A single modality leaves one view.
    """
    if labelled is None:
        return None
    present = inputs.present(labelled.data, labelled.rows)
    if present.shape[1] == 1:
        return present[:, None]
    return torch.cat([draw_subsets(present, rate * present.float(), 1) for rate in rates], dim=1)
