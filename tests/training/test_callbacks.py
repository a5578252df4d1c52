"""Every one of skorch's callbacks works as it does with skorch's own nets, and a fit that broke off goes on."""

import re

import numpy as np
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import roc_auc_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    LoadInitState,
    LRScheduler,
    PassthroughScoring,
    ProgressBar,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
    WarmRestartLR,
)
from skorch.utils import noop

from sklearn_aecf._training._callbacks import duration


class Writer:
    """Stands in for TensorBoard's."""

    def __init__(self):
        self.scalars = {}

    def add_scalar(self, tag, scalar_value, global_step=None, **kwargs):
        self.scalars.setdefault(tag, []).append(scalar_value)

    def close(self):
        pass


def accuracy(net, X, y):
    return float((net.predict(X) == y).mean())


@pytest.fixture
def files(tmp_path):
    return str(tmp_path / "run")


CALLBACKS = {
    "Checkpoint": lambda folder: Checkpoint(dirname=folder),
    "Checkpoint without monitor": lambda folder: Checkpoint(dirname=folder, monitor=None, load_best=False),
    "Checkpoint of the training loss": lambda folder: Checkpoint(dirname=folder, monitor="train_loss_best", load_best=True),
    "Checkpoint by epoch": lambda folder: Checkpoint(
        dirname=folder, monitor=None, f_params="params_{last_epoch[epoch]}.pt", f_pickle="net.pkl"
    ),
    "TrainEndCheckpoint": lambda folder: TrainEndCheckpoint(dirname=folder),
    "LoadInitState without a checkpoint": lambda folder: LoadInitState(Checkpoint(dirname=folder)),
    "EpochScoring by name": lambda folder: EpochScoring("accuracy", lower_is_better=False),
    "EpochScoring of probabilities": lambda folder: EpochScoring("roc_auc_ovr", lower_is_better=False),
    "EpochScoring by callable": lambda folder: EpochScoring(accuracy, lower_is_better=False, name="right"),
    "EpochScoring on the training rows": lambda folder: EpochScoring("neg_log_loss", on_train=True, name="train_nll"),
    "EpochScoring without cache": lambda folder: EpochScoring(
        lambda net, rows, y: float(net.predict_proba(rows).max()), use_caching=False, name="surest"
    ),
    "BatchScoring": lambda folder: BatchScoring("accuracy", lower_is_better=False, name="batch_accuracy"),
    "BatchScoring on the training rows": lambda folder: BatchScoring(accuracy, on_train=True, name="batch_train"),
    "PassthroughScoring": lambda folder: PassthroughScoring("train_loss", on_train=True),
    "LRScheduler": lambda folder: LRScheduler("StepLR", step_size=1, gamma=0.5),
    "LRScheduler by batch": lambda folder: LRScheduler("CyclicLR", base_lr=1e-4, max_lr=1e-2, step_every="batch", cycle_momentum=False),
    "LRScheduler by score": lambda folder: LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
    "LRScheduler with restarts": lambda folder: LRScheduler(WarmRestartLR),
    "GradientNormClipping": lambda folder: GradientNormClipping(0.1),
    "Freezer": lambda folder: Freezer("encoders*"),
    "Unfreezer": lambda folder: Unfreezer("encoders*", at=2),
    "EarlyStopping": lambda folder: EarlyStopping(patience=1, monitor="train_loss", sink=lambda text: None),
    "ProgressBar": lambda folder: ProgressBar(detect_notebook=False),
    "EpochTimer": lambda folder: EpochTimer(),
    "TensorBoard": lambda folder: TensorBoard(Writer()),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize("name", CALLBACKS)
def test_works(data, files, name, kind):
    X, y = data
    if kind == "multilabel":
        if name in ("EpochScoring of probabilities", "EpochScoring on the training rows"):
            pytest.skip("a score of one class a row")
        y = np.eye(3)[y]
    clf = fast_classifier(callbacks=[("users", CALLBACKS[name](files))]).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()
    assert dict(clf.net_.callbacks_)["users"] is not None


def test_epoch_scoring_equals_the_score_of_the_held_out_rows(data):
    X, y = data
    binary = (y > 0).astype(int)
    mask = np.arange(150) % 3 == 0
    clf = fast_classifier(callbacks=[EpochScoring("roc_auc", lower_is_better=False)], early_stopping=False)
    clf.set_params(temperature=None).fit(X, binary, validation_set=mask)
    rows = X[mask][X[mask].present.any(axis=1)]
    expected = roc_auc_score(binary[mask][X[mask].present.any(axis=1)], clf.predict_proba(rows)[:, 1])
    assert_allclose(clf.history_["roc_auc"][-1], expected, atol=1e-6)


def test_a_label_that_nobody_reported_does_not_score_as_a_zero(data):
    """A scorer that cannot handle unreported labels says so; one that can sees NaN."""
    X, y = data
    Y = np.eye(3)[y]
    Y[::2, 1] = np.nan
    seen = []
    callback = EpochScoring(lambda net, X, y: seen.append(np.isnan(y).any(axis=0)) or 0.0, name="watch")
    fast_classifier(callbacks=[callback]).fit(X, Y)
    assert_array_equal(seen[0], [False, True, False])


def test_frozen_weights_stay_and_schedules_win(data):
    X, y = data

    class Start(Callback):
        def on_train_begin(self, net, **kwargs):
            self.state_ = {name: value.clone() for name, value in net.module_.state_dict().items()}

    start = Start()
    schedule = LRScheduler("ExponentialLR", gamma=0.1)
    clf = fast_classifier(callbacks=[("start", start), Freezer("encoders*"), schedule], early_stopping=False).fit(X, y)
    before, after = dict(clf.net_.callbacks_)["start"].state_, clf.net_.module_.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith("encoders") for name in changed)
    assert clf.net_.optimizer_.param_groups[0]["lr"] < 1e-5


