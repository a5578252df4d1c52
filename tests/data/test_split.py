"""Every form of X becomes the same arrays and the same presence; what is none is refused in a sentence."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import FORMS, fast_classifier, in_form
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklearn_aecf import MultimodalData
from sklearn_aecf._data import split_modalities
from sklearn_aecf.compose import ModalityTransformer


@pytest.mark.parametrize("form", [*FORMS, "SliceDict"])
def test_every_form_reads_the_same(data, form):
    X, _ = data
    given, modalities = in_form(X, form)
    read = split_modalities(given, modalities)
    assert read.names == X.names
    assert_array_equal(read.present, X.present)
    for name, array in zip(read.names, read.arrays, strict=True):
        assert_array_equal(array, X[name])


def test_no_copy_where_a_view_will_do(data):
    X, _ = data
    flat = np.asarray(X)
    for form in (dict(X), flat):
        read = split_modalities(form, X.column_groups())
        source = X["a"] if isinstance(form, dict) else flat
        assert np.shares_memory(read.arrays[0], source)


@st.composite
def patterned(draw):
    """Arrays with missing rows, gaps and several dtypes."""
    n_rows = draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    arrays = {}
    for m in range(draw(st.integers(1, 4))):
        width = draw(st.integers(1, 4))
        values = rng.normal(size=(n_rows, width))
        kind = draw(st.sampled_from(["float64", "float32", "float16", "int64", "bool"]))
        if kind.startswith("float"):
            values[rng.random((n_rows, width)) < 0.2] = np.nan
            values[rng.random(n_rows) < 0.3] = np.nan
        arrays[f"m{m}"] = (values > 0).astype(kind) if kind == "bool" else values.astype(kind)
    return arrays


@given(patterned())
@settings(max_examples=80, deadline=None)
def test_presence_is_not_all_nan(arrays):
    X = MultimodalData(arrays)
    expected = np.column_stack([~np.isnan(np.asarray(a, dtype=float)).all(axis=1) for a in arrays.values()])
    assert_array_equal(X.present, expected)
    assert_array_equal(split_modalities(arrays).present, expected)
    assert_array_equal(split_modalities(np.asarray(X, dtype=float), X.column_groups()).present, expected)
    assert_array_equal(split_modalities(X.to_frame()).present, expected)


def test_presence_survives_large_numbers():
    huge = np.full((3, 4), 3e38, dtype=np.float32)
    huge[1] = np.nan
    assert split_modalities({"a": huge}).present[:, 0].tolist() == [True, False, True]


def test_order_and_absence_at_predict():
    spec = split_modalities({"a": np.ones((2, 3)), "b": np.ones((2, 2))}).spec
    read = split_modalities({"b": np.ones((4, 2))}, spec=spec)
    assert read.names == ("a", "b")
    assert read.present.tolist() == [[False, True]] * 4
    read = split_modalities({"b": np.ones((4, 2)), "a": None}, spec=spec)
    assert read.present.tolist() == [[False, True]] * 4


@pytest.mark.parametrize("library", [pd, pl])
def test_a_modality_of_which_every_column_is_absent_is_missing(library):
    groups = {"labs": ["na", "k"], "ecg": ["rate"]}
    spec = split_modalities(library.DataFrame({"na": [1.0], "k": [2.0], "rate": [3.0], "id": [7]}), groups).spec
    read = split_modalities(library.DataFrame({"k": [5.0, 6.0], "na": [1.0, 2.0], "id": [1, 2]}), groups, spec=spec)
    assert_array_equal(read.arrays[0], [[1.0, 5.0], [2.0, 6.0]])
    assert read.present.tolist() == [[True, False]] * 2
    message = "X has none of the columns of any modality; expected columns such as 'na'."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        split_modalities(library.DataFrame({"id": [5.0]}), groups, spec=spec)


LOST = (
    "Give columns their names of fit, with NaN where values are unknown; leave a modality out as a whole where it is "
    "missing."
)


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["k", "rate"], f"X lacks 1 of 2 columns of modality 'labs', e.g. 'na'. {LOST}"),
        (
            ["Na", "k", "rate"],
            "X lacks 1 of 2 columns of modality 'labs', e.g. 'na', but has 'Na', which was not there at fit; did you "
            f"mean 'na'? {LOST}",
        ),
        (
            ["na", "k", "Rate"],
            "X lacks 1 of 1 columns of modality 'ecg', e.g. 'rate', but has 'Rate', which was not there at fit; did you "
            f"mean 'rate'? {LOST}",
        ),
        (
            ["na", "k", "w7"],
            "X lacks 1 of 1 columns of modality 'ecg', e.g. 'rate', but has 'w7', which was not there at fit. " + LOST,
        ),
    ],
)
def test_columns_under_other_names_are_refused(library, columns, message):
    groups = {"labs": ["na", "k"], "ecg": ["rate"]}
    spec = split_modalities(library.DataFrame({"na": [1.0], "k": [2.0], "rate": [3.0], "id": [7]}), groups).spec
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        split_modalities(library.DataFrame({column: [1.0] for column in columns}), groups, spec=spec)


def test_further_columns_are_of_no_interest_while_all_of_fit_are_there():
    spec = split_modalities(pd.DataFrame({"na": [1.0], "rate": [3.0]}), {"labs": ["na"], "ecg": ["rate"]}).spec
    read = split_modalities(pd.DataFrame({"new": [0.0], "rate": [3.0], "na": [1.0]}), spec=spec)
    assert [array.tolist() for array in read.arrays] == [[[1.0]], [[3.0]]]


def test_columns_of_other_forms_are_found_by_their_names():
    one = pd.DataFrame({"na": [1.0, 2.0], "k": [5.0, 6.0], "rate": [3.0, 4.0]})
    groups = {"labs": ["na", "k"], "ecg": ["rate"]}
    frames = {"labs": one[["k", "na"]], "ecg": one[["rate"]]}
    spec = split_modalities(one, groups).spec
    assert_array_equal(split_modalities(frames, spec=spec).arrays[0], one[["na", "k"]])
    spec = split_modalities(frames).spec
    assert_array_equal(split_modalities(one, groups, spec=spec).arrays[0], one[["k", "na"]])


def test_patterns_and_positions_in_frames():
    frame = pd.DataFrame(np.arange(8.0).reshape(2, 4), columns=["x_1", "x_2", "y", "z"])
    read = split_modalities(frame, {"x": "x_*", "rest": slice(2, 4)})
    assert read.spec.labels == {"x": ("x_1", "x_2"), "rest": ("y", "z")}
    read = split_modalities(frame, {"x": ["x_*", "y"], "z": ["z"]})
    assert read.spec.labels == {"x": ("x_1", "x_2", "y"), "z": ("z",)}


def test_nullable_and_numeric_object_columns_become_nan():
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": np.array([None, 2.5], dtype=object)})
    read = split_modalities(frame, {"m": ["a", "b"]})
    assert_array_equal(read.arrays[0], [[1, np.nan], [np.nan, 2.5]])


ok = np.ones((4, 2))


@pytest.mark.parametrize(
    ("X", "modalities", "error", "message"),
    [
        (
            [ok, ok],
            None,
            TypeError,
            "X must be a dict of arrays, one per modality, a MultimodalData, or a 2-D array or DataFrame. Got list.",
        ),
        ({}, None, ValueError, "X is an empty dict; give at least one modality, e.g. {'image': array}."),
        (
            {"a": None},
            None,
            ValueError,
            "Every modality is None, so the number of rows is unknown; give at least one an array.",
        ),
        (
            {"image": ok, "audio": ok[:3]},
            None,
            ValueError,
            "Modality 'audio' has 3 rows but 'image' has 4. Give every modality one row per sample, with NaN rows where "
            "it is missing.",
        ),
        (
            {"a": np.ones(4)},
            None,
            ValueError,
            "Modality 'a' must be a 2-D array (n_rows, n_features). Got 1-D; make it X['a'].reshape(-1, 1) if it is one "
            "feature, X['a'].reshape(1, -1) if it is one row.",
        ),
        (
            {"a": np.ones((4, 2, 2))},
            None,
            ValueError,
            "Modality 'a' must be a 2-D array (n_rows, n_features). Got 3-D of shape (4, 2, 2); flatten it, e.g. "
            ".reshape(len(array), -1), or give it an encoder: encoders={'a': module}.",
        ),
        (
            {"a": np.array([[1.0], [np.inf]])},
            None,
            ValueError,
            "Modality 'a' contains infinity (first in row 1); replace infinities by NaN where the value is unknown, or "
            "clip them.",
        ),
        ({"a": np.ones((0, 2))}, None, ValueError, "X has 0 rows (0 sample(s)); at least one is needed."),
        ({3: ok}, None, TypeError, "Names of modalities must be strings. Got 3 (int)."),
        (ok, {"a": slice(0, 5)}, ValueError, "modalities['a'] asks for column 4, but X has 2 columns (0 to 1)."),
        (ok, {"a": [0, 7]}, ValueError, "modalities['a'] asks for column 7, but X has 2 columns (0 to 1)."),
        (
            ok,
            {"a": [0], "b": [0, 1]},
            ValueError,
            "Column 0 belongs to modalities 'a' and 'b'; every column may belong to one modality only.",
        ),
        (ok, {"a": [0, 0]}, ValueError, "Column 0 belongs to 'a' twice; every column may belong to one modality only."),
        (ok, {"a": []}, ValueError, "modalities['a'] selects no column; give every modality at least one."),
        (
            ok,
            {"a": ["na"]},
            ValueError,
            "modalities gives column names for 'a', but X is an array without names. Give positions, e.g. "
            "{'a': slice(0, 16)}, or pass a DataFrame.",
        ),
        (
            ok,
            {},
            TypeError,
            "modalities must be a dict of modality to columns, e.g. {'image': slice(0, 512), 'audio': [512, 513]}. Got "
            "{}.",
        ),
        (
            pd.DataFrame({"na": [1.0]}),
            {"labs": ["nna"]},
            ValueError,
            "modalities['labs'] asks for column 'nna', which X lacks; did you mean 'na'?",
        ),
    ],
)
def test_refused(X, modalities, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        split_modalities(X, modalities)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ({"imgae": ok}, "X has unknown modality 'imgae'; did you mean 'image'? Fitted modalities: 'audio', 'image'."),
        ({"zzz": ok}, "X has unknown modality 'zzz'. Fitted modalities: 'audio', 'image'."),
        ({"audio": ok[:, :1]}, "Modality 'audio' has 1 features, but AECFClassifier was fitted with 2."),
        (
            np.ones((4, 3)),
            "X is an array of 3 columns, but the fitted modalities have 2 + 2 = 4 ('image', 'audio'); pass a dict, or all "
            "columns with NaN where a modality is missing.",
        ),
    ],
)
def test_refused_at_predict(X, message):
    spec = split_modalities({"image": ok, "audio": ok}).spec
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        split_modalities(X, spec=spec)


def test_tensors_and_lists():
    read = split_modalities({"t": torch.ones(2, 3), "l": [[1, 2], [3, 4]]})
    assert read.spec.widths == (3, 2)
    assert split_modalities(torch.ones(2, 3)).spec.widths == (3,)


def test_columns_of_frames_in_a_dict_are_matched_by_name(data):
    X, y = data
    frames = {name: pd.DataFrame(X[name], columns=[f"{name}{i}" for i in range(X[name].shape[1])]) for name in X}
    clf = fast_classifier().fit(frames, y)
    turned = {name: frame[frame.columns[::-1]] for name, frame in frames.items()}
    assert_array_equal(clf.predict_proba(turned), clf.predict_proba(frames))
    assert_array_equal(clf.predict_proba(MultimodalData(turned)), clf.predict_proba(frames))
    other = {**frames, "b": frames["b"].rename(columns={"b0": "bb0"})}
    message = (
        "X lacks 1 of 4 columns of modality 'b', e.g. 'b0', but has 'bb0', which was not there at fit; did you mean 'b0'? "
        + LOST
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clf.predict(other)


@pytest.mark.parametrize("value", [np.finfo(float).min, 1e300, 1e160])
def test_codes_for_no_value_are_refused_before_training(data, value):
    X, y = data
    spoilt = {name: np.array(array) for name, array in X.items()}
    spoilt["b"][4, 1] = value
    with pytest.raises(
        ValueError, match="Modality 'b' contains .*, too large to compute with; replace codes for unknown"
    ):
        fast_classifier().fit(spoilt, y)


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ({"a": "zz_*"}, "No column matches 'zz_*', given for modality 'a'. Columns: 'p', 'q', 'p'."),
        ({"a": ["p"]}, "Column 'p' of modality 'a' occurs 2 times in the frame; rename the duplicates."),
    ],
)
def test_groups_that_match_nothing_or_too_much(modalities, message):
    frame = pd.DataFrame(np.zeros((20, 3)), columns=list("pqp"))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(modalities=modalities).fit(frame, np.arange(20) % 2)


def rows_named(X, index):
    return {name: pd.DataFrame(X[name]).set_axis(index, axis=0) for name in X}


def test_frames_with_rows_of_other_names_are_refused(data):
    X, y = data
    frames = rows_named(X, np.arange(150) + 1000)
    assert_array_equal(split_modalities(frames).arrays[1], X["b"])
    for other, first in [(frames["b"][::-1], 1149), (frames["b"].set_axis(np.arange(150) + 9000, axis=0), 9000)]:
        message = (
            f"Modalities 'a' and 'b' have rows of other names, or in another order: 1000 and {first} come first; align "
            "them, e.g. X['b'].reindex(X['a'].index), or drop names that mean nothing with reset_index(drop=True)."
        )
        for read in (MultimodalData, split_modalities, lambda X: fast_classifier().fit(X, y)):
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                read({**frames, "b": other})


def test_an_index_that_only_counts_says_nothing_unless_another_is_in_disorder(data):
    X, _ = data
    counted = rows_named(X, pd.RangeIndex(150))
    named = rows_named(X, [f"p{i}" for i in range(150)])
    split_modalities({"a": counted["a"], "b": named["b"], "c": X["c"]})
    split_modalities({"a": counted["a"], "b": counted["b"].loc[np.arange(150)]})
    with pytest.raises(ValueError, match="have rows of other names, or in another order: 149 and 0 come first"):
        split_modalities({"a": counted["a"], "b": counted["b"][::-1]})


@pytest.mark.parametrize(
    ("X", "modalities"),
    [
        ({"m": pd.DataFrame(np.ones((4, 3)), columns=["u", "v", "u"])}, None),
        ({"m": pd.DataFrame(np.ones((4, 3)), columns=["v", 1, "1"])}, None),
        (pd.DataFrame(np.ones((4, 2)), columns=pd.MultiIndex.from_tuples([("m", "u"), ("m", "u")])), None),
        (pd.DataFrame(np.ones((4, 3)), columns=["u", "v", "u"]), {"m": ["u", "v"]}),
    ],
)
def test_columns_of_one_name_are_refused(X, modalities):
    with pytest.raises(ValueError, match=r"has 2 columns named|occurs 2 times"):
        split_modalities(X, modalities)
    with pytest.raises(ValueError, match=r"^Modality 'm' has 2 columns named 'u'; give each a name of its own\.$"):
        MultimodalData({"m": np.ones((4, 2))}, feature_names={"m": ["u", "u"]})


def test_one_row_and_one_feature_are_told_apart():
    message = (
        "Modality 'a' must be a 2-D array (n_rows, n_features). Got 1-D; make it X['a'].reshape(-1, 1) if it is one "
        "feature, X['a'].reshape(1, -1) if it is one row."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        split_modalities({"a": [0.1, 0.2, 0.3]})


def test_sparse_tensors_are_refused():
    message = "Modality 'a' is a sparse tensor; a dense one is needed. Convert it with .to_dense()."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        split_modalities({"a": torch.eye(4).to_sparse()})


def test_columns_are_found_by_name_in_any_order_but_in_a_plain_table(data):
    X, y = data
    for form in ("pandas", "polars", "two-level"):
        given, groups = in_form(X, form)
        clf = fast_classifier(modalities=groups, max_epochs=1).fit(given, y)
        other = given[list(given.columns)[::-1]]
        assert_array_equal(clf.predict_proba(other), clf.predict_proba(given))
    frame = in_form(X, "pandas")[0]
    clf = fast_classifier(max_epochs=1).fit(frame, y)
    with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
        clf.predict(frame[frame.columns[::-1]])


def test_a_table_without_groups_is_told_to_be_one_modality(data):
    X, y = data
    table, names = np.asarray(X), [f"m{i}" for i in range(12)]
    one = "X is one table of 12 columns without modalities, so all of it is one modality: no part of it can be missing or be weighed alone. Say which columns belong together, e.g. modalities="
    meant = " If they all do, modalities={'X': slice(None)} says so."
    labelled = "{'one': ['m0', ...], 'other': ['m11', ...]}."
    counted = "{'one': slice(0, 6), 'other': slice(6, 12)}, or X.column_groups() of a MultimodalData."
    frame = pd.DataFrame(table, columns=names)
    for form, example in ((frame, labelled), (pl.DataFrame(frame), labelled), (table, counted)):
        with pytest.warns(UserWarning) as caught:
            fast_classifier(max_epochs=1).fit(form, y)
        told = [warning for warning in caught if "no observed modality" not in str(warning.message)]
        assert [str(warning.message) for warning in told] == [one + example + meant] and told[0].filename == __file__
    with pytest.warns(UserWarning, match="^X is one table of 12 columns"):
        fast_classifier().partial_fit(table, y, [0, 1, 2])


def test_what_is_meant_to_be_one_modality_is_not_told(data):
    X, y = data
    rows = X.present.all(axis=1)
    X, y = X[rows], y[rows]
    encoders = {"X": torch.nn.Linear(6, 3)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for form in ({"a": X["a"]}, X[["a"]], X[["a"]].to_frame(), X["a"][:, :1]):
            fast_classifier(max_epochs=1).fit(form, y)
        fast_classifier(max_epochs=1, encoders=encoders).fit(X["a"], y)
        for form in (X["a"], pd.DataFrame(X["a"], columns=list("abcdef"))):
            clf = fast_classifier(max_epochs=1, modalities={"X": slice(None)}).fit(form, y)
            assert clf.modality_names_ == ["X"] and len(clf.predict(form)) == len(y)


@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_columns_in_no_group_are_told_where_they_are_most(data, capsys):
    X, y = data
    table, names = np.asarray(X), [f"m{i}" for i in range(12)]
    told = "In no modality, and so not used: 8 of 12 columns of X ({}). Add them to a group of modalities=, or leave them out of X."
    frame = pd.DataFrame(table, columns=names)
    labelled, counted = "'m4', 'm5', 'm6', 'm7', 'm8', 'm9', 'm10', 'm11'", "4, 5, 6, 7, 8, 9, 10, 11"
    two = {"one": ["m0", "m1"], "other": "m[23]"}
    at = {"one": slice(0, 2), "other": [2, 3]}
    for form, groups, shown in ((frame, two, labelled), (pl.DataFrame(frame), two, labelled), (table, at, counted)):
        for fit in (
            lambda form, groups: fast_classifier(max_epochs=1, modalities=groups).fit(form, y),
            lambda form, groups: ModalityTransformer("passthrough", modalities=groups).fit(form),
        ):
            with pytest.warns(UserWarning) as caught:
                fit(form, groups)
            assert told.format(shown) in [str(warning.message) for warning in caught]
            assert {warning.filename for warning in caught} == {__file__}
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("error:In no modality")
@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_a_few_columns_in_no_group_are_told_where_that_is_wanted(data, capsys):
    X, y = data
    table = np.asarray(X)
    frame = pd.DataFrame(table, columns=["id", *(f"m{i}" for i in range(11))])
    told = "In no modality, and so not used: 1 of 12 columns of X ({}).\n"
    two, at = {"one": "m?", "other": ["m10"]}, {"one": slice(1, 11), "other": 11}
    for form, groups, shown in ((frame, two, "'id'"), (table, at, "0")):
        fast_classifier(max_epochs=1, modalities=groups).fit(form, y)
        assert capsys.readouterr().out == ""
        fast_classifier(max_epochs=1, modalities=groups, verbose=1).fit(form, y)
        assert capsys.readouterr().out.startswith(told.format(shown))
