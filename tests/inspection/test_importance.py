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
from sklearn_aecf.inspection._importance import _SubsetScore

pytestmark = pytest.mark.filterwarnings("ignore:.*no observed modality")


class TestImportance:
    @pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", lambda estimator, X, y: estimator.score(X, y)])
    def test_shapley_sums_to_all_minus_none(self, trained, data, scoring):
        X, y = data
        found = modality_importance(trained, X, y, method="shapley", scoring=scoring, n_bootstrap=20)
        with_none = hide(X, ["a", "b", "c"])
        if scoring == "neg_log_loss":
            every = -np.log(trained.predict_proba(X)[np.arange(150), y]).mean()
            none = -np.log(trained.predict_proba(with_none)[np.arange(150), y]).mean()
            expected = none - every
        else:
            expected = trained.score(X, y) - trained.score(with_none, y)
        assert_allclose(found.importances_mean.sum(), expected, atol=1e-6)
        # A callable of one's own would have to predict again for every resample.
        assert np.isnan(found.importances_sem).all() if callable(scoring) else (found.importances_sem > 0).all()

    def test_sampled_shapley_sums_too_and_nears_the_exact(self, rng):
        X = MultimodalData({f"m{i}": rng.normal(size=(80, 1)) for i in range(9)})
        y = (X["m0"][:, 0] > 0).astype(int)
        clf = fast_classifier(max_epochs=20).fit(X, y)
        found = modality_importance(
            clf, X, y, method="shapley", scoring="neg_log_loss", n_repeats=3, n_bootstrap=20, random_state=0
        )
        assert found.importances.shape == (9, 27) and found.importances_mean.argmax() == 0
        assert (found.importances_sem[0] > 0) and np.isfinite(found.importances_sem).all()
        assert_allclose(np.ptp(found.importances.sum(axis=0)), 0, atol=1e-9)

    def test_drop_and_permute(self, trained, data):
        X, y = data
        dropped = modality_importance(trained, X, y, method="drop", scoring="accuracy", n_bootstrap=20)
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
        options = {"method": method, "scoring": "neg_log_loss", "random_state": 0, "n_repeats": 2, "n_bootstrap": 0}
        found = modality_importance(trained, given, y, modalities=modalities, **options)
        expected = modality_importance(trained, X, y, **options)
        assert_allclose(found.importances_mean, expected.importances_mean, atol=1e-6)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"method": "loco"}, "method must be 'drop', 'permute' or 'shapley'. Got 'loco'."),
            ({"n_repeats": 0}, "n_repeats must be at least 1. Got 0."),
            ({"n_bootstrap": -1}, "n_bootstrap must be at least 0. Got -1."),
            ({"scoring": ["accuracy", "neg_log_loss"]}, "modality_importance takes one score. Got 'accuracy', 'neg_log_loss'; call it once for each."),
            ({"scoring": []}, "scoring is empty; name at least one score."),
            ({"sample_weight": np.ones(3)}, "sample_weight must have one entry per row (150). Got shape (3,)."),
        ],
    )  # fmt: skip
    def test_refused(self, trained, data, options, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            modality_importance(trained, *data, **options)


class TestInterval:
    def test_is_that_of_rows_drawn_anew(self, trained, data):
        """By hand, of the same draws."""
        X, y = data
        found = modality_importance(trained, X, y, random_state=3, n_bootstrap=50)
        right = np.array([trained.predict(hide(X, names)) == y for names in ([], "a", "b", "c")])
        draws = np.random.RandomState(3).randint(150, size=(50, 150))
        resampled = right[:, draws].mean(axis=2)
        sem = (resampled[0] - resampled[1:]).std(axis=1, ddof=1)
        assert_allclose(found.importances_sem, sem)
        assert_allclose(found.importances_interval[:, 1] - found.importances_mean, 1.96 * sem)
        assert_allclose(found.importances_interval.mean(axis=1), found.importances_mean)
        scored = modality_importance(trained, X, y, random_state=3, n_bootstrap=50, scoring="accuracy")
        assert_allclose(scored.importances_sem, sem)

    @pytest.mark.parametrize("method", ["drop", "shapley"])
    def test_asks_the_model_once_a_subset(self, trained, data, method, monkeypatch):
        X, y = data
        calls = []
        asked = type(trained).predict_proba_subsets
        monkeypatch.setattr(
            type(trained), "predict_proba_subsets", lambda self, X, subsets: calls.append(1) or asked(self, X, subsets)
        )
        one = modality_importance(trained, X, y, method=method, random_state=0)
        assert calls == [1]
        again = modality_importance(trained, X, y, method=method, random_state=0)
        assert_allclose(one.importances_sem, again.importances_sem)
        none = modality_importance(trained, X, y, method=method, n_bootstrap=0)
        assert_allclose(none.importances_mean, one.importances_mean)
        assert np.isnan(none.importances_sem).all() and np.isnan(none.importances_interval).all()

    def test_shrinks_with_rows_and_covers_the_truth(self):
        """Of 60 samples of 100 rows, the interval has the value of 20 000 rows in all but a few."""
        X, y = make_multimodal_classification(20_400, n_features=2, informativeness=[1, 1, 0], random_state=0)
        clf = fast_classifier(max_epochs=20).fit(X[:400], y[:400])
        truth = modality_importance(clf, X[400:], y[400:], n_bootstrap=50, random_state=0)
        rows = np.arange(400, 6400).reshape(60, 100)
        found = [modality_importance(clf, X[some], y[some], random_state=0) for some in rows]
        low, high = np.transpose([each.importances_interval[:2] for each in found], (2, 0, 1))
        covered = ((low <= truth.importances_mean[:2]) & (truth.importances_mean[:2] <= high)).mean()
        assert 0.88 <= covered <= 1
        assert (truth.importances_sem[:2] < 0.2 * found[0].importances_sem[:2]).all()

    def test_resamples_that_lack_a_class_are_left_out(self, trained, data):
        X, y = data
        rows = np.concatenate([np.flatnonzero(y == 0)[:20], np.flatnonzero(y == 1)[:20], np.flatnonzero(y == 2)[:2]])
        found = modality_importance(trained, X[rows], y[rows], scoring="roc_auc_ovr", n_bootstrap=50, random_state=0)
        assert np.isfinite(found.importances_sem).all()

    def test_many_subsets_are_resampled_less_often(self, trained, data):
        score = _SubsetScore(trained, *data, "accuracy", None, None)
        rng = np.random.RandomState(0)
        assert [len(score._resamples(n, 200, rng)) for n in (8, 32, 512)] == [200, 51, 20]
        assert len(score._resamples(512, 5, rng)) == 5

    def test_weights_count(self, trained, data):
        X, y = data
        weight = (np.arange(150) < 75).astype(float)
        found = modality_importance(trained, X, y, sample_weight=weight, random_state=0)
        assert_allclose(found.importances_mean, modality_importance(trained, X[:75], y[:75]).importances_mean)
        assert (found.importances_sem > 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["drop", "permute", "shapley"])
def test_no_warning_of_what_was_hidden(data, method):
    X, y = data
    Y = np.eye(3)[y]
    clf = fast_classifier().fit(X, Y)
    modality_importance(clf, X, Y, method=method, scoring="roc_auc", n_repeats=1, n_bootstrap=20)
    modality_importance(clf, X, Y, method=method, n_repeats=1, scoring="f1_macro", n_bootstrap=20)


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
        values = modality_importance(
            clf, X[400:], y[400:], method="shapley", scoring="neg_log_loss", n_bootstrap=0
        ).importances_mean
        right += values.argsort().tolist() == [2, 0, 1]
    assert right >= 95
