"""Mistakes that an independent review found, each with the behaviour that is right."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import ModalityTransformer
from sklearn_aecf.inspection import gate_summary, modality_importance
from sklearn_aecf.metrics import drop_modalities, missing_modality_scorer, subset_report, subset_scorer

pytestmark = pytest.mark.filterwarnings("ignore:.*no observed modality")


@pytest.fixture(scope="module")
def trained(data):
    return fast_classifier(max_epochs=30).fit(*data)


def by_subset(report, column):
    return {frozenset(str(s).split(" + ")): v for s, v in zip(report["subset"], report[column], strict=True)}


def test_reports_do_not_depend_on_the_order_of_modalities(trained, data):
    X, y = data
    turned = {name: X[name] for name in "cba"}
    expected = by_subset(subset_report(trained, X, y), "accuracy")
    assert by_subset(subset_report(trained, turned, y), "accuracy") == expected
    one = modality_importance(trained, X, y, scoring="neg_log_loss")
    other = modality_importance(trained, turned, y, scoring="neg_log_loss")
    assert other.modality_names == ["c", "b", "a"]
    assert_allclose(other.importances_mean[::-1], one.importances_mean)


def test_reports_on_data_that_lacks_a_modality(trained, data):
    X, y = data
    report = subset_report(trained, {"a": X["a"], "b": X["b"]}, y)
    assert report["subset"].tolist() == ["a + b", "a", "b"]
    expected = subset_report(trained, X, y, subsets=[["a", "b"], ["a"], ["b"]])
    assert_allclose(report["ece"], expected["ece"])


def test_column_vector_of_labels(trained, data):
    X, y = data
    assert_array_equal(subset_report(trained, X, y[:, None])["accuracy"], subset_report(trained, X, y)["accuracy"])


def test_rows_of_one_class_and_of_no_weight_are_nan(trained, data):
    X, y = data
    rows = np.concatenate([np.flatnonzero(y == 0)[:5], np.flatnonzero((y > 0) & ~X.present[:, 0])[:10]])
    report = subset_report(trained, X[rows], y[rows], subsets=[["a"], ["b"]], scoring="neg_log_loss")
    assert np.isnan(report["neg_log_loss"][0]) and np.isfinite(report["accuracy"][0])
    weight = np.where(X.present.all(axis=1), 0.0, 1.0)
    report = subset_report(trained, X, y, sample_weight=weight)
    assert np.isnan(report["accuracy"][0]) and np.isfinite(report["accuracy"][1:]).all()


def test_large_mean_in_float32_is_no_constant(rng):
    time = (1.7e9 + rng.random((300, 1)) * 5000).astype(np.float32)
    signal = rng.normal(size=(300, 3)).astype(np.float32)
    y = (signal[:, 0] > 0).astype(int)
    assert (
        fast_classifier(max_epochs=40)
        .fit({"a": np.hstack([time, signal])}, y)
        .score({"a": np.hstack([time, signal])}, y)
        > 0.85
    )


def test_columns_of_frames_in_a_dict_are_matched_by_name(data):
    X, y = data
    frames = {name: pd.DataFrame(X[name], columns=[f"{name}{i}" for i in range(X[name].shape[1])]) for name in X}
    clf = fast_classifier().fit(frames, y)
    turned = {name: frame[frame.columns[::-1]] for name, frame in frames.items()}
    assert_array_equal(clf.predict_proba(turned), clf.predict_proba(frames))
    assert_array_equal(clf.predict_proba(MultimodalData(turned)), clf.predict_proba(frames))
    other = {**frames, "b": frames["b"].rename(columns={"b0": "bb0"})}
    message = "Modality 'b' has a feature 'bb0' that it lacked at fit; did you mean 'b0'? Fitted features: 'b0', 'b1', 'b2', 'b3'."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.predict(other)


def test_positions_on_a_reordered_frame_mean_the_fitted_columns(data):
    X, y = data
    frame = pd.DataFrame(np.asarray(X), columns=[f"f{i}" for i in range(12)])
    clf = fast_classifier(modalities=X.column_groups()).fit(frame, y)
    turned = frame[frame.columns[::-1]]
    scorer = subset_scorer("accuracy", ["a"])
    assert scorer(clf, turned, y) == scorer(clf, frame, y)
    assert_array_equal(subset_report(clf, turned, y)["n_rows"], subset_report(clf, frame, y)["n_rows"])


def test_reports_on_a_frame_that_lacks_columns(data):
    X, y = data
    names = {name: [f"{name}{i}" for i in range(X[name].shape[1])] for name in X}
    frame = pd.DataFrame(np.asarray(X), columns=[column for group in names.values() for column in group])
    clf = fast_classifier(modalities=names).fit(frame, y)
    for lacking in (frame.drop(columns="b0"), frame.drop(columns=names["c"])):
        assert np.isfinite(subset_report(clf, lacking, y)["accuracy"][-2])
        assert np.isfinite(missing_modality_scorer("accuracy")(clf, lacking, y))
        gate_summary(clf, lacking)


@pytest.mark.parametrize("value", [np.finfo(float).min, 1e300, 1e160])
def test_codes_for_no_value_are_refused_before_training(data, value):
    X, y = data
    spoilt = {name: np.array(array) for name, array in X.items()}
    spoilt["b"][4, 1] = value
    with pytest.raises(
        ValueError, match="Modality 'b' contains .*, too large to compute with; replace codes for unknown"
    ):
        fast_classifier().fit(spoilt, y)


def test_huge_values_without_scaling_stay_finite(data):
    X, y = data
    spoilt = {name: np.array(array) for name, array in X.items()}
    spoilt["b"][4, 1] = 1e30
    assert np.isfinite(fast_classifier(scale=None).fit(spoilt, y).predict_proba(spoilt)).all()


@pytest.mark.parametrize(
    ("y", "y_valid", "message"),
    [
        (lambda y: np.eye(3)[y], lambda y: y, "y has one class per row, but it had one column per label before; give it the same form."),
        (lambda y: y, lambda y: np.eye(3)[y], "y has one column per label, but it had one class per row before; give it the same form."),
    ],
)  # fmt: skip
def test_validation_targets_of_another_form(data, y, y_valid, message):
    X, labels = data
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier().fit(X, y(labels), validation_set=(X[:30], y_valid(labels)[:30]))


def test_labels_that_validation_rows_do_not_report(data):
    X, y = data
    Y = np.eye(3)[y]
    unreported = Y[:30].copy()
    unreported[:, 1] = np.nan
    assert fast_classifier().fit(X, Y, validation_set=[X[:30], unreported]).n_iter_ > 0


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ({"a": "zz_*"}, "No column matches 'zz_*', given for modality 'a'. Columns: 'p', 'q', 'p'."),
        ({"a": ["p"]}, "Column 'p' of modality 'a' occurs 2 times in the frame; rename the duplicates."),
    ],
)
def test_groups_that_match_nothing_or_too_much(modalities, message):
    frame = pd.DataFrame(np.zeros((20, 3)), columns=list("pqp"))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(modalities=modalities).fit(frame, np.arange(20) % 2)


def test_scorers_find_the_groups_inside_searches_and_pipelines(data):
    X, y = data
    flat, groups = np.asarray(X), X.column_groups()
    search = GridSearchCV(make_pipeline(fast_classifier(modalities=groups)), {}, cv=2).fit(flat, y)
    first = make_pipeline(ModalityTransformer({"a": StandardScaler()}, modalities=groups), fast_classifier()).fit(
        flat, y
    )
    for estimator in (search, first):
        assert np.isfinite(missing_modality_scorer("accuracy")(estimator, flat, y))


def test_text_behind_a_step_that_passes_through():
    X = {"t": np.array(["a b", "b c", "c a"], dtype=object)}
    steps = Pipeline([("nothing", "passthrough"), ("words", TfidfVectorizer(token_pattern=r"\w"))])
    assert ModalityTransformer({"t": steps}).fit_transform(X)["t"].shape == (3, 3)


def test_positions_on_a_frame_in_a_transformer(data):
    frame = pd.DataFrame(np.asarray(data[0]))
    out = ModalityTransformer({}, modalities={"a": slice(0, 6), "b": [6, 7]}).fit_transform(frame)
    assert out.shape == (150, 8)


def test_a_refused_refit_leaves_the_transformer_as_it_was():
    frame = pd.DataFrame({"p": [1.0, 2.0], "q": [1.0, 2.0], "r": [1.0, 2.0]})
    transformer = ModalityTransformer({"m": StandardScaler()}, modalities={"m": ["p", "q"], "n": ["r"]}).fit(frame)
    with pytest.raises(ValueError, match="No column matches 'r'"):
        transformer.fit(frame[["p", "q"]])
    assert transformer.transform(frame[["p", "q"]]).shape == (2, 3)


def test_unreported_labels_in_scores_and_importance(data):
    X, y = data
    Y = np.eye(3)[y]
    Y[::4, 0] = -1
    Y[1::4, 2] = np.nan
    clf = fast_classifier().fit(X, Y)
    assert 0 <= clf.score(X, Y) <= 1
    assert np.isfinite(modality_importance(clf, X, Y, method="shapley").importances_mean).all()


def test_mappings_that_cannot_be_built_from_keywords(tmp_path, data):
    X, _ = data
    np.savez(tmp_path / "x.npz", **X)
    with np.load(tmp_path / "x.npz") as stored:
        assert set(drop_modalities(stored, 0.5, random_state=0)) == {"a", "b", "c"}


def test_constant_gate_weights_have_no_spread():
    X = {name: np.full((50, 3), 0.3) for name in "ab"}
    clf = fast_classifier().fit(X, np.arange(50) % 2)
    assert_allclose(gate_summary(clf, X)["std"], 0, atol=1e-6)


def test_subsets_by_name(trained, data):
    X, _ = data
    named = trained.predict_proba_subsets(X, [["a", "c"], ["b"]])
    assert_array_equal(named, trained.predict_proba_subsets(X, [[True, False, True], [False, True, False]]))
    with pytest.raises(
        ValueError, match=r"subsets must be an array of bools with 3 columns \(a, b, c\), or lists of these names"
    ):
        trained.predict_proba_subsets(X, [[0, 1]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X, y: fast_classifier(device="gpu").fit(X, y), "device must be 'auto', 'cpu', 'cuda', 'cuda:1', 'mps' or the like. Got 'gpu'."),
        (lambda X, y: fast_classifier().fit(X, np.array(["a", 1] * 75, dtype=object)), "y mixes labels of different types (int, str); give all of them one type."),
    ],
)  # fmt: skip
def test_one_sentence(data, call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call(*data)


def test_a_refused_refit_leaves_the_classifier_as_it_was(data):
    X, y = data
    clf = fast_classifier().fit(X["a"], y)
    expected = clf.predict_proba(X["a"])
    with pytest.raises(ValueError, match="one class only"):
        clf.fit(np.ones((60, 3)), np.zeros(60))
    assert clf.n_features_in_ == 6
    assert_array_equal(clf.predict_proba(X["a"]), expected)


def test_transformer_matches_columns_by_name_and_checks_widths(data):
    X, _ = data
    frames = {name: pd.DataFrame(X[name], columns=[f"{name}{i}" for i in range(X[name].shape[1])]) for name in X}
    transformer = ModalityTransformer({"a": StandardScaler()}).fit(frames)
    turned = {name: frame[frame.columns[::-1]] for name, frame in frames.items()}
    assert transformer.transform(turned) == transformer.transform(frames)
    with pytest.raises(ValueError, match="^Modality 'b' has 2 features, but ModalityTransformer was fitted with 4.$"):
        transformer.transform({"b": X["b"][:, :2]})
