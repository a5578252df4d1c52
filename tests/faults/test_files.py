"""Files that are damaged, in the way, cut short by a kill or a full disk, or somebody else's."""

import io
import multiprocessing
import os
import re
import signal
import socket
import struct
import tarfile
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from torch import nn

from sklearn_aecf.compose import FrozenEncoder
from sklearn_aecf.compose import _feature_store as feature_store
from sklearn_aecf.compose._feature_store import FeatureStore
from sklearn_aecf.datasets import (
    _avmnist,
    _extrasensory,
    _fetch,
    _load,
    fetch_avmnist,
    fetch_coco,
    fetch_extrasensory,
    load_handwritten,
    load_heart_disease,
)

LOGIN = b"<!DOCTYPE html>\n<title>Log in to the network</title>\n"
KEYS = [i.to_bytes(16, "big") for i in range(40)]
ROWS = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
HEAD_BYTES = 32


class Counted(nn.Module):
    """A layer that notes in a file, which the features do not depend on, how many items it has seen."""

    def __init__(self, log):
        super().__init__()
        self.linear, self.log = nn.Linear(3, 4), str(log)

    def forward(self, x):
        with open(self.log, "a") as file:
            file.write("x" * len(x))
        return self.linear(x)


@pytest.fixture
def never_for_ever():
    """What waits for a pipe fails."""

    def wake(*args):
        pytest.fail("it waits for ever")

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def full_disk():
    """No file may grow beyond a megabyte."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def put(kind, path):
    """Something at a path that is no file."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.chdir(path.parent)  # the name of a socket is short
        socket.socket(socket.AF_UNIX).bind(path.name)
    else:
        path.symlink_to(path.name if kind == "link to itself" else "nothing")


def written(folder, rows=ROWS):
    """The one file that a store writes."""
    store = FeatureStore(folder)
    store.add(KEYS[: len(rows)], rows)
    store.flush()
    (file,) = (file for file in folder.iterdir() if file.is_file())
    return file


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def corrupted(content, rng):
    """Some bytes of a file changed, zeroed, doubled, taken out, or the end cut off."""
    start, size = rng.integers(len(content)), rng.integers(1, 64)
    changed = bytearray(content)
    kind = rng.integers(6)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[start + size :]
    if kind == 2:
        return content[:start] + content[start : start + size] + content[start:]
    if kind == 3:
        changed[start : start + size] = bytes(len(changed[start : start + size]))
    for place in rng.integers(len(content), size=1 if kind == 4 else 8):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def with_shape(content, n_rows, width):
    return content[:16] + struct.pack("<QQ", n_rows, width) + content[HEAD_BYTES:]


DAMAGES = {
    "empty": lambda content: b"",
    "text": lambda content: LOGIN,
    "cut in the head": lambda content: content[:20],
    "cut in the keys": lambda content: content[:100],
    "cut by a byte": lambda content: content[:-1],
    "longer by a byte": lambda content: content + b"\0",
    "another format": lambda content: b"X" + content[1:],
    "a key": lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
    "a feature": lambda content: content[:-30] + bytes([content[-30] ^ 1]) + content[-29:],
    "terabytes": lambda content: with_shape(content, 10, 1 << 40),
    "the most there is": lambda content: with_shape(content, (1 << 64) - 1, (1 << 64) - 1),
    "another shape of the same size": lambda content: with_shape(content, 4, 13),
    "another dtype": lambda content: with_shape(content, 9, 8) + bytes(9 * 4 * 4),
    "an npy file": lambda content: npy(np.ones((9, 4))),
    "an npz file": lambda content: npz(keys=np.zeros((9, 16), np.uint8), rows=np.zeros((9, 4), np.float32)),
    "an npz file of 0-d arrays": lambda content: npz(keys=np.uint8(0), rows=np.float32(0)),
    "an npz file of 1-d arrays": lambda content: npz(keys=np.zeros(16, np.uint8), rows=np.zeros(4, np.float32)),
}


