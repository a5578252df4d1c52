"""Encoders of the user's: modalities of any shape, trained with the rest."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.compose import ModalityTransformer, drop_modalities, hide
from sklearn_aecf.inspection import modality_importance
from sklearn_aecf.metrics import missing_modality_scorer, subset_report


class Pictures(BaseEstimator):
    """A small CNN; its parameters can be searched over."""

    def __init__(self, channels=4):
        self.channels = channels

    def __call__(self):
        return nn.Sequential(nn.Conv2d(1, self.channels, 3), nn.BatchNorm2d(self.channels), nn.ReLU(), nn.Flatten())


class Codes(nn.Module):
    """Integer codes of categories, each with an embedding."""

    def __init__(self, n_codes=6, width=5):
        super().__init__()
        self.table = nn.Embedding(n_codes, width)

    def forward(self, x):
        return self.table(x).mean(dim=1)


class Sequences(nn.Module):
    """A recurrent network over steps, of which NaN are padding."""

    def __init__(self, n_features=2, width=7):
        super().__init__()
        self.cell = nn.GRU(n_features, width, batch_first=True)

    def forward(self, x):
        padding = x.isnan().any(dim=2)
        states, _ = self.cell(x.nan_to_num(0))
        return states.masked_fill(padding[..., None], 0).sum(dim=1) / (~padding).sum(dim=1, keepdim=True).clamp(min=1)


ENCODERS = {"picture": Pictures(), "codes": Codes(), "steps": Sequences}


@pytest.fixture(scope="module")
def rows():
    """120 rows: pictures of bytes, codes, sequences with padding, and a table; each missing in some rows."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    pictures = rng.integers(0, 100, (120, 1, 5, 5), dtype=np.uint8) + (80 * y[:, None, None, None]).astype(np.uint8)
    codes = rng.integers(0, 3, (120, 2)) + 3 * y[:, None]
    steps = rng.normal(size=(120, 6, 2)) + y[:, None, None]
    for row in range(120):
        steps[row, rng.integers(2, 7) :] = np.nan
    table = rng.normal(size=(120, 3)) + y[:, None]
    present = rng.random((120, 4)) < 0.75
    present[:, 3] |= ~present.any(axis=1)
    steps[~present[:, 2]] = np.nan
    table[~present[:, 3]] = np.nan
    X = MultimodalData(
        {"picture": pictures, "codes": codes, "steps": steps, "table": table},
        present={"picture": present[:, 0], "codes": present[:, 1]},
    )
    assert_array_equal(X.present, present)
    return X, y, present


@pytest.fixture(scope="module")
def encoded(rows):
    X, y, _ = rows
    return fast_classifier(encoders=ENCODERS, max_epochs=40, learning_rate=0.01).fit(X, y)


def test_any_shape_and_dtype_is_learnt_from(rows, encoded):
    X, y, present = rows
    assert encoded.score(X, y) > 0.9
    assert encoded.n_features_per_modality_ == {"picture": 25, "codes": 2, "steps": 12, "table": 3}
    assert (encoded.gate_weights(X)[~present] == 0).all()
    for name in ENCODERS:
        alone = encoded.predict(X[[name]][X.present[:, X.names.index(name)]])
        assert (alone == y[X.present[:, X.names.index(name)]]).mean() > 0.7


def test_what_stands_in_absent_rows_has_no_influence(rows, encoded):
    X, y, present = rows
    spoilt = {name: np.ma.getdata(X[name]).copy() for name in X}
    spoilt["picture"][~present[:, 0]] = 255
    spoilt["codes"][~present[:, 1]] = -99
    masks = {"picture": present[:, 0], "codes": present[:, 1]}
    other = MultimodalData(spoilt, present=masks)
    assert_array_equal(encoded.predict_proba(other), encoded.predict_proba(X))
    assert_array_equal(clone(encoded).fit(other, y).predict_proba(X), encoded.predict_proba(X))


