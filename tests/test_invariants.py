"""What must hold whatever the data: each a promise of the method, on every form of X."""

import warnings

import numpy as np
import pytest
import torch
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from sklearn_aecf import MultimodalData
from sklearn_aecf.nn import AECFNetwork


@pytest.fixture(scope="module")
def fitted_forms(data):
    X, y = data
    fits = {}
    for form in FORMS:
        given, modalities = in_form(X, form)
        fits[form] = fast_classifier(modalities=modalities).fit(given, y)
    return fits


@pytest.mark.parametrize("form", FORMS)
def test_forms_agree(fitted_forms, data, form):
    X, _ = data
    given, _ = in_form(X, form)
    assert_allclose(fitted_forms[form].predict_proba(given), fitted_forms["dict"].predict_proba(dict(X)), atol=1e-6)


@pytest.mark.parametrize("garbage", [0.0, 1e30, np.inf, np.nan])
def test_1_absent_numbers_have_no_influence(garbage):
    """At the layer, where presence is told apart from values: outputs are bit-identical."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AECFNetwork([6, 4, 2], 3, n_members=4).eval()
        present = torch.rand(20, 3) < 0.5
        present[:, 0] |= ~present.any(dim=1)
        inputs = [torch.randn(20, width) for width in (6, 4, 2)]
    spoilt = [torch.where(present[:, m, None], x, garbage) for m, x in enumerate(inputs)]
    for name, expected in network(inputs, present).items():
        assert torch.equal(network(spoilt, present)[name], expected)


@pytest.mark.parametrize("form", FORMS)
def test_1_gaps_in_an_absent_row_do_not_matter(fitted_forms, data, form):
    """A missing modality is NaN throughout; nothing else of the row depends on how wide it was."""
    X, _ = data
    clf = fitted_forms[form]
    rows = np.flatnonzero(~X.present[:, 0])[:5]
    given, _ = in_form(X[rows], form)
    without = {name: X[rows][name] for name in ("b", "c")}
    assert_array_equal(clf.predict_proba(given), clf.predict_proba(without))


@pytest.mark.parametrize("form", FORMS)
def test_2_weights_are_zero_on_absent_and_sum_to_one(fitted_forms, data, form):
    X, _ = data
    weights = fitted_forms[form].gate_weights(in_form(X, form)[0])
    assert (weights[~X.present] == 0).all()
    assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_3_order_and_batch_change_nothing(fitted_forms, data, form, rng):
    X, _ = data
    clf = fitted_forms[form]
    reference = clf.predict_proba(in_form(X, form)[0])
    order = rng.permutation(150)
    assert_allclose(clf.predict_proba(in_form(X[order], form)[0]), reference[order], atol=1e-6)
    one_by_one = np.vstack([clf.predict_proba(in_form(X[i : i + 1], form)[0]) for i in range(20)])
    assert_allclose(one_by_one, reference[:20], atol=1e-6)
    if form in ("dict", "MultimodalData"):
        turned = {name: X[name] for name in reversed(list(X))}
        assert_array_equal(clf.predict_proba(turned), reference)
    if form in ("pandas", "two-level"):
        frame = in_form(X, form)[0]
        assert_array_equal(clf.predict_proba(frame[frame.columns[::-1]]), reference)


@pytest.mark.parametrize("form", FORMS)
def test_4_renaming_changes_nothing(fitted_forms, data, form):
    X, y = data
    renamed = MultimodalData({f"sensor {name}": X[name] for name in X})
    given, modalities = in_form(renamed, form)
    clf = fast_classifier(modalities=modalities).fit(given, y)
    assert_allclose(clf.predict_proba(given), fitted_forms[form].predict_proba(in_form(X, form)[0]), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_4_permuting_modalities_is_another_initialisation(data, form):
    X, y = data
    turned = MultimodalData({name: X[name] for name in ("c", "a", "b")})
    scores = []
    for given in (X, turned):
        form_X, modalities = in_form(given, form)
        scores.append(fast_classifier(modalities=modalities, max_epochs=30).fit(form_X, y).score(form_X, y))
    assert abs(scores[0] - scores[1]) < 0.1


@pytest.mark.parametrize("form", FORMS)
def test_5_nothing_observed_gets_the_prior(fitted_forms, data, form):
    X, _ = data
    nothing = MultimodalData({name: np.full((3, X[name].shape[1]), np.nan) for name in X})
    clf = fitted_forms[form]
    with pytest.warns(UserWarning) as caught:
        probability = clf.predict_proba(in_form(nothing, form)[0])
    assert len(caught) == 1 and "3 of 3 rows" in str(caught[0].message)
    assert_array_equal(probability, [clf.class_prior_] * 3)


@pytest.mark.parametrize("form", FORMS)
def test_6_same_seed_same_bits(fitted_forms, data, form):
    X, y = data
    given, modalities = in_form(X, form)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = fast_classifier(modalities=modalities).fit(given, y)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])
    assert_array_equal(again.predict_proba(given), fitted_forms[form].predict_proba(given))
    other = fast_classifier(modalities=modalities, random_state=1).fit(given, y)
    assert not np.array_equal(other.predict_proba(given), again.predict_proba(given))


@pytest.mark.parametrize("form", FORMS)
def test_7_weights_of_one_and_zero(fitted_forms, data, form):
    X, y = data
    given, modalities = in_form(X, form)
    ones = fast_classifier(modalities=modalities).fit(given, y, sample_weight=np.ones(150))
    assert_array_equal(ones.predict_proba(given), fitted_forms[form].predict_proba(given))
    weight = np.ones(150)
    weight[100:] = 0
    zeros = fast_classifier(modalities=modalities).fit(given, y, sample_weight=weight)
    left_out = fast_classifier(modalities=modalities).fit(in_form(X[:100], form)[0], y[:100])
    assert_array_equal(zeros.predict_proba(given), left_out.predict_proba(given))


@pytest.mark.parametrize("form", ["dict", "MultimodalData", "array", "pandas"])
def test_8_with_everything_off_it_is_a_plain_mlp(data, form):
    """One modality, no terms: the same steps as skorch's own loop on the same layers and batches."""
    X, y = data
    one = MultimodalData({"a": np.nan_to_num(X["a"])})
    given, modalities = in_form(one, form)
    off = {"masking": None, "agreement_weight": 0, "entropy_weight": 0, "n_members": 1, "temperature": None}
    off["corruption_rate"] = 0
    clf = fast_classifier(
        modalities=modalities, early_stopping=False, dropout=0.0, batch_size=150, max_epochs=5, scale=None, **off
    )
    start = {}

    class KeepStart(Callback):
        def on_train_begin(self, net, **kwargs):
            start.update({name: value.clone() for name, value in net.module_.state_dict().items()})

    clf.set_params(callbacks=[KeepStart()]).fit(given, y)

    def plain_mlp():
        network = AECFNetwork([6], 3, embed_dim=16, hidden_dim=16, dropout=0.0, n_members=1)
        network.load_state_dict(start)
        embed, heads = network.encoders.embeddings, network.heads
        second, out = torch.nn.Linear(16, 16), torch.nn.Linear(16, 3)
        second.weight.data, second.bias.data = embed.weight.data[0].T.clone(), embed.bias.data[0, 0].clone()
        out.weight.data, out.bias.data = heads.weight.data[0].T.clone(), heads.offset.data[0, 0].clone()
        relu = torch.nn.ReLU()
        # Both layer norms start as they are made, with weight 1 and bias 0.
        return torch.nn.Sequential(embed.first[0], torch.nn.LayerNorm(16), relu, second, heads.norm, relu, out)

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = NeuralNetClassifier(
            plain_mlp, criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, optimizer__weight_decay=1e-2,
            lr=clf.learning_rate, max_epochs=5, batch_size=150, train_split=None, verbose=0,
        )  # fmt: skip
        net.fit(np.asarray(one, dtype=np.float32), y.astype(np.int64))
        expected = net.predict_proba(np.asarray(one, dtype=np.float32))
    assert_allclose(clf.predict_proba(given), expected, atol=1e-5)
