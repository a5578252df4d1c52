"""MultimodalData: a mapping whose rows scikit-learn can slice."""

import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from PIL import Image
from scipy import sparse
from sklearn.utils import resample
from sklearn.utils._indexing import _safe_indexing

from sklearn_aecf import MultimodalData


@pytest.fixture
def X():
    return MultimodalData(
        {"image": np.arange(12.0).reshape(4, 3), "audio": np.arange(8, dtype=np.float32).reshape(4, 2)}
    )


def test_is_a_mapping_of_names_with_the_length_of_its_rows(X):
    assert len(X) == 4
    assert list(X) == ["image", "audio"] == list(X.keys())
    assert "image" in X and "video" not in X
    assert X.shape == (4, 5) and X.ndim == 2 and X.dtype == np.float64
    assert {**X}.keys() == {"image", "audio"}
    assert X["audio"].dtype == np.float32


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        (slice(1, 3), [1, 2]),
        (2, [2]),
        (np.int64(-1), [3]),
        ([0, 3], [0, 3]),
        ([-1, 0], [3, 0]),
        (np.array([True, False, True, False]), [0, 2]),
        ([True, False, False, True], [0, 3]),
        ((np.array([1, 2]), Ellipsis), [1, 2]),
        ((slice(0, 2), slice(None)), [0, 1]),
        ([], []),
        (pd.Series([1, 2]), [1, 2]),
        (pl.Series([1, 2]), [1, 2]),
    ],
)
def test_rows(X, key, rows):
    taken = X[key]
    assert isinstance(taken, MultimodalData)
    for name in X:
        assert_array_equal(taken[name], X[name][rows])
        assert taken[name].dtype == X[name].dtype


def test_names_select_modalities(X):
    assert list(X[["audio"]]) == ["audio"]
    assert list(X[np.array(["audio", "image"])]) == ["audio", "image"]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_indexing_agrees_with_numpy(data):
    n_rows = data.draw(st.integers(1, 12))
    widths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    X = MultimodalData({f"m{i}": rng.normal(size=(n_rows, width)) for i, width in enumerate(widths)})
    key = data.draw(
        st.one_of(
            st.slices(n_rows),
            st.lists(st.integers(-n_rows, n_rows - 1), max_size=8),
            hnp.arrays(bool, n_rows),
        )
    )
    flat = np.asarray(X)
    expected = flat[np.asarray(key, dtype=int) if isinstance(key, list) else key]
    assert_array_equal(np.asarray(X[key]), expected)
    assert len(X[key]) == len(expected)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([0, 7], "Row 7 is out of range: there are 4 rows."),
        (-5, "Row -5 is out of range: there are 4 rows."),
        ([True, False], "The mask has 2 entries, but there are 4 rows."),
        (np.zeros((2, 2), int), "Rows must be chosen by a 1-D index or mask. Got an index with 2 dimensions."),
        ([0.5], "Rows must be chosen by integers, a mask or a slice. Got dtype float64."),
    ],
)
def test_bad_rows(X, key, message):
    with pytest.raises(IndexError, match=f"^{re.escape(message)}$"):
        X[key]