class TestCacheOfFeatures:
    @pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
    def test_a_damaged_file_is_replaced(self, damage, vectors, tmp_path):
        log = tmp_path / "log"
        encoder = FrozenEncoder(Counted(log), device="cpu", cache=tmp_path)
        expected = encoder.fit_transform(vectors)
        (file,) = tmp_path.rglob("*.features")
        file.write_bytes(damage(file.read_bytes()))
        for n_seen in (18, 18):
            assert_array_equal(encoder.transform(vectors), expected)
            assert log.stat().st_size == n_seen
        (other,) = tmp_path.rglob("*.features")
        assert other != file

    @pytest.mark.parametrize("n_cases", [300, pytest.param(20_000, marks=pytest.mark.slow)])
    def test_random_damage(self, n_cases, tmp_path):
        rng = np.random.default_rng(n_cases)
        file = written(tmp_path / "a")
        content = file.read_bytes()
        for _ in range(n_cases):
            damaged = corrupted(content, rng)
            file.write_bytes(damaged)
            found = FeatureStore(tmp_path / "a").load(KEYS)
            assert file.exists() == (len(found) == 40) == (damaged == content)
            assert not found or all(np.array_equal(found[key], row) for key, row in zip(KEYS, ROWS, strict=True))

    @pytest.mark.parametrize("width", [1, 4, 6])
    def test_rows_of_another_encoder(self, width, tmp_path):
        file = written(tmp_path / "a", ROWS.repeat(2, axis=1)[:, :width])
        (tmp_path / "b").mkdir()
        os.replace(file, tmp_path / "b" / file.name)
        assert FeatureStore(tmp_path / "b").load(KEYS) == {}

    def test_rows_that_are_not_finite(self, tmp_path):
        written(tmp_path / "a", np.where(ROWS > 2, np.nan, ROWS))
        assert FeatureStore(tmp_path / "a").load(KEYS) == {}

    def test_nothing_is_allocated_that_is_not_there(self, tmp_path):
        file = written(tmp_path / "a")
        file.write_bytes(with_shape(file.read_bytes(), 1, 1 << 31))
        tracemalloc.start()
        FeatureStore(tmp_path / "a").load(KEYS)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20

    @pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link to nothing", "link to itself"])
    def test_what_is_no_file_is_passed_over(self, kind, tmp_path, monkeypatch, never_for_ever):
        monkeypatch.chdir(tmp_path)
        written(tmp_path / "a")
        put(kind, tmp_path / "a" / "0.features")
        found = FeatureStore(tmp_path / "a").load(KEYS)
        assert_array_equal(np.stack([found[key] for key in KEYS]), ROWS)
        assert (tmp_path / "a" / "0.features") in (tmp_path / "a").iterdir()

    def test_a_link_in_place_of_a_part_is_not_followed(self, tmp_path, monkeypatch):
        (tmp_path / "precious").write_text("precious")
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "0.part").symlink_to(tmp_path / "precious")
        monkeypatch.setattr(feature_store.uuid, "uuid4", lambda: type("Known", (), {"hex": "0"}))
        store = FeatureStore(tmp_path / "a")
        with pytest.raises(
            OSError, match=r"The cache folder .* cannot be written to \(File exists\); give cache another"
        ):
            store.check_writable()
        store.add(KEYS, ROWS)
        with pytest.warns(UserWarning, match=r"Features could not be kept in .* \(File exists\), so a later call"):
            store.flush()
        assert (tmp_path / "precious").read_text() == "precious"

    def test_a_full_disk(self, tmp_path, full_disk):
        store = FeatureStore(tmp_path / "a")
        store.add(KEYS, ROWS.repeat(2000, axis=1))
        with pytest.warns(UserWarning, match=r"Features could not be kept in .* \(File too large\), so a later call"):
            store.flush()
        assert list((tmp_path / "a").iterdir()) == []

    @pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
    def test_a_killed_writer(self, tmp_path):
        def write():
            store = FeatureStore(tmp_path / "a", rows_a_file=1)
            for _ in range(100):
                store.add(KEYS, ROWS.repeat(2000, axis=1))

        (tmp_path / "a").mkdir()
        for i in range(10):
            writer = multiprocessing.get_context("fork").Process(target=write)
            writer.start()
            while writer.is_alive() and len(list((tmp_path / "a").glob("*.features"))) <= i:
                time.sleep(0.001)
            time.sleep(0.002 * i)
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        whole = set((tmp_path / "a").glob("*.features"))
        assert len(whole) >= 10
        for file in whole:
            found = FeatureStore(tmp_path / "a")._read(file, set(KEYS))
            assert_array_equal(np.stack([found[key] for key in KEYS]), ROWS.repeat(2000, axis=1))


@pytest.mark.parametrize("cached", [False, True])
def test_a_pipe_in_place_of_an_image(cached, tmp_path, never_for_ever):
    os.mkfifo(tmp_path / "a.png")
    message = (
        f"Item 0 cannot be read from {str(tmp_path / 'a.png')!r} (OSError); repair the file, or put None in its place, "
        "which counts as missing; text that looks like a path needs load=None."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FrozenEncoder(nn.Flatten(), cache=tmp_path if cached else None).fit_transform([str(tmp_path / "a.png")])


def tables_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AA.features_labels.csv.gz", np.random.default_rng(0).bytes(3000))


def clips_archive(path):
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("clips/README.md")
        member.size = 3000
        archive.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(3000)))


