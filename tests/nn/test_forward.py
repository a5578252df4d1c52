"""`AECFNetwork.forward` is the model: whoever hooks it, overrides it or exports it changes or gets everything."""

import io

import numpy as np
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback

from sklearn_aecf.metrics import subset_report
from sklearn_aecf.nn import AECFNetwork


class Turned(AECFNetwork):
    """Answers the opposite: logits of another sign, and all weight on the first modality."""

    def forward(self, inputs, present, **options):
        output = super().forward(inputs, present, **options)
        for name in ("logits", "masked_logits"):
            if name in output:
                output[name] = -output[name]
        output["weights"] = torch.zeros_like(output["weights"])
        output["weights"][..., 0] = 1
        output["fused"] = output["fused"] + 100
        return output


def test_an_overridden_forward_is_honoured_everywhere(data):
    X, y = data
    turned = fast_classifier(network=Turned, max_epochs=30).fit(X, y)
    # Training saw the turned logits, too: it learnt to turn them back.
    assert type(turned.net_.module_) is Turned and turned.score(X, y) > 0.7
    assert (turned.gate_weights(X)[:, 0] == 1).all()
    assert turned.transform(X).min() > 50
    before = turned.predict_proba(X)
    turned.net_.module_.__class__ = AECFNetwork
    after = turned.predict_proba(X)
    assert (before.argmax(axis=1) != after.argmax(axis=1)).mean() > 0.5
    assert turned.gate_weights(X)[:, 1].max() > 0


def test_a_forward_hook_sees_every_pass_and_may_change_it(data):
    X, y = data
    calls = []

    class Hook(Callback):
        def on_train_begin(self, net, **kwargs):
            net.module_.register_forward_hook(lambda module, given, output: calls.append(module.training))

    clf = fast_classifier(callbacks=[Hook()], batch_size=50, validation_fraction=0.2).fit(X, y)
    n_training, n_validation = calls.count(True), calls.count(False)
    assert n_training >= 2 * clf.n_iter_ and n_validation >= clf.n_iter_
    calls.clear()
    for ask in (clf.predict_proba, clf.gate_weights, clf.transform, clf.uncertainty):
        ask(X)
    clf.predict_proba_subsets(X, [["a"], ["b", "c"]])
    subset_report(clf, X, y)
    assert len(calls) == 6 and not any(calls)

    def certain(module, given, output):
        output["logits"] = torch.zeros_like(output["logits"])
        output["logits"][..., 1] = 50
        return output

    handle = clf.net_.module_.register_forward_hook(certain)
    assert_array_equal(clf.predict(X), 1)
    handle.remove()
    assert len(np.unique(clf.predict(X))) > 1


def test_a_factory_may_make_the_network(data):
    X, y = data

    def narrow(**arguments):
        return AECFNetwork(**{**arguments, "hidden_dim": 5})

    clf = fast_classifier(network=narrow).fit(X, y)
    assert clf.net_.module_.encoders.embeddings.hidden_dim == 5


def test_weights_leave_by_state_dict_and_the_network_by_export(fitted):
    module = fitted.net_.module_.eval()
    inputs = [torch.randn(64, width) for width in (6, 4, 2)]
    present = torch.rand(64, 3) < 0.7
    present[:, 0] |= ~present.any(dim=1)
    expected = module(inputs, present)
    other = AECFNetwork([6, 4, 2], 3, embed_dim=16, hidden_dim=16, dropout=0.3, n_members=2).eval()
    other.load_state_dict(module.state_dict())
    exported = torch.export.export(module, (inputs, present))
    stream = io.BytesIO()
    torch.export.save(exported, stream)
    stream.seek(0)
    for found in (other(inputs, present), torch.export.load(stream).module()(inputs, present)):
        for name in ("logits", "weights", "entropy", "fused"):
            assert_allclose(found[name].detach(), expected[name].detach(), atol=1e-6)


@pytest.mark.parametrize("n_members", [1, 4])
def test_uncertainty_of_rows(data, n_members):
    X, y = data
    clf = fast_classifier(n_members=n_members, max_epochs=10).fit(X, y)
    state = torch.get_rng_state()
    spread = clf.uncertainty(X)
    assert torch.equal(torch.get_rng_state(), state)
    assert spread.shape == (150,) and (spread > 0).all() and (spread <= 0.25).all()
    assert_array_equal(clf.uncertainty(X), spread)
    empty = {name: np.where(np.arange(150)[:, None] == 3, np.nan, X[name]) for name in X}
    assert_array_equal(np.flatnonzero(np.isnan(clf.uncertainty(empty))), [3])


def test_networks_that_are_none(data):
    class Short(AECFNetwork):
        def forward(self, inputs, present, **options):
            return {"logits": super().forward(inputs, present, **options)["logits"]}

    with pytest.raises(
        ValueError,
        match="^forward of Short must return a dict as AECFNetwork.forward does. It lacks 'embeddings', 'entropy', 'fused', 'weights'.$",
    ):
        fast_classifier(network=Short).fit(*data)
    with pytest.raises(
        TypeError,
        match="^network must be a class, or a function that makes a module of the arguments of AECFNetwork. Got a module; give its class.$",
    ):
        fast_classifier(network=AECFNetwork([6, 4, 2], 3)).fit(*data)
