"""What is hidden in training, and how often."""

import re

import pytest
import torch
from conftest import fast_classifier
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch.testing import assert_close

from sklearn_aecf.masking import (
    EntropyMasking,
    Masking,
    RegretMasking,
    UniformMasking,
    all_subsets,
    draw_subsets,
    row_rates,
)

pytestmark = pytest.mark.usefixtures("seeded")


def drawn_by(masking, present, weights, entropy, n_draws=3, state=None):
    state = masking.initial_state(present.shape[1]) if state is None else state
    return masking.draw(present, weights, entropy, n_draws, state)


def some_gate(present):
    weights = torch.softmax(torch.randn(present.shape).masked_fill(~present, -torch.inf), dim=1).nan_to_num(0)
    return weights, -torch.xlogy(weights, weights).sum(dim=1)


@pytest.mark.parametrize("masking", [UniformMasking(0.7), EntropyMasking(0.7), RegretMasking(0.7)], ids=repr)
@given(st.integers(0, 1000), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_draws_are_non_empty_subsets(masking, seed, n_modalities):
    torch.manual_seed(seed)
    present = torch.rand(20, n_modalities) < 0.6
    present[:, 0] |= ~present.any(dim=1)
    drawn = drawn_by(masking, present, *some_gate(present))
    assert drawn.shape == (20, 3, n_modalities) and drawn.dtype == torch.bool
    assert not (drawn & ~present[:, None]).any()
    assert drawn.any(-1).all()


@pytest.mark.parametrize("masking", [UniformMasking(0.3), EntropyMasking(0.4, 0.8), RegretMasking(0.6, 0.2)], ids=repr)
def test_strategies_are_scikit_learn_objects(masking):
    copy = clone(masking)
    assert copy is not masking and copy.get_params() == masking.get_params()
    assert eval(repr(masking)).get_params() == masking.get_params()
    assert copy.set_params(rate=0.1).rate == 0.1


def test_draws_follow_their_rates():
    present = torch.ones(20000, 3, dtype=torch.bool)
    rates = torch.tensor([0.1, 0.5, 0.3]).expand(20000, 3)
    drawn = draw_subsets(present, rates, 1)[:, 0]
    # Rows that would lose all (1.5 %) keep one: 60,000 draws put three standard errors at 0.011.
    hidden = 1 - drawn.float().mean(dim=0)
    assert_close(hidden, torch.tensor([0.1, 0.5, 0.3]) - 0.015 / 3, atol=0.011, rtol=0)


def test_uniform_masking_hides_less_than_its_rate_because_one_stays():
    """As its docstring says: a third of two modalities at 0.5. 60,000 flags: standard error 0.002."""
    present = torch.ones(30000, 2, dtype=torch.bool)
    drawn = drawn_by(UniformMasking(0.5), present, *some_gate(present), n_draws=1)
    assert abs(1 - drawn.float().mean().item() - 1 / 3) < 0.006


def test_entropy_rates_are_uniform_for_an_even_gate_and_aim_at_a_dominant_modality():
    masking, present = EntropyMasking(), torch.tensor([[True, True, True, False]])
    even = torch.tensor([[1 / 3, 1 / 3, 1 / 3, 0.0]])
    rates = masking.rates(present, even, torch.tensor([3.0]).log(), 0.4)
    assert_close(rates, torch.tensor([[0.4, 0.4, 0.4, 0.0]]))
    collapsed = masking.rates(present, torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.zeros(1), 0.4)
    assert_close(collapsed, torch.tensor([[0.9, 0.0, 0.0, 0.0]]))


@given(st.integers(0, 1000), st.floats(0, 0.3))
@settings(max_examples=40, deadline=None)
def test_entropy_rates_average_to_the_mask_rate_below_the_cap(seed, rate):
    torch.manual_seed(seed)
    present = torch.ones(5, 3, dtype=torch.bool)
    weights, entropy = some_gate(present)
    rates = EntropyMasking(cap=1.0).rates(present, weights, entropy, rate)
    assert_close(rates.mean(dim=1), torch.full((5,), rate))


def test_rates_of_rows_scale_their_own_row():
    present = torch.tensor([[True, True], [True, True], [True, False]])
    rate = torch.tensor([[0.2], [0.6], [0.6]])
    weights, entropy = torch.tensor([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]), torch.tensor([2.0, 2.0, 1.0]).log()
    assert_close(EntropyMasking().rates(present, weights, entropy, rate)[:2], rate[:2].expand(2, 2))


def test_all_subsets():
    subsets = all_subsets(3)
    assert subsets.shape == (7, 3) and subsets.any(dim=1).all()
    assert [int((row * torch.tensor([1, 2, 4])).sum()) for row in subsets] == list(range(1, 8))


def test_regret_trains_the_worst_subset_most():
    present = torch.ones(200, 2, dtype=torch.bool)
    masking, worst = RegretMasking(0.9), torch.tensor([False, True])
    state = masking.initial_state(2)
    for _ in range(50):
        drawn = drawn_by(masking, present, None, None, n_draws=2, state=state)
        losses = torch.where((drawn == worst).all(dim=-1), 2.0, 0.5)
        state = masking.update(state, drawn, present, losses)
    assert (all_subsets(2)[state.argmax()] == worst).all()
    assert state.abs().max() <= 3


def test_regret_learns_nothing_from_rows_that_kept_all():
    present = torch.tensor([[True, True], [True, False]])
    subsets = present[:, None]
    state = RegretMasking().initial_state(2)
    assert_close(RegretMasking().update(state, subsets, present, torch.tensor([[5.0], [1.0]])), state)


def test_regret_needs_few_modalities():
    message = (
        "RegretMasking keeps a number per subset, for up to 8 modalities. Got 9; use masking='entropy' or 'uniform'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RegretMasking().initial_state(9)


def test_a_strategy_without_draw_says_what_it_lacks():
    class Lazy(Masking):
        pass

    with pytest.raises(TypeError, match=re.escape("Lazy must define draw(present, weights, entropy, n_draws, state).")):
        drawn_by(Lazy(), torch.ones(2, 2, dtype=torch.bool), None, None)


@given(st.integers(0, 1000), st.floats(0, 0.99))
@settings(max_examples=40, deadline=None)
def test_row_rates_spread_around_their_mean(seed, rate):
    torch.manual_seed(seed)
    rates = row_rates(rate, 4000)
    spread = min(rate, 1 - rate)
    assert rates.shape == (4000, 1)
    assert rate - spread - 1e-6 <= rates.min() and rates.max() <= rate + spread + 1e-6
    # Standard error of the mean of 4,000 uniform numbers: spread / 110; five of them.
    assert abs(float(rates.mean()) - rate) <= 5 * spread / 110 + 1e-6


class Draws(Masking):
    """Returns what it is told to."""

    def __init__(self, make):
        self.make = make

    def draw(self, present, weights, entropy, n_draws, state):
        return self.make(present, n_draws)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p, n: torch.zeros(len(p), n, 3, dtype=torch.bool), "Draws.draw returned an empty subset; every row must keep a modality that it has."),
        (lambda p, n: torch.ones(len(p), n, 3, dtype=torch.bool), "Draws.draw returned a modality that a row lacks; subsets must lie within `present`."),
        (lambda p, n: p, "Draws.draw must return a bool tensor of shape (32, 2, 3). Got torch.bool of shape (32, 3)."),
        (lambda p, n: p[:, None].float().expand(-1, n, -1), "Draws.draw must return a bool tensor of shape (32, 2, 3). Got torch.float32 of shape (32, 2, 3)."),
        (lambda p, n: None, "Draws.draw must return a bool tensor of shape (32, 2, 3). Got <class 'NoneType'>."),
    ],
)  # fmt: skip
def test_what_a_strategy_of_the_users_must_not_return(data, make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(masking=Draws(make)).fit(*data)


@pytest.mark.parametrize(
    ("masking", "message"),
    [
        (UniformMasking(2.0), "rate of UniformMasking must be in [0, 1). Got 2.0."),
        (UniformMasking(float("nan")), "rate of UniformMasking must be in [0, 1). Got nan."),
        (EntropyMasking(cap=-3), "cap of EntropyMasking must be in [0, 1]. Got -3."),
        (RegretMasking("a"), "rate of RegretMasking must be in [0, 1). Got 'a'."),
    ],
)
def test_parameters_outside_their_range_are_refused_before_training(data, masking, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(masking=masking).fit(*data)


class Half(Masking):
    """A fourth sampler: every other draw loses the first modality, where another is there."""

    def __init__(self, rate=0.5):
        self.rate = rate

    def draw(self, present, weights, entropy, n_draws, state):
        several = present.sum(dim=1) > 1
        hidden = (torch.rand(len(present), n_draws) < self.rate) & several[:, None]
        subsets = present[:, None].expand(-1, n_draws, -1).clone()
        subsets[..., 0] &= ~hidden
        return subsets


@pytest.mark.parametrize("masking", [UniformMasking(), EntropyMasking(), RegretMasking(), Half()], ids=repr)
def test_a_rate_goes_into_a_grid_and_the_object_stays_as_it_was(data, masking):
    X, y = data
    search = GridSearchCV(fast_classifier(masking=masking), {"masking__rate": [0.1, 0.6]}, cv=2).fit(X, y)
    best = search.best_estimator_
    assert best.masking.rate == search.best_params_["masking__rate"] == best.net_.criterion_.masking.rate
    assert masking.rate == 0.5 and best.net_.criterion_.masking is not best.masking
    hidden = [
        fast_classifier(masking=clone(masking).set_params(rate=r)).fit(X, y).history_["hidden_share"]
        for r in (0.1, 0.6)
    ]
    assert hidden[0].mean() < hidden[1].mean()
