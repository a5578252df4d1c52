"""AV-MNIST: a poor picture of a digit and a noisy recording of somebody saying it."""

import gzip
import io
import numbers
import re
import tarfile
import warnings

import numpy as np
from scipy.io import wavfile
from sklearn.decomposition import PCA
from sklearn.utils import Bunch

from sklearn_aecf._data import MultimodalData
from sklearn_aecf.datasets._fetch import (
    check_arrays,
    fetch_file,
    is_file,
    is_one_of,
    read_npz,
    readable,
    resolve_home,
    save_npz,
)
from sklearn_aecf.datasets._load import _description

_MNIST_URLS = ["https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"]
_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_FSDD_URLS = ["https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.10.tar.gz"]
_FSDD_ARCHIVE = "free-spoken-digit-dataset-1.0.10.tar.gz"
_FSDD_NAME = re.compile(r"recordings/(\d)_([a-z]+)_(\d+)\.wav$")

_SPLITS = ("train", "validation", "test")
_N_IMAGES = (60_000, 10_000)
_N_VALIDATION = 5_000  # the last of the training images
_N_COMPONENTS = 4
_TEST_SPEAKERS = ("theo", "yweweler")
_N_TAKES, _N_VALIDATION_TAKES = 50, 5  # the first takes of the other speakers are the validation pool
_COPIES = (6, 6, 4)  # noisy versions of a clip, in each split
_SNR_DB = (-10.0, 5.0)
_NOISE_EXPONENTS = np.array([0.0, 0.5, 1.0])  # amplitude falls as frequency ** -exponent: white, pink, brown

_RATE = 8_000
_N_MELS, _N_FRAMES = 40, 32
_WINDOW, _HOP = 400, 256
_LOWEST_HZ = 50.0
_RANGE_DB = 80.0
_CHUNK_CLIPS = 256

_REBUILD = "delete it, so that it is built again."
_ARRAYS = ["image_pca", "pca_components", "pca_mean", "y", "split", "audio_index"]
_ARRAYS += ["audio_bank", "bank_speaker", "bank_snr_db", "speaker_names"]
_CLIP_ARRAYS = ["wave", "offsets", "digit", "speaker", "take", "speaker_names"]


