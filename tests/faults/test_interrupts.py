"""Ctrl-C at any moment: told, or without any effect."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")


@pytest.fixture(autouse=True)
def _python_handles_signals():
    """A shell starts what runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupting(Callback):
    """Sends SIGINT in an epoch, at one of skorch's points."""

    def __init__(self, point, epoch):
        self.point, self.epoch = point, epoch

    def on_epoch_end(self, net, **kwargs):
        self._send("epoch", net)

    def on_batch_begin(self, net, training, **kwargs):
        self._send("training" if training else "validation", net)

    def _send(self, point, net):
        if point == self.point and len(net.history) == self.epoch:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("point", ["epoch", "training", "validation"])
def test_after_an_epoch_the_best_weights_stay_with_one_warning(data, point):
    X, y = data
    clf = fast_classifier(max_epochs=50, callbacks=[Interrupting(point, 3)])
    with pytest.warns(UserWarning) as caught:
        clf.fit(X, y)
    n_finished = 3 if point == "epoch" else 2
    assert clf.n_iter_ == n_finished and clf.temperature_ is not None
    message = f"fit was interrupted in epoch 3; the best weights so far (epoch {clf.best_epoch_}) are kept."
    assert [str(warning.message) for warning in caught] == [message]


def test_without_early_stopping_the_weights_of_then_stay(data):
    clf = fast_classifier(max_epochs=50, early_stopping=False, callbacks=[Interrupting("epoch", 3)])
    with pytest.warns(UserWarning, match=r"^fit was interrupted in epoch 3; its weights are kept\.$"):
        clf.fit(*data)
    assert clf.n_iter_ == clf.best_epoch_ == 3


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("point", ["training", "validation"])
def test_before_an_epoch_has_ended_it_is_raised_and_nothing_changes(data, point, warm_start):
    X, y = data
    clf = fast_classifier(warm_start=warm_start).fit(X, y)
    expected, state = clf.predict_proba(X), dict(vars(clf))
    clf.set_params(callbacks=[Interrupting(point, clf.n_iter_ + 1 if warm_start else 1)])
    with pytest.raises(KeyboardInterrupt, match="before an epoch had come to its end; nothing is kept"):
        clf.fit(X, y)
    assert all(vars(clf)[name] is state[name] for name in state if name != "callbacks")
    assert_array_equal(clf.predict_proba(X), expected)


@pytest.mark.parametrize(
    "tool",
    [
        lambda clf, X, y: cross_validate(clf, X, y, cv=3),
        lambda clf, X, y: GridSearchCV(clf, {"dropout": [0.1, 0.2]}, cv=2).fit(X, y),
        lambda clf, X, y: CalibratedClassifierCV(clf, cv=2).fit(X, y),
        lambda clf, X, y: cross_validate(make_pipeline(FunctionTransformer(), clf), X, y, cv=3),
    ],
    ids=["cross_validate", "search", "calibration", "pipeline in cross_validate"],
)
def test_inside_a_tool_that_fits_repeatedly_it_goes_on_upwards(data, tool):
    X, y = data
    with pytest.raises(KeyboardInterrupt):
        tool(fast_classifier(callbacks=[Interrupting("epoch", 2)]), X, y)


def test_a_pipeline_alone_fits_once(data):
    pipe = make_pipeline(FunctionTransformer(), fast_classifier(callbacks=[Interrupting("epoch", 2)]))
    with pytest.warns(UserWarning, match="interrupted in epoch 2"):
        pipe.fit(*data)
    assert pipe[-1].n_iter_ == 2


