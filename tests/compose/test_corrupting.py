"""Modalities broken on purpose: every kind, on every form of X."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import FORMS, in_form
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import corrupt_modalities, drop_modalities
from sklearn_aecf.compose._corrupting import KINDS


@pytest.mark.parametrize("form", FORMS)
def test_forms_agree_and_x_is_untouched(data, form):
    X, _ = data
    given, modalities = in_form(X, form)
    before = np.asarray(X).copy()
    kinds = ["noise", "swapped", "stuck"]
    expected = np.asarray(corrupt_modalities(X, 0.5, kind=kinds, random_state=0))
    found = corrupt_modalities(given, 0.5, kind=kinds, random_state=0, modalities=modalities)
    assert type(found) is type(given)
    if form == "dict":
        found = np.column_stack(list(found.values()))
    assert_allclose(np.asarray(found, dtype=float), expected)
    assert_array_equal(np.asarray(X), before)
    assert_array_equal(np.isnan(expected), np.isnan(before))
    assert (expected != before)[~np.isnan(before)].mean() > 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_the_broken_rows_and_no_others(data, kind):
    X, _ = data
    broken = np.zeros(X.present.shape, dtype=bool)
    broken[:40, 0] = True
    before, after = np.asarray(X["a"]), np.asarray(corrupt_modalities(X, broken, kind=kind, random_state=0)["a"])
    assert_array_equal(after[40:], before[40:])
    assert_array_equal(np.isnan(after), np.isnan(before))
    observed = X.present[:40, 0]
    changed = (after[:40] != before[:40]).any(axis=1)[observed]
    assert changed.mean() > 0.8


def test_one_modality_stays_good_unless_told_otherwise(data):
    X, _ = data
    names = list(X)

    def broken(**options):
        after = corrupt_modalities(X, 1.0, kind="offset", random_state=0, **options)
        changed = [(np.asarray(after[name]) != np.asarray(X[name])).any(axis=1) for name in names]
        return np.column_stack(changed) & X.present

    several = X.present.any(axis=1)
    assert_array_equal(broken().sum(axis=1)[several], X.present.sum(axis=1)[several] - 1)
    assert_array_equal(broken(keep_one=False), X.present)


def test_gaps_stay_gaps_and_kinds_of_numbers_stay(rng):
    values = rng.normal(size=(30, 4))
    values[:, 1] = np.nan
    values[::3, 2] = np.nan
    pictures = rng.integers(0, 256, size=(30, 5, 5), dtype=np.uint8)
    X = MultimodalData({"table": values, "picture": pictures})
    for kind in KINDS:
        after = corrupt_modalities(X, 1.0, kind=kind, keep_one=False, random_state=0)
        assert_array_equal(np.isnan(after["table"]), np.isnan(values))
        assert after["picture"].dtype == np.uint8 and (after["picture"] != pictures).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, r"rate must be a probability in \[0, 1\], or bools of shape \(150, 3\)\. Got 1\.5\."),
        (
            {"rate": np.ones((150, 2), dtype=bool)},
            r"rate must be a probability, or bools of shape \(150, 3\)\. Got bool of shape \(150, 2\)\.",
        ),
        ({"rate": 0.5, "kind": "nois"}, r"kind must be among noise, heavy_noise, .*, blended\. Got 'nois'\."),
        ({"rate": "0.5"}, r"rate must be a probability in \[0, 1\], or bools of shape \(150, 3\)\. Got '0\.5'\."),
        ({"rate": 0.5, "kind": None}, r"kind must be among noise, heavy_noise, .*, blended\. Got None\."),
        ({"rate": 0.5, "kind": []}, r"kind must be among noise, heavy_noise, .*, blended\. Got none\."),
    ],
)
def test_what_is_refused(data, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        corrupt_modalities(data[0], **options)


def test_masked_arrays_and_given_presence(rng):
    pictures = rng.integers(0, 256, size=(40, 4, 4), dtype=np.uint8)
    masked = np.ma.masked_array(pictures.copy(), mask=False)
    masked[::9] = np.ma.masked
    flags = np.arange(40) % 3 > 0
    given = MultimodalData({"a": pictures, "b": rng.normal(size=(40, 2))}, present={"a": flags})
    for X in ({"a": masked, "b": np.ones((40, 2))}, given):
        before = np.ma.getdata(X["a"]).copy()
        after = corrupt_modalities(X, 1.0, keep_one=False, random_state=0)
        assert_array_equal(np.ma.getdata(X["a"]), before)
        assert after["a"].dtype == np.uint8 and (np.ma.getdata(after["a"]) != before).any()
    assert_array_equal(after.present, given.present)


def test_codes_stay_within_those_that_there_are(rng):
    X = {"codes": rng.integers(2, 6, size=(50, 3, 1)), "table": np.ones((50, 1))}
    for kind in KINDS:
        codes = corrupt_modalities(X, 1.0, kind=kind, keep_one=False, random_state=0)["codes"]
        assert codes.dtype == X["codes"].dtype and codes.min() >= 2 and codes.max() <= 5


def test_numbers_with_none_among_them_and_infinities(rng):
    table = rng.normal(size=(30, 2)).astype(object)
    table[3, 1] = None
    after = corrupt_modalities({"a": table, "b": np.ones((30, 1))}, 1.0, keep_one=False, random_state=0)["a"]
    assert after.dtype == float and np.isnan(after).sum() == 1
    spoilt = rng.normal(size=(30, 2))
    spoilt[0, 0] = np.inf
    after = corrupt_modalities({"a": spoilt, "b": np.ones((30, 1))}, 1.0, keep_one=False, random_state=0)["a"]
    assert not np.isnan(after).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_numbers_stay_finite(rng, kind):
    largest = np.finfo(float).max
    X = {"a": np.where(rng.random((40, 3)) < 0.5, largest, -largest), "b": rng.normal(size=(40, 2))}
    broken = corrupt_modalities(X, 0.5, kind=kind, random_state=0)
    assert np.isfinite(broken["a"]).all() and np.isfinite(broken["b"]).all()


def test_text_has_no_sensor_to_break():
    X = {"text": np.array(["a", "b", None], dtype=object), "table": np.ones((3, 1))}
    message = "Modality 'text' is not made of numbers, so that no sensor of it can be broken on purpose."
    with pytest.raises(ValueError, match=f"^{message}$"):
        corrupt_modalities(X, 1.0, keep_one=False)


@pytest.mark.parametrize("library", [pd, pl])
def test_flags_with_names_are_found_by_name(data, library):
    X, _ = data
    flags = {name: np.arange(150) % 3 == m for m, name in enumerate(X)}
    expected = corrupt_modalities(X, np.column_stack(list(flags.values())), kind="dead")
    found = corrupt_modalities(X, library.DataFrame(flags).__getitem__(["c", "a", "b"]), kind="dead")
    assert_array_equal(np.asarray(found), np.asarray(expected))
    message = r"^rate lacks a column for modality 'c'; give one for each of 'a', 'b', 'c'\.$"
    with pytest.raises(ValueError, match=message):
        corrupt_modalities(X, library.DataFrame(flags)[["a", "b"]])
    with pytest.raises(ValueError, match=r"^Unknown modality 'A'\. Modalities: 'a', 'b', 'c'\.$"):
        corrupt_modalities(X, library.DataFrame({"A": flags["a"], "b": flags["b"], "c": flags["c"]}))


def test_flags_of_other_rows_are_refused(data):
    X, groups = in_form(data[0], "pandas")
    X.index = [f"patient {i}" for i in range(len(X))]
    flags = pd.DataFrame(dict.fromkeys(groups, np.arange(150) < 10), index=X.index)
    broken = corrupt_modalities(X, flags, kind="dead", modalities=groups)
    assert (broken["a0"][:10].fillna(0) == 0).all()
    with pytest.raises(
        ValueError, match=r"^rate has rows of other names than X, or in another order; give rate\.loc\[X\.index\]\.$"
    ):
        corrupt_modalities(X, flags[::-1], modalities=groups)


@pytest.mark.parametrize("rate", [{"a": 0.5}, [0.5, 0.5, 0.5], "half", None, np.nan, 1.5])
def test_a_rate_that_is_none(data, rate):
    message = f"rate must be a probability in [0, 1], or bools of shape (150, 3). Got {rate!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        corrupt_modalities(data[0], rate)
    with pytest.raises(ValueError, match=f"^{re.escape(f'rate must be a probability in [0, 1]. Got {rate!r}.')}$"):
        drop_modalities(data[0], rate)
