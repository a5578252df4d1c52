"""scikit-learn's own checks, on the real estimator and the 2-D form."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_aecf import AECFClassifier

EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": (
        "Rows repeated k times fall into other batches and are masked at random k times; a row of weight k is not. "
        "The losses are equal in expectation only. The check also leaves 9 rows, fewer than a fit accepts."
    )
}


@pytest.mark.filterwarnings("ignore:X is one table of")
@parametrize_with_checks([AECFClassifier(random_state=0, device="cpu")], expected_failed_checks=lambda _: EXPECTED)
def test_scikit_learn(estimator, check):
    check(estimator)