def fetch_avmnist(
    data_home=None,
    *,
    subset="all",
    image="pca",
    random_state=0,
    download_if_missing=True,
    return_X_y=False,
    n_retries=3,
    delay=1.0,
):
    """Fetch AV-MNIST: 70,000 digits, each a blurred image and a noisy recording. Nothing is missing.

    The image is a digit of MNIST reduced to its first four principal components, fitted on the training images, which
    keep 28 % of the energy. The audio is the same digit, spoken in the Free Spoken Digit Dataset, in noise that is
    white, pink or brown at -10 to 5 dB, as a log-mel spectrogram of 40 bands and 32 frames. Two of six speakers are
    heard in the test split only.

    The first call downloads 28 MB and builds for about half a minute. The result is kept as ``avmnist.npz`` (20 MB)
    in `data_home`, and a file of this name that is there is read.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of ``avmnist.npz``, or of the raw parts that it is built from: ``mnist.npz`` (arrays x_train, y_train,
        x_test, y_test) and the release archive ``free-spoken-digit-dataset-1.0.10.tar.gz`` or ``fsdd_wav.npz`` (the
        clips of the archive one after the other in ``wave``, clip i at ``offsets[i]:offsets[i + 1]``, with digit,
        speaker, take and speaker_names). The default is ``sklearn_aecf`` in scikit-learn's data home.
    subset : {"all", "train", "validation", "test"}, default="all"
        Rows: 70,000, 55,000, 5,000 or 10,000.
    image : {"pca", "pixels"}, default="pca"
        The four components, or the 784 pixels that they draw (float32; 0 is black and 1 white, but four components
        overshoot, from -0.56 to 1.43).
    random_state : int, default=0
        Seed of the noise and of which clip goes with which image. Another seed builds other data, kept as
        ``avmnist_<seed>.npz``.
    download_if_missing : bool, default=True
        If False, an error instead of a download.
    return_X_y : bool, default=False
        Return ``(data, target)`` only.
    n_retries : int, default=3
        Attempts at a download.
    delay : float, default=1.0
        Seconds between them.

    Returns
    -------
    Bunch or tuple
        ``data``: MultimodalData with image (4 or 784 features) and audio (1,280 features, band by band, 0 to 1),
        float32; ``target``: the digit, shape (n_rows,); ``target_names``; ``split``: array of "train", "validation"
        and "test"; ``speakers``: names, shape (n_rows,); ``clips``: which of the 16,000 noisy clips a row hears, which
        rows of the same split share (groups for cross-validation); ``snr_db``, shape (n_rows,); ``feature_names``: dict
        of lists; ``DESCR``.

    Raises
    ------
    OSError
        If a raw part is not there and cannot be downloaded, or a download is not the expected file.
    ValueError
        If an option is unknown, or a file does not hold what it should.

    Notes
    -----
    All rows hold 358 MB of audio; `subset` makes fewer. The download of MNIST is verified by its SHA-256; the spoken
    digits, whose archive GitHub packs on demand, by their content: 50 takes of ten digits by six speakers. Audio that
    is built here follows the recipe but not the random draws of other builds of AV-MNIST, so figures compare within a
    build; a seed gives the same data everywhere but for rounding. MNIST: LeCun, Cortes and Burges, CC BY-SA 3.0. Free
    Spoken Digit Dataset v1.0.10: Jackson and others, doi:10.5281/zenodo.1342401, CC BY-SA 4.0.

    References
    ----------
    .. [1] Vielzeuf, Lechervy, Pateux and Jurie, *CentralNet: a multilayer approach for multimodal fusion*, ECCV
       workshops 2018, arXiv:1808.07275: the first AV-MNIST, of which this is an openly available relative.

    Examples
    --------
    >>> from sklearn_aecf.datasets import fetch_avmnist
    >>> X, y = fetch_avmnist(subset="train", return_X_y=True)  # doctest: +SKIP
    >>> X.names, X.shape  # doctest: +SKIP
    (('image', 'audio'), (55000, 1284))
    """
    _check_options(subset, image, random_state)
    home = resolve_home(data_home)
    path = home / ("avmnist.npz" if random_state == 0 else f"avmnist_{random_state}.npz")
    if is_file(path, _REBUILD):
        stored = read_npz(path, _ARRAYS, _REBUILD)
        _check_stored(path, stored)
    else:
        transfer = {"download_if_missing": download_if_missing, "n_retries": n_retries, "delay": delay}
        stored = _build(_read_mnist(home, **transfer), _read_fsdd(home, **transfer), random_state)
        save_npz(path, stored)
    split = np.asarray(_SPLITS)[stored["split"]]
    rows = slice(None) if subset == "all" else np.flatnonzero(split == subset)
    data = _modalities(stored, rows, image)
    target = stored["y"][rows].astype(np.int64)
    if return_X_y:
        return data, target
    clips = stored["audio_index"][rows].astype(np.int64)
    return Bunch(
        data=data,
        target=target,
        target_names=np.array([str(digit) for digit in range(10)]),
        split=split[rows],
        speakers=stored["speaker_names"][stored["bank_speaker"][clips]],
        clips=clips,
        snr_db=stored["bank_snr_db"][clips],
        feature_names={name: data.feature_names(name) for name in data},
        DESCR=_description("avmnist.rst"),
    )


def _check_options(subset, image, random_state):
    for name, value, known in (("subset", subset, ("all", *_SPLITS)), ("image", image, ("pca", "pixels"))):
        if not is_one_of(value, known):
            raise ValueError(f"{name} must be {', '.join(map(repr, known[:-1]))} or {known[-1]!r}. Got {value!r}.")
    if not isinstance(random_state, numbers.Integral) or isinstance(random_state, bool) or random_state < 0:
        raise ValueError(f"random_state must be an integer from 0 up, so that the build is kept. Got {random_state!r}.")


