"""The loss of a batch: which passes it adds up, and which of them learn."""

import pytest
import torch
from torch.testing import assert_close

from sklearn_aecf._training._objective import AECFObjective
from sklearn_aecf.nn import AECFNetwork


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def _objective(masking="uniform", **weights):
    chosen = {"complete_weight": 0.0, "entropy_weight": 0.0, "cec_weight": 0.0, "monotone_weight": 0.0, **weights}
    return AECFObjective(kind="multiclass", n_modalities=2, masking=masking, n_uncertainty_samples=2, **chosen)


def test_complete_weight_adds_the_loss_on_all_that_a_row_has():
    network = AECFNetwork([3, 2], n_outputs=2, embed_dim=4, hidden_dim=4, n_members=2, dropout=0.0)
    present = torch.tensor([[True, True], [True, True], [True, False]])
    batch = ([torch.randn(3, 3), torch.randn(3, 2)], present), (torch.tensor([0, 1, 1]), torch.ones(3), None)
    # At a mask rate of 0 the masked copies are complete.
    masked, both = (_objective(complete_weight=w)(network, batch, 0.0)[0] for w in (0.0, 0.5))
    assert_close(both, 1.5 * masked)
    # Without masking there is nothing else to learn from.
    alone, parts = _objective(masking=None)(network, batch, 0.5)
    assert_close(alone, masked)
    assert_close(parts["prediction_loss"], masked.detach())


def test_an_expert_that_is_not_trained_gets_no_gradient():
    network = AECFNetwork([3, 2], n_outputs=2, embed_dim=4, hidden_dim=4, n_members=2, dropout=0.0)
    seen = torch.tensor([[True, True]] * 4)
    batch = ([torch.randn(4, 3), torch.randn(4, 2)], seen), (torch.tensor([0, 1, 1, 0]), torch.ones(4), None)
    reads = []
    original = network.heads.read_out
    network.heads.read_out = lambda activations: reads.append(activations.requires_grad) or original(activations)
    for weight in (0.0, 1.0):
        _objective(complete_weight=weight, cec_weight=1.0)(network, batch, 0.5)[0].backward()
    assert reads == [False, True, True, True]
