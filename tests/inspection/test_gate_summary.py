"""The gate's weights in a table."""

import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression

from sklearn_aecf.inspection import gate_summary


class TestGateSummary:
    def test_means_where_observed(self, trained, data):
        X, y = data
        summary = gate_summary(trained, X, y)
        weights, seen = trained.gate_weights(X), X.present[:, 2]
        assert_allclose(summary["mean"][2], weights[seen, 2].mean())
        assert_allclose(summary["mean_1"][2], weights[seen & (y == 1), 2].mean())
        assert_allclose(summary["mean_even"][2], (1 / X.present.sum(axis=1))[seen].mean())
        with pytest.raises(TypeError, match="LogisticRegression has no gate_weights; give a fitted AECFClassifier."):
            gate_summary(LogisticRegression(), X)


def test_constant_gate_weights_have_no_spread():
    X = {name: np.full((50, 3), 0.3) for name in "ab"}
    clf = fast_classifier().fit(X, np.arange(50) % 2)
    assert_allclose(gate_summary(clf, X)["std"], 0, atol=1e-6)
