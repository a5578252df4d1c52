"""The terms of the objective against their formulas."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from torch.nn import functional as F
from torch.testing import assert_close

from sklearn_aecf import losses
from sklearn_aecf._problem import Multiclass, Multilabel

# The two kinds of target: a problem's methods call the losses of its kind.
PROBLEMS = {"multiclass": Multiclass(np.arange(4)), "multilabel": Multilabel(np.arange(4))}

pytestmark = pytest.mark.usefixtures("seeded")


def test_prediction_loss_is_a_row_each():
    logits, y = torch.randn(3, 5, 4), torch.randint(4, (5,))
    each = losses.multiclass_loss(logits, y)
    assert each.shape == (3, 5)
    assert_close(each[1], F.cross_entropy(logits[1], y, reduction="none"))
    target, weight = (torch.rand(5, 4) < 0.5).float(), torch.rand(5, 4)
    each = losses.multilabel_loss(logits, target, weight)
    expected = F.binary_cross_entropy_with_logits(logits[2], target, weight=weight, reduction="none").mean(dim=1)
    assert_close(each[2], expected)


def test_unreported_labels_cost_nothing():
    logits = torch.randn(2, 3, requires_grad=True)
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    losses.multilabel_loss(logits, torch.zeros(2, 3), weight).sum().backward()
    assert (logits.grad[weight == 0] == 0).all()


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_mean_logits_are_those_of_the_mean_probability(kind):
    logits = 5 * torch.randn(4, 6, 3)
    problem = PROBLEMS[kind]
    mean = problem.probabilities(problem.mean_logits(logits, dim=0))
    assert_close(mean, problem.probabilities(logits).mean(dim=0))


def test_mean_logits_of_certain_members_stay_finite():
    logits = torch.tensor([[[200.0, -200.0]], [[300.0, -100.0]]])
    for problem in PROBLEMS.values():
        assert torch.isfinite(problem.mean_logits(logits, dim=0)).all()


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
def test_agreement_pulls_the_smaller_set_only(kind):
    smaller, expert = torch.randn(3, 5, 4, requires_grad=True), torch.rand(5, 4, requires_grad=True)
    PROBLEMS[kind].agreement_loss(smaller, expert).sum().backward()
    assert expert.grad is None and smaller.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_agreement_is_zero_for_equal_predictions_and_positive_else(kind):
    problem, logits = PROBLEMS[kind], torch.randn(5, 4)
    expert = problem.probabilities(logits)
    assert_close(problem.agreement_loss(logits, expert), torch.zeros(5), atol=1e-6, rtol=0)
    assert (problem.agreement_loss(torch.randn(5, 4), expert) > 0).all()


def test_monotone_loss_counts_growth_of_confidence_only_and_pulls_the_smaller_set():
    smaller, expert = torch.tensor([0.9, 0.6], requires_grad=True), torch.tensor([0.5, 0.8], requires_grad=True)
    loss = losses.monotone_loss(smaller, expert)
    assert_close(loss, torch.tensor([0.4, 0.0]))
    loss.sum().backward()
    assert expert.grad is None and smaller.grad.tolist() == [1, 0]


def test_agreement_equals_torch_kl():
    smaller, larger = torch.randn(5, 4), torch.randn(5, 4)
    expected = F.kl_div(F.log_softmax(smaller, 1), F.log_softmax(larger, 1), log_target=True, reduction="none").sum(1)
    assert_close(losses.multiclass_agreement_loss(smaller, larger.softmax(1)), expected)


def test_agreement_skips_labels_that_nobody_reported():
    smaller = torch.randn(2, 3, requires_grad=True)
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    losses.multilabel_agreement_loss(smaller, torch.rand(2, 3), weight).sum().backward()
    assert (smaller.grad[weight == 0] == 0).all() and (smaller.grad[weight > 0] != 0).all()


def _outcomes(seed, kind, spread):
    """Logits of two views, targets that they predict in part, weights of rows and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(2, 200, 4, generator=generator)
    weight = 2 * torch.rand(200, generator=generator)
    if kind == "multiclass":
        target = torch.randint(4, (200,), generator=generator)
        logits[:, torch.arange(200), target] += spread
        return logits, target, weight, None
    target = (torch.rand(200, 4, generator=generator) < torch.tensor([0.05, 0.3, 0.5, 0.7])).float()
    logits = logits + spread * (2 * target - 1)
    return logits, target, weight, (torch.rand(200, 4, generator=generator) < 0.8).float()


