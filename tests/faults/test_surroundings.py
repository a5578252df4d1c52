"""What the process around is set to, other threads and forks."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_aecf.nn._runtime import GENERATOR_LOCK


@pytest.fixture
def default_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(params=["no_grad", "inference_mode"])
def without_gradients(request):
    with getattr(torch, request.param)():
        yield


def all_answers(clf, X):
    return [clf.predict_proba(X), clf.gate_weights(X), clf.transform(X), clf.uncertainty(X)]


def test_another_default_dtype_changes_nothing(data, fitted, default_float64):
    X, y = data
    clf = fast_classifier().fit(X, y)
    assert torch.get_default_dtype() == torch.float64
    for found, expected in zip(all_answers(clf, X), all_answers(fitted, X), strict=True):
        assert_array_equal(found, expected)


def test_without_gradients_around_it_changes_nothing(data, fitted, without_gradients):
    X, y = data
    assert_array_equal(fast_classifier().fit(X, y).predict_proba(X), fitted.predict_proba(X))
    assert not torch.is_grad_enabled()


def test_answers_do_not_change_with_the_default_dtype(data, fitted):
    expected = all_answers(fitted, data[0])
    torch.set_default_dtype(torch.float64)
    try:
        found = all_answers(fitted, data[0])
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other, atol=1e-12)


def test_two_threads_that_fit_get_what_one_gets(data, fitted):
    X, y = data
    found = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: fast_classifier().fit(X, y)})) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for clf in found.values():
        assert_array_equal(clf.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_beside_a_thread_that_fits_can_fit(data):
    X, y = data
    held, done = threading.Event(), threading.Event()

    def hold():
        with GENERATOR_LOCK:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    child = multiprocessing.get_context("fork").Process(target=_fit_in_child, args=(X, y))
    child.start()
    child.join(60)
    alive = child.is_alive()
    child.kill()
    done.set()
    thread.join()
    assert not alive and child.exitcode == 0


def _fit_in_child(X, y):
    torch.set_num_threads(1)  # of the parent's threads none lives on
    os._exit(0 if np.isfinite(fast_classifier(max_epochs=1).fit(X, y).predict_proba(X)).all() else 1)
