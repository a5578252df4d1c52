"""The gate's softmax over what is observed, and the weighted sum of embeddings."""

import re

import pytest
import torch
from torch.testing import assert_close

from sklearn_aecf.nn import AECFFusion, ModalityGate
from sklearn_aecf.nn._fusion import masked_softmax

pytestmark = pytest.mark.usefixtures("seeded")


def trained_gate(n_modalities, d):
    gate = ModalityGate(n_modalities, d)
    torch.nn.init.normal_(gate.to_scores.weight)
    return gate


def test_masked_softmax_equals_softmax_over_what_is_observed():
    scores = torch.randn(50, 4)
    present = torch.rand(50, 4) < 0.5
    present[0] = False
    weights, entropy = masked_softmax(scores, present)
    assert (weights[~present] == 0).all()
    for row in range(1, 50):
        if present[row].any():
            expected = torch.softmax(scores[row, present[row]], dim=0)
            assert_close(weights[row, present[row]], expected)
            assert_close(entropy[row], -(expected * expected.log()).sum(), atol=1e-6, rtol=1e-5)
    assert (weights[0] == 0).all() and entropy[0] == 0


@pytest.mark.parametrize("magnitude", [1, 1e4])
def test_gradients_stay_finite_for_every_pattern(magnitude):
    scores = (magnitude * torch.randn(64, 3)).requires_grad_()
    present = torch.tensor([[bool(i >> m & 1) for m in range(3)] for i in range(8)]).repeat(8, 1)
    weights, entropy = masked_softmax(scores, present)
    (weights.square().sum() + entropy.sum()).backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[~present] == 0).all()


def test_gate_starts_uniform():
    weights, entropy = ModalityGate(3, 4)(torch.randn(5, 3, 4), torch.ones(5, 3, dtype=torch.bool))
    assert_close(weights, torch.full((5, 3), 1 / 3))
    assert_close(entropy, torch.full((5,), 3.0).log())


def test_views_of_a_row_equal_separate_passes():
    gate, embeddings = trained_gate(4, 8), torch.randn(10, 4, 8)
    views = torch.rand(10, 5, 4) < 0.6
    weights, entropy = gate(embeddings, views)
    for v in range(5):
        alone, alone_entropy = gate(embeddings, views[:, v])
        assert_close(weights[:, v], alone)
        assert_close(entropy[:, v], alone_entropy)


@pytest.mark.parametrize("garbage", [0.0, 1e30, float("inf"), float("nan")])
def test_absent_embeddings_have_no_influence(garbage):
    fusion = AECFFusion(3, 8)
    torch.nn.init.normal_(fusion.gate.to_scores.weight)
    embeddings = [torch.randn(6, 8) for _ in range(3)]
    present = torch.rand(6, 3) < 0.5
    present[:, 0] = True
    reference = fusion(embeddings, present)
    spoilt = [torch.where(present[:, m, None], e, garbage) for m, e in enumerate(embeddings)]
    for one, other in zip(fusion(spoilt, present), reference, strict=True):
        assert torch.equal(one, other)
    fused, _, _ = fusion(spoilt, present)
    fused.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in fusion.parameters() if p.grad is not None)


def test_gate_is_float32_under_autocast():
    gate = trained_gate(3, 8)
    embeddings, present = torch.randn(5, 3, 8), torch.ones(5, 3, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights, _ = gate(embeddings, present)
    assert torch.equal(weights, gate(embeddings, present)[0])


def test_combine_is_a_weighted_sum_per_view():
    embeddings, weights = torch.randn(5, 3, 7), torch.rand(5, 4, 3)
    combined = AECFFusion(3, 7).combine(embeddings, weights)
    assert_close(combined, torch.einsum("bvm,bmd->bvd", weights, embeddings))


@pytest.mark.parametrize(
    ("embeddings", "present", "message"),
    [
        ([torch.zeros(2, 4)] * 3, torch.ones(2, 2, dtype=torch.bool), "AECFFusion fuses 2 modalities. Got 3 embeddings."),
        ([torch.zeros(2, 4), torch.zeros(2, 5)], torch.ones(2, 2, dtype=torch.bool),
         "All embeddings must have the same shape (b, 4). Got [(2, 4), (2, 5)]."),
        (torch.zeros(2, 2, 5), torch.ones(2, 2, dtype=torch.bool), "embeddings must have shape (b, 2, 4). Got (2, 2, 5)."),
        (torch.zeros(2, 2, 4), torch.ones(2, 2),
         "present must be a bool tensor of shape (2, 2). Got torch.float32 of shape (2, 2)."),
    ],
)  # fmt: skip
def test_fusion_refuses(embeddings, present, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AECFFusion(2, 4)(embeddings, present)


def test_fusion_learns_between_frozen_backbones_and_a_head():
    """A torch user's own loop: with audio only noise, the gate turns to the image."""
    backbones = [torch.nn.Linear(10, 16).requires_grad_(False), torch.nn.Linear(6, 16).requires_grad_(False)]
    fusion, head = AECFFusion(2, 16), torch.nn.Linear(16, 2)
    optimizer = torch.optim.Adam([*fusion.parameters(), *head.parameters()], lr=1e-2)
    image, audio = torch.randn(256, 10), torch.randn(256, 6)
    y = (image[:, 0] > 0).long()
    present = torch.ones(256, 2, dtype=torch.bool)
    for _ in range(150):
        fused, weights, _ = fusion([backbones[0](image), backbones[1](audio)], present)
        loss = torch.nn.functional.cross_entropy(head(fused), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2
    assert weights[:, 0].mean() > 0.6
