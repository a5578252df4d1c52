"""Fetchers: downloads from a server of the test's own, small folders in the published layouts, and real files if any."""

import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import tarfile
import threading
import warnings
import wave
import zipfile
from itertools import chain
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_aecf.compose import ModalityTransformer
from sklearn_aecf.datasets import _avmnist, _extrasensory, _fetch, fetch_avmnist, fetch_coco, fetch_extrasensory

REAL = Path(os.environ.get("SKLEARN_AECF_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def needs(*names):
    lacking = [name for name in names if not (REAL / name).exists()]
    return pytest.mark.skipif(bool(lacking), reason=f"{lacking} not in SKLEARN_AECF_TEST_DATA or ../shared/data")


def message(info):
    return str(info.value)


# Downloads

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.resumes else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = server.cut.pop() if server.cut else len(CONTENT)
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked, running.cut, running.resumes = [], [], True
    running.url = f"http://127.0.0.1:{running.server_port}/file.bin"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


class TestDownload:
    def test_downloads_once(self, server, tmp_path):
        path = tmp_path / "new" / "file.bin"
        for _ in range(2):
            assert _fetch.fetch_file(path, [server.url], sha256=SHA256) == path
        assert path.read_bytes() == CONTENT
        assert server.asked == [None]
        assert [file.name for file in path.parent.iterdir()] == ["file.bin"]

    def test_resumes_a_part(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
        path = _fetch.fetch_file(tmp_path / "file.bin", [server.url], sha256=SHA256)
        assert path.read_bytes() == CONTENT
        assert server.asked == ["bytes=1000-"]

    def test_resumes_after_a_cut(self, server, tmp_path):
        server.cut = [3000]
        path = _fetch.fetch_file(tmp_path / "file.bin", [server.url], delay=0)
        assert path.read_bytes() == CONTENT
        assert server.asked == [None, "bytes=3000-"]

    def test_a_later_call_resumes_what_an_earlier_one_left(self, server, tmp_path):
        server.cut = [3000]
        with pytest.raises(OSError) as info:
            _fetch.fetch_file(tmp_path / "file.bin", [server.url], n_retries=1)
        assert message(info) == (
            f"file.bin could not be downloaded from {server.url} (the connection ended after 3000 of 5120 bytes); "
            f"download it where there is a network and put it at {tmp_path / 'file.bin'}."
        )
        assert _fetch.fetch_file(tmp_path / "file.bin", [server.url]).read_bytes() == CONTENT

    def test_starts_again_where_the_server_cannot_resume(self, server, tmp_path):
        server.resumes = False
        (tmp_path / "file.bin.part").write_bytes(b"old" * 100)
        assert _fetch.fetch_file(tmp_path / "file.bin", [server.url]).read_bytes() == CONTENT

    def test_starts_again_where_the_part_is_too_long(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(b"x" * 9999)
        assert _fetch.fetch_file(tmp_path / "file.bin", [server.url], delay=0).read_bytes() == CONTENT
        assert server.asked == ["bytes=9999-", None]

    def test_refuses_a_wrong_checksum_and_forgets_the_part(self, server, tmp_path):
        with pytest.raises(OSError) as info:
            _fetch.fetch_file(tmp_path / "file.bin", [server.url], sha256="0" * 64)
        assert message(info) == (
            f"file.bin from {server.url} has SHA-256 {SHA256}, but {'0' * 64} was expected; the file was refused and "
            f"removed. Try again, or put a good copy at {tmp_path / 'file.bin'}."
        )
        assert list(tmp_path.iterdir()) == []

    def test_tries_mirrors_in_turn(self, tmp_path):
        (tmp_path / "there.bin").write_bytes(CONTENT)
        urls = [(tmp_path / name).as_uri() for name in ("nowhere.bin", "there.bin")]
        assert _fetch.fetch_file(tmp_path / "file.bin", urls, sha256=SHA256).read_bytes() == CONTENT

    def test_not_allowed(self, tmp_path):
        with pytest.raises(OSError) as info:
            _fetch.fetch_file(tmp_path / "file.bin", ["http://a/file.bin"], download_if_missing=False)
        assert message(info) == (
            f"{tmp_path / 'file.bin'} does not exist and download_if_missing=False; allow the download, or get the file "
            "from http://a/file.bin and put it there."
        )


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(_fetch, "urlopen", refuse)


class TestFiles:
    def test_unwritable_home_warns(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.warns(UserWarning, match="could not be written .* the next call builds the data again"):
            _fetch.save_npz(tmp_path / "file" / "a.npz", {"a": np.ones(2)})

    def test_a_failed_write_leaves_nothing(self, tmp_path, monkeypatch):
        def full(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(_fetch.os, "replace", full)
        with pytest.warns(UserWarning, match=r"a.npz could not be written \(No space left on device\)"):
            _fetch.save_npz(tmp_path / "a.npz", {"a": np.ones(2)})
        assert list(tmp_path.iterdir()) == []

    def test_lacking_array(self, tmp_path):
        _fetch.save_npz(tmp_path / "a.npz", {"a": np.ones(2)})
        with pytest.raises(ValueError) as info:
            _fetch.read_npz(tmp_path / "a.npz", ["a", "b"], "delete it.")
        assert message(info) == f"{tmp_path / 'a.npz'} has no array 'b'; delete it."

    @pytest.mark.parametrize("content", [b"", b"no archive", "pickle", "cut"])
    def test_damaged(self, tmp_path, content):
        path = tmp_path / "a.npz"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.savez(path, a=np.array([None]) if content == "pickle" else np.ones(100))
        if content == "cut":
            path.write_bytes(path.read_bytes()[:-50])
        with pytest.raises(ValueError, match=r"a.npz cannot be read as an npz file \(.*\); delete it\."):
            _fetch.read_npz(path, ["a"], "delete it.")

    def test_an_npy_file(self, tmp_path):
        np.save(tmp_path / "a.npy", np.ones(2))
        (tmp_path / "a.npy").rename(tmp_path / "a.npz")
        with pytest.raises(ValueError, match=r"a.npz cannot be read as an npz file \(.*\); delete it\."):
            _fetch.read_npz(tmp_path / "a.npz", ["a"], "delete it.")

    @pytest.mark.parametrize("fetch", [fetch_avmnist, fetch_coco, fetch_extrasensory])
    def test_home_is_a_file(self, fetch, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError) as info:
            fetch(tmp_path / "file")
        assert message(info) == (
            f"data_home must be a folder, but {tmp_path / 'file'} is a file; give the folder that it is in."
        )

    def test_a_folder_in_place_of_a_file(self, tmp_path):
        with pytest.raises(OSError) as info:
            _fetch.fetch_file(tmp_path, ["http://a/file.bin"])
        assert (
            message(info)
            == f"{tmp_path} must be a file, but it is a folder; move it away, or put http://a/file.bin in its place."
        )

    def test_default_home(self, monkeypatch, tmp_path):
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
        assert _fetch.resolve_home(None) == tmp_path / "sklearn_aecf"


# AV-MNIST

SPEAKERS = ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]


def wav_bytes(samples, rate=8000):
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        clip.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def small_clips():
    rng = np.random.default_rng(1)
    keys = [(d, s, t) for t in (1, 0) for s in SPEAKERS for d in range(10)]
    return {key: (rng.standard_normal(rng.integers(800, 9000)) * 5000).astype(np.int16) for key in keys}


def clips_as_arrays():
    clips = small_clips()
    return {
        "wave": np.concatenate(list(clips.values())),
        "offsets": np.cumsum([0, *map(len, clips.values())]),
        "digit": [d for d, _, _ in clips],
        "speaker": [SPEAKERS.index(s) for _, s, _ in clips],
        "take": [t for _, _, t in clips],
        "speaker_names": SPEAKERS,
    }


def write_archive(home, clips, rate=8000):
    with tarfile.open(home / "free-spoken-digit-dataset-1.0.10.tar.gz", "w:gz") as archive:
        for name, content in [
            ("README.md", b"digits"),
            *((f"recordings/{d}_{s}_{t}.wav", wav_bytes(clip, rate)) for (d, s, t), clip in clips.items()),
        ]:
            member = tarfile.TarInfo(f"free-spoken-digit-dataset-1.0.10/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_mnist(home, n_train=120, n_test=40):
    rng = np.random.default_rng(0)
    np.savez(
        home / "mnist.npz",
        x_train=rng.integers(0, 256, (n_train, 28, 28), dtype=np.uint8),
        y_train=(np.arange(n_train) % 10).astype(np.uint8),
        x_test=rng.integers(0, 256, (n_test, 28, 28), dtype=np.uint8),
        y_test=(np.arange(n_test) % 10).astype(np.uint8),
    )


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder of raw parts with 160 images and 120 clips."""
    monkeypatch.setattr(_avmnist, "_N_IMAGES", (120, 40))
    monkeypatch.setattr(_avmnist, "_N_VALIDATION", 20)
    monkeypatch.setattr(_avmnist, "_N_TAKES", 2)
    monkeypatch.setattr(_avmnist, "_N_VALIDATION_TAKES", 1)
    write_mnist(tmp_path)
    write_archive(tmp_path, small_clips())
    return tmp_path


class TestAVMNIST:
    def test_build(self, small):
        state = np.random.get_state()[1].copy()
        digits = fetch_avmnist(small)
        assert_array_equal(np.random.get_state()[1], state)
        assert {name: array.shape for name, array in digits.data.items()} == {"image": (160, 4), "audio": (160, 1280)}
        assert {array.dtype for array in digits.data.values()} == {np.dtype(np.float32)}
        assert_array_equal(digits.target, np.tile(np.arange(10), 16))
        assert_array_equal(digits.split, np.repeat(["train", "validation", "test"], [100, 20, 40]))
        assert digits.data["audio"].min() >= 0
        assert_array_equal(digits.data["audio"].max(axis=1), 1)
        assert -10 < digits.snr_db.min() < -9
        assert 4 < digits.snr_db.max() < 5
        assert digits.feature_names["audio"][33] == "mel1_frame1"
        assert "CC BY-SA" in digits.DESCR

    def test_clips_fit_their_rows(self, small):
        digits = fetch_avmnist(small)
        bank = np.load(small / "avmnist.npz")
        assert_array_equal(bank["bank_digit"][digits.clips], digits.target)
        assert_array_equal(np.asarray(["train", "validation", "test"])[bank["bank_pool"]][digits.clips], digits.split)
        assert_array_equal(np.bincount(bank["bank_pool"]), [240, 240, 160])
        assert set(digits.speakers[digits.split == "test"]) == {"theo", "yweweler"}
        assert set(digits.speakers[digits.split != "test"]) == set(SPEAKERS[:4])
        assert_array_equal(bank["bank_take"][bank["bank_pool"] < 2] == 0, bank["bank_pool"][bank["bank_pool"] < 2] == 1)
        assert np.bincount(digits.clips).max() == 1  # fewer rows than clips, so none is heard twice

    def test_clips_are_used_equally_often(self):
        y, split = np.repeat(np.arange(10), 11), np.zeros(110, dtype=int)
        digit, pool = np.repeat(np.arange(10), 4), np.zeros(40, dtype=int)
        index = _avmnist._clip_of_each_row(y, split, digit, pool, np.random.default_rng(0))
        assert set(np.bincount(index)) == {2, 3}

    def test_is_kept(self, small, offline):
        first = fetch_avmnist(small)
        (small / "mnist.npz").unlink()
        second = fetch_avmnist(small, download_if_missing=False)
        assert first.data == second.data
        assert_array_equal(first.speakers, second.speakers)

    def test_seeds(self, small):
        other, digits = fetch_avmnist(small, random_state=3), fetch_avmnist(small)
        assert {path.name for path in small.glob("av*")} == {"avmnist.npz", "avmnist_3.npz"}
        assert_array_equal(other.data["image"], digits.data["image"])
        assert (other.data["audio"] != digits.data["audio"]).mean() > 0.5
        (small / "avmnist_3.npz").unlink()
        assert fetch_avmnist(small, random_state=3).data == other.data

    def test_archive_and_arrays_build_the_same(self, small):
        expected = fetch_avmnist(small).data
        (small / "avmnist.npz").unlink()
        (small / "free-spoken-digit-dataset-1.0.10.tar.gz").unlink()
        np.savez(small / "fsdd_wav.npz", **clips_as_arrays())
        assert fetch_avmnist(small).data == expected

    @pytest.mark.parametrize(
        "name, change",
        [
            ("offsets", lambda offsets: offsets[:-1]),
            ("offsets", lambda offsets: offsets[::-1]),
            ("offsets", lambda offsets: offsets[:0]),
            ("wave", lambda wave: wave[:1000]),
            ("wave", lambda wave: wave.astype(float)),
            ("digit", lambda digit: digit[:-1]),
            ("speaker", lambda speaker: speaker + 6),
        ],
    )
    def test_damaged_arrays_of_clips(self, small, name, change):
        arrays = clips_as_arrays()
        arrays[name] = change(np.asarray(arrays[name]))
        np.savez(small / "fsdd_wav.npz", **arrays)
        with pytest.raises(ValueError, match=r"fsdd_wav.npz cannot be read \(.*\); replace it by"):
            fetch_avmnist(small)
        assert not (small / "avmnist.npz").exists()

    @pytest.mark.parametrize(
        "name, change, sentence",
        [
            ("y", lambda y: y[:-1], r"should hold image_pca of shape \(159, 4\), but it is \(160, 4\)"),
            ("audio_bank", np.ravel, r"should hold audio_bank of shape \(640, 40, 32\), but it is \(819200,\)"),
            ("audio_index", lambda index: index + 640, "should hold audio_index from 0 to 639, but has others"),
        ],
    )
    def test_damaged_build(self, small, name, change, sentence):
        fetch_avmnist(small)
        stored = dict(np.load(small / "avmnist.npz"))
        np.savez(small / "avmnist.npz", **{**stored, name: change(stored[name])})
        with pytest.raises(ValueError, match=rf"avmnist.npz {sentence}; delete it, so that it is built again\.$"):
            fetch_avmnist(small)

    def test_wrong_labels(self, small):
        mnist = dict(np.load(small / "mnist.npz"))
        np.savez(small / "mnist.npz", **{**mnist, "y_test": mnist["y_test"] + 3})
        with pytest.raises(
            ValueError, match=r"mnist.npz should hold labels from 0 to 9, but has others; replace it by"
        ):
            fetch_avmnist(small)

    def test_subset_and_pixels(self, small):
        digits = fetch_avmnist(small)
        X, y = fetch_avmnist(small, subset="test", image="pixels", return_X_y=True)
        stored = np.load(small / "avmnist.npz")
        drawn = stored["pca_mean"] + digits.data["image"][-40:] @ stored["pca_components"]
        assert_allclose(X["image"], drawn, atol=1e-5)
        assert_array_equal(X["audio"], digits.data["audio"][-40:])
        assert_array_equal(y, digits.target[-40:])
        assert X.feature_names("image")[-1] == "pixel783"

    def test_downloads_parts(self, small, monkeypatch):
        elsewhere = small / "elsewhere"
        elsewhere.mkdir()
        for name, urls in (("mnist.npz", "_MNIST_URLS"), ("free-spoken-digit-dataset-1.0.10.tar.gz", "_FSDD_URLS")):
            shutil.move(small / name, elsewhere / name)
            monkeypatch.setattr(_avmnist, urls, [(elsewhere / name).as_uri()])
        found = hashlib.sha256((elsewhere / "mnist.npz").read_bytes()).hexdigest()
        with pytest.raises(OSError, match=f"mnist.npz from file:.* has SHA-256 {found}, but 731c5ac6"):
            fetch_avmnist(small)
        monkeypatch.setattr(_avmnist, "_MNIST_SHA256", found)
        assert len(fetch_avmnist(small).data) == 160

    def test_tone_and_noise_look_as_they_sound(self):
        seconds = np.arange(8192) / 8000
        tones = np.sin(2 * np.pi * np.array([[300.0], [3000.0]]) * seconds)
        low, high = _avmnist._log_mel(tones).mean(axis=2).argmax(axis=1)
        mel = np.linspace(*(2595 * np.log10(1 + np.array([50, 4000]) / 700)), 42)[1:-1]
        hertz = 700 * (10 ** (mel / 2595) - 1)
        assert abs(hertz[low] - 300) < 50
        assert abs(hertz[high] - 3000) < 200
        noise = _avmnist._coloured_noise(np.repeat([0.0, 0.5, 1.0], 50), 8192, np.random.default_rng(0))
        assert_allclose((noise**2).mean(axis=1), 1)
        bands = np.abs(np.fft.rfft(noise)) ** 2
        # An octave higher, white noise is as strong, pink 3 dB weaker, brown 6 dB.
        octaves = 10 * np.log10(bands[:, 1000:1500].mean(axis=1) / bands[:, 2000:3000].mean(axis=1))
        assert_allclose(octaves.reshape(3, 50).mean(axis=1), [0, 3, 6], atol=0.3)

    @pytest.mark.parametrize(
        "option, sentence",
        [
            ({"subset": "tset"}, "subset must be 'all', 'train', 'validation' or 'test'. Got 'tset'."),
            ({"image": "png"}, "image must be 'pca' or 'pixels'. Got 'png'."),
            (
                {"random_state": None},
                "random_state must be an integer from 0 up, so that the build is kept. Got None.",
            ),
            (
                {"random_state": True},
                "random_state must be an integer from 0 up, so that the build is kept. Got True.",
            ),
            ({"image": ["pca"]}, "image must be 'pca' or 'pixels'. Got ['pca']."),
        ],
    )
    def test_unknown_options(self, tmp_path, option, sentence):
        with pytest.raises(ValueError) as info:
            fetch_avmnist(tmp_path, **option)
        assert message(info) == sentence

    def test_offline(self, tmp_path, offline):
        with pytest.raises(OSError) as info:
            fetch_avmnist(tmp_path, n_retries=1)
        assert message(info) == (
            "mnist.npz could not be downloaded from https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist."
            f"npz (no network); download it where there is a network and put it at {tmp_path / 'mnist.npz'}."
        )

    def test_wrong_images(self, small):
        write_mnist(small, n_train=100)
        with pytest.raises(ValueError) as info:
            fetch_avmnist(small)
        assert message(info) == (
            f"{small / 'mnist.npz'} should hold arrays of shapes ((120, 28, 28), (120,), (40, 28, 28), (40,)), but they "
            "are ((100, 28, 28), (100,), (40, 28, 28), (40,)); replace it by "
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz."
        )

    def test_wrong_clips(self, small):
        clips = small_clips()
        del clips[3, "lucas", 1]
        write_archive(small, clips)
        path = small / "free-spoken-digit-dataset-1.0.10.tar.gz"
        remedy = (
            "replace it by https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.10.tar.gz, named "
            "free-spoken-digit-dataset-1.0.10.tar.gz."
        )
        with pytest.raises(ValueError) as info:
            fetch_avmnist(small)
        assert message(info) == (
            f"{path} should hold 2 takes of ten digits by six speakers, 120 clips, but has 119 clips of 6 speakers; "
            + remedy
        )
        write_archive(small, small_clips(), rate=16000)
        with pytest.raises(ValueError, match=r"cannot be read \(.*/0_george_1.wav is not 16-bit mono at 8000 Hz\)"):
            fetch_avmnist(small)
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ValueError) as info:
            fetch_avmnist(small)
        assert message(info).startswith(f"{path} cannot be read (")
        assert message(info).endswith(remedy)

    @needs("avmnist.npz")
    def test_real_compact_file(self):
        digits = fetch_avmnist(REAL, subset="validation")
        assert digits.data.shape == (5000, 1284)
        assert set(digits.speakers) == set(SPEAKERS[:4])
        assert digits.snr_db.min() < -9.9

    @pytest.mark.slow
    @needs("avmnist.npz", "mnist.npz", "fsdd_wav.npz")
    def test_real_build_is_like_the_compact_file(self, tmp_path):
        for name in ("mnist.npz", "fsdd_wav.npz"):
            (tmp_path / name).symlink_to(REAL / name)
        digits = fetch_avmnist(tmp_path)
        assert digits.data.shape == (70_000, 1284)
        built, given = (dict(np.load(home / "avmnist.npz")) for home in (tmp_path, REAL))
        for name in ("y", "split"):
            assert_array_equal(built[name], given[name])
        assert_array_equal(np.bincount(built["bank_pool"]), [10_800, 1_200, 4_000])
        assert_allclose(np.abs(built["image_pca"]), np.abs(given["image_pca"]), atol=0.02)
        for kind in range(3):
            bands = [bank["audio_bank"][bank["bank_noise_kind"] == kind].mean(axis=(0, 2)) for bank in (built, given)]
            assert_allclose(*bands, atol=5)  # of 255, that is 1.6 dB
        _, clips = np.unique(digits.clips, return_index=True)
        train = clips[digits.split[clips] == "train"][::3]
        test = clips[digits.split[clips] == "test"]
        accuracy = {}
        for names in (["image"], ["audio"], ["image", "audio"]):
            X = np.asarray(digits.data[names])
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=0.01)).fit(
                X[train], digits.target[train]
            )
            accuracy["+".join(names)] = model.score(X[test], digits.target[test])
        assert 0.5 < accuracy["image"] < 0.65
        assert accuracy["image+audio"] > max(accuracy["image"], accuracy["audio"]) + 0.1


# ExtraSensory

COLUMNS = {
    "acc": ["raw_acc:magnitude_stats:mean", "raw_acc:3d:mean_x"],
    "gyro": ["proc_gyro:magnitude_stats:mean"],
    "magnet": ["raw_magnet:3d:mean_x"],
    "watch_acc": ["watch_acceleration:magnitude_stats:mean", "watch_acceleration:3d:mean_x"],
    "watch_compass": ["watch_heading:mean_cos"],
    "location": ["location:num_valid_updates", "location_quick_features:std_lat"],
    "audio": ["audio_naive:mfcc0:mean", "audio_properties:max_abs_value"],
    "phone_state": ["discrete:app_state:is_active", "lf_measurements:light", "discrete:time_of_day:between0and6"],
}
LABELS = ["label:SITTING", "label:FIX_walking"]
HEADER = ["timestamp", *chain(*COLUMNS.values()), *LABELS, "label_source"]


def write_user(home, uuid, rows, header=HEADER):
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows), ""]
    (home / f"{uuid}.features_labels.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def minute(stamp, watch="nan", labels=("1.000000", "nan")):
    features = [f"{i + 0.5:.6f}" for i in range(sum(map(len, COLUMNS.values())))]
    features[4:6] = [watch, watch]
    features[6] = ""  # an empty field is missing too
    return [stamp, *features, *labels, "2"]


@pytest.fixture
def users(tmp_path):
    write_user(tmp_path, "BB", [minute(1444079161, watch="1.5"), minute(1444079221)])
    write_user(tmp_path, "AA", [minute(1464895215, labels=("0.000000", "1.000000"))])
    write_user(tmp_path, "CC", [minute(1444079000, labels=("nan", "nan"))])
    return tmp_path


def write_folds(home):
    (home / "cv_5_folds").mkdir()
    for name, text in {"0_test_iphone": "BB\n", "3_test_android": "AA\n", "0_train_android": "AA\nCC\n"}.items():
        (home / "cv_5_folds" / f"fold_{name}_uuids.txt").write_text(text)


class TestExtraSensory:
    def test_tables(self, users, offline):
        life = fetch_extrasensory(users)
        assert {name: life.feature_names[name] for name in life.data} == COLUMNS
        assert {array.dtype for array in life.data.values()} == {np.dtype(np.float32)}
        assert_array_equal(life.data["acc"], np.tile(np.float32([0.5, 1.5]), (4, 1)))
        names = list(life.data.names)
        assert_array_equal(life.data.present[:, names.index("watch_acc")], [False, True, False, False])
        assert_array_equal(life.data.present[:, names.index("watch_compass")], False)
        assert life.data.present[:, names.index("phone_state")].all()
        assert_array_equal(life.target, [[0, 1], [1, np.nan], [1, np.nan], [np.nan, np.nan]])
        assert life.label_names.tolist() == ["SITTING", "FIX_walking"]
        assert_array_equal(life.group_names[life.groups], ["AA", "BB", "BB", "CC"])
        assert_array_equal(life.timestamp, [1464895215, 1444079161, 1444079221, 1444079000])
        assert life.fold is None
        assert "Vaizman" in life.DESCR
        X, y = fetch_extrasensory(users, return_X_y=True)
        assert life.data == X
        assert_array_equal(y, life.target)

    def test_folds(self, users):
        write_folds(users)
        assert_array_equal(fetch_extrasensory(users).fold, [3, 0, 0, -1])

    def test_archives_are_the_same(self, users, monkeypatch):
        write_folds(users)
        expected = fetch_extrasensory(users)
        elsewhere = users / "elsewhere"
        elsewhere.mkdir()
        with zipfile.ZipFile(elsewhere / "tables.zip", "w") as archive:
            for path in users.glob("*.gz"):
                archive.write(path, path.name)
                path.unlink()
        with zipfile.ZipFile(elsewhere / "folds.zip", "w") as archive:
            for path in users.glob("cv_5_folds/*"):
                archive.write(path, f"cv_5_folds/{path.name}")
        shutil.rmtree(users / "cv_5_folds")
        monkeypatch.setattr(_extrasensory, "_TABLES_URLS", [(elsewhere / "tables.zip").as_uri()])
        monkeypatch.setattr(_extrasensory, "_FOLDS_URLS", [(elsewhere / "folds.zip").as_uri()])
        for _ in range(2):  # downloaded, then there
            life = fetch_extrasensory(users)
            assert life.data == expected.data
            assert_array_equal(life.fold, expected.fold)
        (users / "ExtraSensory.per_uuid_features_labels.zip").write_bytes(b"PK no archive")
        with pytest.raises(ValueError, match=r"features_labels.zip cannot be read \(File is not a zip file\); replace"):
            fetch_extrasensory(users)

    def test_folds_that_failed_are_fetched_later(self, users, monkeypatch):
        with zipfile.ZipFile(users / "ExtraSensory.per_uuid_features_labels.zip", "w") as archive:
            for path in users.glob("*.gz"):
                archive.write(path, path.name)
                path.unlink()
        nowhere = (users / "nowhere.zip").as_uri()
        monkeypatch.setattr(_extrasensory, "_FOLDS_URLS", [nowhere])
        with pytest.warns(
            UserWarning, match="^fold is None, as cv5Folds.zip could not be downloaded from .*; download"
        ):
            assert fetch_extrasensory(users, n_retries=1).fold is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fetch_extrasensory(users, return_X_y=True)
            assert fetch_extrasensory(users, download_if_missing=False).fold is None
        with zipfile.ZipFile(users / "folds.zip", "w") as archive:
            archive.writestr("cv_5_folds/fold_3_test_android_uuids.txt", "AA\n")
        monkeypatch.setattr(_extrasensory, "_FOLDS_URLS", [(users / "folds.zip").as_uri()])
        assert_array_equal(fetch_extrasensory(users).fold, [3, -1, -1, -1])

    @pytest.mark.filterwarnings("ignore:No training row has")
    def test_fits(self, users):
        for path in list(users.glob("[BC]*.gz")):
            path.unlink()
        rows = [minute(i, labels=(float(i % 2), float(i % 3 == 0))) for i in range(40)]
        write_user(users, "BB", rows)
        X, y = fetch_extrasensory(users, return_X_y=True)
        assert fast_classifier().fit(X, y).predict_proba(X).shape == (41, 2)

    def test_other_columns(self, users):
        header = ["raw_acc:another" if name == "raw_acc:3d:mean_x" else name for name in HEADER]
        write_user(users, "CC", [minute(1)], header)
        with pytest.raises(ValueError) as info:
            fetch_extrasensory(users)
        assert message(info) == (
            f"{users / 'CC.features_labels.csv.gz'} has other columns than {users / 'AA.features_labels.csv.gz'}; put "
            "files of one release together, from http://extrasensory.ucsd.edu/data/primary_data_files/"
            "ExtraSensory.per_uuid_features_labels.zip."
        )

    def test_unknown_sensor(self, tmp_path):
        write_user(tmp_path, "AA", [minute(1)], ["pulse:mean" if "gyro" in name else name for name in HEADER])
        with pytest.raises(ValueError) as info:
            fetch_extrasensory(tmp_path)
        assert message(info) == (
            f"Column 'pulse:mean' of {tmp_path / 'AA.features_labels.csv.gz'} belongs to no sensor; names should begin "
            "with 'label', 'raw_acc', 'proc_gyro', 'raw_magnet', 'watch_acceleration', 'watch_heading', 'location', "
            "'location_quick_features', 'audio_naive', 'audio_properties', 'discrete', 'lf_measurements'."
        )

    def test_damaged_table(self, users):
        path = users / "BB.features_labels.csv.gz"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(
            ValueError, match=r"BB.features_labels.csv.gz cannot be read \(.*\); replace it by the file"
        ):
            fetch_extrasensory(users)
        write_user(users, "BB", [minute(1)[:-1]])
        with pytest.raises(ValueError) as info:
            fetch_extrasensory(users)
        assert message(info) == (
            f"{path} should have a column timestamp and rows of 18 values, one per name in the first line, but its rows "
            "have 17 and the names begin with 'timestamp'; replace it by the file in http://extrasensory.ucsd.edu/data/"
            "primary_data_files/ExtraSensory.per_uuid_features_labels.zip."
        )

    def test_offline(self, tmp_path, offline):
        with pytest.raises(OSError) as info:
            fetch_extrasensory(tmp_path, n_retries=1)
        name = "ExtraSensory.per_uuid_features_labels.zip"
        assert message(info) == (
            f"{name} could not be downloaded from http://extrasensory.ucsd.edu/data/primary_data_files/{name} (no "
            f"network); download it where there is a network and put it at {tmp_path / name}."
        )

    @needs("extrasensory37.npz")
    def test_real_compact_file(self):
        life = fetch_extrasensory(REAL)
        assert life.data.shape == (50_498, 225)
        assert_allclose(1 - life.data.present.mean(axis=0), [0, 0.11, 0.13, 0.42, 0.68, 0.13, 0.03, 0], atol=0.006)
        assert set(np.unique(life.target[~np.isnan(life.target)])) == {0, 1}
        assert life.target.shape == (50_498, len(life.label_names))
        assert np.isnan(life.target).any()
        assert set(life.fold) == set(range(5))
        assert len(life.group_names) == 37
        # Every published name begins with a prefix that the reader of tables knows, of the same modality.
        columns = ["timestamp", *chain(*life.feature_names.values()), "label:SITTING", "label_source"]
        positions = _extrasensory._positions(columns, "")
        assert {name: [columns[i] for i in positions[name]] for name in life.data} == life.feature_names


# MS-COCO


def write_coco(home, edition="val2017", on_disk=(1, 3)):
    (home / "annotations").mkdir(exist_ok=True)
    (home / edition).mkdir(exist_ok=True)
    instances = {
        "images": [{"id": i, "file_name": f"{i:012}.jpg"} for i in (3, 1, 2)],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": 3, "category_id": 1},
            {"image_id": 3, "category_id": 1},
            {"image_id": 3, "category_id": 90},
            {"image_id": 1, "category_id": 90},
        ],
    }
    captions = {
        "annotations": [
            {"id": 8, "image_id": 3, "caption": "Teeth."},
            {"id": 7, "image_id": 3, "caption": "Somebody brushes\nteeth. "},
            {"id": 9, "image_id": 2, "caption": "Nothing."},
            {"id": 10, "image_id": 2, "caption": " "},
        ]
    }
    for kind, content in (("instances", instances), ("captions", captions)):
        (home / "annotations" / f"{kind}_{edition}.json").write_text(json.dumps(content))
    for i in on_disk:
        (home / edition / f"{i:012}.jpg").write_bytes(b"")


class TestCOCO:
    def test_reads(self, tmp_path, offline):
        write_coco(tmp_path)
        seen = fetch_coco(tmp_path)
        assert seen.image_ids.tolist() == [1, 2, 3]
        folder = tmp_path / "val2017"
        assert seen.data["image"].tolist() == [str(folder / "000000000001.jpg"), None, str(folder / "000000000003.jpg")]
        assert seen.data["caption"].tolist() == [None, "Nothing.", "Somebody brushes teeth."]
        assert_array_equal(seen.data.present, [[True, False], [False, True], [True, True]])
        assert_array_equal(seen.target, [[0, 1], [0, 0], [1, 1]])
        assert seen.target_names.tolist() == ["person", "toothbrush"]
        assert "Flickr" in seen.DESCR
        X, y = fetch_coco(tmp_path, caption="joined", return_X_y=True)
        assert X["caption"][2] == "Somebody brushes teeth. Teeth."
        assert_array_equal(y, seen.target)

    def test_other_edition(self, tmp_path):
        write_coco(tmp_path, "train2014")
        assert len(fetch_coco(tmp_path, subset="train", year=2014).data) == 3

    def test_goes_through_a_transformer(self, tmp_path):
        write_coco(tmp_path)
        X, _ = fetch_coco(tmp_path, return_X_y=True)
        words = make_pipeline(CountVectorizer(), TruncatedSVD(1, random_state=0))
        out = ModalityTransformer({"caption": words, "image": "drop"}).fit_transform(X)
        assert_array_equal(out.present[:, 0], [False, True, True])

    def test_missing_files(self, tmp_path):
        with pytest.raises(OSError) as info:
            fetch_coco(tmp_path)
        path = tmp_path / "annotations" / "instances_val2017.json"
        archive = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
        assert message(info) == (
            f"{path} does not exist; download {archive} and unpack it in {tmp_path}, so that the file lies there."
        )
        write_coco(tmp_path, on_disk=())
        with pytest.raises(OSError) as info:
            fetch_coco(tmp_path)
        assert message(info) == (
            f"{tmp_path / 'val2017'} has none of the 3 photographs, such as 000000000001.jpg; download "
            f"http://images.cocodataset.org/zips/val2017.zip and unpack it in {tmp_path}."
        )
        path.write_text('{"images": []}')
        with pytest.raises(ValueError) as info:
            fetch_coco(tmp_path)
        assert message(info) == (
            f"{path} is not as MS-COCO publishes it (no 'categories'); unpack it again from {archive}."
        )
        path.write_text("[1, 2")
        with pytest.raises(ValueError, match=r"instances_val2017.json cannot be read as JSON \(.*\); unpack it again"):
            fetch_coco(tmp_path)
        path.unlink()
        path.mkdir()
        with pytest.raises(
            ValueError, match=r"instances_val2017.json cannot be read as JSON \(.*Is a directory.*\); unp"
        ):
            fetch_coco(tmp_path)

    @pytest.mark.parametrize(
        "kind, change, reason",
        [
            ("instances", {"annotations": [{"image_id": 1, "category_id": 7}]}, "no 7"),
            ("instances", {"annotations": [{"image_id": 1}]}, "no 'category_id'"),
            ("instances", {"images": None}, "'NoneType' object is not iterable"),
            ("instances", {"images": [{"id": 1}]}, "no 'file_name'"),
            ("instances", {"images": [{"id": 1, "file_name": "a.jpg"}] * 2}, "two images have one id"),
            ("instances", {"images": [{"id": "a", "file_name": "a.jpg"}]}, "invalid literal .*"),
            ("captions", {"annotations": None}, "'NoneType' object is not iterable"),
            ("captions", {"annotations": [{"id": 1, "image_id": 1, "caption": None}]}, "'NoneType' object has no .*"),
        ],
    )
    def test_another_content(self, tmp_path, kind, change, reason):
        write_coco(tmp_path)
        path = tmp_path / "annotations" / f"{kind}_val2017.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(ValueError, match=rf"^{path} is not as MS-COCO publishes it \({reason}\); unpack it again"):
            fetch_coco(tmp_path)

    def test_trimmed_to_some_images(self, tmp_path):
        write_coco(tmp_path)
        path = tmp_path / "annotations" / "instances_val2017.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "images": [image for image in content["images"] if image["id"] > 1]}))
        seen = fetch_coco(tmp_path)
        assert seen.image_ids.tolist() == [2, 3]
        assert_array_equal(seen.target, [[0, 0], [1, 1]])

    @pytest.mark.parametrize(
        "option, sentence",
        [
            ({"subset": "test"}, "subset must be 'val' or 'train'. Got 'test'."),
            ({"year": "2017"}, "year must be 2014 or 2017. Got '2017'."),
            ({"year": 2017.0}, "year must be 2014 or 2017. Got 2017.0."),
            (
                {"subset": np.array(["val", "train"])},
                f"subset must be 'val' or 'train'. Got {np.array(['val', 'train'])!r}.",
            ),
            ({"caption": "all"}, "caption must be 'first' or 'joined'. Got 'all'."),
        ],
    )
    def test_unknown_options(self, tmp_path, option, sentence):
        with pytest.raises(ValueError) as info:
            fetch_coco(tmp_path, **option)
        assert message(info) == sentence
