"""Rows that are too many for memory: read in parts, and learnt from like the others."""

import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf._data import split_modalities
from sklearn_aecf._inputs import NetworkInputs
from sklearn_aecf._problem import read_targets
from sklearn_aecf._rows import LabelledRows, weighed
from sklearn_aecf._training import _streams, _temperature, validation_views
from sklearn_aecf._training._batches import BatchIterator, RowTensors
from sklearn_aecf._training._streams import StreamedRows, training_rows


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """1,500 rows in memory maps, in parts of 512 rows."""
    monkeypatch.setattr(_streams, "MAX_LOADED", 0)
    monkeypatch.setattr(_streams, "PART_BYTES", 4 * 7 * 512)
    rng = np.random.default_rng(0)
    X, y = {}, rng.integers(0, 3, 1500)
    for name, width in (("a", 4), ("b", 3)):
        values = rng.standard_normal((1500, width)).astype(np.float32)
        values[:, 0] += y
        values[rng.random(1500) < 0.2] = np.nan
        np.save(tmp_path / f"{name}.npy", values)
        X[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    return MultimodalData(X), y


def labelled_rows(X, y, rows, class_weight=None):
    problem, targets = read_targets(y)
    labelled, *_ = weighed(
        LabelledRows(split_modalities(X), targets, np.ones(len(y)), rows), None, class_weight, problem
    )
    return labelled, NetworkInputs.fit(labelled, standardized=lambda name: True, gap_indicator=False)


def test_every_row_comes_once_an_epoch_in_blocks_that_are_read_in_order(on_disk):
    X, y = on_disk
    rows = np.setdiff1d(np.arange(1500), np.arange(0, 1500, 7))
    labelled, inputs = labelled_rows(X, y, rows)
    streamed = training_rows(inputs, labelled, "cpu")
    whole = RowTensors.from_rows(inputs, labelled, "cpu")
    assert isinstance(streamed, StreamedRows) and len(streamed) == len(whole)
    identity = whole.inputs[0].sum(1) + 10 * whole.inputs[1].sum(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        iterator = BatchIterator(streamed, 64, shuffle=True)
        epochs = [list(iterator), list(iterator)]
    for batches in epochs:
        seen = torch.cat([X["inputs"][0].sum(1) + 10 * X["inputs"][1].sum(1) for X, _ in batches])
        assert torch.equal(seen.sort().values, identity.sort().values)
        assert len(batches) == len(iterator)
    assert not torch.equal(epochs[0][0][0]["present"], epochs[1][0][0]["present"])


def test_a_streamed_batch_equals_the_resident_one(on_disk):
    X, y = on_disk
    labelled, inputs = labelled_rows(X, y, np.arange(100, 1400), {0: 2.0, 1: 1.0, 2: 1.0})
    streamed = StreamedRows(inputs, labelled, "cpu")
    whole = RowTensors.from_rows(inputs, labelled, "cpu")
    for index in (slice(10, 50), torch.tensor([3, 700, 5])):
        (one, y1), (other, y2) = streamed[index], whole[index]
        assert torch.equal(y1, y2) and len(one["weight"].unique()) == 2
        for name in ("present", "weight"):
            assert torch.equal(one[name], other[name])
        assert all(torch.equal(a, b) for a, b in zip(one["inputs"], other["inputs"], strict=True))


@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_fit_on_disk_is_repeatable_and_learns(on_disk):
    X, y = on_disk
    settings = {"embed_dim": 16, "hidden_dim": 16, "max_epochs": 8, "random_state": 0}
    one, two = (AECFClassifier(**settings).fit(X, y) for _ in range(2))
    assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    in_memory = AECFClassifier(**settings).fit(MultimodalData({name: np.array(X[name]) for name in X}), y)
    assert one.score(X, y) > in_memory.score(X, y) - 0.05
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())


def test_an_interrupted_epoch_leaves_no_thread(on_disk):
    X, y = on_disk
    labelled, inputs = labelled_rows(X, y, np.arange(1500))
    parts = StreamedRows(inputs, labelled, "cpu").parts(shuffle=True)
    next(parts)
    parts.close()
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())


def test_arrays_in_memory_are_loaded_whole(on_disk):
    X, y = on_disk
    labelled, inputs = labelled_rows(MultimodalData({name: np.array(X[name]) for name in X}), y, np.arange(1500))
    assert isinstance(training_rows(inputs, labelled, "cpu"), RowTensors)


@pytest.mark.parametrize("table", [False, True], ids=["a column block", "the whole table"])
def test_a_view_of_a_file_stays_on_disk(on_disk, monkeypatch, table):
    """As `validate_data` and slices of columns leave them."""
    X, y = on_disk
    given = np.asarray(X["a"]) if table else {"left": X["a"][:, :2], "right": X["a"][:, 2:]}
    made = []
    init = StreamedRows.__init__
    monkeypatch.setattr(StreamedRows, "__init__", lambda self, *args: (made.append(1), init(self, *args))[1])
    with pytest.warns(UserWarning, match="no observed modality"):
        AECFClassifier(embed_dim=4, hidden_dim=4, max_epochs=1, device="cpu:0", random_state=0).fit(given, y)
    assert len(made) == 2  # to train on and to validate on


def test_a_part_mixes_several_blocks_however_wide_rows_are(on_disk, monkeypatch):
    X, y = on_disk
    monkeypatch.setattr(_streams, "PART_BYTES", 4 * 7 * 32)
    labelled, inputs = labelled_rows(X, y, np.arange(1500))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = next(iter(StreamedRows(inputs, labelled, "cpu").parts(shuffle=True)))
    whole = RowTensors.from_rows(inputs, labelled, "cpu")
    identity = (whole.inputs[0].sum(1) + 10 * whole.inputs[1].sum(1)).tolist()
    positions = np.sort([identity.index(v) for v in (first.inputs[0].sum(1) + 10 * first.inputs[1].sum(1)).tolist()])
    assert len(positions) == 32 and (np.diff(positions) > 1).sum() >= 10


def test_validation_views_are_where_the_inputs_are(on_disk):
    """On a device without memory: as on a GPU, but anywhere."""
    X, y = on_disk
    labelled, inputs = labelled_rows(X, y, np.arange(1500))
    X, target = StreamedRows(inputs, labelled, "meta", validation_views(labelled, inputs))[:5]
    tensors = (*X["inputs"], X["present"], X["views"], X["weight"], target)
    assert {x.device.type for x in tensors} == {"meta"} and X["views"].shape == (5, 4, 2)


def test_the_temperature_does_not_depend_on_the_order_of_many_rows(monkeypatch):
    """Alternating classes once met a regular choice of every second row."""
    monkeypatch.setattr(_temperature, "MAX_ROWS", 500)
    rng = np.random.default_rng(0)

    def rows(n):
        y = np.tile([0, 1], n // 2)
        return {name: rng.standard_normal((n, 3)) + 0.5 * y[:, None] for name in ("a", "b")}, y

    X, y = rows(1000)
    settings = {"embed_dim": 8, "hidden_dim": 8, "max_epochs": 5, "random_state": 0}
    alternating = AECFClassifier(**settings).fit(*rows(400), validation_set=(X, y)).temperature_
    order = rng.permutation(1000)
    shuffled = {name: x[order] for name, x in X.items()}, y[order]
    rng = np.random.default_rng(0)
    rows(1000)
    other = AECFClassifier(**settings).fit(*rows(400), validation_set=shuffled).temperature_
    assert abs(alternating.log_scale_ - other.log_scale_) < 0.3