def test_an_early_stopping_of_the_users_takes_the_place_of_ours(data):
    X, y = data
    stop = EarlyStopping(monitor="valid_complete_loss", patience=3, load_best=True, sink=lambda text: None)
    clf = fast_classifier(max_epochs=60, learning_rate=0.05, callbacks=[stop]).fit(X, y)
    assert clf.best_epoch_ == clf.history_["valid_complete_loss"].argmin() + 1
    assert clf.n_iter_ == clf.best_epoch_ + 3
    assert "early_stopping" not in dict(clf.net_.callbacks_)


class Break(Callback):
    """Breaks off at an epoch, as a machine that is switched off."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise RuntimeError("the power failed")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {
            "learning_rate": 0.05,
            "n_iter_no_change": 4,
        },  # the best epoch lies before the break, and training stops early
        {"masking": "regret"},
        {"early_stopping": False},
        {"n_members": 1, "entropy_scale": 1.0},
        {"learning_rate_schedule": "cooldown", "learning_rate": 0.2, "n_iter_no_change": 1},
        {"learning_rate_schedule": "cooldown", "early_stopping": False},
        {"callbacks": [LRScheduler("StepLR", step_size=2, gamma=0.3)]},
        {"callbacks": [LRScheduler("CosineAnnealingLR", T_max=12)], "early_stopping": False},
        {"callbacks": [LRScheduler("ReduceLROnPlateau", monitor="valid_loss", patience=1)], "learning_rate": 0.05},
        {"callbacks": [LRScheduler("CyclicLR", base_lr=1e-4, max_lr=1e-2, step_every="batch", cycle_momentum=False)]},
        {"callbacks": [EarlyStopping(patience=3, load_best=True, sink=noop)], "learning_rate": 0.05},
    ],
    ids=str,
)
def test_a_fit_that_broke_off_goes_on_with_the_same_bits(data, tmp_path, params):
    X, y = data
    params = {"max_epochs": 12, "dropout": 0.3, **params}
    users = params.pop("callbacks", [])
    whole = fast_classifier(callbacks=users, **params).fit(X, y)
    at = min(6, whole.n_iter_ - 1)
    # A checkpoint after every epoch, and a fit that begins with the last one, if there is any.
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
    with pytest.raises(RuntimeError, match="the power failed"):
        fast_classifier(callbacks=[*users, checkpoint, Break(at)], **params).fit(X, y)
    resumed = fast_classifier(callbacks=[checkpoint, *users, LoadInitState(checkpoint)], **params).fit(X, y)
    assert resumed.n_iter_ == whole.n_iter_ and resumed.best_epoch_ == whole.best_epoch_
    for name in ("train_loss", "gate_entropy"):
        assert_array_equal(resumed.history_[name], whole.history_[name])
    assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


def test_a_fit_that_had_ended_trains_no_further(data, tmp_path):
    X, y = data
    params = {"max_epochs": 40, "learning_rate": 0.05, "n_iter_no_change": 3}
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
    whole = fast_classifier(callbacks=[checkpoint], **params).fit(X, y)
    assert whole.n_iter_ < 40
    again = fast_classifier(callbacks=[checkpoint, LoadInitState(checkpoint)], **params).fit(X, y)
    assert again.n_iter_ == whole.n_iter_
    assert_array_equal(again.predict_proba(X), whole.predict_proba(X))


def test_pickles_hold_no_second_copy_of_the_weights(data):
    clf = fast_classifier(max_epochs=8).fit(*data)
    assert clf.net_.criterion_.resume_from == {}
    assert all(row["batches"] == [] for row in clf.net_.history[:-1])


@pytest.mark.parametrize(
    "change",
    [
        lambda X, y: (X, y[::-1], {}),
        lambda X, y: (X[:100], y[:100], {}),
        lambda X, y: ({**X, "a": X["a"] * 2}, y, {}),
        lambda X, y: (X, y, {"random_state": 1}),
        lambda X, y: (X, y, {"learning_rate": 0.01}),
    ],
    ids=["labels", "rows", "values", "seed", "parameter"],
)
def test_a_checkpoint_of_another_fit_is_refused(data, tmp_path, change):
    """Folds of a cross-validation would else be scored on rows that they were trained on."""
    X, y = data
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
    going_on = [checkpoint, LoadInitState(checkpoint)]
    fast_classifier(callbacks=going_on).fit(X, y)
    other, labels, params = change(X, y)
    message = "The checkpoint was written by a fit of other rows, labels, random_state or parameters; give what that fit was given, or another folder."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(callbacks=going_on, **params).fit(other, labels)
    with pytest.raises(ValueError, match="^The checkpoint was written by a fit of another network: "):
        fast_classifier(callbacks=going_on, embed_dim=8).fit(X, y)


def test_a_warm_start_does_not_go_back_to_a_checkpoint(data, tmp_path):
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
    clf = fast_classifier(callbacks=[checkpoint, LoadInitState(checkpoint)], warm_start=True).fit(*data)
    with pytest.raises(ValueError, match="^The checkpoint was written by a fit of other rows"):
        clf.fit(*data)


def test_a_checkpoint_at_the_end_and_one_without_the_objective(data, tmp_path):
    X, y = data
    end = TrainEndCheckpoint(dirname=str(tmp_path / "end"))
    first = fast_classifier(callbacks=[end, LoadInitState(end)]).fit(X, y)
    assert_array_equal(
        fast_classifier(callbacks=[end, LoadInitState(end)]).fit(X, y).predict_proba(X), first.predict_proba(X)
    )
    bare = Checkpoint(dirname=str(tmp_path / "bare"), monitor=None, f_criterion=None)
    fast_classifier(callbacks=[bare]).fit(X, y)
    with pytest.raises(
        ValueError, match="^The checkpoint lacks the history or the criterion, so the training cannot go on"
    ):
        fast_classifier(callbacks=[LoadInitState(bare)]).fit(X, y)


def test_what_is_no_callback(data):
    with pytest.raises(
        TypeError, match="^callbacks must be a list of skorch callbacks, or of pairs of a name and one. Got int.$"
    ):
        fast_classifier(callbacks=[3]).fit(*data)


@pytest.mark.parametrize("params", [{}, {"temperature": None}, {"early_stopping": False}], ids=str)
def test_divergence_is_told(data, params):
    X, y = data
    clf = fast_classifier(**params).fit(X, y)
    expected = clf.predict_proba(X)
    with pytest.raises(
        ValueError, match=r"^Training diverged in epoch \d+: the loss is .*\. Lower learning_rate \(now 1e\+38\)"
    ):
        clf.set_params(learning_rate=1e38).fit(X, y)
    assert_array_equal(clf.predict_proba(X), expected)


def test_early_stopping_without_rows_to_watch_is_refused(data):
    message = (
        "callbacks has an EarlyStopping that watches 'valid_loss', but no rows are held out; set early_stopping=True, give "
        "validation_set, or let it watch 'train_loss'."
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        fast_classifier(early_stopping=False, callbacks=[EarlyStopping()]).fit(*data)


class TestLongFits:
    @pytest.fixture(autouse=True)
    def _every_fit_is_long(self, monkeypatch):
        monkeypatch.setattr("sklearn_aecf._training._callbacks.SILENT_SECONDS", -1)

    def test_a_silent_one_is_warned_about_once_at_the_callers_line(self, data):
        X, y = data
        with pytest.warns(UserWarning) as warned:
            fast_classifier(max_epochs=3).fit(X, y)
        assert [re.sub(r"\d+", "n", str(warning.message)) for warning in warned] == [
            "An epoch takes n s, so this fit may take up to n minutes, less if it stops early. verbose=n shows how far "
            "it is; a larger batch_size or a smaller max_epochs shortens it."
        ]
        assert warned[0].filename == __file__

    def test_a_told_one_shows_what_is_left(self, data, capsys):
        X, y = data
        clf = fast_classifier(max_epochs=3, verbose=1).fit(X, y)
        assert "left_at_most" in capsys.readouterr().out
        assert (clf.history_["left_at_most"] >= 0).all() and clf.history_["left_at_most"][-1] == 0

    @pytest.mark.parametrize(("seconds", "text"), [(301, "5 minutes"), (7100, "118 minutes"), (7300, "2 hours")])
    def test_durations_as_people_say_them(self, seconds, text):
        assert duration(seconds) == text
