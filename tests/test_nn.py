"""The layers on their own."""

import re

import pytest
import torch
from torch.testing import assert_close

from sklearn_aecf.nn import AECFFusion, AECFNetwork, Dropout, MemberHeads, ModalityEmbeddings, ModalityGate
from sklearn_aecf.nn._fusion import masked_softmax


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


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


def test_network_ignores_absent_inputs_and_nothing_observed_is_zero():
    network = AECFNetwork([5, 3], 2, n_members=3).eval()
    inputs, present = [torch.randn(4, 5), torch.randn(4, 3)], torch.tensor([[True, False]] * 4)
    spoilt = [inputs[0], torch.full((4, 3), float("nan"))]
    for name, expected in network(inputs, present).items():
        assert torch.equal(network(spoilt, present)[name], expected)
    fused, weights, entropy = AECFFusion(2, 4)(torch.randn(3, 2, 4), torch.zeros(3, 2, dtype=torch.bool))
    assert (fused == 0).all() and (weights == 0).all() and (entropy == 0).all()


def test_embeddings_equal_a_plain_network_a_modality():
    embed = ModalityEmbeddings([5, 3], hidden_dim=8, embed_dim=4, dropout=0.0)
    torch.nn.init.normal_(embed.norm_weight)
    torch.nn.init.normal_(embed.norm_bias)
    inputs = [torch.randn(6, 5), torch.randn(6, 3)]
    for m, x in enumerate(inputs):
        normalised = torch.nn.functional.layer_norm(
            embed.first[m](x), (8,), embed.norm_weight[m, 0], embed.norm_bias[m, 0]
        )
        assert_close(embed(inputs)[:, m], torch.relu(normalised) @ embed.weight[m] + embed.bias[m])


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


def test_views_of_the_network_equal_separate_passes():
    network = AECFNetwork([5, 3], 2, n_members=3).eval()
    torch.nn.init.normal_(network.fusion.gate.to_scores.weight)
    inputs, present = [torch.randn(4, 5), torch.randn(4, 3)], torch.ones(4, 2, dtype=torch.bool)
    views = torch.tensor([[True, True], [True, False]]).expand(4, 2, 2)
    output = network(inputs, present, views=views)
    assert output["logits"].shape == (2, 3, 4, 2) and output["fused"].shape == (4, 2, 128)
    for v in range(2):
        alone = network(inputs, views[:, v])
        assert_close(output["logits"][v], alone["logits"][0])
        for name in ("weights", "entropy", "fused"):
            assert_close(output[name][:, v], alone[name][:, 0])


def test_each_member_predicts_from_the_subset_that_was_drawn_for_it():
    network = AECFNetwork([5, 3], 2, n_members=2, dropout=0.0)
    inputs, present = [torch.randn(4, 5), torch.randn(4, 3)], torch.ones(4, 2, dtype=torch.bool)
    chosen = torch.tensor([[True, False], [False, True]]).expand(4, 2, 2)
    asked = []

    def draw(*arguments):
        asked.append(arguments)
        return chosen

    output = network(inputs, present, draw=draw)
    ((seen, weights, entropy, n_draws),) = asked
    assert torch.equal(seen, present) and n_draws == 2
    assert_close(weights, output["weights"][:, 0])
    assert_close(entropy, output["entropy"][:, 0])
    for k in range(2):
        assert_close(output["masked_logits"][k], network(inputs, chosen[:, k])["logits"][0, k])
    assert torch.equal(output["subsets"], chosen)


def test_samples_are_stochastic_passes_of_a_single_member_also_in_evaluation():
    inputs, present = [torch.randn(4, 5), torch.randn(4, 3)], torch.ones(4, 2, dtype=torch.bool)
    alone = AECFNetwork([5, 3], 2, n_members=1).eval()
    samples = alone(inputs, present, n_samples=6)["samples"]
    assert samples.shape == (6, 4, 2) and samples.var(dim=0).min() > 0 and not samples.requires_grad
    assert "samples" not in AECFNetwork([5, 3], 2, n_members=2)(inputs, present, n_samples=6)


def test_members_equal_their_formula():
    heads = MemberHeads(8, 2, n_members=4, dropout=0.0)
    fused = torch.randn(5, 4, 8)
    logits = heads(fused)
    for k in range(4):
        activations = torch.relu(heads.norm(fused[:, k] * heads.scale[k] + heads.bias[k]))
        assert_close(logits[k], activations @ heads.weight[k] + heads.offset[k])
    assert_close(heads(fused[:, :1]), heads(fused[:, :1].expand(5, 4, 8)))


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
