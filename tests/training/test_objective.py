"""The loss of a batch: which terms it adds up, and which passes learn."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sklearn_aecf._problem import Multiclass, Multilabel
from sklearn_aecf._training._objective import AECFObjective
from sklearn_aecf.masking import UniformMasking
from sklearn_aecf.nn import AECFNetwork

pytestmark = pytest.mark.usefixtures("seeded")

PRESENT = torch.tensor([[True, True], [True, True], [True, False]])
INPUTS = [torch.linspace(-1, 1, 9).view(3, 3), torch.linspace(1, -1, 6).view(3, 2)]
BATCH = {"present": PRESENT, "weight": torch.tensor([1.0, 0.5, 1.5]), "label_weight": None}


CLASSES, HALF = Multiclass(np.arange(2)), UniformMasking(0.5)


def objective(problem=CLASSES, masking=HALF, **chosen):
    off = {"entropy_weight": 0.0, "entropy_scale": "auto", "agreement_weight": 0.0, "monotone_weight": 0.0}
    return AECFObjective(problem, n_modalities=2, masking=masking, **{**off, **chosen})


def network(n_members=2, dropout=0.0):
    return AECFNetwork([3, 2], n_outputs=2, embed_dim=4, hidden_dim=4, n_members=n_members, dropout=dropout)


def test_at_a_mask_rate_of_zero_the_masked_copies_are_complete():
    module, target = network(), torch.tensor([0, 1, 1])
    masked = objective(masking=UniformMasking(0.0))
    alone = objective(masking=None)
    one, parts = masked(module(INPUTS, PRESENT, **masked.forward_options), target, BATCH)
    other, plain = alone(module(INPUTS, PRESENT, **alone.forward_options), target, BATCH)
    assert_close(one, other)
    assert_close(parts["masked_loss"], plain["prediction_loss"])
    assert parts["hidden_share"] == 0 and "hidden_share" not in plain


def test_loss_is_the_weighted_sum_of_its_terms():
    module, target = network(n_members=3, dropout=0.3), torch.tensor([0, 1, 1])
    whole = objective(entropy_weight=0.2, agreement_weight=0.3, monotone_weight=2.0)
    assert [name for name, _, _ in whole.terms] == ["masked_loss", "entropy_term", "agreement_loss", "monotone_loss"]
    loss, parts = whole(module(INPUTS, PRESENT, **whole.forward_options), target, BATCH)
    expected = parts["masked_loss"] + parts["entropy_term"] + 0.3 * parts["agreement_loss"] + 2 * parts["monotone_loss"]
    assert_close(loss.detach(), expected)
    assert parts["entropy_term"] < 0 < parts["entropy_coefficient"]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"monotone_weight": 1.0}, ["masked_loss", "monotone_loss"]),
        ({"agreement_weight": 1.0}, ["masked_loss", "agreement_loss"]),
        ({"entropy_weight": 1.0}, ["masked_loss", "entropy_term"]),
        ({"masking": None, "agreement_weight": 1.0, "monotone_weight": 1.0}, ["prediction_loss"]),
    ],
)
def test_each_mechanism_can_be_switched_on_alone(chosen, names):
    assert [name for name, _, _ in objective(**chosen).terms] == names


def test_what_teaches_gets_no_gradient_and_what_is_taught_does():
    for masking, learns in ((UniformMasking(0.5), False), (None, True)):
        chosen = objective(masking=masking)
        output = network()(INPUTS, PRESENT, **chosen.forward_options)
        assert output["logits"].requires_grad == learns and output["weights"].requires_grad
        assert ("masked_logits" in output) == (not learns)
        assert learns or output["masked_logits"].requires_grad


@pytest.mark.parametrize("n_members", [1, 8])
@pytest.mark.parametrize("entropy_weight", [0.0, 0.5])
def test_without_masking_the_prediction_loss_has_a_gradient(n_members, entropy_weight):
    """The coefficient asks for the predictions first, without gradients, which must not stay with them."""
    module, chosen = network(n_members, dropout=0.3), objective(masking=None, entropy_weight=entropy_weight)
    loss, _ = chosen(module(INPUTS, PRESENT, **chosen.forward_options), torch.tensor([0, 1, 1]), BATCH)
    loss.backward()
    assert module.heads.weight.grad.abs().sum() > 0


def test_papers_coefficient_does_not_depend_on_earlier_batches():
    module, target = network(n_members=4, dropout=0.3), torch.tensor([0, 1, 1])
    paper = objective(entropy_weight=1.0, entropy_scale=1.0)
    _, parts = paper(module(INPUTS, PRESENT, **paper.forward_options), target, BATCH)
    assert paper.typical_spread == 0
    # softplus(U) with U below 1/4, the largest variance of a probability.
    assert np.log(2) <= parts["entropy_coefficient"] <= np.log1p(np.exp(0.25))


def test_labels_that_nobody_reported_cost_nothing():
    problem = Multilabel(np.arange(2))
    chosen = objective(problem, agreement_weight=1.0)
    batch = {**BATCH, "label_weight": torch.tensor([[1.0, 0.0]] * 3)}
    output = network()(INPUTS, PRESENT, **chosen.forward_options)
    output["masked_logits"].retain_grad()
    chosen(output, torch.zeros(3, 2), batch)[0].backward()
    gradient = output["masked_logits"].grad
    assert (gradient[..., 1] == 0).all() and (gradient[..., 0] != 0).any()


def test_state_of_a_resumed_training_is_a_tensor():
    chosen = objective(masking=UniformMasking(0.5))
    chosen.resume_from = {"generator": torch.get_rng_state(), "best": {"w": torch.ones(2)}}
    other = objective()
    other.load_state_dict(chosen.state_dict())
    assert torch.equal(other.resume_from["generator"], chosen.resume_from["generator"])
    assert torch.equal(other.resume_from["best"]["w"], torch.ones(2))
    assert all(torch.is_tensor(value) for value in chosen.state_dict().values())
