"""Embeddings, the members' heads, and the network that they make up."""

import pytest
import torch
from torch.testing import assert_close

from sklearn_aecf.nn import AECFFusion, AECFNetwork, MemberHeads, ModalityEmbeddings

pytestmark = pytest.mark.usefixtures("seeded")


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
