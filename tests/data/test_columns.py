"""Columns of text, categories, dates and arrays, in every form of X."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import fast_classifier
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklearn_aecf import MultimodalData
from sklearn_aecf._data import split_modalities
from sklearn_aecf.datasets import load_heart_disease

GROUPS = {"person": ["sex", "age", "ward", "smoker"], "labs": ["na", "k"]}


@pytest.fixture
def clinic(rng):
    """120 patients: text, a category, booleans, numbers; the person is unknown in rows 5 to 9."""
    frame = pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], 120),
            "age": rng.integers(20, 90, 120).astype(float),
            "ward": pd.Categorical(rng.choice(["icu", "ent", "ob"], 120)),
            "smoker": pd.array(rng.random(120) > 0.5, dtype="boolean"),
            "na": rng.normal(size=120),
            "k": rng.normal(size=120),
        }
    )
    frame.loc[5:9, GROUPS["person"]] = None
    frame.loc[3, "sex"] = None
    y = (frame["na"] + (frame["sex"] == "m") > 0.5).to_numpy().astype(int)
    return frame, y


def test_a_raw_frame_goes_in_as_it_is(clinic):
    frame, y = clinic
    clf = fast_classifier(modalities=GROUPS).fit(frame, y)
    assert clf.n_features_per_modality_ == {"person": 4, "labs": 2} and clf.n_features_in_ == 6
    assert clf.feature_names_in_.tolist() == [column for group in GROUPS.values() for column in group]
    assert (clf.gate_weights(frame)[5:10, 0] == 0).all() and (clf.gate_weights(frame)[:5] > 0).all()
    assert clf.predict_proba(frame.iloc[[0]]).shape == (1, 2)


def test_columns_become_indicators_and_numbers(clinic):
    frame, _ = clinic
    read = split_modalities(frame, GROUPS)
    person = read.arrays[0]
    assert person.shape == (120, 1 + 1 + 3 + 1)
    known = np.r_[0:3, 4:5, 10:120]
    assert_array_equal(person[known, 0], (frame["sex"][known] == "m").astype(float))
    assert_array_equal(person[known, 2:5], [[ward == w for w in ("ent", "icu", "ob")] for ward in frame["ward"][known]])
    assert_array_equal(person[known, 5], frame["smoker"][known].astype(float))
    assert np.isnan(person[5:10]).all() and np.isnan(person[3, 0]) and not np.isnan(person[3, 1:]).any()


def in_polars(frame):
    columns = {name: [None if value is pd.NA or value != value else value for value in frame[name]] for name in frame}
    return pl.DataFrame(columns)


def forms_of(frame):
    yield frame, GROUPS
    yield in_polars(frame), GROUPS
    yield frame.set_axis(pd.MultiIndex.from_tuples([(m, c) for m, g in GROUPS.items() for c in g]), axis=1), None
    yield {name: frame[columns] for name, columns in GROUPS.items()}, None
    yield {name: frame[columns].to_numpy(dtype=object, na_value=None) for name, columns in GROUPS.items()}, None
    yield MultimodalData.from_frame(frame, GROUPS), None


def test_every_form_reads_the_same(clinic):
    frame, y = clinic
    expected = split_modalities(frame, GROUPS)
    for X, modalities in forms_of(frame):
        read = split_modalities(X, modalities)
        assert_array_equal(read.present, expected.present)
        for one, other in zip(read.arrays, expected.arrays, strict=True):
            assert_array_equal(one, other)
    clf = fast_classifier(modalities=GROUPS).fit(frame, y)
    for X, _ in forms_of(frame):
        assert_array_equal(clf.predict_proba(X), clf.predict_proba(frame))


def test_a_category_that_was_not_there_is_unknown_and_told(clinic):
    frame, y = clinic
    clf = fast_classifier(modalities=GROUPS).fit(frame, y)
    other, unknown = frame.copy(), frame.copy()
    other["ward"] = other["ward"].astype(object).replace("icu", "Icu")
    unknown["ward"] = unknown["ward"].where(unknown["ward"] != "icu")
    n_icu = (frame["ward"] == "icu").sum()
    n_known = frame["ward"].notna().sum()
    with pytest.warns(UserWarning) as caught:
        found = clf.predict_proba(other)
    assert [str(warning.message) for warning in caught] == [
        f"Column 'ward' of modality 'person' has 'Icu' in {n_icu} of {n_known} rows, which was not there at fit, "
        "but 'icu' was; it counts as unknown."
    ]
    assert caught[0].filename == __file__
    assert_array_equal(found, clf.predict_proba(unknown))


def test_categories_of_numbers_are_names_also_where_they_come_as_numbers_later(rng):
    unit = rng.integers(1, 4, 60)
    frame = pd.DataFrame({"unit": pd.Categorical(unit), "x": rng.normal(size=60)})
    clf = fast_classifier(modalities={"m": ["unit", "x"]}).fit(frame, unit == 2)
    for column in (unit, unit.astype(float), unit.astype(str)):
        assert_array_equal(clf.predict_proba(frame.assign(unit=column)), clf.predict_proba(frame))


def test_vectors_in_cells_are_stacked(rng):
    vectors = rng.normal(size=(60, 5))
    y = (vectors[:, 0] > 0).astype(int)
    cells = [None if row % 7 == 0 else vector for row, vector in enumerate(vectors)]
    stacked = np.where(np.arange(60)[:, None] % 7 == 0, np.nan, vectors)
    expected = split_modalities({"e": stacked}).arrays[0]
    frames = (
        pd.DataFrame({"e": cells, "x": 1.0}),
        pl.DataFrame({"e": [None if c is None else c.tolist() for c in cells]}),
    )
    for frame in frames:
        assert_array_equal(split_modalities(frame, {"e": ["e"]}).arrays[0], expected)
    read = split_modalities(frames[0], {"both": ["e", "x"]})
    assert read.arrays[0].shape == (60, 6) and read.spec.widths == (2,)
    read = split_modalities({"e": frames[0]["e"]})
    assert_array_equal(read.present[:, 0], ~np.isnan(stacked[:, 0]))
    clf = fast_classifier(modalities={"e": ["e"], "x": ["x"]}).fit(frames[0], y)
    assert_array_equal(clf.predict_proba(frames[0])[1:2], clf.predict_proba(frames[0].iloc[[1]]))


def test_without_modalities_a_frame_of_text_is_one_modality(clinic):
    frame, y = clinic
    clf = fast_classifier().fit(frame, y)
    assert clf.feature_names_in_.tolist() == frame.columns.tolist() and clf.modality_names_ == ["X"]
    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(frame[frame.columns[::-1]])


def column(values):
    return pd.DataFrame({"c": values, "x": np.arange(len(values), dtype=float)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            pd.date_range("2020-01-01", periods=30),
            "Column 'c' of modality 'm' must hold numbers. Got Timestamp('2020-01-01 00:00:00'); turn dates into numbers, "
            "e.g. days since a fixed date.",
        ),
        (
            ["63", "41", "?"] * 10,
            "Column 'c' of modality 'm' holds numbers as text, but also '?'; make it numbers first, e.g. "
            "pandas.to_numeric(column, errors='coerce').",
        ),
        (
            ["a", 1.0] * 15,
            "Column 'c' of modality 'm' mixes text ('a') and other values (1.0); make them of one type.",
        ),
        (
            [f"patient {i:02}" for i in range(60)],
            "Column 'c' of modality 'm' has 60 different texts in 60 rows (e.g. 'patient 00'), too many for categories; turn "
            "them into features with a ModalityTransformer, or leave the column out.",
        ),
        (
            [np.ones(2), np.ones(3)] * 15,
            "Column 'c' of modality 'm' holds arrays of shape (2,) and (3,); give every row a vector of one length.",
        ),
        (
            [{"a": 1}] * 30,
            "Column 'c' of modality 'm' must hold numbers. Got {'a': 1}; turn it into numbers or text first.",
        ),
    ],
    ids=["dates", "numbers as text", "mixed", "names of rows", "ragged", "dicts"],
)
def test_what_is_neither_number_nor_category_is_refused(values, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        split_modalities(column(values), {"m": ["c", "x"]})


def test_an_integer_that_is_no_float_is_refused():
    message = "Column '0' of modality 'm' holds an integer too large to compute with; replace codes for unknown values by NaN."
    with pytest.raises(ValueError, match=f"^{message}$"):
        split_modalities({"m": np.array([[10**400, 1]] * 5, dtype=object)})


def test_polars_dates_are_refused_as_those_of_pandas():
    frame = pl.DataFrame({"c": pd.date_range("2020-01-01", periods=30).to_pydatetime(), "x": np.arange(30.0)})
    with pytest.raises(ValueError, match=r"^Column 'c' of modality 'm' must hold numbers\. Got datetime.*turn dates"):
        split_modalities(frame, {"m": ["c", "x"]})


def test_text_that_is_refused_on_demand(clinic):
    frame, y = clinic
    n, first = int(frame["sex"].notna().sum()), frame["sex"][0]
    message = (
        f"Column 'sex' of modality 'person' must hold numbers. Got {first!r} in {n} of {len(frame)} rows (first in row 0); "
        "encode text and categories first, e.g. with a OneHotEncoder in a ModalityTransformer."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(modalities=GROUPS, categorical_features=None).fit(frame, y)


def test_text_among_numbers_at_predict(clinic):
    frame, y = clinic
    clf = fast_classifier(modalities={"a": ["age"], "b": ["sex"]}).fit(frame, y)
    broken = frame.astype({"age": object})
    broken.loc[[3, 5], "age"] = "ERR"
    message = (
        f"Column 'age' of modality 'a' must hold numbers. Got 'ERR' in 2 of {len(frame)} rows (first in row 3); put NaN "
        "where the value is unknown, e.g. with pandas.to_numeric(column, errors='coerce')."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.predict(broken)


def test_decimal_commas_are_no_categories():
    commas = pd.DataFrame({"hb": [f"{i},{i % 7}" for i in range(30)], "x": np.arange(30.0)})
    message = (
        "Column 'hb' of modality 'X' holds numbers with a decimal comma, e.g. '0,0'; make it numbers first, e.g. "
        "pandas.read_csv(..., decimal=',')."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier().fit(commas, np.arange(30) % 2)
    # Words with commas are words.
    pairs = pd.DataFrame({"hb": ["a,b", "1,2", "c"] * 10})
    fast_classifier().fit(pairs, np.arange(30) % 2)


@pytest.mark.parametrize(
    ("one", "error", "message"),
    [
        (
            lambda frame: frame.to_dict("records"),
            TypeError,
            "X is a list of dicts, one a row; make a table of it: pandas.DataFrame(X).",
        ),
        (
            lambda frame: frame.iloc[3],
            ValueError,
            "X is a Series of 3 values; give a DataFrame: of one row, e.g., frame.iloc[[0]], of one column X.to_frame().",
        ),
        (
            lambda frame: {"m": 3.0},
            TypeError,
            "Modality 'm' must be an array with one row per sample. Got float; of a single row give an array of shape "
            "(1, n_features), or X as a DataFrame of one row.",
        ),
    ],
)
def test_one_row_in_another_form(one, error, message):
    frame = pd.DataFrame({"a": np.arange(30.0), "b": np.arange(30.0) % 4, "sex": ["m", "f", "m"] * 10})
    clf = fast_classifier(modalities={"m": ["a", "b"], "p": ["sex"]}).fit(frame, np.arange(30) % 2)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        clf.predict(one(frame))
    assert clf.predict(frame.iloc[[3]]).shape == (1,)


def test_the_table_of_a_clinic_is_that_of_its_modalities():
    heart, table = load_heart_disease(), load_heart_disease(as_frame=True)
    frame = table.data
    names = [name for group in heart.feature_names.values() for name in group]
    assert table.feature_names == heart.feature_names and frame.columns.tolist() == names
    assert frame["sex"].value_counts().to_dict() == {"male": 726, "female": 194}
    assert str(frame["exang"].dtype) == "boolean" and frame["thal"].isna().sum() == 486
    read = split_modalities(frame, table.feature_names)
    assert_array_equal(read.present, heart.data.present)
    assert_array_equal(read.arrays[0][:, 0], heart.data["history"][:, 0])
    assert_array_equal(read.arrays[0][:, 1], heart.data["history"][:, 1])
    assert read.arrays[5].shape == (920, 3) and len(load_heart_disease(return_X_y=True, as_frame=True)) == 2


def test_missing_values_of_every_kind_are_one():
    values = [None, np.nan, pd.NA, pd.NaT, np.float32("nan"), 1.0]
    read = split_modalities({"m": np.array([[value, 2.0] for value in values], dtype=object)})
    assert_array_equal(np.isnan(read.arrays[0][:, 0]), [True] * 5 + [False])


@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=True), st.booleans(), st.text(max_size=3), st.integers()),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_column_is_read_or_refused_in_a_sentence(values):
    table = np.array([[value, 1.0] for value in values], dtype=object)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read = split_modalities({"m": table})
    except ValueError as error:
        assert re.match(r"(Column '0' of modality|Modality) 'm' ", str(error)) and str(error).endswith(".")
    else:
        assert read.arrays[0].dtype.kind == "f" and len(read.arrays[0]) == len(values)
        again = split_modalities({"m": table}, spec=read.spec)
        assert_array_equal(again.arrays[0], read.arrays[0])


@pytest.mark.parametrize("unit", ["ns", "D"])
@pytest.mark.parametrize("kind", ["datetime64", "timedelta64"])
def test_dates_are_no_numbers_in_any_form(kind, unit):
    dates = np.arange(60).astype(f"{kind}[{unit}]")[:, None]
    cells = np.array([[date] for date in dates[:, 0]], dtype=object)
    y = np.arange(60) % 2
    for X in ({"m": dates}, {"m": cells}, dates, cells):
        with pytest.raises(
            ValueError, match=r"^Column '0' of modality '[mX]' must hold numbers\. .*turn dates into numbers"
        ):
            fast_classifier().fit(X, y)


def test_categories_written_with_digits_are_categories(rng):
    codes = rng.choice([10115, 20095, 80331], 60)
    x = rng.normal(size=60)
    frames = (
        pd.DataFrame({"zip": pd.Categorical(codes), "x": x}),
        pl.DataFrame({"zip": pl.Series(codes.astype(str)).cast(pl.Categorical), "x": x}),
    )
    for frame in frames:
        read = split_modalities(frame, {"m": ["zip", "x"]})
        assert read.arrays[0].shape == (60, 4)
        assert_array_equal(
            split_modalities(MultimodalData.from_frame(frame, {"m": ["zip", "x"]})).arrays[0], read.arrays[0]
        )
    mixed = pd.DataFrame({"grade": pd.Categorical(["1", "2", "A"] * 20)})
    assert split_modalities(mixed, {"m": ["grade"]}).arrays[0].shape == (60, 3)


def test_polars_modalities_of_vectors_alone(rng):
    vectors = rng.normal(size=(40, 3))
    frame = pl.DataFrame({"v": vectors.tolist(), "x": np.ones(40)})
    assert_array_equal(split_modalities(frame, {"v": ["v"], "x": ["x"]}).arrays[0], vectors)
    assert_array_equal(split_modalities({"v": frame[["v"]]}).arrays[0], vectors)


@pytest.mark.parametrize("text", ["nan", "None", "", "NA", "inf"])
@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_words_for_nothing_are_categories(text, dtype):
    for others in (["a", "b"], ["a"]):
        frame = column(pd.Series([text, *others] * 10, dtype=dtype))
        read = split_modalities(frame, {"m": ["c"], "n": ["x"]})
        assert read.spec.encodings["m"].columns == (tuple(sorted([text, *others])),)
        assert read.present.all()


def test_among_numbers_as_text_nan_is_a_number():
    read = split_modalities(column(pd.Series(["1", "2", "nan"] * 10, dtype=object)), {"m": ["c", "x"]})
    assert_array_equal(read.arrays[0][:3, 0], [1, 2, np.nan])


def test_text_that_hardly_repeats_is_told_and_can_be_cross_validated():
    frame = column([f"ward {i % 14}" for i in range(30)])
    with pytest.warns(UserWarning) as caught:
        split_modalities(frame[:24], {"m": ["c", "x"]})
    assert [str(warning.message) for warning in caught] == [
        "Column 'c' of modality 'm' has 14 different texts in 24 rows (e.g. 'ward 0'), too many to learn much from each; "
        "turn them into features with a ModalityTransformer, or leave the column out."
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split_modalities(frame, {"m": ["c", "x"]})
        split_modalities(frame.astype({"c": "category"})[:24], {"m": ["c", "x"]})


def test_the_limit_of_categories_is_that_of_gradient_boosting():
    frame = column([f"ward {i % 256}" for i in range(1000)])
    split_modalities(frame[frame["c"] != "ward 7"], {"m": ["c", "x"]})
    message = (
        "Column 'c' of modality 'm' has 256 different texts in 1000 rows (e.g. 'ward 0'), too many for categories; turn "
        "them into features with a ModalityTransformer, or leave the column out."
    )
    for dtype in ("object", "category"):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            split_modalities(frame.astype({"c": dtype}), {"m": ["c", "x"]})


def test_categories_that_differ_in_spelling_are_told(clinic):
    frame, y = clinic
    frame["sex"] = np.resize(np.array(["Male", "male", " Female", "Female", "fe  male"], dtype=object), 120)
    frame["ward"] = pd.Series(np.resize(["ICU", "icu"], 120)).astype("category")  # as it says, two
    told = (
        "Column 'sex' of modality 'person' has categories that differ only in case or blanks: ' Female' and 'Female'; "
        "'Male' and 'male'. Make them one, e.g. with column.str.strip().str.lower(); if they are different, "
        "column.astype('category') says so."
    )
    with pytest.warns(UserWarning) as caught:
        clf = fast_classifier(modalities=GROUPS, max_epochs=1).fit(frame, y)
    assert [str(warning.message) for warning in caught] == [told] and caught[0].filename == __file__
    later = frame[:10].assign(sex=["MALE ", "x", "FEMALE", *["Male"] * 7])
    with pytest.warns(UserWarning) as caught:
        clf.predict(later)
    assert [str(warning.message) for warning in caught] == [
        "Column 'sex' of modality 'person' has 'MALE ' and 2 more in 3 of 10 rows, which were not there at fit, but "
        "'male' was; they count as unknown."
    ]
    with pytest.warns(UserWarning, match="has 'x' in 1 of 10 rows, which was not there at fit; it counts as unknown"):
        clf.predict(frame[:10].assign(sex=["x", *["Male"] * 9]))