def _check_stored(path, stored):
    n_rows, n_clips = stored["y"].size, len(np.atleast_1d(stored["bank_speaker"]))
    shapes = {"image_pca": (n_rows, _N_COMPONENTS), "pca_components": (_N_COMPONENTS, 784), "pca_mean": (784,)}
    shapes |= dict.fromkeys(("y", "split", "audio_index"), (n_rows,))
    shapes |= dict.fromkeys(("bank_speaker", "bank_snr_db"), (n_clips,))
    shapes |= {"audio_bank": (n_clips, _N_MELS, _N_FRAMES), "speaker_names": (6,)}
    floats = ["image_pca", "pca_components", "pca_mean", "bank_snr_db"]
    ends = {"y": 10, "split": 3, "audio_index": n_clips, "bank_speaker": 6, "audio_bank": 256}
    check_arrays(
        path,
        stored,
        _REBUILD,
        shapes=shapes,
        ranges={name: range(end) for name, end in ends.items()},
        kinds={"speaker_names": "text", **dict.fromkeys(floats, "floats")},
        finite=floats,
    )


def _modalities(stored, rows, image):
    pictures = stored["image_pca"][rows].astype(np.float32)
    names = [f"component{i}" for i in range(pictures.shape[1])]
    if image == "pixels":
        pictures = pictures @ stored["pca_components"].astype(np.float32)
        pictures += stored["pca_mean"].astype(np.float32)
        names = [f"pixel{i}" for i in range(pictures.shape[1])]
    bank = stored["audio_bank"].reshape(len(stored["audio_bank"]), -1)
    index = stored["audio_index"][rows]
    audio = np.empty((len(index), bank.shape[1]), dtype=np.float32)
    for start in range(0, len(index), 4096):  # the only copy of all rows is the result
        chunk = slice(start, start + 4096)
        np.divide(bank[index[chunk]], np.float32(255), out=audio[chunk])
    bands, frames = stored["audio_bank"].shape[1:]
    features = {
        "image": names,
        "audio": [f"mel{band}_frame{frame}" for band in range(bands) for frame in range(frames)],
    }
    return MultimodalData({"image": pictures, "audio": audio}, feature_names=features)


# The raw parts


def _read_mnist(home, **transfer):
    path = fetch_file(home / "mnist.npz", _MNIST_URLS, sha256=_MNIST_SHA256, **transfer)
    remedy = f"replace it by {_MNIST_URLS[0]}."
    names = ["x_train", "y_train", "x_test", "y_test"]
    mnist = read_npz(path, names, remedy)
    found = tuple(mnist[name].shape for name in names)
    train, test = _N_IMAGES
    expected = ((train, 28, 28), (train,), (test, 28, 28), (test,))
    if found != expected:
        raise ValueError(f"{path} should hold arrays of shapes {expected}, but they are {found}; {remedy}")
    if not np.isin(np.concatenate([mnist["y_train"], mnist["y_test"]]), np.arange(10)).all():
        raise ValueError(f"{path} should hold labels from 0 to 9, but has others; {remedy}")
    for name in ("x_train", "x_test"):
        if mnist[name].dtype != np.uint8:
            raise ValueError(f"{path} should hold {name} of uint8, but it is {mnist[name].dtype}; {remedy}")
    return mnist