def test_a_callback_that_stops_is_no_interrupt(data):
    class Stopping(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = fast_classifier(max_epochs=50, callbacks=[Stopping()]).fit(*data)
    assert clf.n_iter_ == 1


def test_an_interrupt_that_python_could_not_raise_stops_the_training(data):
    class Swallowing(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                with contextlib.suppress(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted in epoch 2"):
        clf = fast_classifier(max_epochs=50, callbacks=[Swallowing()]).fit(*data)
    assert clf.n_iter_ == 2


def test_the_handler_of_the_caller_stays(data):
    before = signal.getsignal(signal.SIGINT)
    seen = []
    signal.signal(signal.SIGINT, lambda *args: seen.append(args))
    try:
        handler = signal.getsignal(signal.SIGINT)
        # One that does not raise asks for nothing.
        clf = fast_classifier(callbacks=[Interrupting("epoch", 2)]).fit(*data)
        assert clf.n_iter_ == 4 and len(seen) == 1 and signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def fit_with_an_interrupt(clf, X, y, delay):
    """What happened: "finished", "told" or "raised"; and whether the estimator is whole."""
    before, state = clf.predict_proba(X), dict(vars(clf))
    handler = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    outcome = "finished"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            timer.start()
            clf.fit(X, y)
            timer.cancel()
            timer.join()
        except KeyboardInterrupt:
            outcome = "raised"
    assert signal.getsignal(signal.SIGINT) is handler
    if any("interrupted" in str(warning.message) for warning in caught):
        outcome = "told"
    if outcome == "raised" and vars(clf)["net_"] is state["net_"]:
        assert all(vars(clf)[name] is state[name] for name in state)
        assert_array_equal(clf.predict_proba(X), before)
    elif outcome == "finished":
        assert clf.n_iter_ == clf.max_epochs
    assert np.isfinite(clf.predict_proba(X)).all()
    return outcome


@pytest.mark.parametrize("n_interrupts", [15, pytest.param(500, marks=pytest.mark.slow)])
def test_at_any_moment_it_is_told_or_harmless(data, n_interrupts):
    X, y = data
    draw = random.Random(0)
    clf = fast_classifier(max_epochs=6, early_stopping=False).fit(X, y)
    start = time.perf_counter()
    clf.fit(X, y)
    longest = 1.2 * (time.perf_counter() - start)
    outcomes = [fit_with_an_interrupt(clf, X, y, draw.uniform(0, longest)) for _ in range(n_interrupts)]
    assert "told" in outcomes
    print({outcome: outcomes.count(outcome) for outcome in set(outcomes)})


@pytest.mark.parametrize("point", ["epoch", "training"])
def test_an_interrupted_part_is_not_learnt_from(data, point):
    X, y = data
    clf = fast_classifier().partial_fit(X, y, [0, 1, 2])
    expected, prior = clf.predict_proba(X), clf.class_prior_
    clf.set_params(callbacks=[Interrupting(point, 2)])
    with pytest.raises(KeyboardInterrupt):
        clf.partial_fit(X[:50], y[:50])
    assert clf.n_iter_ == 1 and clf.class_prior_ is prior
    assert_array_equal(clf.predict_proba(X), expected)
    clf.set_params(callbacks=None).partial_fit(X[:50], y[:50])
    assert clf.n_iter_ == 2


INTERRUPTED_IMPORT = """
import sys
import numpy, pandas, scipy, sklearn, skorch, torch

class Interrupting:
    left = int(sys.argv[1])

    def find_spec(self, name, path, target=None):
        self.left -= name.startswith("sklearn_aecf")
        if self.left == 0 and name.startswith("sklearn_aecf"):
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
try:
    import sklearn_aecf
except KeyboardInterrupt:
    from sklearn_aecf import AECFClassifier
    X = {"a": numpy.random.default_rng(0).normal(size=(30, 2))}
    print(AECFClassifier(max_epochs=1, device="cpu").fit(X, numpy.arange(30) % 2).predict(X).shape)
"""


@pytest.mark.parametrize("n_modules", [2, 20, 40])
def test_our_own_modules_are_imported_anew_where_it_broke_off(n_modules):
    run = subprocess.run([sys.executable, "-c", INTERRUPTED_IMPORT, str(n_modules)], capture_output=True, text=True)
    assert run.stdout == "(30,)\n", run.stderr
