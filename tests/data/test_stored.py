"""Modalities that stay where they are stored: h5py, zarr, memory maps, and the protocol that they share."""

import pickle
import re

import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_array_equal
from sklearn.preprocessing import StandardScaler

from sklearn_aecf import MultimodalData
from sklearn_aecf._data import _stored
from sklearn_aecf._data._stored import StoredRows
from sklearn_aecf._training import _streams
from sklearn_aecf.compose import ModalityTransformer, drop_modalities

pytestmark = pytest.mark.filterwarnings("ignore:.*no observed modality")
KINDS = ["h5py", "zarr", "memmap", "protocol"]


class Rows:
    """No more than the protocol asks for; it notes what it is asked."""

    def __init__(self, values):
        self._values, self.asked = values, []

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)

    def __getitem__(self, rows):
        assert isinstance(rows, slice) and rows.step is None and rows.stop > rows.start
        self.asked.append((rows.start, rows.stop))
        return self._values[rows].copy()


def stored(values, kind, folder, name):
    if kind == "h5py":
        file = pytest.importorskip("h5py").File(folder / f"{name}.h5", "w")
        return file.create_dataset("rows", data=values, chunks=(64, *values.shape[1:]))
    if kind == "zarr":
        zarr = pytest.importorskip("zarr")
        array = zarr.open(
            str(folder / f"{name}.zarr"), mode="w", shape=values.shape, chunks=(64, *values.shape[1:]),
            dtype=values.dtype,
        )  # fmt: skip
        array[:] = values
        return array
    if kind == "memmap":
        np.save(folder / f"{name}.npy", values)
        return np.load(folder / f"{name}.npy", mmap_mode="r")
    return Rows(values)