def _read_fsdd(home, **transfer):
    """Clips of the spoken digits in the order of digit, speaker and take, wherever they come from."""
    path = home / "fsdd_wav.npz"
    remedy = f"replace it by {_FSDD_URLS[0]}, named {_FSDD_ARCHIVE}."
    stored = read_npz(path, _CLIP_ARRAYS, remedy) if is_file(path, remedy) else None
    if stored is None:
        path = fetch_file(home / _FSDD_ARCHIVE, _FSDD_URLS, check=_read_archive, **transfer)
    with readable(path, remedy):
        clips = _read_archive(path) if stored is None else _divided(**stored)
    speakers = sorted({speaker for _, speaker, _ in clips})
    expected = {(d, s, t) for d in range(10) for s in speakers for t in range(_N_TAKES)}
    if set(clips) != expected or len(speakers) != 6 or not set(_TEST_SPEAKERS) <= set(speakers):
        raise ValueError(
            f"{path} should hold {_N_TAKES} takes of ten digits by six speakers, {60 * _N_TAKES} clips, but has "
            f"{len(clips)} clips of {len(speakers)} speakers; {remedy}"
        )
    return dict(sorted(clips.items()))


def _divided(wave, offsets, digit, speaker, take, speaker_names):
    ends = (offsets[0], offsets[-1])
    if ends != (0, len(wave)) or (np.diff(offsets) <= 0).any() or wave.dtype != np.int16 or wave.ndim != 1:
        raise ValueError("offsets do not divide wave, 16-bit samples, into clips")
    clips = zip(digit, speaker_names[speaker], take, np.split(wave, offsets[1:-1]), strict=True)
    return {(int(d), str(s), int(t)): clip for d, s, t, clip in clips}


def _read_archive(path):
    clips = {}
    content = io.BytesIO(gzip.decompress(path.read_bytes()))  # to its end, where the checksum is
    with tarfile.open(fileobj=content) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks with a comment, which are skipped
        for member in archive:
            found = _FSDD_NAME.search(member.name)
            if not found or not member.isfile():
                continue
            rate, samples = wavfile.read(io.BytesIO(archive.extractfile(member).read()))
            if rate != _RATE or samples.dtype != np.int16 or samples.ndim != 1 or not samples.size:
                raise ValueError(f"{member.name} is not 16-bit mono at {_RATE} Hz")
            clips[int(found[1]), found[2], int(found[3])] = samples
    return clips


# The recipe