@pytest.mark.parametrize("spread", [0.05, 1.0, 30.0])
def test_refined_loss_is_that_of_the_best_temperature(spread):
    logits, target, weight, _ = _outcomes(0, "multiclass", spread)

    def rescaled(log_scale):
        each = losses.multiclass_loss(math.exp(log_scale) * logits.double(), target)
        return float((each * weight).mean())

    best = minimize_scalar(rescaled, bounds=(-9, 5), method="bounded", options={"xatol": 1e-6}).fun
    assert float(losses.refined_multiclass_loss(logits, target, weight)) == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("spread", [0.05, 1.0, 30.0])
def test_refined_loss_of_labels_is_that_of_a_logistic_regression_of_each(spread):
    logits, target, weight, reported = _outcomes(1, "multilabel", spread)
    total = 0
    for label in range(4):
        z, t = logits[:, :, label].double().numpy(), target[:, label].numpy()
        entries = (weight * reported[:, label]).numpy()
        mean = np.average(z, axis=1, weights=entries).mean()

        def loss(theta, z=z, t=t, entries=entries, mean=mean):
            scaled = mean + theta[0] + theta[1] * (z - mean)
            return ((np.logaddexp(0, scaled) - t * scaled) * entries).sum(axis=1).mean()

        def pulled(theta, loss=loss):
            return loss(theta) + 0.005 * (theta[0] ** 2 + (theta[1] - 1) ** 2)

        total += loss(minimize(pulled, [0, 1], bounds=[(None, None), (0, None)]).x)
    found = float(losses.refined_multilabel_loss(logits, target, weight, reported))
    assert found == pytest.approx(total / (4 * 200), rel=5e-3)


@pytest.mark.parametrize(
    ("mean", "spread", "rate"), [(-4, 0.3, 0.02), (-3, 0.3, 0.05), (-4.6, 0.5, 0.01), (-4, 0.01, 0.3)]
)
def test_refined_loss_of_rare_labels_needs_no_more_steps(mean, spread, rate):
    """As in the first epochs: logits near the label's log odds, hardly spread yet."""
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(5000, 1, generator=generator) < rate).float()
    logits = mean + spread * (torch.randn(4, 5000, 1, generator=generator) + 3 * target)
    few, many = (float(losses.refined_multilabel_loss(logits, target, torch.ones(5000), n_steps=n)) for n in (8, 100))
    plain = float(losses.multilabel_loss(logits, target).mean())
    assert few == pytest.approx(many, rel=1e-3) and many < 0.8 * plain


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_refined_loss_forgives_overconfidence_but_not_confusion(kind):
    problem = PROBLEMS[kind]
    logits, target, weight, reported = _outcomes(2, kind, 1.0)
    plain = [float((problem.loss(z, target, reported) * weight).mean()) for z in (logits, 20 * logits)]
    refined = [float(problem.refined_loss(z, target, weight, reported)) for z in (logits, 20 * logits)]
    assert plain[1] > 3 * plain[0]
    assert refined[0] <= plain[0] and refined[1] == pytest.approx(refined[0], rel=0.02)
    confused = float(problem.refined_loss(torch.flip(logits, [1]), target, weight, reported))
    assert confused > 1.2 * refined[0]


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_refined_loss_stays_finite_where_the_classes_are_apart(kind):
    target = torch.arange(20) % 2
    logits = 60 * torch.stack([1 - 2 * target, 2 * target - 1], dim=1).float().expand(3, 20, 2)
    target = target if kind == "multiclass" else torch.stack([1 - target, target], dim=1).float()
    found = PROBLEMS[kind].refined_loss(logits, target, torch.ones(20))
    assert torch.isfinite(found) and 0 <= found < 1e-3


@pytest.mark.parametrize("n_classes", [2, losses.FEW_CLASSES, losses.FEW_CLASSES + 1])
def test_class_probabilities_are_a_softmax(n_classes):
    logits = torch.randn(3, 4, 5, n_classes)
    assert_close(losses.class_probabilities(logits), torch.softmax(logits, dim=-1))
    assert_close(losses.class_probabilities(logits[0, 0, 0]), torch.softmax(logits[0, 0, 0], dim=-1))
