"""What "auto" stands for in batch_size, max_epochs and n_iter_no_change, and how the learning rate changes."""

import numpy as np
import pytest
from conftest import fast_classifier
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

from sklearn_aecf import AECFClassifier
from sklearn_aecf._training import Schedule


class Rates(Callback):
    """The learning rate of each step."""

    def on_train_begin(self, net, **kwargs):
        self.seen = []

    def on_grad_computed(self, net, **kwargs):
        self.seen.append(net.optimizer_.param_groups[0]["lr"])


def rates_of(data, fit=AECFClassifier.fit, callbacks=(), **params):
    rates = Rates()
    params = {"learning_rate_schedule": "cooldown", **params}
    clf = AECFClassifier(batch_size=32, callbacks=[rates, *callbacks], random_state=0, **params)
    fit(clf, *data)
    return np.array(rates.seen), clf


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [
        (1, (32, 1000, 60)),
        (160, (32, 200, 12)),
        (736, (128, 167, 10)),
        (12_000, (128, 100, 10)),
        (72_000, (128, 100, 3)),
        (40_000, (128, 100, 4)),
        (73_000, (256, 100, 4)),
        (10**9, (1024, 100, 3)),
    ],
)
def test_small_data_have_more_epochs_and_large_data_larger_batches(n_rows, expected):
    assert Schedule.of(n_rows) == (*expected, False)


def test_numbers_are_taken_as_they_are():
    assert Schedule.of(1000, batch_size=7, max_epochs=3, n_iter_no_change=2, has_cooldown=True) == (7, 3, 2, True)
    assert Schedule.of(1000, batch_size=500, n_iter_no_change=2) == (500, 500, 2, False)


def test_the_net_has_what_auto_stands_for(data):
    X, y = data
    clf = fast_classifier(max_epochs="auto", n_iter_no_change=1).fit(X, y)
    assert clf.net_.max_epochs == Schedule.of(int(0.8 * len(y))).max_epochs
    assert clf.n_iter_ < clf.net_.max_epochs


def test_the_learning_rate_falls_to_0_before_the_training_ends(data):
    rates, clf = rates_of(data, max_epochs=13, early_stopping=False)
    n_steps = len(rates) // 13
    assert clf.n_iter_ == 13
    assert set(rates[: 10 * n_steps]) == {3e-3}
    falling = rates[10 * n_steps :]
    np.testing.assert_allclose(np.diff(falling), -3e-3 / len(falling))
    np.testing.assert_allclose(falling[-1], 0.5 * 3e-3 / len(falling))


def test_the_cooldown_begins_where_the_loss_has_not_fallen_for_some_epochs(data):
    """And from the best weights."""
    seen = []

    class Weights(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(net.module_.encoders.embeddings.state_dict())
            seen[-1] = {name: value.clone() for name, value in seen[-1].items()}

    rates, clf = rates_of(data, callbacks=[Weights()], max_epochs=200, n_iter_no_change=4, learning_rate=0.02)
    losses = clf.history_["valid_refined_loss"]
    n_steps = len(rates) // clf.n_iter_
    begin = int(np.flatnonzero(rates < 0.02)[0]) // n_steps
    best = int(losses[:begin].argmin())
    assert begin == best + 1 + 4
    assert clf.n_iter_ - begin == max(round(0.3 * (best + 1)), 3, -(-20 // n_steps))
    assert rates[-1] < 0.02 / 10
    for name, value in seen[begin - 1].items():
        np.testing.assert_array_equal(value, seen[best][name])
    assert clf.best_epoch_ == losses.argmin() + 1


def test_a_second_fit_of_a_warm_start_has_a_cooldown_of_its_own(data):
    again, clf = rates_of(data, fit=lambda clf, X, y: clf.fit(X, y).fit(X, y), max_epochs=4, warm_start=True)
    assert clf.n_iter_ == 8
    assert again[0] == 3e-3
    assert again[-1] < 1e-3


@pytest.mark.parametrize(
    "params",
    [
        {"learning_rate_schedule": "constant"},
        {"callbacks": [LRScheduler("StepLR", step_size=100)]},
        {"callbacks": [("mine", LRScheduler("StepLR", step_size=100))]},
        {"callbacks": [EarlyStopping(patience=2)]},
        {"fit": lambda clf, X, y: clf.partial_fit(X, y, classes=np.unique(y))},
    ],
)
def test_otherwise_it_is_constant_or_what_a_callback_makes_it(data, params):
    rates, _ = rates_of(data, max_epochs=3, learning_rate=0.01, **params)
    assert set(rates) == {0.01}


def test_without_a_cooldown_patience_ends_the_training(data):
    _, clf = rates_of(data, max_epochs=50, n_iter_no_change=2, learning_rate=1e-9, learning_rate_schedule="constant")
    assert clf.n_iter_ < 10


def test_an_unknown_schedule_is_refused(data):
    with pytest.raises(
        ValueError, match="The 'learning_rate_schedule' parameter of AECFClassifier must be a str among"
    ):
        AECFClassifier(learning_rate_schedule="cosine").fit(*data)