def _build(mnist, clips, seed):
    """Arrays of ``avmnist.npz`` from the raw parts."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([mnist["y_train"], mnist["y_test"]]).astype(np.uint8)
    n_train, n_test = len(mnist["y_train"]) - _N_VALIDATION, len(mnist["y_test"])
    split = np.repeat(np.arange(3, dtype=np.uint8), [n_train, _N_VALIDATION, n_test])
    bank = _audio_bank(clips, rng)
    return {
        **_reduced(np.concatenate([mnist["x_train"], mnist["x_test"]]), n_train),
        "y": y,
        "split": split,
        "audio_index": _clip_of_each_row(y, split, bank["bank_digit"], bank["bank_pool"], rng),
        **bank,
    }


def _reduced(images, n_train):
    """Components of all images, fitted on the first `n_train`; signs such that the largest loading is positive."""
    pixels = images.reshape(len(images), -1).astype(np.float32)
    pixels /= 255
    pca = PCA(_N_COMPONENTS, svd_solver="covariance_eigh").fit(pixels[:n_train])
    return {
        "image_pca": pca.transform(pixels).astype(np.float32),
        "pca_components": pca.components_.astype(np.float32),
        "pca_mean": pca.mean_.astype(np.float32),
    }


def _clip_of_each_row(y, split, bank_digit, bank_pool, rng):
    """A clip of the row's digit from the split's pool; all clips of a pool serve equally often, to within one."""
    index = np.empty(len(y), dtype=np.int32)
    for pool in range(3):
        for digit in range(10):
            rows = np.flatnonzero((split == pool) & (y == digit))
            clips = np.flatnonzero((bank_pool == pool) & (bank_digit == digit))
            index[rows] = rng.permutation(np.resize(rng.permutation(clips), len(rows)))
    return index


def _audio_bank(clips, rng):
    """Noisy versions of every clip as log-mel spectrograms, and what is known about each."""
    digit, speaker, take = (np.array(values) for values in zip(*clips, strict=True))
    pool = np.where(np.isin(speaker, _TEST_SPEAKERS), 2, np.where(take < _N_VALIDATION_TAKES, 1, 0))
    utterance = np.repeat(np.arange(len(clips)), np.asarray(_COPIES)[pool])
    snr_db = rng.uniform(*_SNR_DB, len(utterance))
    noise_kind = rng.integers(len(_NOISE_EXPONENTS), size=len(utterance))
    waves = list(clips.values())
    spectrograms = np.empty((len(utterance), _N_MELS, _N_FRAMES), dtype=np.uint8)
    for start in range(0, len(utterance), _CHUNK_CLIPS):
        chunk = slice(start, start + _CHUNK_CLIPS)
        speech, power = _padded([waves[i] for i in utterance[chunk]])
        noise = _coloured_noise(_NOISE_EXPONENTS[noise_kind[chunk]], speech.shape[1], rng)
        noise *= np.sqrt(power / 10 ** (snr_db[chunk] / 10))[:, None]
        spectrograms[chunk] = _log_mel(speech + noise)
    names, codes = np.unique(speaker, return_inverse=True)
    return {
        "audio_bank": spectrograms,
        "bank_digit": digit[utterance].astype(np.uint8),
        "bank_speaker": codes[utterance].astype(np.uint8),
        "bank_take": take[utterance].astype(np.uint8),
        "bank_pool": pool[utterance].astype(np.uint8),
        "bank_snr_db": snr_db.astype(np.float32),
        "bank_noise_kind": noise_kind.astype(np.uint8),
        "speaker_names": names,
    }


def _padded(waves):
    """Clips cut or filled with silence to one length, shape (n, samples), and the mean power of what is speech."""
    speech = np.zeros((len(waves), _HOP * _N_FRAMES))
    power = np.empty(len(waves))
    for i, clip in enumerate(waves):
        clip = clip[: speech.shape[1]] / 32768
        speech[i, : len(clip)] = clip
        power[i] = np.mean(clip**2)
    return speech, power


def _coloured_noise(exponents, n_samples, rng):
    """Normal noise of mean power 1 whose amplitude falls as frequency ** -exponent, shape (n, n_samples).

    Frequency 0 is as strong as the lowest one above it, and counts for the power.
    """
    spectrum = np.fft.rfft(rng.standard_normal((len(exponents), n_samples)))
    frequency = np.maximum(np.arange(spectrum.shape[1]), 1)
    spectrum *= frequency ** -exponents[:, None]
    noise = np.fft.irfft(spectrum, n_samples)
    return noise / np.sqrt(np.mean(noise**2, axis=1, keepdims=True))


def _log_mel(signals):
    """Spectrograms as bytes, shape (n, bands, frames): 255 is a clip's loudest cell, 0 lies 80 dB below."""
    margin = (_WINDOW - _HOP) // 2  # centres the window on its frame
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(signals, [(0, 0), (margin, margin)]), _WINDOW, axis=1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    power = np.abs(np.fft.rfft(frames[:, ::_HOP] * window)) ** 2
    decibels = 10 * np.log10(np.maximum(power @ _mel_filters().T, 1e-12))
    decibels -= decibels.max(axis=(1, 2), keepdims=True)
    return np.rint(255 * np.clip(1 + decibels / _RANGE_DB, 0, 1)).astype(np.uint8).transpose(0, 2, 1)


def _mel_filters():
    """Triangles of equal width on the mel scale, each of weights that sum to 1, shape (bands, frequencies)."""
    ends = 2595 * np.log10(1 + np.array([_LOWEST_HZ, _RATE / 2]) / 700)
    points = 700 * (10 ** (np.linspace(*ends, _N_MELS + 2) / 2595) - 1)
    low, centre, high = points[:-2, None], points[1:-1, None], points[2:, None]
    frequency = np.fft.rfftfreq(_WINDOW, 1 / _RATE)
    filters = np.maximum(0, np.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)))
    return filters / filters.sum(axis=1, keepdims=True)
