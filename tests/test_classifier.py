"""AECFClassifier: what a user of scikit-learn relies on."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FAST, fast_classifier, hide, in_form
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EpochScoring, LRScheduler

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.calibration import SubsetTemperature
from sklearn_aecf.datasets import load_heart_disease, make_multimodal_classification


def test_learns_and_reports(data):
    X, y = data
    clf = fast_classifier(max_epochs=30).fit(X, y)
    assert clf.score(X, y) > 0.7
    assert clf.modality_names_ == ["a", "b", "c"]
    assert clf.n_features_per_modality_ == {"a": 6, "b": 4, "c": 2}
    assert clf.n_features_in_ == 12
    assert clf.classes_.tolist() == [0, 1, 2]
    assert_allclose(clf.class_prior_, 1 / 3, atol=0.02)
    assert isinstance(clf.temperature_, SubsetTemperature)
    assert 1 <= clf.best_epoch_ <= clf.n_iter_ <= 30
    assert {len(column) for column in clf.history_.values()} == {clf.n_iter_}
    expected = {"epoch", "train_loss", "valid_loss", "gate_entropy", "entropy_coefficient", "hidden_share", "dur"}
    assert expected <= set(clf.history_)
    assert (clf.history_["valid_refined_loss"] <= clf.history_["valid_loss"] + 1e-6).all()


@pytest.mark.parametrize(
    ("temperature", "compared"),
    [("subset", "valid_refined_loss"), ("global", "valid_refined_loss"), (None, "valid_loss")],
)
@pytest.mark.parametrize("several", [False, True])
def test_stops_on_what_a_temperature_would_leave(data, temperature, compared, several):
    X, y = data
    clf = fast_classifier(max_epochs=40, learning_rate=0.02, temperature=temperature)
    clf.fit(X, np.eye(3)[y] if several else y)
    # skorch takes an epoch for better if it gains a ten-thousandth.
    best = clf.history_[compared].min()
    assert best <= clf.history_[compared][clf.best_epoch_ - 1] <= best * (1 + 1e-3)


def test_string_labels_and_data_frames_of_labels(data):
    X, y = data
    names = np.array(["cat", "dog", "emu"])[y]
    clf = fast_classifier().fit(X, pd.Series(names))
    assert set(clf.predict(X)) <= {"cat", "dog", "emu"}
    assert_array_equal(clf.predict(X), clf.classes_[clf.predict_proba(X).argmax(axis=1)])
    assert_allclose(np.exp(clf.predict_log_proba(X)), clf.predict_proba(X))


@pytest.mark.parametrize("hidden", [np.nan, -1])
def test_multilabel_with_unreported_labels(data, hidden, rng):
    X, y = data
    Y = np.eye(3)[y]
    Y[rng.random(Y.shape) < 0.3] = hidden
    clf = fast_classifier(max_epochs=80).fit(X, Y)
    assert 0 <= clf.score(X, Y) <= 1
    probability = clf.predict_proba(X)
    assert probability.shape == (150, 3) and ((probability >= 0) & (probability <= 1)).all()
    assert set(np.unique(clf.predict(X))) <= {0, 1}
    assert (clf.predict(X) == np.eye(3)[y]).mean() > 0.75


@pytest.mark.parametrize("masking", ["entropy", "uniform", "regret", None])
@pytest.mark.parametrize("n_members", [1, 3])
def test_every_masking(data, masking, n_members):
    clf = fast_classifier(masking=masking, n_members=n_members).fit(*data)
    assert np.isfinite(clf.history_["train_loss"]).all()
    assert ("agreement_loss" in clf.history_) == (masking is not None)


@pytest.mark.parametrize(
    ("params", "absent"),
    [
        ({"entropy_weight": 0}, "entropy_coefficient"),
        ({"agreement_weight": 0}, "agreement_loss"),
        ({"masking": None}, "masked_loss"),
    ],
)
def test_zero_switches_a_term_off(data, params, absent):
    assert absent in fast_classifier().fit(*data).history_
    assert absent not in fast_classifier(**params).fit(*data).history_


def test_regret_needs_few_modalities(rng):
    X = {f"m{i}": rng.normal(size=(20, 1)) for i in range(9)}
    message = (
        "RegretMasking keeps a number per subset, for up to 8 modalities. Got 9; use masking='entropy' or 'uniform'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(masking="regret").fit(X, np.arange(20) % 2)


def test_entropy_coefficient_differs_between_rows_and_keeps_its_bound(data):
    history = fast_classifier(entropy_weight=0.1).fit(*data).history_
    assert (history["entropy_coefficient"] > 0.1 * np.log(2)).all()
    assert (history["entropy_coefficient"] <= 0.3).all()


@pytest.mark.parametrize("temperature", ["subset", "global", None])
def test_temperature(data, temperature):
    X, y = data
    clf = fast_classifier(temperature=temperature).fit(X, y)
    assert (clf.temperature_ is None) == (temperature is None)
    assert_allclose(clf.predict_proba(X).sum(axis=1), 1)


def test_precision_and_scale(data):
    X, y = data
    reference = fast_classifier().fit(X, y).predict_proba(X)
    low = fast_classifier(precision="bfloat16").fit(X, y).predict_proba(X)
    assert_allclose(low, reference, atol=0.1)
    assert np.isfinite(fast_classifier(scale=None, add_gap_indicator=True).fit(X, y).predict_proba(X)).all()


def test_gap_indicator_adds_inputs(data):
    X, y = data
    gappy = {name: np.array(array) for name, array in X.items()}
    gappy["a"][::3, 1] = np.nan
    clf = fast_classifier(add_gap_indicator=True).fit(gappy, y)
    assert clf._inputs.n_features == [7, 4, 2]
    assert np.isfinite(clf.predict_proba(gappy)).all()


def test_class_weight_moves_the_prior(data):
    X, y = data
    rows = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10], np.flatnonzero(y == 2)[:10]])
    plain = fast_classifier(class_weight=None).fit(X[rows], y[rows])
    balanced = fast_classifier(class_weight="balanced").fit(X[rows], y[rows])
    assert plain.class_prior_[0] > 0.65
    assert_allclose(balanced.class_prior_, 1 / 3, atol=0.03)


def test_single_modality_array():
    X, y = make_multimodal_classification(100, n_modalities=1, random_state=0)
    clf = fast_classifier(max_epochs=20).fit(X["a"], y)
    assert clf.modality_names_ == ["X"] and clf.score(X["a"], y) > 0.8
    assert clf.gate_weights(X["a"]).tolist() == [[1.0]] * 100


def test_transform_and_feature_names(fitted, data):
    X, _ = data
    assert fitted.transform(X).shape == (150, 16)
    assert fitted.get_feature_names_out()[0] == "aecfclassifier0"
    assert clone(fitted).set_output(transform="pandas").fit(*data).transform(X).shape == (150, 16)


def test_gate_weights_have_a_column_a_modality(fitted, data):
    weights = fitted.gate_weights(data[0])
    assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (weights[~data[0].present] == 0).all()


class TestMissing:
    def test_left_out_none_and_nan_are_the_same(self, fitted, data):
        X, _ = data
        without = {"a": X["a"], "c": X["c"]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = fitted.predict_proba(hide(X, "b"))
            assert_array_equal(fitted.predict_proba(without), expected)
            assert_array_equal(fitted.predict_proba({**without, "b": None}), expected)

    def test_nothing_observed_gets_the_prior_with_one_warning(self, fitted, data):
        X, _ = data
        empty = hide(hide(hide(X, "a", [0, 1]), "b", [0, 1]), "c", [0, 1])
        with pytest.warns(UserWarning) as caught:
            probability = fitted.predict_proba(empty)
        assert [str(w.message) for w in caught] == [
            "2 of 150 rows have no observed modality; their prediction is the class prior."
        ]
        assert_array_equal(probability[:2], [fitted.class_prior_] * 2)
        assert (fitted.gate_weights(empty)[:2] == 0).all() and (fitted.transform(empty)[:2] == 0).all()

    def test_rows_without_anything_stay_out_of_training(self, data):
        X, y = data
        empty = hide(hide(hide(X, "a", [0, 1]), "b", [0, 1]), "c", [0, 1])
        with pytest.warns(UserWarning, match="2 of 150 rows have no observed modality; they are left out of training."):
            one = fast_classifier().fit(empty, y)
        assert_array_equal(one.predict_proba(X), fast_classifier().fit(X[2:], y[2:]).predict_proba(X))

    def test_a_modality_no_training_row_has(self, data):
        X, y = data
        message = "No training row has 'b'; such a modality never gets weight and is ignored at predict."
        for given in (hide(X, "b"), {**X, "b": None}):
            with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
                clf = fast_classifier().fit(given, y)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = clf.predict_proba(hide(X, "b"))
                # Also where only the ignored modality is there: nothing that was learnt is.
                assert_array_equal(clf.predict_proba(X), expected)
                assert (clf.gate_weights(X)[:, 1] == 0).all()


class TestValidation:
    def test_mask_gives_the_rows(self, data):
        X, y = data
        mask = np.arange(150) % 5 == 0
        clf = fast_classifier().fit(X, y, validation_set=mask)
        other = fast_classifier().fit(X[~mask], y[~mask], validation_set=(X[mask], y[mask]))
        assert_allclose(clf.predict_proba(X), other.predict_proba(X), atol=1e-6)

    def test_no_validation_rows_no_temperature(self, data):
        clf = fast_classifier(early_stopping=False).fit(*data)
        assert clf.temperature_ is None and clf.n_iter_ == clf.best_epoch_ == 4
        assert "valid_loss" not in clf.history_

    @pytest.mark.parametrize(
        ("validation_set", "message"),
        [
            (np.zeros(150, bool), "validation_set selects no usable row; set it True for the rows to validate on."),
            (np.ones(150, bool), "validation_set leaves no row to train on; set it False for the rows to train on."),
            (np.arange(10), "validation_set must be a mask with one bool per row of X (150), or a tuple (X, y). Got int64 of shape (10,)."),
            ((1, 2, 3), "validation_set must be a mask over the rows of X, or a tuple (X, y). Got 3 items."),
        ],
    )  # fmt: skip
    def test_refused(self, data, validation_set, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            fast_classifier().fit(*data, validation_set=validation_set)

    def test_unknown_modality_in_validation(self, data):
        X, y = data
        with pytest.raises(ValueError, match="X has unknown modality 'aa'; did you mean 'a'"):
            fast_classifier().fit(X, y, validation_set=({"aa": X["a"]}, y))


class TestWarmStart:
    def test_goes_on(self, data):
        X, y = data
        clf = fast_classifier(warm_start=True).fit(X, y)
        before, loss = clf.n_iter_, clf.history_["train_loss"][0]
        clf.set_params(learning_rate=1e-4, max_epochs=3).fit(X, y)
        assert before < clf.n_iter_ <= before + 3
        assert clf.history_["train_loss"][-1] < loss
        assert clf.net_.optimizer_.param_groups[0]["lr"] == 1e-4
        clf.set_params(early_stopping=False).fit(X, y)
        assert clf.best_epoch_ == clf.n_iter_
        with pytest.raises(ValueError, match="Training goes on with the same network, but a parameter that shapes it"):
            clf.set_params(n_members=3).fit(X, y)

    def test_best_epoch_names_the_weights_that_are_kept(self, data):
        X, y = data
        clf = fast_classifier(warm_start=True, max_epochs=12, learning_rate=0.05, temperature=None).fit(X, y).fit(X, y)
        second = clf.history_["valid_loss"][12:]
        assert clf.best_epoch_ == 12 + second.argmin() + 1

    def test_refuses_other_modalities_and_classes(self, data):
        X, y = data
        clf = fast_classifier(warm_start=True).fit(X, y)
        with pytest.raises(ValueError, match="X has unknown modality 'z'"):
            clf.fit({"z": X["a"]}, y)
        with pytest.raises(ValueError, match="y has class 9, which was not among the classes before"):
            clf.fit(X, np.where(y == 0, 9, y))

    def test_fit_without_it_starts_again(self, data, fitted):
        X, y = data
        clf = clone(fitted).fit(X[:100], y[:100]).fit(X, y)
        assert_array_equal(clf.predict_proba(X), fitted.predict_proba(X))


class _Interrupt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


def test_interrupted_fit_keeps_the_best_weights(data):
    X, y = data
    with pytest.warns(
        UserWarning, match=r"fit was interrupted in epoch 4; the best weights so far \(epoch \d\) are kept."
    ):
        clf = fast_classifier(max_epochs=20, callbacks=[_Interrupt(4)]).fit(X, y)
    assert clf.n_iter_ == 3 and clf.predict_proba(X).shape == (150, 3)
    reference = fast_classifier(max_epochs=20, callbacks=[("stop", _Interrupt(99))])
    assert_array_equal(clf.history_["valid_loss"], reference.fit(X, y).history_["valid_loss"][:3])


def test_interrupted_in_the_first_epoch(data):
    clf = fast_classifier(callbacks=[_Interrupt(1)])
    with pytest.raises(KeyboardInterrupt, match="before an epoch had come to its end; nothing is kept"):
        clf.fit(*data)
    assert not hasattr(clf, "net_")


def test_skorch_callbacks_work(data):
    X, y = data
    scoring = EpochScoring(lambda net, X, y: 0.5, name="half", use_caching=False)
    schedule = LRScheduler("ExponentialLR", gamma=0.1)
    clf = fast_classifier(callbacks=[scoring, ("schedule", schedule)]).fit(X, y)
    assert_array_equal(clf.history_["half"], 0.5)
    assert clf.net_.optimizer_.param_groups[0]["lr"] < 1e-5


def test_verbose_prints_skorch_table(data, capsys):
    fast_classifier(verbose=1).fit(*data)
    printed = capsys.readouterr().out
    assert "train_loss" in printed and "valid_loss" in printed


class TestLeavesAlone:
    def test_data_and_random_states(self, data):
        X, y = data
        before = {name: array.copy() for name, array in X.items()}
        np.random.seed(3)
        torch.manual_seed(3)
        states = np.random.get_state()[1].copy(), torch.get_rng_state()
        threads = torch.get_num_threads()
        clf = fast_classifier().fit(dict(X), y)
        clf.predict_proba(X)
        for name, array in X.items():
            assert_array_equal(array, before[name])
        assert_array_equal(np.random.get_state()[1], states[0])
        assert torch.equal(torch.get_rng_state(), states[1])
        assert torch.get_num_threads() == threads

    def test_read_only_arrays(self, data):
        X, y = data
        frozen = {name: np.array(array) for name, array in X.items()}
        for array in frozen.values():
            array.flags.writeable = False
        fast_classifier().fit(frozen, y).predict(frozen)

    def test_grad_mode_and_determinism_flags(self, data):
        flags = torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled()
        fast_classifier().fit(*data)
        assert (torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled()) == flags


def test_pickle_keeps_predictions_and_no_training_rows(fitted, data):
    X, _ = data
    stored = pickle.dumps(fitted)
    assert_array_equal(pickle.loads(stored).predict_proba(X), fitted.predict_proba(X))
    many, y = make_multimodal_classification(6000, n_classes=3, n_features=[6, 4, 2], random_state=1)
    clf = fast_classifier(max_epochs=1).fit(many, y)
    fewer = fast_classifier(max_epochs=1).fit(many[:1000], y[:1000])
    assert len(pickle.dumps(clf)) < 1.05 * len(pickle.dumps(fewer)) < many.nbytes / 3


def test_moves_between_devices(data):
    clf = fast_classifier().fit(*data)
    assert clf.to_device("cpu") is clf
    expected = clf.predict_proba(data[0])
    assert_array_equal(clf.to_device("auto").to_device("cpu").predict_proba(data[0]), expected)


def test_large_and_strange_names():
    X, y = make_multimodal_classification(60, random_state=0)
    named = {"a.b": X["a"], "keys": X["b"], "self": X["c"]}
    assert fast_classifier().fit(named, y).predict(named).shape == (60,)


def test_grid_search_and_cross_validation(data):
    X, y = data
    search = GridSearchCV(fast_classifier(), {"mask_rate": [0.3, 0.5]}, cv=2).fit(X, y)
    assert search.best_estimator_.score(X, y) > 0.3
    assert len(cross_val_score(fast_classifier(), X, y, cv=3)) == 3


def test_plain_dict_in_grid_search_gets_scikit_learns_own_message(data):
    X, y = data
    with pytest.raises(ValueError, match="Found input variables with inconsistent numbers of samples"):
        GridSearchCV(fast_classifier(), {"mask_rate": [0.3]}, cv=2).fit(dict(X), y)
    assert "Found input variables with inconsistent numbers of samples" in AECFClassifier.__doc__


@pytest.mark.parametrize("fitted_on", ["dict", "array"])
@pytest.mark.parametrize("form", ["dict", "MultimodalData", "array", "two-level"])
def test_fitted_on_one_form_predicts_another(data, fitted_on, form):
    X, y = data
    given, modalities = in_form(X, fitted_on)
    clf = fast_classifier(modalities=modalities).fit(given, y)
    reference = clf.predict_proba(given)
    assert_allclose(clf.predict_proba(in_form(X, form)[0]), reference, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_rate": 1.0}, "The 'mask_rate' parameter of AECFClassifier must be a float in the range [0.0, 1.0). Got 1.0 instead."),
        ({"n_members": 0}, "The 'n_members' parameter of AECFClassifier must be an int in the range [1, 2147483648). Got 0 instead."),
    ],
)  # fmt: skip
def test_parameters_outside_their_range(data, change, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(**change).fit(*data)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda X, y: (X[:9], y[:9]), "AECFClassifier needs at least 10 rows to fit. Got n_samples=9; gather more rows."),
        (lambda X, y: (X, y[:-1]), "Found input variables with inconsistent numbers of samples: X has 150 rows, y has 149. Give one label per row."),
        (lambda X, y: (X, np.zeros(150)), "y has one class only (0.0); AECFClassifier needs at least 2 classes."),
    ],
)  # fmt: skip
def test_bad_rows(data, edit, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier().fit(*edit(*data))


@pytest.mark.parametrize(
    ("value", "message"),
    [(-1.0, "Negative values in data passed to `sample_weight`."), (np.nan, "Input sample_weight contains NaN")],
)
def test_bad_sample_weight(data, value, message):
    weight = np.ones(150)
    weight[3] = value
    with pytest.raises(ValueError, match=re.escape(message)):
        fast_classifier().fit(*data, sample_weight=weight)


def test_nothing_is_trained_before_an_error(data):
    clf = fast_classifier()
    with pytest.raises(ValueError):
        clf.fit({"a": np.full((150, 2), np.inf)}, data[1])
    assert not hasattr(clf, "net_")


def test_params_survive_clone():
    clf = AECFClassifier({"a": slice(0, 2)}, **FAST)
    assert clone(clf).get_params() == clf.get_params()
    assert isinstance(MultimodalData({"a": np.zeros((2, 2))}), MultimodalData)


def test_takes_part_in_scikit_learns_callbacks(data):
    """One progress bar covers a search and the epochs of its fits, where scikit-learn has callbacks (1.9)."""
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    X, y = data
    seen = []

    class Watch:
        def setup(self, estimator, context):
            seen.append("setup")

        def teardown(self, estimator, context):
            seen.append("teardown")

        def on_fit_task_begin(self, estimator, context, **kwargs):
            pass

        def on_fit_task_end(self, estimator, context, **kwargs):
            seen.append(context.task_name)
            return seen.count("epoch") == 3

    clf = fast_classifier(max_epochs=9).set_callbacks(Watch()).fit(X, y)
    assert seen == ["setup", "epoch", "epoch", "epoch", "fit", "teardown"] and clf.n_iter_ == 3
    assert len(pickle.dumps(clf.set_callbacks())) > 0
    search = GridSearchCV(fast_classifier(), {"mask_rate": [0.3]}, cv=2).set_callbacks(callback.ProgressBar())
    assert search.fit(X, y).best_score_ > 0


def test_subsets_by_name(trained, data):
    X, _ = data
    named = trained.predict_proba_subsets(X, [["a", "c"], ["b"]])
    assert_array_equal(named, trained.predict_proba_subsets(X, [[True, False, True], [False, True, False]]))
    with pytest.raises(
        ValueError,
        match=r"subsets must be an array of bools with 3 columns \(a, b, c\), or a list of lists of these names",
    ):
        trained.predict_proba_subsets(X, [[0, 1]])
    with pytest.raises(ValueError, match=r"^Unknown modality 'aa'; did you mean 'a'\? Modalities: 'a', 'b', 'c'\.$"):
        trained.predict_proba_subsets(X, [["aa"]])
    # A name is no list of names, though its letters may be some.
    for subsets in (["abc"], ["a", "b"], "abc", [["a"], "b"], [["a", 1]], [[True, False], [True]]):
        with pytest.raises(ValueError, match="^subsets must be an array of bools"):
            trained.predict_proba_subsets(X, subsets)
    assert_array_equal(trained.predict_proba_subsets(X, [[]])[0], np.tile(trained.class_prior_, (150, 1)))


IMPUTED = (
    r"^The very same values come again and again, as if an imputer had filled them, in {}\. The model takes them for "
    r"measurements\. Leave NaN where a modality is missing: AECFClassifier needs no imputer\. Or put the imputer into a "
    r"ModalityTransformer, which leaves missing modalities alone\.$"
)


def test_a_modality_that_was_filled_is_told(data):
    X, y = data
    filled = {name: np.where(X.present[:, [m]], X[name], 0) for m, name in enumerate(X)}
    with pytest.warns(UserWarning) as caught:
        fast_classifier().fit(filled, y)
    assert re.match(
        IMPUTED.format(", ".join(rf"'{name}' \(in \d+ of \d+ rows\)" for name in "abc")), str(caught[0].message)
    )
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast_classifier().fit({**X, "counts": np.zeros((150, 3)), "one": np.zeros((150, 1))}, y)


@pytest.mark.parametrize("strategy", ["mean", "median"])
@pytest.mark.parametrize("n_missing", [40, 41])
def test_a_modality_of_one_column_that_was_filled_is_told(data, rng, strategy, n_missing):
    X, y = data
    reading = rng.normal(3, 1, 150)[:, None]
    reading[rng.permutation(150)[:n_missing]] = np.nan
    filled = make_pipeline(SimpleImputer(strategy=strategy), StandardScaler()).fit_transform(reading)
    with pytest.warns(UserWarning, match=IMPUTED.format(r"'reading' \(in \d+ of \d+ rows\)")):
        fast_classifier(max_epochs=1).fit({**X, "reading": filled}, y)


@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_means_among_whole_numbers_are_told():
    frame, groups = load_heart_disease(as_frame=True).data, {"labs": ["chol", "fbs"], "vessels": ["ca"], "age": ["age"]}
    y, numbers = load_heart_disease().target, frame[["chol", "fbs", "ca", "age"]].astype(float)
    pipeline = make_pipeline(
        SimpleImputer().set_output(transform="pandas"), fast_classifier(max_epochs=1, modalities=groups)
    )
    with pytest.warns(
        UserWarning, match=IMPUTED.format(r"'labs' \(in \d+ of 736 rows\), 'vessels' \(in \d+ of 736 rows\)")
    ):
        pipeline.fit(numbers, y)


@pytest.mark.filterwarnings("error", "ignore:.*no observed modality")
def test_what_comes_again_without_an_imputer_is_not_told(data, rng):
    X, y = data
    rain = np.where(rng.random(150) < 0.6, 0, rng.exponential(size=150))
    usual = {
        "rain": rain,
        "around": np.where(rng.random(150) < 0.6, 0, rng.normal(size=150)),
        "likert": rng.integers(1, 6, 150),
        "doses": rng.choice([0, 0.5, 1, 1.25], 150),
        "thirds": rng.integers(0, 7, 150) / 3,
        "flag": rng.random(150) < 0.3,
        "on": np.ones(150),
    }
    given = {name: np.asarray(column, dtype=float)[:, None] for name, column in usual.items()}
    given["gaps"] = np.where(rng.random((150, 2)) < 0.5, np.nan, rng.integers(0, 9, (150, 2)))
    fast_classifier(max_epochs=1).fit({**X, **given}, y)
    fast_classifier(max_epochs=1).fit({**X, **{name: column.astype(np.float32) for name, column in given.items()}}, y)
    heart = load_heart_disease()
    fast_classifier(max_epochs=1).fit(heart.data, heart.target)


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


@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_a_refused_refit_leaves_the_classifier_as_it_was(data):
    X, y = data
    clf = fast_classifier().fit(X["a"], y)
    expected = clf.predict_proba(X["a"])
    with pytest.raises(ValueError, match="one class only"):
        clf.fit(np.ones((60, 3)), np.zeros(60))
    assert clf.n_features_in_ == 6
    assert_array_equal(clf.predict_proba(X["a"]), expected)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (["a"] * 150, "sample_weight must be one number per row of X. Got text ('a'); groups go by name: fit(X, y"),
        (np.ones(3), "sample_weight must have one entry per row (150). Got shape (3,)."),
        (-np.ones(150), "Negative values in data passed to `sample_weight`"),
    ],
)
def test_weights_of_a_score_are_those_of_fit(data, fitted, weight, message):
    X, y = data
    with pytest.raises(ValueError, match=re.escape(message)):
        fitted.score(X, y, weight)
    right = fitted.predict(X) == y
    weight = np.linspace(1, 7, len(y))
    assert fitted.score(X, y, weight) == pytest.approx(np.average(right, weights=weight))