def test_missing_as_none_as_nan_rows_as_masks_and_left_out(rows, encoded):
    X, _, present = rows
    items = np.empty(120, dtype=object)
    for row in np.flatnonzero(present[:, 0]):
        items[row] = np.ma.getdata(X["picture"])[row]
    floats = np.ma.getdata(X["picture"]).astype(float)
    floats[~present[:, 0]] = np.nan
    expected = encoded.predict_proba(X)
    for pictures in (items, floats, X["picture"]):
        assert_array_equal(encoded.predict_proba({**X, "picture": pictures}), expected)
    codes = np.ma.getdata(X["codes"]).astype(float)
    codes[~present[:, 1]] = np.nan
    assert_array_equal(encoded.predict_proba({**X, "codes": codes}), expected)
    without = {name: X[name] for name in ("picture", "steps", "table")}
    assert_array_equal(encoded.predict_proba(without), encoded.predict_proba({**X, "codes": None}))
    assert_array_equal(encoded.predict_proba(without), encoded.predict_proba(hide(X, "codes")))


def test_codes_may_be_one_column_without_a_second_axis(rows):
    X, y, _ = rows
    codes = np.ma.getdata(X["codes"])[:, 0]
    one = {"code": codes, "table": X["table"]}
    clf = fast_classifier(encoders={"code": lambda: nn.Embedding(6, 4)}, max_epochs=30).fit(one, y)
    assert clf.score(one, y) > 0.8
    with pytest.raises(
        ValueError, match=re.escape("Modality 'code' has rows of shape (2,), but AECFClassifier was fitted with ().")
    ):
        clf.predict({"code": np.ma.getdata(X["codes"]), "table": X["table"]})


def test_clones_pickles_and_repeats(rows, encoded):
    X, y, _ = rows
    expected = encoded.predict_proba(X)
    assert_array_equal(clone(encoded).fit(X, y).predict_proba(X), expected)
    stored = fast_classifier(encoders={"picture": Pictures(), "codes": Codes()}, max_epochs=2).fit(
        X[["picture", "codes", "table"]], y
    )
    assert_array_equal(
        pickle.loads(pickle.dumps(stored)).predict_proba(X[["picture"]]), stored.predict_proba(X[["picture"]])
    )


def test_a_module_is_copied_and_keeps_its_weights(rows):
    X, y, _ = rows
    module = Codes()
    before = module.table.weight.detach().clone()
    clf = fast_classifier(encoders={"codes": module}, learning_rate=1e-12, max_epochs=1).fit(X[["codes", "table"]], y)
    assert torch.equal(module.table.weight, before) and module.training
    kept = clf.net_.module_.encoders.own["0"].encoder.table.weight
    assert kept is not module.table.weight
    assert_allclose(kept.detach(), before, atol=1e-6)