DOWNLOADS = {
    "mnist.npz": (fetch_avmnist, _avmnist, "_MNIST_URLS", lambda path: np.savez(path, a=1)),
    "free-spoken-digit-dataset-1.0.10.tar.gz": (fetch_avmnist, _avmnist, "_FSDD_URLS", clips_archive),
    "ExtraSensory.per_uuid_features_labels.zip": (fetch_extrasensory, _extrasensory, "_TABLES_URLS", tables_archive),
}


@pytest.fixture(params=DOWNLOADS)
def download(request, tmp_path, monkeypatch):
    """The name of a file, who fetches it, and the file that is got for it."""
    fetch, module, urls, write = DOWNLOADS[request.param]
    got, home = tmp_path / "got", tmp_path / "home"
    home.mkdir()
    if request.param.startswith("free"):
        np.savez(home / "mnist.npz", x_train=1)
        monkeypatch.setattr(_avmnist, "_read_mnist", lambda home, **transfer: None)
    monkeypatch.setattr(module, urls, [got.as_uri()])
    return request.param, lambda: fetch(home, n_retries=1, return_X_y=True), got, write


class TestDownloads:
    def test_a_login_page_is_not_kept(self, download, tmp_path):
        name, fetch, got, _ = download
        got.write_bytes(LOGIN)
        with pytest.raises(OSError) as caught:
            fetch()
        assert re.fullmatch(
            rf"{name} from {got.as_uri()} (has SHA-256 .*, but .* was expected|is not the file that was expected \(.*\)), "
            "and it begins with '<!DOCTYPE html>'; the file was refused and removed. Log in if the network asks for that, "
            rf"and try again, or put a good copy at {tmp_path / 'home' / name}.",
            str(caught.value),
        )
        assert not list((tmp_path / "home").glob(f"{name}*"))

    @pytest.mark.parametrize(
        "damage", [lambda c: c[:-500], lambda c: c[:2000] + b"\0\0\0" + c[2003:], lambda c: c[500:]]
    )
    def test_a_damaged_archive_is_not_kept(self, damage, download, tmp_path):
        name, fetch, got, write = download
        write(tmp_path / "whole.npz")
        got.write_bytes(damage((tmp_path / "whole.npz").read_bytes()))
        with pytest.raises(
            OSError, match=f"^{name} from .*; the file was refused and removed. Try again, or put a good"
        ):
            fetch()
        assert not list((tmp_path / "home").glob(f"{name}*"))

    def test_another_archive_is_not_kept(self, tmp_path, monkeypatch):
        with zipfile.ZipFile(tmp_path / "got", "w") as archive:
            archive.writestr("README", "nothing")
        monkeypatch.setattr(_extrasensory, "_TABLES_URLS", [(tmp_path / "got").as_uri()])
        monkeypatch.setattr(_extrasensory, "_FOLDS_URLS", [(tmp_path / "got").as_uri()])
        home = tmp_path / "home"
        with pytest.raises(
            OSError, match=r"expected \(it holds no file named <uuid>.features_labels.csv.gz\); the file"
        ):
            fetch_extrasensory(home)
        with pytest.warns(
            UserWarning, match=r"^fold is None, as cv5Folds.zip from .* expected \(it holds no file named"
        ):
            _extrasensory._fetch_folds(home, {})
        assert list(home.iterdir()) == []

    def test_a_login_page_that_was_kept_is_named(self, download, tmp_path):
        name, fetch, *_ = download
        (tmp_path / "home" / name).write_bytes(LOGIN)
        with pytest.raises(
            ValueError, match=rf"^.*/{name} cannot be read.* \(it begins with '<!DOCTYPE html>'\); replace it by .*\.$"
        ):
            fetch()

    @pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
    def test_a_link_in_place_of_a_part_is_not_followed(self, link, tmp_path):
        (tmp_path / "precious").write_text("precious")
        (tmp_path / "got").write_bytes(b"content")
        getattr(tmp_path / "file.part", link)(tmp_path / "precious")
        path = _fetch.fetch_file(tmp_path / "file", [(tmp_path / "got").as_uri()])
        assert path.read_bytes() == b"content" and not path.is_symlink()
        assert (tmp_path / "precious").read_text() == "precious"

    def test_a_pipe_in_place_of_a_part(self, tmp_path, never_for_ever):
        os.mkfifo(tmp_path / "file.part")
        (tmp_path / "got").write_bytes(b"content")
        assert _fetch.fetch_file(tmp_path / "file", [(tmp_path / "got").as_uri()]).read_bytes() == b"content"

    def test_a_folder_in_place_of_a_part(self, tmp_path):
        (tmp_path / "file.part").mkdir()
        with pytest.raises(
            OSError, match=r"^.*/file.part could not be written \(.*\); make room there, or give a data_home"
        ):
            _fetch.fetch_file(tmp_path / "file", [(tmp_path / "got").as_uri()])

    def test_a_full_disk(self, tmp_path, monkeypatch, request):
        (tmp_path / "got").write_bytes(bytes(3 << 20))
        request.getfixturevalue("full_disk")
        with pytest.raises(OSError) as caught:
            _fetch.fetch_file(tmp_path / "home" / "file", [(tmp_path / "got").as_uri()], delay=1000)
        assert str(caught.value) == (
            f"{tmp_path / 'home' / 'file.part'} could not be written (File too large); make room there, or give a data_home "
            "that can be written to."
        )
        assert list((tmp_path / "home").iterdir()) == []

    def test_a_home_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(
            OSError, match=r"could not be written \(.*\); make room there, or give a data_home that can be"
        ):
            fetch_avmnist(tmp_path / "file" / "home")

    def test_a_full_disk_costs_no_data(self, tmp_path, full_disk):
        noise = np.random.default_rng(0).bytes(3 << 20)
        with pytest.warns(UserWarning, match=r"a.npz could not be written \(File too large\), so the next call builds"):
            _fetch.save_npz(tmp_path / "a.npz", {"a": np.frombuffer(noise, dtype=np.uint8)})
        assert list(tmp_path.iterdir()) == []


