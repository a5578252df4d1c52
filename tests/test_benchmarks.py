"""What the figures of the benchmarks rest on: the rows, the rules of late fusion, the time limit."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_aecf import MultimodalData

FOLDER = Path(__file__).parent.parent / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the benchmarks are not in this copy")


@pytest.fixture
def module(monkeypatch):
    """A function that imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_small_cuts_keep_the_classes_and_hold_out_a_fifth(module):
    (task,) = module("tasks").tasks("handwritten", 0, n_rows=200)
    assert len(task.X) == 200 and task.is_validation.sum() == 40
    assert np.bincount(task.y).tolist() == [20] * 10
    (whole,) = module("tasks").tasks("handwritten", 0)
    assert len(whole.X) == 1600 and len(whole.X_test) == len(task.X_test)


def test_product_of_experts_is_bayes_rule(module):
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1], [150, 50]))
    X = MultimodalData({name: rng.standard_normal((200, 1)) + y[:, None] for name in "ab"})
    fused = module("baselines").LateFusion(LogisticRegression(), rule="product").fit(X, y)
    alone = [fused.models_[name].predict_proba(X[[name]]) for name in "ab"]
    expected = alone[0] * alone[1] / [0.75, 0.25]
    found = fused.predict_proba(X)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)
    only = MultimodalData({"a": X["a"], "b": np.full((200, 1), np.nan)})
    np.testing.assert_allclose(fused.predict_proba(only), alone[0], rtol=1e-6)


def test_product_of_experts_of_labels(module):
    rng = np.random.default_rng(0)
    y = (rng.random((100, 2)) < 0.3).astype(float)
    X = MultimodalData({name: rng.standard_normal((100, 1)) + y[:, :1] for name in "ab"})
    fused = module("baselines").LateFusion(LogisticRegression(), rule="product").fit(X, y)
    odds = np.prod([p / (1 - p) for p in (fused.models_[name].predict_proba(X[[name]]) for name in "ab")], axis=0)
    odds /= y.mean(axis=0) / (1 - y.mean(axis=0))
    np.testing.assert_allclose(fused.predict_proba(X), odds / (1 + odds), rtol=1e-6)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")
def test_time_limit(module):
    in_time = module("strong_field").in_time

    def forever():
        while True:
            pass

    assert in_time(lambda: 3, 60) == 3
    with pytest.raises(TimeoutError):
        in_time(forever, 1)
    with pytest.raises(RuntimeError, match="division by zero"):
        in_time(lambda: 1 / 0, 60)


def test_a_library_that_is_missing_is_named(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "catboost", None)
    _, make = module("strong_models").MODELS["CatBoost + masked copies"]
    with pytest.raises(
        ImportError, match=r"catboost is not installed; pip install 'sklearn-aecf\[benchmarks\]' has it."
    ):
        make()


def test_networks_get_means_and_flags(module):
    model = module("strong_models").FlaggedCopies(LogisticRegression())
    X = MultimodalData({"a": [[1.0, 2.0], [3.0, np.nan]], "b": [[5.0], [np.nan]]})
    model.means_ = np.array([2.0, 2.0, 5.0])
    assert model._features(X).tolist() == [[1, 2, 5, 1, 1], [3, 2, 5, 1, 0]]