def test_what_a_factory_makes_is_seeded_and_leaves_the_global_state(rows):
    X, y, _ = rows
    state = torch.get_rng_state()
    first, second, other = (
        fast_classifier(encoders={"picture": Pictures()}, max_epochs=1, random_state=seed).fit(X[["picture"]], y)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    weights = [clf.net_.module_.encoders.own["0"].encoder[0].weight for clf in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_parameters_of_an_encoder_in_a_search(rows):
    X, y, _ = rows
    clf = fast_classifier(encoders={"picture": Pictures()})
    assert clf.get_params()["encoders__picture__channels"] == 4
    search = GridSearchCV(clf, {"encoders__picture__channels": [2, 8]}, cv=2, error_score="raise")
    search.fit(X[["picture", "table"]], y)
    chosen = search.best_params_["encoders__picture__channels"]
    assert search.best_estimator_.net_.module_.encoders.own["0"].encoder[0].out_channels == chosen
    assert clf.encoders["picture"].channels == 4
    clf.set_params(encoders__picture__channels=3, encoders__picture=Pictures(9))
    assert clf.encoders["picture"].channels == 3
    with pytest.raises(
        ValueError, match="^Invalid parameter 'encoders__pixels__channels': no such encoder. Encoders: 'picture'.$"
    ):
        clf.set_params(encoders__pixels__channels=3)
    with pytest.raises(ValueError, match="The encoder of 'codes' has no parameters; give an object with get_params"):
        fast_classifier(encoders={"codes": Codes()}).set_params(encoders__codes__width=3)


def test_everything_of_scikit_learn_slices_them(rows):
    X, y, _ = rows
    clf = fast_classifier(encoders=ENCODERS, max_epochs=3)
    assert len(cross_val_score(clf, X, y, cv=2, scoring=missing_modality_scorer("accuracy"), error_score="raise")) == 2
    piped = make_pipeline(ModalityTransformer({"table": StandardScaler()}), clf).fit(X, y)
    assert_allclose(piped.predict_proba(X), piped[-1].predict_proba(piped[0].transform(X)))


def test_reports_and_hidden_modalities(rows, encoded):
    X, y, present = rows
    hidden = drop_modalities(X, 0.5, random_state=0)
    assert hidden["picture"].dtype == np.uint8 and (hidden.present <= present).all()
    assert 0 < (present & ~hidden.present).mean() < 0.5
    assert np.isfinite(subset_report(encoded, X, y)["accuracy"]).all()
    assert np.isfinite(modality_importance(encoded, X, y, method="permute", n_repeats=1).importances).all()


def test_rows_of_a_single_picture_in_a_batch_do_not_break_batch_normalisation(rows):
    X, y, _ = rows
    few = np.zeros(120, dtype=bool)
    few[::30] = True
    rare = MultimodalData({"picture": np.ma.getdata(X["picture"]), "table": X["table"]}, present={"picture": few})
    clf = fast_classifier(encoders={"picture": Pictures()}, batch_size=16).fit(rare, y)
    assert np.isfinite(clf.predict_proba(rare)).all()


def test_an_encoder_of_another_width_is_adapted(rows):
    X, y, _ = rows
    clf = fast_classifier(encoders={"codes": Codes(width=5), "table": lambda: nn.Linear(3, 16)}, embed_dim=16)
    own = clf.fit(
        X[["codes", "table"]].take(np.flatnonzero(~np.isnan(X["table"]).any(axis=1))),
        y[~np.isnan(X["table"]).any(axis=1)],
    )
    modules = own.net_.module_.encoders.own
    assert isinstance(modules["0"].adapter, nn.Linear) and isinstance(modules["1"].adapter, nn.Identity)


def test_lazy_modules_are_made_before_the_optimizer(rows):
    X, y, _ = rows
    clf = fast_classifier(encoders={"picture": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(8))}).fit(
        X[["picture"]], y
    )
    assert any("encoders.own" in name for name, _ in clf.net_.module_.named_parameters())
    assert np.isfinite(clf.predict_proba(X[["picture"]])).all()


def test_standardised_only_where_asked(rows):
    X, y, _ = rows
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(x.detach().flatten(1))
            return x.flatten(1)

    raw = {"steps": np.nan_to_num(X["steps"], nan=5.0) * 100, "table": X["table"]}
    for scale, spread in (("standard", 100), (["steps", "table"], 1), (None, 100)):
        fast_classifier(encoders={"steps": Watch()}, scale=scale, max_epochs=1).fit(raw, y)
        assert spread / 3 < seen[0].std() < 5 * spread
        seen.clear()


def test_memory_maps_are_streamed(rows, tmp_path, monkeypatch):
    from sklearn_aecf._training import _streams

    X, y, _ = rows
    pictures = np.ma.getdata(X["picture"])
    np.save(tmp_path / "pictures.npy", pictures)
    mapped = {"picture": np.load(tmp_path / "pictures.npy", mmap_mode="r"), "table": X["table"]}
    monkeypatch.setattr(_streams, "MAX_LOADED", 0)
    made = []
    init = _streams.StreamedRows.__init__
    monkeypatch.setattr(_streams.StreamedRows, "__init__", lambda self, *a: (made.append(1), init(self, *a))[1])
    clf = fast_classifier(encoders={"picture": Pictures()}, max_epochs=15).fit(mapped, y)
    assert len(made) == 2 and clf.score(mapped, y) > 0.9


def test_column_groups_may_have_encoders(rows):
    X, y, _ = rows
    frame = pd.DataFrame(np.hstack([np.ma.getdata(X["codes"]), np.nan_to_num(X["table"])]), columns=list("pqabc"))
    groups = {"codes": ["p", "q"], "table": ["a", "b", "c"]}
    clf = fast_classifier(modalities=groups, encoders={"table": lambda: nn.Linear(3, 4)})
    assert clf.fit(frame, y).score(frame, y) > 0.6


@pytest.mark.parametrize(
    ("encoders", "error", "message"),
    [
        ({"pictures": Codes()}, ValueError, "encoders names modality 'pictures', which X lacks; did you mean 'picture'? Modalities: 'picture', 'table'."),
        ({"picture": 3}, TypeError, "encoders['picture'] must be a torch module, or a callable without arguments that returns one. Got int."),
        ({"picture": dict}, TypeError, "encoders['picture'] was called and must return a torch module. Got dict."),
        ({"picture": nn.Identity()}, ValueError,
         "The encoder of modality 'picture' must return a vector a row, a tensor of shape (b, d). Got (64, 1, 5, 5) from a batch of shape (64, 1, 5, 5); flatten or pool its output."),
        ({"picture": nn.Linear(7, 2)}, ValueError, "The encoder of modality 'picture' failed on a batch of shape (64, 1, 5, 5) (float32): "),
        ({"picture": Pictures(), "table": nn.Linear(3, 2)}, ValueError, "The encoder of modality 'table' returns NaN or infinity; its input holds NaN inside observed rows: fill or pad them."),
    ],
)  # fmt: skip
def test_refused_before_training(rows, encoders, error, message):
    X, y, _ = rows
    table = np.nan_to_num(X["table"])
    table[::9, 1] = np.nan
    clf = fast_classifier(encoders=encoders)
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        clf.fit({"picture": np.ma.getdata(X["picture"]), "table": table}, y)
    assert not hasattr(clf, "net_")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([np.zeros(2), np.zeros(3)] * 60, dtype=object),
         "Modality 'm' has rows of different shapes, e.g. (2,) and (3,); pad or resize them to one."),
        (np.array([["a", "b"]] * 120, dtype=object), "Modality 'm' must hold numbers for its encoder. Got 'a'; turn text into codes of tokens first."),
        (np.array(["ab"] * 120), "Modality 'm' must hold numbers for its encoder. Got 'ab'; turn text into codes of tokens first."),
        (np.full((120, 2), np.inf), "Modality 'm' contains infinity (first in row 0); replace infinities by NaN where the value is unknown, or clip them."),
    ],
)  # fmt: skip
def test_values_that_no_encoder_can_take(rows, values, message):
    _, y, _ = rows
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(encoders={"m": nn.Flatten()}).fit({"m": values}, y)


