"""Losses and weights that are no longer finite."""

import warnings

import numpy as np
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback, EarlyStopping

MESSAGE = (
    r"^Training diverged in epoch {}: {}\. Lower learning_rate \(now 1e\+10\), or look at what encoders and network "
    r"make of their inputs\.$"
)


class Exploding(Callback):
    """Breaks the weights in an epoch, once."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            with torch.no_grad():
                next(net.module_.parameters()).fill_(torch.nan)


@pytest.mark.parametrize(
    "params", [{}, {"temperature": None}, {"early_stopping": False}, {"temperature": None, "early_stopping": False}]
)
def test_from_the_first_epoch_on_it_is_an_error(data, params):
    X, y = data
    clf = fast_classifier().fit(X, y)
    expected = clf.predict_proba(X)
    clf.set_params(learning_rate=1e10, **params)
    with pytest.raises(ValueError, match=MESSAGE.format(1, "(the loss is (nan|inf)|weights are no longer finite)")):
        clf.fit(X, y)
    assert_array_equal(clf.predict_proba(X), expected)


def test_in_the_very_last_step_it_is_an_error(data):
    class LastStep(Callback):
        def on_train_end(self, net, **kwargs):
            with torch.no_grad():
                next(net.module_.parameters()).fill_(torch.nan)

    X, y = data
    with pytest.raises(ValueError, match="^Training diverged in epoch 4: weights are no longer finite"):
        fast_classifier(early_stopping=False, callbacks=[LastStep()]).fit(X, y)


@pytest.mark.parametrize("callbacks", [[], [EarlyStopping(load_best=True)]], ids=["ours", "of the caller"])
def test_later_the_best_weights_stay_with_a_warning(data, callbacks):
    X, y = data
    clf = fast_classifier(callbacks=[*callbacks, Exploding()], warm_start=True)
    with pytest.warns(UserWarning, match=r"^Training diverged in epoch 3: .* The weights of epoch [12] are kept\.$"):
        clf.fit(X, y)
    assert clf.n_iter_ == 2 and clf.best_epoch_ in (1, 2) and clf.temperature_ is not None
    reference = fast_classifier(max_epochs=2, callbacks=callbacks).fit(X, y)
    assert_array_equal(clf.predict_proba(X), reference.predict_proba(X))
    # It can go on from there.
    clf.set_params(callbacks=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(clf.fit(X, y).predict_proba(X)).all()