@pytest.fixture(scope="module")
def arrays():
    """600 rows in memory: a (4, float32, a fifth missing), b (3, float64), and their classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    a = rng.standard_normal((600, 4)).astype(np.float32)
    b = rng.standard_normal((600, 3))
    a[:, 0] += y
    b[:, 1] -= y
    a[rng.random(600) < 0.2] = np.nan
    b[5, 2] = np.nan
    return {"a": a, "b": b}, y


@pytest.fixture(params=KINDS)
def elsewhere(request, arrays, tmp_path):
    return {name: stored(values, request.param, tmp_path, name) for name, values in arrays[0].items()}


def test_fits_and_predictions_have_the_same_bits(arrays, elsewhere):
    X, y = arrays
    one = fast_classifier().fit(MultimodalData(X)[:400], y[:400])
    other = fast_classifier().fit(MultimodalData(elsewhere)[:400], y[:400])
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert_array_equal(one.predict_proba(X), one.predict_proba(elsewhere))  # a plain dict
    assert_array_equal(one.predict_proba(X), one.predict_proba(MultimodalData(elsewhere)))
    rows = np.array([7, 3, 500, 3])
    assert_array_equal(one.predict_proba(MultimodalData(X)[rows]), one.predict_proba(MultimodalData(elsewhere)[rows]))
    assert len(pickle.dumps(other)) < 2_000_000


def test_what_is_streamed_has_the_bits_of_a_memory_map(arrays, elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(_streams, "MAX_LOADED", 0)
    monkeypatch.setattr(_streams, "PART_BYTES", 4 * 7 * 128)
    X, y = arrays
    (tmp_path / "maps").mkdir()
    mapped = MultimodalData({name: stored(values, "memmap", tmp_path / "maps", name) for name, values in X.items()})
    one = fast_classifier().fit(mapped, y)
    other = fast_classifier().fit(MultimodalData(elsewhere), y)
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    in_memory = fast_classifier().fit(X, y)
    assert not np.array_equal(in_memory.predict_proba(X), one.predict_proba(X))  # so the parts were streamed


def test_updates_with_slices(arrays, elsewhere):
    X, y = arrays
    one, other = fast_classifier(), fast_classifier()
    for start in range(0, 600, 200):
        part = slice(start, start + 200)
        one.partial_fit(MultimodalData(X)[part], y[part], [0, 1, 2])
        other.partial_fit(MultimodalData(elsewhere)[part], y[part], [0, 1, 2])
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_the_container_reads_what_is_asked_for(arrays):
    X, _ = arrays
    sources = {name: Rows(values) for name, values in X.items()}
    container = MultimodalData(sources)
    assert len(container) == 600 and container.shape == (600, 7) and container.nbytes == 600 * (16 + 24)
    part = container[100:300][50:60]
    assert not sources["a"].asked
    assert_array_equal(part["a"], X["a"][150:160])
    assert sources["a"].asked == [(150, 160)]
    assert_array_equal(part.present, MultimodalData(X)[150:160].present)
    assert container == MultimodalData(X) and part != container
    assert_array_equal(np.asarray(container), np.asarray(MultimodalData(X)))
    assert isinstance(container.copy()["a"], np.ndarray)
    assert repr(container) == repr(MultimodalData(X))
    assert_array_equal(container.to_frame(), MultimodalData(X).to_frame())


@pytest.mark.parametrize(
    "key",
    [
        slice(None, None, 7), slice(590, 900), slice(20, 10), [5, 3, 3, 599, -1], [], 4, np.arange(600) % 3 == 0,
        (slice(2, 9), slice(1, 3)), (slice(2, 9),), np.array([[1, 2], [3, 4]]),
    ],
    ids=str,
)  # fmt: skip
def test_rows_as_numpy_gives_them(arrays, key):
    values = arrays[0]["a"]
    rows = StoredRows(Rows(values), "a")[key]
    expected = values[np.asarray(key, dtype=int) if key == [] else key] if isinstance(key, list) else values[key]
    assert rows.shape == expected.shape
    assert_array_equal(rows, expected)


def test_rows_that_lie_close_together_are_read_together(arrays, monkeypatch):
    source = Rows(arrays[0]["a"])
    StoredRows(source, "a")[[5, 6, 9, 8]]
    assert source.asked == [(5, 10)]
    monkeypatch.setattr(_stored, "READ_BYTES", 16 * 100)
    monkeypatch.setattr(_stored, "SKIPPED_BYTES", 16 * 10)
    source.asked.clear()
    StoredRows(source, "a")[np.r_[0:250, 300, 305, 599]]
    assert source.asked == [(0, 100), (100, 200), (200, 250), (300, 306), (599, 600)]


def test_transformers_and_dropped_modalities(arrays):
    X, _ = arrays
    sources = {name: Rows(values) for name, values in X.items()}
    transformer = ModalityTransformer({"a": StandardScaler(), "b": "passthrough"}).fit(MultimodalData(X))
    assert transformer.transform(MultimodalData(sources)) == transformer.transform(MultimodalData(X))
    dropped = drop_modalities(MultimodalData(sources), 0.5, random_state=0)
    assert dropped == drop_modalities(MultimodalData(X), 0.5, random_state=0)


def test_errors_name_the_modality_and_the_rows(arrays):
    X, y = arrays

    class Broken(Rows):
        def __getitem__(self, rows):
            raise RuntimeError("checksum differs")

    class Short(Rows):
        def __getitem__(self, rows):
            return self._values[rows.start : rows.stop - 1]

    message = "Rows 0 to 599 of modality 'a' cannot be read where they are stored: checksum differs"
    with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
        fast_classifier().fit({"a": Broken(X["a"]), "b": X["b"]}, y)
    message = "Modality 'a' must give rows of shape (600, 4) for the slice 0:600. Got (599, 4); look at what stores it."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier().fit({"a": Short(X["a"]), "b": X["b"]}, y)
    with pytest.raises(ValueError, match=r"^Modality 'b' has 600 rows but 'a' has 599\."):
        MultimodalData({"a": Rows(X["a"][1:]), "b": X["b"]})
    message = (
        "present['a'] cannot be given for a modality whose rows stay where they are stored; store NaN in the rows that "
        "are missing, or load it with numpy.asarray."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        MultimodalData({"a": Rows(X["a"])}, present={"a": np.ones(600, bool)})


def test_text_and_a_closed_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["words"] = np.array(["x", "y"], dtype=h5py.string_dtype())
        file["numbers"] = np.ones((2, 3))
        X = MultimodalData({"words": file["words"], "numbers": file["numbers"]})
        assert isinstance(X["words"], np.ndarray) and isinstance(X["numbers"], StoredRows)
    with pytest.raises(OSError, match=r"^Rows 0 to 1 of modality 'numbers' cannot be read where they are stored: "):
        np.asarray(X["numbers"])