def test_values_that_an_encoder_turns_into_nan_at_predict_are_told(rows):
    X, y, _ = rows
    given = {"table": np.nan_to_num(X["table"]), "codes": np.ma.getdata(X["codes"])}
    clf = fast_classifier(encoders={"table": nn.Linear(3, 2)}).fit(given, y)
    given["table"][5, 1] = np.nan
    message = (
        "The network returns NaN or infinity for 1 of 120 rows (first in row 5); look at what its encoders make of the "
        "values there."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.predict_proba(given)


def test_without_an_encoder_other_shapes_are_refused_with_the_remedy(rows):
    X, y, _ = rows
    with pytest.raises(ValueError, match=re.escape("or give it an encoder: encoders={'picture': module}.")):
        AECFClassifier().fit({"picture": np.ma.getdata(X["picture"])}, y)


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ({"b": [True, False]}, "present names modality 'b', which X lacks. Modalities: 'a'."),
        ({"a": [True]}, "present['a'] must be one bool per row of modality 'a' (2). Got bool of shape (1,)."),
        ({"a": [1, 0]}, "present['a'] must be one bool per row of modality 'a' (2). Got int64 of shape (2,)."),
    ],
)
def test_masks_that_do_not_fit(present, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MultimodalData({"a": np.zeros((2, 3), dtype=int)}, present=present)


def test_masked_rows_survive_slices_copies_and_comparisons():
    flags = np.array([True, False, True])
    X = MultimodalData({"a": np.arange(12, dtype=np.uint8).reshape(3, 2, 2)}, present={"a": flags})
    assert_array_equal(X[1:].present[:, 0], flags[1:])
    assert_array_equal(X[[2, 1]].present[:, 0], [True, False])
    assert X.copy() == X and MultimodalData(X) == X
    assert_array_equal(MultimodalData(dict(X)).present, X.present)
    assert X["a"].dtype == np.uint8 and not X["a"].mask.flags.owndata
    table = MultimodalData({"a": np.arange(6).reshape(3, 2)}, present={"a": flags})
    assert_array_equal(np.isnan(np.asarray(table)).all(axis=1), ~flags)
    assert table.to_frame().isna().all(axis=1).tolist() == (~flags).tolist()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda codes: codes + 0.9, "Modality 'codes' holds 0.9, but was fitted with int64 numbers; give it the same kind of numbers, on the same scale."),
        (lambda codes: np.where(np.arange(120)[:, None] == 3, [[np.nan, 0]], codes), "Modality 'codes' holds nan, but was fitted with int64 numbers; give it the same kind of numbers, on the same scale."),
        (lambda codes: codes + 90, "The encoder of modality 'codes' failed on a batch of shape "),
    ],
)  # fmt: skip
def test_numbers_of_another_kind_than_at_fit(rows, encoded, spoil, message):
    X, _, _ = rows
    codes = np.arange(240).reshape(120, 2) % 6
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        encoded.predict_proba({**X, "codes": spoil(codes)})


