"""What is hidden in training, and how often."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from sklearn_aecf import curriculum


def test_mask_rate_rises_linearly():
    rates = [curriculum.mask_rate_at(epoch, 10, 0.5, 0.4) for epoch in range(1, 11)]
    assert rates[:5] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5])
    assert curriculum.mask_rate_at(1, 10, 0.5, 0) == 0.5


@given(st.integers(0, 1000), st.floats(0, 0.95), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_draws_are_non_empty_subsets(seed, rate, n_modalities):
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(20, n_modalities, generator=generator) < 0.6
    drawn = curriculum.draw_subsets(present, curriculum.uniform_rates(present, rate), 3, generator)
    assert drawn.shape == (20, 3, n_modalities)
    assert not (drawn & ~present[:, None]).any()
    assert (drawn.any(-1) == present.any(-1)[:, None]).all()


def test_draws_follow_their_rates():
    generator = torch.Generator().manual_seed(0)
    present = torch.ones(20000, 3, dtype=torch.bool)
    rates = torch.tensor([0.1, 0.5, 0.3]).expand(20000, 3)
    drawn = curriculum.draw_subsets(present, rates, 1, generator)[:, 0]
    # Rows that would lose all (1.5 %) keep one: 60,000 draws put three standard errors at 0.011.
    hidden = 1 - drawn.float().mean(dim=0)
    assert_close(hidden, torch.tensor([0.1, 0.5, 0.3]) - 0.015 / 3, atol=0.011, rtol=0)


def test_entropy_rates_are_uniform_for_an_even_gate_and_aim_at_a_dominant_modality():
    present = torch.tensor([[True, True, True, False]])
    even = torch.tensor([[1 / 3, 1 / 3, 1 / 3, 0.0]])
    rates = curriculum.entropy_rates(even, torch.tensor([3.0]).log(), present, 0.4)
    assert_close(rates, torch.tensor([[0.4, 0.4, 0.4, 0.0]]))
    collapsed = curriculum.entropy_rates(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.zeros(1), present, 0.4)
    assert_close(collapsed, torch.tensor([[0.9, 0.0, 0.0, 0.0]]))


@given(st.integers(0, 1000), st.floats(0, 0.3))
@settings(max_examples=40, deadline=None)
def test_entropy_rates_average_to_the_mask_rate_below_the_cap(seed, rate):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.softmax(torch.randn(5, 3, generator=generator), dim=1)
    entropy = -(weights * weights.log()).sum(dim=1)
    rates = curriculum.entropy_rates(weights, entropy, torch.ones(5, 3, dtype=torch.bool), rate, cap=1.0)
    assert_close(rates.mean(dim=1), torch.full((5,), rate))


def test_all_subsets():
    subsets = curriculum.all_subsets(3)
    assert subsets.shape == (7, 3) and subsets.any(dim=1).all()
    assert len({tuple(row.tolist()) for row in subsets}) == 7


def test_regret_trains_the_worst_subset_most():
    generator = torch.Generator().manual_seed(0)
    present = torch.ones(200, 2, dtype=torch.bool)
    log_weights = torch.zeros(3)
    subsets = curriculum.all_subsets(2)
    worst = 1
    for _ in range(50):
        drawn, codes = curriculum.draw_regret_subsets(present, log_weights, 0.9, 2, generator)
        assert drawn.any(-1).all()
        kept = codes < 0
        assert (drawn[kept] == present[:, None].expand_as(drawn)[kept]).all()
        assert (drawn[~kept] == subsets[codes[~kept]]).all()
        log_weights = curriculum.update_regret(log_weights, codes, torch.where(codes == worst, 2.0, 0.5))
    assert log_weights.argmax() == worst
    assert log_weights.abs().max() <= 3


@given(st.integers(0, 1000), st.floats(0, 0.99))
@settings(max_examples=40, deadline=None)
def test_row_rates_spread_around_their_mean(seed, rate):
    rates = curriculum.row_rates(rate, 4000, generator=torch.Generator().manual_seed(seed))
    spread = min(rate, 1 - rate)
    assert rates.shape == (4000, 1)
    assert rate - spread - 1e-6 <= rates.min() and rates.max() <= rate + spread + 1e-6
    # Standard error of the mean of 4,000 uniform numbers: spread / 110; five of them.
    assert abs(float(rates.mean()) - rate) <= 5 * spread / 110 + 1e-6


def test_rates_of_rows_scale_their_own_row():
    present = torch.tensor([[True, True], [True, True], [True, False]])
    rate = torch.tensor([[0.2], [0.6], [0.6]])
    assert_close(curriculum.uniform_rates(present, rate), torch.tensor([[0.2, 0.2], [0.6, 0.6], [0.6, 0.0]]))
    weights, entropy = torch.tensor([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]), torch.tensor([2.0, 2.0, 1.0]).log()
    assert_close(curriculum.entropy_rates(weights, entropy, present, rate)[:2], rate[:2].expand(2, 2))
