"""The objective of one batch: embed once, then two passes of gate and heads."""

import torch
from torch import Tensor, nn

from sklearn_aecf.curriculum import (
    draw_regret_subsets,
    draw_subsets,
    entropy_rates,
    row_rates,
    uniform_rates,
    update_regret,
)
from sklearn_aecf.losses import (
    cec_loss,
    entropy_coefficient,
    normalized_entropy,
    prediction_loss,
    probabilities,
    uncertainty,
)


class AECFObjective(nn.Module):
    """Loss of a batch, for every row on its observed set S and on one sampled subset S' per member.

    ``L = complete_weight l(f_S, y) + l(f_S', y) - lambda(x) H(p_S) / log|S| + cec_weight L_CEC(f_S, f_S')``

    Without masking ``L = l(f_S, y) - lambda(x) H(p_S) / log|S|``. Its state is a running mean of the uncertainty and,
    for ``masking="regret"``, how badly each subset is handled.

    Parameters
    ----------
    kind : {"multiclass", "multilabel"}
    n_modalities : int
    complete_weight, entropy_weight, cec_weight, monotone_weight : float
    masking : {"entropy", "uniform", "regret"} or None
    n_uncertainty_samples : int
        Stochastic passes where there is one member.
    """

    typical_spread: Tensor
    regret: Tensor

    def __init__(
        self,
        kind,
        n_modalities,
        complete_weight,
        entropy_weight,
        cec_weight,
        monotone_weight,
        masking,
        n_uncertainty_samples,
    ):
        super().__init__()
        self.kind = kind
        self.entropy_weight = entropy_weight
        self.cec_weight = cec_weight
        self.monotone_weight = monotone_weight
        # There is nothing to hide from a row with a single modality.
        self.masking = masking if n_modalities > 1 else None
        # Nor is there anything else to learn from where nothing is hidden.
        self.complete_weight = 1.0 if self.masking is None else complete_weight
        self.n_uncertainty_samples = n_uncertainty_samples
        self.register_buffer("typical_spread", torch.zeros(()))
        self.register_buffer("regret", torch.zeros(2**n_modalities - 1 if masking == "regret" else 0))

    def forward(self, network, batch, mask_rate: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch, and what the history records of it (0-d tensors, not yet fetched)."""
        (inputs, present), (target, weight, label_weight) = batch
        embeddings = network.embed(inputs)
        # What a modality adds to the gate and to the sum is computed once; each further view is a masked sum of it.
        fusion, heads, observed = network.fusion, network.heads, present[:, None]
        evidence = fusion.gate.evidence(embeddings)
        weights, entropy = fusion.gate.weigh(evidence, observed)
        # An expert that is not trained itself needs no gradient.
        with torch.set_grad_enabled(self.complete_weight > 0 and torch.is_grad_enabled()):
            activations = heads.activate(fusion.combine(embeddings, weights, observed))
            logits = heads.read_out(heads.dropout(activations)).float()
            complete = prediction_loss(logits, target, self.kind, label_weight).mean(dim=0)
        weights, entropy = weights[:, 0], entropy[:, 0]
        loss = self.complete_weight * complete
        parts = {"prediction_loss": complete}
        evenness = normalized_entropy(entropy, present)
        predicted = probabilities(logits.detach(), self.kind)
        if self.entropy_weight > 0:
            coefficient = self._coefficient(heads, activations, predicted)
            loss = loss - coefficient * evenness
            parts["entropy_coefficient"] = coefficient
        if self.masking is not None:
            subsets, codes = self._draw(weights, entropy, present, network.n_members, mask_rate)
            subset_weights, _ = fusion.gate.weigh(evidence, subsets)
            smaller = heads(fusion.combine(embeddings, subset_weights, subsets)).float()
            masked = prediction_loss(smaller, target, self.kind, label_weight)
            loss = loss + masked.mean(dim=0)
            parts["masked_loss"] = masked.mean(dim=0)
            if codes is not None:
                self.regret = update_regret(self.regret, codes, masked.detach().T)
            if self.cec_weight > 0:
                expert = predicted.mean(dim=0)
                cec = cec_loss(smaller, expert, self.kind, label_weight, self.monotone_weight).mean(dim=0)
                loss = loss + self.cec_weight * cec
                parts["cec_loss"] = cec
        parts["gate_entropy"] = evenness
        means = torch.stack(list(parts.values())).detach() @ weight / len(weight)
        return (loss * weight).mean(), dict(zip(parts, means.unbind(), strict=True))

    @torch.no_grad()
    def _coefficient(self, heads, activations, predicted):
        """lambda(x), from the spread of the members or, with one, of passes that redo the last dropout only."""
        if heads.n_members == 1 and heads.dropout.p > 0:
            rows, passes = len(activations), self.n_uncertainty_samples
            sampled = heads.dropout(activations.expand(-1, passes, -1)).reshape(rows * passes, 1, -1)
            logits = heads.read_out(sampled).view(rows, passes, -1).transpose(0, 1)
            predicted = probabilities(logits.float(), self.kind)
        spread = uncertainty(predicted)
        mean = spread.mean()
        # The first batch starts the running mean, without asking the device whether it is the first.
        self.typical_spread = torch.where(
            self.typical_spread == 0, mean, torch.lerp(self.typical_spread, mean, 0.01)
        ).clamp(min=1e-12)
        return entropy_coefficient(
            spread, scale=self.typical_spread, weight=self.entropy_weight, lambda_max=3 * self.entropy_weight
        )

    @torch.no_grad()
    def _draw(self, weights, entropy, present, n_members, mask_rate):
        if self.masking == "regret":
            return draw_regret_subsets(present, self.regret, mask_rate, n_members)
        rate = row_rates(mask_rate, len(present), present.device)
        if self.masking == "entropy":
            rates = entropy_rates(weights, entropy, present, rate)
        else:
            rates = uniform_rates(present, rate)
        return draw_subsets(present, rates, n_members), None


@torch.no_grad()
def evaluation_views(present: Tensor, rates=(0.0, 0.3, 0.5, 0.7)) -> Tensor:
    """Each row's observed set, and one subset of it per mask rate: what validation averages over.

    Drawn once before training, so that epochs are compared on the same views; shape (n_rows, n_rates, m). A single
    modality leaves one view.
    """
    if present.shape[1] == 1:
        return present[:, None]
    return torch.cat([draw_subsets(present, uniform_rates(present, rate), 1) for rate in rates], dim=1)