def test_unknown_name_and_assignment(X):
    with pytest.raises(KeyError, match="No modality 'imgae'; there are 'image', 'audio'."):
        X["imgae"]
    with pytest.raises(TypeError, match="cannot be assigned into"):
        X["image"] = np.zeros((4, 3))
    with pytest.raises(TypeError, match="cannot be assigned into"):
        del X["image"]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([np.zeros((2, 2))], TypeError, "MultimodalData needs a dict of arrays, one per modality. Got list"),
        ({}, ValueError, "X is an empty dict; give at least one modality, e.g. {'image': array}."),
        ({"a": None}, ValueError, "Every modality is None, so the number of rows is unknown"),
        ({1: np.zeros((2, 2))}, TypeError, "Names of modalities must be strings. Got 1 (int)."),
        (
            {"a": np.zeros((3, 2)), "b": np.zeros((2, 2))},
            ValueError,
            "Modality 'b' has 2 rows but 'a' has 3. Give every modality one row per sample, with NaN rows where it is missing.",
        ),
        ({"a": 3.0}, TypeError, "Modality 'a' must be an array with one row per sample. Got float; of a single row"),
        ({"a": sparse.eye(3)}, TypeError, "Modality 'a' is a sparse matrix; a dense array is needed."),
        (
            {"a": [[1, 2], [3]]},
            ValueError,
            "Modality 'a' has rows of different lengths; give every row the same number of features, or pass raw items, for "
            "a FrozenEncoder, as a 1-D object array.",
        ),
        ({"a": [torch.ones(2), torch.ones(3)]}, ValueError, "Modality 'a' has rows of different lengths"),
        (
            {"a": np.ma.array([[1, 3], [2, 4]], mask=[[0, 0], [1, 0]])},
            ValueError,
            "Modality 'a' is a masked array of int64, which cannot hold NaN; make it one of floats, or an object array with "
            "None where it is masked.",
        ),
    ],
)
def test_bad_data(value, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        MultimodalData(value)


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("form", [list, tuple])
def test_missing_text_in_a_list(missing, form):
    X = MultimodalData({"text": form(["a", missing, "b"])})
    assert X["text"].tolist() == ["a", missing, "b"]
    assert_array_equal(X.present[:, 0], [True, False, True])


@pytest.mark.parametrize("second", [None, Image.new("RGB", (4, 4))])
def test_pictures_stay_pictures(second):
    pictures = [Image.new("RGB", (4, 4)), second]
    X = MultimodalData({"image": pictures})
    assert X["image"].shape == (2,) and X["image"][0] is pictures[0] and X["image"][1] is second


def test_masked_values_are_missing():
    X = MultimodalData(
        {"a": np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[0, 1], [1, 1]]), "b": np.ma.ones((2, 1), int)}
    )
    assert_array_equal(X["a"], [[1, np.nan], [np.nan, np.nan]])
    assert not isinstance(X["a"], np.ma.MaskedArray) and X["b"].tolist() == [[1], [1]]


def test_takes_arrays_of_every_library_without_copying_numpy():
    image = np.zeros((3, 2))
    X = MultimodalData(
        {
            "image": image,
            "audio": torch.ones(3, 2, dtype=torch.bfloat16),
            "labs": pd.DataFrame({"na": pd.array([1, None, 3], dtype="Int64"), "k": [1.0, 2.0, np.nan]}),
            "notes": pl.DataFrame({"n": [1, None, 3], "flag": [True, None, False]}),
            "nobody": None,
            "rows": [[1], [2], [3]],
        }
    )
    assert X["image"] is image
    assert X["audio"].dtype == np.float32
    assert_array_equal(X["labs"], [[1, 1], [np.nan, 2], [3, np.nan]])
    assert_array_equal(X["notes"], [[1, 1], [np.nan, np.nan], [3, 0]])
    assert_array_equal(X.present[:, 4], False)
    assert X.present[1].tolist() == [True, True, True, False, False, True]


def test_memmap_stays_a_memmap(tmp_path):
    stored = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(10, 3))
    X = MultimodalData({"a": stored})
    assert isinstance(X["a"], np.memmap) and isinstance(X[2:5]["a"], np.memmap)


def test_present_of_raw_modalities():
    X = MultimodalData({"text": np.array(["a", None, np.nan, pd.NA], dtype=object), "path": ["p", "q", "r", "s"]})
    assert X.present.tolist() == [[True, True], [False, True], [False, True], [False, True]]
    with pytest.raises(ValueError, match="Modality 'text' has 1 dimension"):
        np.asarray(X)


def test_array_and_column_groups_agree(X):
    flat = np.asarray(X)
    for name, columns in X.column_groups().items():
        assert_array_equal(flat[:, columns], X[name])
    assert np.asarray(X, dtype=np.float32).dtype == np.float32


def test_equality_copy_and_pickle(X):
    again = pickle.loads(pickle.dumps(X))
    assert again == X and again.copy() == X
    assert X.copy()["image"] is not X["image"]
    assert X[:2] != X and {"image": X["image"]} != X and (X == 3) is False


