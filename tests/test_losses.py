"""The terms of the objective against their formulas."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from sklearn_aecf import losses


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_prediction_loss_is_a_row_each():
    logits, y = torch.randn(3, 5, 4), torch.randint(4, (5,))
    each = losses.prediction_loss(logits, y, "multiclass")
    assert each.shape == (3, 5)
    assert_close(each[1], F.cross_entropy(logits[1], y, reduction="none"))
    target, weight = (torch.rand(5, 4) < 0.5).float(), torch.rand(5, 4)
    each = losses.prediction_loss(logits, target, "multilabel", weight)
    expected = F.binary_cross_entropy_with_logits(logits[2], target, weight=weight, reduction="none").mean(dim=1)
    assert_close(each[2], expected)


def test_unreported_labels_cost_nothing():
    logits = torch.randn(2, 3, requires_grad=True)
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    losses.prediction_loss(logits, torch.zeros(2, 3), "multilabel", weight).sum().backward()
    assert (logits.grad[weight == 0] == 0).all()


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_mean_logits_are_those_of_the_mean_probability(kind):
    logits = 5 * torch.randn(4, 6, 3)
    mean = losses.probabilities(losses.mean_logits(logits, kind, dim=0), kind)
    assert_close(mean, losses.probabilities(logits, kind).mean(dim=0))


def test_mean_logits_of_certain_members_stay_finite():
    logits = torch.tensor([[[200.0, -200.0]], [[300.0, -100.0]]])
    for kind in ("multiclass", "multilabel"):
        assert torch.isfinite(losses.mean_logits(logits, kind, dim=0)).all()


def test_entropy_coefficient_of_the_paper_and_ours():
    spread = torch.tensor([0.0, 0.01, 0.1])
    assert_close(losses.entropy_coefficient(spread), F.softplus(spread))
    ours = losses.entropy_coefficient(spread, scale=0.01, weight=0.02, lambda_max=0.06)
    assert_close(ours, torch.tensor([0.02 * math.log(2), 0.02 * math.log1p(math.e), 0.06]))


def test_uncertainty_is_the_variance_over_members():
    p = torch.tensor([[[0.2, 0.8]], [[0.6, 0.4]]])
    assert_close(losses.uncertainty(p), torch.tensor([0.04]))


def test_normalized_entropy():
    present = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    entropy = torch.tensor([math.log(3), math.log(2) / 2, 0.0])
    assert_close(losses.normalized_entropy(entropy, present), torch.tensor([1.0, 0.5, 0.0]))


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_cec_pulls_the_smaller_set_only(kind):
    smaller, expert = torch.randn(3, 5, 4, requires_grad=True), torch.rand(5, 4, requires_grad=True)
    losses.cec_loss(smaller, expert, kind).sum().backward()
    assert expert.grad is None and smaller.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_cec_is_zero_for_equal_predictions_and_positive_else(kind):
    logits = torch.randn(5, 4)
    expert = losses.probabilities(logits, kind)
    assert_close(losses.cec_loss(logits, expert, kind), torch.zeros(5), atol=1e-6, rtol=0)
    assert (losses.agreement_loss(torch.randn(5, 4), expert, kind) > 0).all()


def test_confidence_is_that_of_the_probabilities():
    logits, sure = torch.randn(6, 4), torch.full((6, 4), 0.5)
    for kind, least in (("multiclass", 0.5), ("multilabel", 0.5)):
        expected = losses.confidence(losses.probabilities(logits, kind), kind) - least
        assert_close(losses.monotone_loss(logits, sure, kind), expected.clamp(min=0))


def test_monotone_loss_counts_growth_of_confidence_only():
    expert = torch.softmax(torch.tensor([[0.0, 0.0], [4.0, 0.0]]), dim=1)
    smaller = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    loss = losses.monotone_loss(smaller, expert, "multiclass")
    assert_close(loss, torch.tensor([torch.sigmoid(torch.tensor(3.0)) - 0.5, 0.0]))


def test_agreement_equals_torch_kl():
    smaller, larger = torch.randn(5, 4), torch.randn(5, 4)
    expected = F.kl_div(F.log_softmax(smaller, 1), F.log_softmax(larger, 1), log_target=True, reduction="none").sum(1)
    assert_close(losses.agreement_loss(smaller, larger.softmax(1), "multiclass"), expected)


def test_agreement_skips_labels_that_nobody_reported():
    smaller = torch.randn(2, 3, requires_grad=True)
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    losses.agreement_loss(smaller, torch.rand(2, 3), "multilabel", weight).sum().backward()
    assert (smaller.grad[weight == 0] == 0).all() and (smaller.grad[weight > 0] != 0).all()


def test_cec_weighs_its_monotone_part():
    smaller, expert = torch.randn(2, 5, 3), torch.softmax(torch.randn(5, 3), dim=-1)
    agreement = losses.agreement_loss(smaller, expert, "multiclass")
    monotone = losses.monotone_loss(smaller, expert, "multiclass")
    assert monotone.max() > 0
    for weight in (0.0, 1.0, 0.5):
        found = losses.cec_loss(smaller, expert, "multiclass", monotone_weight=weight)
        assert_close(found, agreement + weight * monotone)
