"""A fit changes the estimator wholly or not at all."""

import pickle

import numpy as np
import pytest
import torch
from conftest import fast_classifier, hide
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback, EarlyStopping


class Failing(Callback):
    """Raises in an epoch."""

    def __init__(self, error, epoch=2):
        self.error, self.epoch = error, epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) >= self.epoch:
            raise self.error


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("error", [RuntimeError("no"), MemoryError()], ids=repr)
def test_a_refit_that_fails_in_training_changes_nothing(data, error, warm_start):
    X, y = data
    clf = fast_classifier(warm_start=warm_start).fit(X, y)
    expected, state = clf.predict_proba(X), dict(vars(clf))
    optimizer = pickle.dumps(clf.net_.optimizer_.state_dict())
    n_rows = len(clf.net_.history)
    clf.set_params(callbacks=[Failing(error, epoch=n_rows + 2 if warm_start else 2)])
    other = {"p": X["a"], "q": X["b"]} if not warm_start else X
    with pytest.raises(type(error)):
        clf.fit(other, np.array(["u", "v", "w"])[y] if not warm_start else y)
    assert vars(clf).keys() == state.keys()
    assert all(vars(clf)[name] is state[name] for name in state if name not in ("callbacks",))
    assert len(clf.net_.history) == n_rows and pickle.dumps(clf.net_.optimizer_.state_dict()) == optimizer
    assert_array_equal(clf.predict_proba(X), expected)


def test_a_first_fit_that_fails_leaves_an_estimator_that_is_not_fitted(data):
    X, y = data
    clf = fast_classifier(callbacks=[Failing(RuntimeError("no"))])
    with pytest.raises(RuntimeError, match="^no$"):
        clf.fit(X, y)
    assert not [name for name in vars(clf) if name.endswith("_")]
    assert len(pickle.dumps(clf)) < 5000


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(data):
    X, y = data
    clf = fast_classifier().fit(X, y)
    expected = clf.predict_proba(X)
    with pytest.raises(ValueError, match=r"^device='cuda' cannot be used here \(.*\); use 'auto' or 'cpu'\.$"):
        clf.set_params(device="cuda").fit({"z": X["a"]}, np.arange(150) % 2)
    with pytest.raises(ValueError, match=r"^device='cuda' cannot be used here"):
        clf.to_device("cuda")
    assert clf.modality_names_ == ["a", "b", "c"]
    assert_array_equal(clf.predict_proba(X), expected)


def test_an_optimizer_that_goes_on_is_a_copy(data):
    X, y = data
    clf = fast_classifier(warm_start=True).fit(X, y)
    before = clf.net_
    kept = [value["exp_avg"].clone() for value in before.optimizer_.state.values()]
    clf.fit(X, y)
    assert clf.net_ is not before
    assert all(
        torch.equal(a, value["exp_avg"]) for a, value in zip(kept, before.optimizer_.state.values(), strict=True)
    )


def test_without_early_stopping_the_last_weights_stay_also_with_rows_to_validate_on(data):
    X, y = data
    mask = np.arange(150) % 4 == 0
    clf = fast_classifier(early_stopping=False, max_epochs=30, learning_rate=0.05)
    clf.fit(X, y, validation_set=mask)
    assert clf.best_epoch_ == clf.n_iter_ == 30 and clf.temperature_ is not None
    assert not any(isinstance(callback, EarlyStopping) for _, callback in clf.net_.callbacks_)


def test_warnings_name_the_line_of_the_caller(data):
    X, y = data
    empty = hide(hide(hide(X, "a", [0]), "b", [0]), "c", [0])
    with pytest.warns(UserWarning, match="no observed modality") as caught:
        clf = fast_classifier().fit(empty, y)
        clf.predict(empty)
    assert {warning.filename for warning in caught} == {__file__}