def test_scikit_learn_slices_it(X):
    assert len(_safe_indexing(X, [0, 1])) == 2
    assert len(resample(X, n_samples=7, random_state=0)) == 7
    assert_array_equal(np.take(X, [1, 2], axis=0)["image"], X["image"][[1, 2]])
    assert_array_equal(np.take(X, [1, 3], axis=1), np.asarray(X)[:, [1, 3]])
    with pytest.raises(ValueError, match="takes rows \\(axis=0\\) or columns"):
        X.take([0], axis=2)


def test_columns_are_those_of_the_array(X):
    assert_array_equal(X[:, [0, 4]], np.asarray(X)[:, [0, 4]])
    assert_array_equal(X[[1, 2], 1:3], np.asarray(X)[[1, 2], 1:3])


def test_repr_names_shapes_and_shares(X):
    missing = MultimodalData({"a": np.array([[np.nan], [1.0]])})
    assert repr(X) == "MultimodalData(4 rows; image: 3 float64; audio: 2 float32)"
    assert repr(missing) == "MultimodalData(2 rows; a: 1 float64, 50% missing)"


class TestFromFrame:
    frame = {"na": [140.0, None, 138.0], "k": [4.0, None, None], "note_1": [1, 2, 3], "note_2": [4, 5, 6]}

    @pytest.mark.parametrize("library", [pd, pl])
    def test_names_and_patterns(self, library):
        X = MultimodalData.from_frame(library.DataFrame(self.frame), {"labs": ["na", "k"], "notes": "note_*"})
        assert X.present.tolist() == [[True, True], [False, True], [True, True]]
        assert X["notes"].dtype.kind == "i"
        assert X.feature_names("notes") == ["note_1", "note_2"]

    def test_round_trip(self):
        X = MultimodalData.from_frame(pd.DataFrame(self.frame), {"labs": ["na", "k"], "notes": "note_*"})
        frame = X.to_frame()
        assert frame.columns.tolist() == [("labs", "na"), ("labs", "k"), ("notes", "note_1"), ("notes", "note_2")]
        again = MultimodalData.from_frame(frame)
        assert again == X and again.feature_names("labs") == ["na", "k"]

    def test_rows_of_numbers_with_their_bytes_in_the_other_order_can_be_taken(self):
        swapped = np.arange(6, dtype=float).reshape(3, 2).astype(np.dtype(float).newbyteorder())
        frame = MultimodalData({"labs": swapped}).to_frame()
        assert frame.iloc[[2, 0]].to_numpy().tolist() == [[4, 5], [0, 1]]

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            (
                {"labs": ["na", "kk"]},
                "No column matches 'kk', given for modality 'labs'. Columns: 'na', 'k', 'note_1', 'note_2'.",
            ),
            (
                {"labs": ["na", "k"]},
                "Column 'note_1' belongs to no modality (2 such in all); add it to a group or pass remainder='drop'.",
            ),
            (
                {"a": "n*", "b": ["na"]},
                "Column 'na' belongs to modalities 'a' and 'b'; every column may belong to one modality only.",
            ),
            (
                None,
                "The frame's columns have one level, so their modalities are unknown; give groups, e.g. {'labs': ['na', 'k'], 'notes': 'note_*'}.",
            ),
        ],
    )
    def test_bad_groups(self, groups, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            MultimodalData.from_frame(pd.DataFrame(self.frame), groups)

    def test_remainder_drop(self):
        X = MultimodalData.from_frame(pd.DataFrame(self.frame), {"labs": "na"}, remainder="drop")
        assert X.shape == (3, 1)

    def test_needs_a_frame(self):
        with pytest.raises(TypeError, match="from_frame needs a DataFrame. Got ndarray."):
            MultimodalData.from_frame(np.zeros((2, 2)), {})


def test_objects_of_no_rows_have_no_presence():
    X = MultimodalData({"a": np.zeros((3, 2)), "b": np.array([[1.0], "x", None], dtype=object)})[
        np.zeros(3, dtype=bool)
    ]
    assert X.present.shape == (0, 2)
