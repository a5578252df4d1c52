"""Rows in parts are learnt from as well as all at once, and what changes on the way is learnt, too."""

from copy import deepcopy

import numpy as np
import pytest

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.datasets import load_handwritten


@pytest.fixture(scope="module")
def digits():
    found = load_handwritten()
    order = np.random.default_rng(0).permutation(len(found.target))
    return {name: found.data[name][order] for name in ("kar", "mor")}, found.target[order]


@pytest.mark.slow
def test_parts_are_worth_as_much_as_one_fit_of_as_many_steps(digits):
    """Seeds 0 to 4, 3 passes over 20 parts of 50 rows, 120 steps; measured: 0.6 points fewer at a standard error of 0.4."""
    X, y = MultimodalData(digits[0]), digits[1]
    settings = {"batch_size": 25, "embed_dim": 64, "hidden_dim": 64, "corruption_rate": 0}
    gains = []
    for seed in range(5):
        one = AECFClassifier(**settings, max_epochs=3, early_stopping=False, random_state=seed).fit(X[:1000], y[:1000])
        parts = AECFClassifier(**settings, random_state=seed)
        for start in 3 * list(range(0, 1000, 50)):
            parts.partial_fit(X[start : start + 50], y[start : start + 50], np.arange(10))
        gains.append(parts.score(X[1000:], y[1000:]) - one.score(X[1000:], y[1000:]))
    assert np.mean(gains) > -0.02


@pytest.mark.slow
def test_it_recovers_from_a_sensor_that_has_changed(digits):
    """Seeds 0 to 2, 500 rows before and 1,000 after; on 500 more: 23 to 30 points better, 1 to 3 lost."""
    values, y = digits
    gains, lost = [], []
    for seed in range(3):
        shift = 3 * values["kar"][:500].std(axis=0) * np.random.default_rng(seed).normal(size=64)
        changed = np.where(np.arange(2000)[:, None] < 500, values["kar"], shift - 0.6 * values["kar"])
        X = MultimodalData({**values, "kar": changed})
        frozen = AECFClassifier(max_epochs=20, random_state=seed).fit(X[:500], y[:500])
        updated = deepcopy(frozen)
        for start in range(500, 1500, 50):
            for _ in range(3):
                updated.partial_fit(X[start : start + 50], y[start : start + 50])
        gains.append(updated.score(X[1500:], y[1500:]) - frozen.score(X[1500:], y[1500:]))
        lost.append(frozen.score(MultimodalData(values)[1500:], y[1500:]) - updated.score(X[1500:], y[1500:]))
    assert min(gains) > 0.1 and max(lost) < 0.05
