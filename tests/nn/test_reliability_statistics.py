"""Statistics of values: the same in float32 as in float64, and readable from states of before."""

import pytest
import torch

from sklearn_aecf.nn import AECFNetwork
from sklearn_aecf.nn._reliability import FIRST_FLOOR, ModalityReliability, ReliabilityDetector, ValueStatistics


@pytest.fixture
def statistics():
    """Of 60 values that 6 components explain but for a thousandth, and rows of them."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, 6, generator=generator) @ torch.randn(6, 60, generator=generator)
    z += 1e-3 * torch.randn(400, 60, generator=generator)
    z = (z - z.mean(dim=0)) / z.std(dim=0, correction=0)
    return ValueStatistics.fit([z], [True], lambda scores: scores[:8], n_components=6), z


def test_float32_says_what_float64_says(statistics):
    statistics, z = statistics
    found = statistics([z])
    exact = statistics.double()([z.double()])
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=3e-4)


def test_a_state_without_a_floor_has_the_first(statistics):
    statistics, z = statistics
    found = statistics([z])
    reliability = ModalityReliability(
        torch.tensor([60]),
        torch.tensor([True]),
        torch.ones(1),
        statistics,
        ReliabilityDetector.untrained(found.mean(dim=1, keepdim=True), found.std(dim=1, keepdim=True)),
    )
    network = AECFNetwork([60], n_outputs=2, embed_dim=4, hidden_dim=4)
    network.reliability = reliability
    state = network.state_dict()
    del state["reliability.statistics.floor"]
    loaded = AECFNetwork([60], n_outputs=2, embed_dim=4, hidden_dim=4)
    loaded.load_state_dict(state)
    assert loaded.reliability.statistics.floor.item() == pytest.approx(FIRST_FLOOR)
    assert "reliability.statistics.floor" not in state
