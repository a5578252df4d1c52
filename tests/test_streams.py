"""Rows that are too many for memory: read in parts, and learnt from like the others."""

import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf._data import split_modalities
from sklearn_aecf._labels import encode_targets
from sklearn_aecf._rows import LabelledRows
from sklearn_aecf._training import NetworkInputs, _streams
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


def labelled_rows(X, y, rows):
    labelled = LabelledRows(split_modalities(X), encode_targets(y), np.ones(len(y)), rows)
    return labelled, NetworkInputs.fit(labelled, standardize=True, gap_indicator=False)


def test_every_row_comes_once_an_epoch_in_blocks_that_are_read_in_order(on_disk):
    X, y = on_disk
    rows = np.setdiff1d(np.arange(1500), np.arange(0, 1500, 7))
    labelled, inputs = labelled_rows(X, y, rows)
    streamed = training_rows(inputs, labelled, None, "cpu")
    whole = RowTensors.from_rows(inputs, labelled, None, "cpu")
    assert isinstance(streamed, StreamedRows) and len(streamed) == len(whole)
    identity = whole.inputs[0].sum(1) + 10 * whole.inputs[1].sum(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        iterator = BatchIterator(streamed, 64, shuffle=True)
        epochs = [list(iterator), list(iterator)]
    for batches in epochs:
        seen = torch.cat([x[0].sum(1) + 10 * x[1].sum(1) for (x, _), _ in batches])
        assert torch.equal(seen.sort().values, identity.sort().values)
        assert len(batches) == len(iterator)
    assert not torch.equal(epochs[0][0][0][1], epochs[1][0][0][1])


def test_a_streamed_batch_equals_the_resident_one(on_disk):
    X, y = on_disk
    labelled, inputs = labelled_rows(X, y, np.arange(100, 1400))
    streamed = StreamedRows(inputs, labelled, {0: 2.0, 1: 1.0, 2: 1.0}, "cpu")
    whole = RowTensors.from_rows(inputs, labelled, {0: 2.0, 1: 1.0, 2: 1.0}, "cpu")
    for index in (slice(10, 50), torch.tensor([3, 700, 5])):
        ((x1, p1), (y1, w1, _)), ((x2, p2), (y2, w2, _)) = streamed[index], whole[index]
        assert all(torch.equal(a, b) for a, b in zip([*x1, p1, y1, w1], [*x2, p2, y2, w2], strict=True))


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
    parts = StreamedRows(inputs, labelled, None, "cpu").parts(shuffle=True)
    next(parts)
    parts.close()
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())


def test_arrays_in_memory_are_loaded_whole(on_disk):
    X, y = on_disk
    labelled, inputs = labelled_rows(MultimodalData({name: np.array(X[name]) for name in X}), y, np.arange(1500))
    assert isinstance(training_rows(inputs, labelled, None, "cpu"), RowTensors)