def test_bytes_of_another_scale_are_refused(rows, encoded):
    X, _, _ = rows
    pictures = np.ma.getdata(X["picture"])
    for other in (pictures / 255, pictures.astype(int) + 256):
        with pytest.raises(ValueError, match="^Modality 'picture' holds .*, but was fitted with uint8 numbers"):
            encoded.predict_proba({**X, "picture": other})


def test_a_function_that_returns_the_same_module_does_not_share_its_weights(rows):
    X, y, _ = rows
    module = Codes()
    given = X[["codes", "table"]]
    one = fast_classifier(encoders={"codes": lambda: module}).fit(given, y)
    expected = one.predict_proba(given)
    fast_classifier(encoders={"codes": lambda: module}).fit(given, 1 - y)
    assert_array_equal(one.predict_proba(given), expected)


def test_pictures_pass_a_modality_transformer_also_where_nobody_has_one(rows):
    X, y, _ = rows
    clf = fast_classifier(encoders={"picture": Pictures()}, max_epochs=3)
    piped = make_pipeline(ModalityTransformer({"table": StandardScaler()}), clf)
    objects = np.empty(120, dtype=object)
    for row in np.flatnonzero(~np.ma.getmaskarray(X["picture"]).all(axis=(1, 2, 3))):
        objects[row] = np.ma.getdata(X["picture"])[row]
    both = X[["picture", "table"]]
    expected = piped.fit(both, y).predict_proba({"picture": None, "table": X["table"]})
    assert np.isfinite(expected).all() and np.isfinite(subset_report(piped, both, y)["accuracy"]).all()
    again = piped.fit(MultimodalData({"picture": objects, "table": X["table"]}), y)
    assert_array_equal(again.predict_proba({"picture": None, "table": X["table"]}), expected)


def test_an_encoder_set_by_name(rows):
    clf = fast_classifier().set_params(encoders__picture=Pictures(2))
    assert clf.encoders["picture"].channels == 2
