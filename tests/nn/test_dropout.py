"""Dropout with one byte of randomness an element."""

import re

import pytest
import torch
from torch.testing import assert_close

from sklearn_aecf.nn import Dropout

pytestmark = pytest.mark.usefixtures("seeded")


def test_dropout_keeps_the_mean_and_the_rate():
    """Seed 0, a million draws: the standard error of the rate is 5e-4, that of the mean 7e-4."""
    dropped = Dropout(0.3)(torch.ones(1_000_000))
    assert abs((dropped == 0).float().mean() - 77 / 256) < 2e-3
    assert abs(dropped.mean() - 1) < 3e-3
    assert set(dropped.unique().tolist()) == {0.0, dropped.max().item()}


def test_dropout_is_off_in_evaluation_and_keeps_dtype_and_gradient():
    x = torch.randn(7, 3, requires_grad=True)
    assert Dropout(0.5).eval()(x) is x and Dropout(0.0)(x) is x
    assert Dropout(0.5)(x.bfloat16()).dtype == torch.bfloat16
    dropped = Dropout(0.5)(x)
    dropped.sum().backward()
    assert_close(x.grad, torch.where(dropped == 0, 0.0, 2.0))


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_dropout_refuses(p):
    with pytest.raises(ValueError, match=re.escape(f"p must be in [0, 1). Got {p}.")):
        Dropout(p)
