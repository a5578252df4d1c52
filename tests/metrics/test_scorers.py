"""Scorers that hide modalities, in searches and on their own."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import fast_classifier
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_aecf.compose import ModalityTransformer, corrupt_modalities, drop_modalities
from sklearn_aecf.metrics import (
    corrupted_modality_scorer,
    ece_scorer,
    expected_calibration_error,
    missing_modality_scorer,
    subset_report,
    subset_scorer,
    worst_subset_scorer,
)


class TestScorers:
    def test_drop_scorer_is_the_mean_over_its_draws(self, fitted, data):
        X, y = data
        scorer = missing_modality_scorer("accuracy", drop_rate=0.4, n_repeats=2, random_state=5)
        rng = np.random.RandomState(5)
        expected = [fitted.score(drop_modalities(X, 0.4, random_state=rng), y) for _ in range(2)]
        assert scorer(fitted, X, y) == pytest.approx(np.mean(expected))
        assert scorer(fitted, X, y) == scorer(fitted, X, y)

    def test_corruption_scorer_is_the_mean_over_its_draws(self, fitted, data):
        X, y = data
        scorer = corrupted_modality_scorer("accuracy", corruption_rate=0.4, kind="dead", n_repeats=2, random_state=5)
        rng = np.random.RandomState(5)
        expected = [fitted.score(corrupt_modalities(X, 0.4, kind="dead", random_state=rng), y) for _ in range(2)]
        assert scorer(fitted, X, y) == pytest.approx(np.mean(expected)) == scorer(fitted, X, y)
        with pytest.raises(ValueError, match=r"^corruption_rate must be a probability in \[0, 1\]\. Got 1\.5\.$"):
            corrupted_modality_scorer("accuracy", corruption_rate=1.5)
        with pytest.raises(ValueError, match=r"^n_repeats must be at least 1\. Got 0\.$"):
            corrupted_modality_scorer("accuracy", n_repeats=0)
        with pytest.raises(ValueError, match=r"^kind must be among noise, .*, blended\. Got 'nois'\.$"):
            corrupted_modality_scorer("accuracy", kind="nois")

    def test_subset_scorers(self, fitted, data):
        X, y = data
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone = subset_scorer("accuracy", present=["b"])(fitted, X, y)
            assert alone == fitted.score({"b": X["b"]}, y)
            assert worst_subset_scorer("accuracy")(fitted, X, y) <= alone

    def test_ece_scorer(self, fitted, data):
        X, y = data
        assert ece_scorer(fitted, X, y) == -expected_calibration_error(y, fitted.predict_proba(X))

    @pytest.mark.parametrize(
        "scorer", [missing_modality_scorer("accuracy"), corrupted_modality_scorer("accuracy"), subset_scorer("accuracy", ["a"]), worst_subset_scorer("accuracy"), ece_scorer]
    )  # fmt: skip
    @pytest.mark.filterwarnings("ignore:.*no observed modality")
    def test_in_searches_with_any_classifier(self, data, scorer):
        X, y = data
        assert repr(pickle.loads(pickle.dumps(scorer))).split(" at ")[0] == repr(scorer).split(" at ")[0]
        search = GridSearchCV(fast_classifier(max_epochs=1), {"mask_rate": [0.3]}, scoring=scorer, cv=2)
        assert np.isfinite(clone(search).fit(X, y).best_score_)
        flat = np.asarray(X)
        scores = cross_validate(
            HistGradientBoostingClassifier(max_iter=3), flat, y, cv=2,
            scoring={"one": _with_groups(scorer, X.column_groups()), "accuracy": "accuracy"},
        )  # fmt: skip
        assert np.isfinite(scores["test_one"]).all()

    def test_sample_weight(self, fitted, data):
        X, y = data
        weight = (np.arange(150) < 60).astype(float)
        scorer = missing_modality_scorer("accuracy", drop_rate=0.0, n_repeats=1)
        assert scorer(fitted, X, y, sample_weight=weight) == pytest.approx(fitted.score(X[:60], y[:60]))

    def test_refused(self):
        with pytest.raises(ValueError, match=r"^drop_rate must be a probability in \[0, 1\]. Got 2.$"):
            missing_modality_scorer("accuracy", drop_rate=2)
        with pytest.raises(ValueError, match="^present is empty; name at least one modality that stays.$"):
            subset_scorer("accuracy", [])

    def test_forest_of_labels(self, data):
        X, y = data
        Y = np.eye(3, dtype=int)[y]
        forest = RandomForestClassifier(5, random_state=0).fit(np.nan_to_num(np.asarray(X)), Y)
        forest_scores = ece_scorer(forest, np.nan_to_num(np.asarray(X)), Y)
        assert -1 <= forest_scores <= 0


def _with_groups(scorer, groups):
    if scorer is ece_scorer:
        return scorer
    copy = pickle.loads(pickle.dumps(scorer))
    copy.modalities = groups
    return copy


def test_scorers_find_the_groups_inside_searches_and_pipelines(data):
    X, y = data
    flat, groups = np.asarray(X), X.column_groups()
    search = GridSearchCV(make_pipeline(fast_classifier(modalities=groups)), {}, cv=2).fit(flat, y)
    first = make_pipeline(ModalityTransformer({"a": StandardScaler()}, modalities=groups), fast_classifier()).fit(
        flat, y
    )
    for estimator in (search, first):
        assert np.isfinite(missing_modality_scorer("accuracy")(estimator, flat, y))


@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_positions_on_a_reordered_frame_mean_the_fitted_columns(data):
    X, y = data
    frame = pd.DataFrame(np.asarray(X), columns=[f"f{i}" for i in range(12)])
    clf = fast_classifier(modalities=X.column_groups()).fit(frame, y)
    turned = frame[frame.columns[::-1]]
    scorer = subset_scorer("accuracy", ["a"])
    assert scorer(clf, turned, y) == scorer(clf, frame, y)
    assert_array_equal(subset_report(clf, turned, y)["n_rows"], subset_report(clf, frame, y)["n_rows"])
