"""How much each modality adds: dropped, permuted, or as Shapley values."""

import re

import numpy as np
import pytest
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.compose import hide
from sklearn_aecf.datasets import make_multimodal_classification
from sklearn_aecf.inspection import modality_importance

pytestmark = pytest.mark.filterwarnings("ignore:.*no observed modality")


class TestImportance:
    @pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", lambda estimator, X, y: estimator.score(X, y)])
    def test_shapley_sums_to_all_minus_none(self, trained, data, scoring):
        X, y = data
        found = modality_importance(trained, X, y, method="shapley", scoring=scoring)
        with_none = hide(X, ["a", "b", "c"])
        if scoring == "neg_log_loss":
            every = -np.log(trained.predict_proba(X)[np.arange(150), y]).mean()
            none = -np.log(trained.predict_proba(with_none)[np.arange(150), y]).mean()
            expected = none - every
        else:
            expected = trained.score(X, y) - trained.score(with_none, y)
        assert_allclose(found.importances_mean.sum(), expected, atol=1e-6)
        assert (found.importances_sem == 0).all()

    def test_sampled_shapley_sums_too_and_nears_the_exact(self, rng):
        X = MultimodalData({f"m{i}": rng.normal(size=(80, 1)) for i in range(9)})
        y = (X["m0"][:, 0] > 0).astype(int)
        clf = fast_classifier(max_epochs=20).fit(X, y)
        found = modality_importance(clf, X, y, method="shapley", scoring="neg_log_loss", n_repeats=3, random_state=0)
        assert found.importances.shape == (9, 27) and found.importances_mean.argmax() == 0
        assert (found.importances_sem[0] > 0) and np.isfinite(found.importances_sem).all()
        assert_allclose(np.ptp(found.importances.sum(axis=0)), 0, atol=1e-9)

    def test_drop_and_permute(self, trained, data):
        X, y = data
        dropped = modality_importance(trained, X, y, method="drop", scoring="accuracy")
        assert dropped.importances_mean[1] == pytest.approx(trained.score(X, y) - trained.score(hide(X, "b"), y))
        permuted = modality_importance(trained, X, y, method="permute", n_repeats=4, random_state=0, n_jobs=2)
        assert permuted.importances.shape == (3, 4) and permuted.importances_mean.argmax() == 0

    def test_has_the_shape_of_scikit_learns(self, data):
        X, y = data
        flat = np.asarray(X)
        boosting = HistGradientBoostingClassifier(max_iter=5).fit(flat, y)
        ours = modality_importance(boosting, flat, y, method="permute", modalities=X.column_groups(), random_state=0)
        theirs = permutation_importance(boosting, flat, y, random_state=0)
        for name in theirs:
            assert ours[name].ndim == theirs[name].ndim
        assert_allclose(ours.importances.mean(axis=1), ours.importances_mean)

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("method", ["drop", "permute", "shapley"])
    def test_every_form(self, trained, data, form, method):
        X, y = data
        given, modalities = in_form(X, form)
        options = {"method": method, "scoring": "neg_log_loss", "random_state": 0, "n_repeats": 2}
        found = modality_importance(trained, given, y, modalities=modalities, **options)
        expected = modality_importance(trained, X, y, **options)
        assert_allclose(found.importances_mean, expected.importances_mean, atol=1e-6)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"method": "loco"}, "method must be 'drop', 'permute' or 'shapley'. Got 'loco'."),
            ({"n_repeats": 0}, "n_repeats must be at least 1. Got 0."),
        ],
    )
    def test_refused(self, trained, data, options, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            modality_importance(trained, *data, **options)


def test_unreported_labels_in_scores_and_importance(data):
    X, y = data
    Y = np.eye(3)[y]
    Y[::4, 0] = -1
    Y[1::4, 2] = np.nan
    clf = fast_classifier().fit(X, Y)
    assert 0 <= clf.score(X, Y) <= 1
    assert np.isfinite(modality_importance(clf, X, Y, method="shapley").importances_mean).all()


@pytest.mark.slow
def test_shapley_ranks_modalities_by_informativeness():
    """Seeds 0-99: distances 3, 2 and 1 between class centres; at least 95 of 100 rankings are right."""
    right = 0
    for seed in range(100):
        X, y = make_multimodal_classification(800, informativeness=[2, 3, 1], random_state=seed)
        clf = AECFClassifier(max_epochs=15, n_members=2, embed_dim=32, hidden_dim=32, device="cpu", random_state=seed)
        clf.fit(X[:400], y[:400])
        values = modality_importance(clf, X[400:], y[400:], method="shapley", scoring="neg_log_loss").importances_mean
        right += values.argsort().tolist() == [2, 0, 1]
    assert right >= 95
