"""AV-MNIST built from small parts in the published layouts, and from real files if any."""

import hashlib
import io
import shutil
import tarfile
import wave

import numpy as np
import pytest
from fetch_helpers import REAL, message, needs
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_aecf.datasets import _avmnist, fetch_avmnist

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
            ("audio_index", lambda index: index.astype(float), "should hold audio_index from 0 to 639, but has others"),
            ("audio_bank", lambda bank: bank / 255, "should hold audio_bank from 0 to 255, but has others"),
            ("y", lambda y: y + 1, "should hold y from 0 to 9, but has others"),
            ("y", lambda y: np.where(y == 3, np.nan, y), "should hold y from 0 to 9, but has others"),
            ("image_pca", lambda image: image * np.nan, "should hold finite numbers in image_pca, but has others"),
            ("speaker_names", lambda names: np.arange(6), "should hold text in speaker_names, but has int64"),
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

    def test_images_of_another_dtype(self, small):
        mnist = dict(np.load(small / "mnist.npz"))
        np.savez(small / "mnist.npz", **{**mnist, "x_test": mnist["x_test"] * np.nan})
        with pytest.raises(ValueError, match="mnist.npz should hold x_test of uint8, but it is float64; replace it by"):
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
