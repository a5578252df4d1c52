"""The cache of features: nothing is encoded twice, and whatever changes a feature is noticed."""

import re
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from encoder_helpers import Counted, cpu, to_tensor
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_aecf.compose import _feature_store as feature_store
from sklearn_aecf.compose._feature_store import FeatureStore

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture
def counted(tmp_path):
    return Counted(tmp_path / "calls.txt")


def write_some(folder):
    store = FeatureStore(folder, rows_a_file=3)
    for i in range(60):
        store.add([i.to_bytes(16, "big")], np.full((1, 4), i, dtype=np.float32))
        assert set(store.load([bytes(16)])) <= {bytes(16)}
    store.flush()


class TestCache:
    def test_no_item_twice(self, counted, vectors, tmp_path):
        encoder = cpu(counted, cache=tmp_path / "cache")
        first = encoder.fit_transform(vectors)
        assert counted.seen() == 9
        assert_array_equal(clone(encoder).fit_transform(vectors), first)
        assert_array_equal(encoder.transform(vectors[[7, 1, 4, 1]]), first[[7, 1, 4, 1]])  # another order, other rows
        assert counted.seen() == 0
        more = np.concatenate([vectors, vectors[:2], vectors[:2] + 1, vectors[:1] + 1])
        assert_allclose(encoder.transform(more)[10:12], first[:2])
        assert counted.seen() == 2

    @pytest.mark.parametrize("form", [str, Path, lambda path: joblib.Memory(path, verbose=0)])
    def test_forms(self, form, counted, vectors, tmp_path):
        cpu(counted, cache=form(tmp_path / "cache")).fit_transform(vectors)
        counted.seen()
        cpu(counted, cache=form(tmp_path / "cache")).fit_transform(vectors)
        assert counted.seen() == 0
        cpu(counted, cache=joblib.Memory(None)).fit_transform(vectors)
        assert counted.seen() == 9

    def test_folds_share_it(self, counted, rng, tmp_path):
        X, y = rng.normal(size=(30, 3)), np.arange(30) % 2
        cross_val_score(make_pipeline(cpu(counted, cache=tmp_path / "cache"), LogisticRegression()), X, y, cv=5)
        assert counted.seen() == 30

    def test_files_count_by_what_is_in_them(self, paths, tmp_path):
        log = Counted(tmp_path / "log", 192)
        encoder = cpu(log, preprocess=to_tensor, cache=tmp_path / "cache")
        first = encoder.fit_transform(paths)
        assert log.seen() == 5
        Path(paths[0]).rename(tmp_path / "elsewhere.png")
        assert_array_equal(encoder.transform([tmp_path / "elsewhere.png"]), first[:1])
        assert log.seen() == 0
        Path(paths[1]).write_bytes(Path(paths[2]).read_bytes())
        assert_array_equal(encoder.transform(paths[1:3]), first[[2, 2]])
        Image.new("RGB", (12, 10), "red").save(paths[3])
        assert np.abs(encoder.transform(paths[3:4]) - first[3]).max() > 1e-3
        assert log.seen() == 1

    def test_load_reads_more_than_the_file(self, tmp_path):
        folder, cache = tmp_path / "folder", tmp_path / "cache"
        folder.mkdir()
        encoder = cpu(nn.Identity(), load=lambda path: np.load(Path(path) / "frame.npy"), cache=cache)
        for value in (1, 2):
            np.save(folder / "frame.npy", np.full(3, value, dtype=np.float32))
            assert_array_equal(encoder.fit_transform([str(folder)]), np.full((1, 3), value))
        beside = cpu(nn.Identity(), load=lambda path: np.load(Path(path).with_suffix(".npy")), cache=cache)
        for name, value in (("a", 1), ("b", 2)):
            (tmp_path / f"{name}.txt").write_text("the same")
            np.save(tmp_path / f"{name}.npy", np.full(3, value, dtype=np.float32))
        out = beside.fit_transform([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")])
        assert out[:, 0].tolist() == [1, 2]

    def test_home_folder(self, counted, vectors, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        cpu(counted, cache="~/cache").fit_transform(vectors)
        assert list((tmp_path / "cache").rglob("*.features"))

    def test_what_cannot_be_written_is_found_before_the_work(self, counted, vectors, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError) as caught:
            cpu(counted, cache=tmp_path / "file").fit_transform(vectors)
        assert re.fullmatch(
            rf"The cache folder {tmp_path}/file/frozen_encoder/\w+ cannot be written to \(Not a directory\); give cache "
            "another one, or None.",
            str(caught.value),
        )
        assert counted.seen() == 0

    def test_a_full_disk_costs_no_features(self, counted, vectors, tmp_path, monkeypatch):
        def full(*args):
            raise OSError(28, "No space left on device")

        store = FeatureStore(tmp_path / "new", rows_a_file=1)
        monkeypatch.setattr(feature_store.os, "replace", full)
        message = (
            f"Features could not be kept in {tmp_path / 'new'} (No space left on device), so a later call encodes these "
            "items again; make room there, or give cache another folder."
        )
        with pytest.warns(UserWarning, match=f"^{re.escape(message)}$") as caught:
            for i in range(3):
                store.add([bytes([i] * 16)], np.ones((1, 2)))
        assert len(caught) == 1 and list((tmp_path / "new").iterdir()) == []
        with pytest.warns(UserWarning, match="No space left"):
            assert np.isfinite(cpu(counted, cache=tmp_path).fit_transform(vectors)).sum() == 36

    def test_whatever_changes_the_features_changes_the_key(self, counted, vectors, tmp_path):
        encoder = cpu(counted, cache=tmp_path / "cache")
        encoder.fit_transform(vectors)
        assert counted.seen() == 9
        for change in (
            {"preprocess": torch.as_tensor},
            {"pooling": lambda output: output},
            {"preprocess": np.negative},
        ):
            clone(encoder).set_params(**change).fit_transform(vectors)
            assert counted.seen() == 9
        for same in ({"batch_size": 2}, {"verbose": 0}):
            clone(encoder).set_params(**same).fit_transform(vectors)
            assert counted.seen() == 0
        before = encoder.transform(vectors)
        counted.eval()
        encoder.transform(vectors)
        assert counted.seen() == 0  # the mode has no say
        with torch.no_grad():
            counted.linear.bias += 1
        assert_allclose(encoder.transform(vectors), before + 1, atol=1e-6)
        assert counted.seen() == 9

    def test_other_processes(self, counted, rng, tmp_path):
        X, y = rng.normal(size=(20, 3)), np.arange(20) % 2
        pipeline = make_pipeline(cpu(counted, cache=tmp_path / "cache"), LogisticRegression())
        grid = {"logisticregression__C": [0.1, 1.0]}
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
        assert 20 <= counted.seen() <= 80  # two may start at once
        serial = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
        assert counted.seen() == 0  # the other processes' features are found
        assert_allclose(search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])

    def test_two_writers_at_once(self, tmp_path):
        joblib.Parallel(n_jobs=2)(joblib.delayed(write_some)(tmp_path) for _ in range(2))
        found = FeatureStore(tmp_path).load([i.to_bytes(16, "big") for i in range(70)])
        assert len(found) == 60 and all((row == int.from_bytes(key, "big")).all() for key, row in found.items())
        assert not list(tmp_path.glob("*.part"))

    def test_an_interruption_keeps_what_was_done(self, counted, vectors, tmp_path):
        def stumble(row):
            if row[0] == vectors[6, 0]:
                raise KeyboardInterrupt
            return row

        encoder = cpu(counted, preprocess=stumble, cache=tmp_path / "cache", batch_size=2)
        with pytest.raises(KeyboardInterrupt):
            encoder.fit_transform(vectors)
        assert counted.seen() == 4
        encoder.fit_transform(vectors[:4])
        assert counted.seen() == 0

    def test_a_store_writes_after_some_time(self, tmp_path):
        store = FeatureStore(tmp_path / "new", seconds_a_file=0)
        store.add([bytes(16)], np.ones((1, 2)))
        assert FeatureStore(tmp_path / "new").load([bytes(16)])[bytes(16)].tolist() == [1, 1]

    def test_what_cannot_be_told_apart(self, counted, vectors, tmp_path):
        with open(tmp_path / "open", "w") as file:
            encoder = cpu(counted, preprocess=partial(lambda row, file: row, file=file), cache=tmp_path)
            with pytest.raises(TypeError) as caught:
                encoder.fit_transform(vectors)
        assert re.fullmatch(
            r"cache needs to know what the features depend on, but _io.TextIOWrapper cannot be read \(.*\); leave it out of "
            "module, preprocess, pooling and load, or set cache=None.",
            str(caught.value),
        )