NO_FILE = {
    "avmnist.npz": fetch_avmnist,
    "mnist.npz": fetch_avmnist,
    "extrasensory37.npz": fetch_extrasensory,
    "AA.features_labels.csv.gz": fetch_extrasensory,
    "ExtraSensory.per_uuid_features_labels.zip": fetch_extrasensory,
    "annotations/instances_val2017.json": fetch_coco,
}


class TestFilesOfData:
    @pytest.mark.parametrize("kind", ["folder", "pipe"])
    @pytest.mark.parametrize("name", NO_FILE)
    def test_what_is_no_file_is_named(self, name, kind, tmp_path, never_for_ever):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        put(kind, path)
        named = {"folder": "a folder", "pipe": "no regular file"}[kind]
        with pytest.raises(OSError, match=f"^{path} must be a file, but it is {named}; .*$"):
            NO_FILE[name](tmp_path)

    @pytest.mark.parametrize("n_cases", [200, pytest.param(5000, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_random_damage(self, save, n_cases, tmp_path):
        rng, path = np.random.default_rng(n_cases), tmp_path / "a.npz"
        arrays = {"a": ROWS, "b": np.arange(5), "c": np.array(["x", "yz"])}
        save(path, **arrays)
        content = path.read_bytes()
        n_refused = 0
        for _ in range(n_cases):
            path.write_bytes(corrupted(content, rng))
            try:
                found = _fetch.read_npz(path, [*arrays], "delete it.")
            except ValueError as error:
                assert re.fullmatch(
                    rf"{path} (cannot be read as an npz file \(.+\)|has no array '.'); delete it\.", str(error), re.S
                )
                n_refused += 1
            else:
                for name, array in arrays.items():
                    assert found[name].dtype == array.dtype
                    assert_array_equal(found[name], array)
        assert n_refused > n_cases / 2

    @pytest.mark.parametrize("shape", ["(1000000000000, 5)", "(3, 5)", "(-40, 5)", "(40, 5, 0)"])
    def test_a_head_that_announces_another_size(self, shape, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            head = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + shape.encode() + b"}"
            archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + ROWS.tobytes())
        with pytest.raises(
            ValueError, match=r"a.npz cannot be read as an npz file \(a should have .* bytes, but has 800\)"
        ):
            _fetch.read_npz(tmp_path / "a.npz", ["a"], "delete it.")

    @pytest.mark.parametrize("load", [load_handwritten, load_heart_disease])
    def test_a_damaged_installation(self, load, tmp_path, monkeypatch):
        name = f"{load.__name__.removeprefix('load_')}.npz"
        content = bytearray((_load.files(_load.__package__) / "data" / name).read_bytes())
        monkeypatch.setattr(_load, "files", lambda package: tmp_path)
        path = tmp_path / "data" / name
        path.parent.mkdir()
        content[len(content) // 2] ^= 1
        for damaged in (None, b"", content, content[:-100]):
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(ValueError) as caught:
                load()
            assert (
                str(caught.value) == f"{path} is not the file that comes with sklearn-aecf; install the package again."
            )
