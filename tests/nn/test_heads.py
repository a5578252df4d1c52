"""The heads say the same in whatever portions and way they are computed."""

import pytest
import torch

from sklearn_aecf.nn import MemberHeads


@pytest.fixture
def heads():
    """With a normalisation that has learnt something."""
    torch.manual_seed(0)
    heads = MemberHeads(embed_dim=32, n_outputs=3, n_members=8, dropout=0.5).eval()
    for tensor in (heads.norm.weight, heads.norm.bias, heads.bias):
        torch.nn.init.normal_(tensor)
    return heads


@pytest.mark.parametrize("by_products", [False, True])
def test_portions_say_what_all_rows_at_once_say(heads, by_products):
    fused = torch.randn(3000, 1, 32)
    with torch.no_grad():
        expected = heads.double()(fused.double())
        heads.float()
        torch.testing.assert_close(heads.in_portions(fused, by_products).double(), expected, rtol=1e-5, atol=1e-5)


def test_products_decline_where_few_digits_would_be_left(heads):
    fused = torch.randn(3000, 1, 32)
    with torch.no_grad():
        heads.bias += 100
        assert heads._by_products(fused[:, 0], 512) is None
        torch.testing.assert_close(heads.in_portions(fused, by_products=True), heads(fused))


def test_dropout_of_a_teacher_stays(heads):
    fused = torch.randn(3000, 1, 32)
    with torch.no_grad():
        expected = heads(fused)
        assert not torch.equal(heads.train().in_portions(fused, by_products=True), expected)
        torch.manual_seed(0)
        expected = heads(fused)
        torch.manual_seed(0)
        assert torch.equal(heads.in_portions(fused, by_products=True), expected)


def test_what_is_learnt_from_is_not_cut(heads):
    fused = torch.randn(3000, 1, 32, requires_grad=True)
    heads.in_portions(fused, by_products=True).sum().backward()
    assert fused.grad.shape == fused.shape
