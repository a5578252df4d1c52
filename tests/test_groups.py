"""Rows held out by group: whole hospitals, users, or what a splitter says."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import fast_classifier, hide
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    PredefinedSplit,
    ShuffleSplit,
    TimeSeriesSplit,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_aecf import _classifier
from sklearn_aecf.compose import ModalityTransformer


@pytest.fixture
def held_out(monkeypatch):
    """Rows that each fit has held out, in turn."""
    seen, hold_out = [], _classifier.hold_out

    def noting(labelled, *args):
        training, validation = hold_out(labelled, *args)
        seen.append((training.rows, validation.rows))
        return training, validation

    monkeypatch.setattr(_classifier, "hold_out", noting)
    return seen


@pytest.mark.parametrize("kind", [int, str, object])
@pytest.mark.parametrize("fraction", ["auto", 0.3])
def test_whole_groups_are_held_out(data, held_out, kind, fraction):
    X, y = data
    groups = np.array([f"h{i}" for i in range(10)])[np.arange(150) % 10]
    groups = (np.arange(150) % 10) if kind is int else groups.astype(kind)
    clf = fast_classifier(validation_fraction=fraction).fit(X, y, groups=groups)
    ((train, test),) = held_out
    assert not set(groups[train]) & set(groups[test]) and len(set(groups[test])) == (2 if fraction == "auto" else 3)
    assert clf.temperature_ is not None


def test_groups_as_a_series_with_an_index_of_its_own(data, held_out):
    X, y = data
    groups = pd.Series(np.arange(150) % 5, index=np.arange(150)[::-1] + 7)
    fast_classifier().fit(X, y, groups=groups)
    fast_classifier().fit(X, y, groups=groups.to_numpy())
    assert_array_equal(held_out[0][1], held_out[1][1])


def test_of_groups_that_differ_in_size_those_come_closest_to_the_share(data, held_out):
    X, y = data
    groups = np.repeat([0, 1, 2, 3, 4], [90, 15, 15, 15, 15])
    fast_classifier(validation_fraction=0.2).fit(X, y, groups=groups)
    assert len(held_out[0][1]) < 30


@pytest.mark.parametrize(
    ("splitter", "expected"),
    [
        (ShuffleSplit(random_state=3), lambda rows: list(ShuffleSplit(random_state=3).split(rows))[-1]),
        (TimeSeriesSplit(n_splits=2, gap=3), lambda rows: list(TimeSeriesSplit(n_splits=2, gap=3).split(rows))[-1]),
        (GroupKFold(5), lambda rows: list(GroupKFold(5).split(rows, groups=np.arange(150) % 5))[-1]),
        (PredefinedSplit(np.where(np.arange(150) < 20, 0, -1)), lambda rows: (np.arange(20, 150), np.arange(20))),
    ],
)
def test_a_splitter_says_which(data, held_out, splitter, expected):
    X, y = data
    X = type(X)({**X, "all": np.ones((150, 1))})  # every row is usable
    groups = np.arange(150) % 5 if isinstance(splitter, GroupKFold) else None
    fast_classifier(validation_fraction=splitter).fit(X, y, groups=groups)
    for found, rows in zip(held_out[0], expected(np.arange(150)), strict=True):
        assert_array_equal(np.sort(found), np.sort(rows))


def test_a_splitter_splits_all_rows_of_which_the_usable_ones_stay(data, held_out):
    X, y = data
    X = hide(hide(hide(X, "a", slice(20)), "b", slice(20)), "c", slice(20))
    fold = np.where((np.arange(150) >= 10) & (np.arange(150) < 60), 0, -1)
    fast_classifier(validation_fraction=PredefinedSplit(fold)).fit(X, y)
    assert held_out[0][1].min() >= 20 and held_out[0][1].max() < 60 <= held_out[0][0].min()


def test_a_splitter_without_a_seed_gets_that_of_the_classifier(data):
    X, y = data
    state = np.random.get_state()[1].copy()
    one, two = (fast_classifier(validation_fraction=ShuffleSplit()).fit(X, y).predict_proba(X) for _ in range(2))
    assert_array_equal(one, two)
    assert_array_equal(np.random.get_state()[1], state)


def test_searches_and_pipelines_pass_groups_on(data, held_out):
    X, y = data
    groups = np.arange(150) % 6
    with config_context(enable_metadata_routing=True):
        clf = fast_classifier().set_fit_request(groups=True)
        cross_validate(clf, X, y, cv=GroupKFold(3), params={"groups": groups})
        pipe = make_pipeline(ModalityTransformer(StandardScaler()), clf)
        grid = {"aecfclassifier__dropout": [0.1, 0.2]}
        GridSearchCV(pipe, grid, cv=GroupKFold(2), refit=True).fit(X, y, groups=groups)
    assert len(held_out) == 3 + 5
    folds = [np.unique(groups[np.concatenate(rows)]).size for rows in held_out]
    assert folds[-1] == 6


@pytest.mark.parametrize(
    ("groups", "fraction", "message"),
    [
        (np.ma.array(np.arange(150), mask=np.arange(150) == 3), "auto", "groups is masked in some rows; give every row one."),
        (np.arange(149), "auto", "groups must have one group per row of X (150). Got shape (149,)."),
        (np.where(np.arange(150) == 4, np.nan, 1), "auto", "groups lacks that of row 4; give every row one."),
        (np.array([1, "a"] * 75, dtype=object), "auto", "groups mixes different types (int, str); give all of them one type."),
    ],
)  # fmt: skip
def test_refused(data, groups, fraction, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(validation_fraction=fraction).fit(*data, groups=groups)


def test_of_one_group_a_share_is_held_out_with_a_warning(data, held_out):
    message = "^groups has one group only, so that a share of its rows is held out; that says little of other groups.$"
    with pytest.warns(UserWarning, match=message):
        fast_classifier().fit(*data, groups=np.full(150, "cleveland"))
    fast_classifier().fit(*data)
    assert_array_equal(held_out[0][1], held_out[1][1])


def test_a_share_that_leaves_nothing_to_train_on_is_refused(data):
    X, y = data
    message = "validation_fraction=0.999999 leaves none of 139 rows to train on; lower it."
    keep = X.present.any(axis=1)
    with pytest.raises(ValueError, match=re.escape(message).replace("139", str(keep.sum()))):
        fast_classifier(validation_fraction=0.999999).fit(X[keep], y[keep])


def test_a_mask_that_tears_groups_apart_is_told(data):
    X, y = data
    groups, mask = np.arange(150) // 15, np.arange(150) < 40
    with pytest.warns(UserWarning) as caught:
        fast_classifier().fit(X, y, groups=groups, validation_set=mask)
    assert [str(warning.message) for warning in caught if "validation_set" in str(warning.message)] == [
        "validation_set holds out a part of 1 of 10 groups, and training learns from the rest of them; leave it out to hold "
        "out whole groups."
    ]
    with pytest.raises(ValueError, match=r"^groups must have one group per row of X \(150\)\. Got shape \(5,\)\.$"):
        fast_classifier().fit(X, y, groups=groups[:5], validation_set=mask)


def test_a_class_that_only_held_out_rows_have_is_told(data):
    X, y = data
    y, mask = np.where(np.arange(150) < 20, 7, y), np.arange(150) < 30
    message = "No row to train on has class 7, so that it is not learnt; its rows are held out, have weight 0 or nothing observed."
    for params, options in [
        ({}, {"validation_set": mask}),
        ({"validation_fraction": PredefinedSplit(np.where(mask, 0, -1))}, {}),
        ({"early_stopping": False}, {"sample_weight": 1.0 - mask}),
    ]:
        with pytest.warns(UserWarning) as caught:
            clf = fast_classifier(**params).fit(X, y, **options)
        assert message in [str(warning.message) for warning in caught]
        assert clf.classes_.tolist() == [0, 1, 2, 7]


@pytest.mark.parametrize(
    "groups",
    [
        range(150),
        tuple(np.arange(150) // 10),
        pl.Series(np.arange(150) // 10),
        pd.Series(np.arange(150) // 10, index=np.arange(150)[::-1]),
        pd.Series(np.arange(150) // 10).astype("string"),
        pd.Categorical(np.arange(150) // 10),
        torch.arange(150) // 10,
    ],
    ids=lambda groups: type(groups).__name__,
)
def test_groups_in_any_form(data, held_out, groups):
    X, y = data
    fast_classifier().fit(X, y, groups=groups)
    groups = np.asarray(groups)
    ((train, test),) = held_out
    assert not set(groups[train]) & set(groups[test])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a", None] * 75, "groups lacks that of row 1; give every row one."),
        (pl.Series([None, "a"] * 75), "groups lacks that of row 0; give every row one."),
        (np.zeros((150, 2)), "groups must have one group per row of X (150). Got shape (150, 2)."),
        ({"a": 1}, "groups must have one group per row of X (150). Got shape ()."),
    ],
)
def test_groups_that_are_none(data, groups, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier().fit(*data, groups=groups)


@pytest.mark.parametrize(
    "groups",
    [
        np.repeat(["north", "south", "west"], 50),
        np.repeat(["north", "south", "west"], 50).tolist(),
        pd.Series(np.repeat(["north", "south", "west"], 50), dtype="category"),
        pd.Series(np.repeat(["north", "south", "west"], 50), dtype="string"),
    ],
    ids=["array", "list", "category", "string"],
)
def test_groups_of_text_in_the_place_of_weights(data, groups):
    X, y = data
    message = (
        "sample_weight must be one number per row of X. Got text ('north'); groups go by name: fit(X, y, groups=...)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier().fit(X, y, groups)


@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_numbers_of_groups_in_the_place_of_weights(data, rng):
    X, y = data
    message = (
        "sample_weight counts blocks of rows from 0 to 4, as groups are numbered, and leaves the block of 0 out. Groups "
        "go by name: fit(X, y, groups=...). If these are weights, make them floats."
    )
    blocks = np.repeat(np.arange(5), 30)
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        fast_classifier(max_epochs=1).fit(X, y, blocks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*no observed modality")
        for weights in (
            blocks.astype(float),
            1 + blocks,  # later rows count more
            blocks[::-1],
            blocks > 0,
            np.repeat([0, 1], 75),
            rng.permutation(blocks),
            np.bincount(rng.integers(0, 150, 150), minlength=150),  # of a bootstrap
            np.sort(rng.poisson(2, 150)) + 1,
            np.arange(150),
        ):
            fast_classifier(max_epochs=1).fit(X, y, weights)
