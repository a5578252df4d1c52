"""What the fetchers share: downloads that resume and are verified, and files written whole or not at all."""

import hashlib
import io
import math
import numbers
import os
import stat
import time
import warnings
import zipfile
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from sklearn.datasets import get_data_home

from sklearn_aecf._files import whole_file

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class _UnwritableError(Exception):
    """A sentence about a file that cannot be written here, which no other mirror would change."""


def resolve_home(data_home):
    """The folder of a data set: the one given, or ``sklearn_aecf`` in scikit-learn's data home."""
    home = Path(get_data_home()) / "sklearn_aecf" if data_home is None else Path(data_home).expanduser()
    if home.exists() and not home.is_dir():
        raise NotADirectoryError(f"data_home must be a folder, but {home} is a file; give the folder that it is in.")
    return home


def is_one_of(value, known):
    """Whether an option has a known value, of the type that it is documented with: 2017.0 is no year."""
    return isinstance(value, str | numbers.Integral) and value in known


def is_file(path, remedy="move it away."):
    """Whether a file is there; an error where a folder is, or what has no end to read to, such as a pipe."""
    if path.is_file() or not path.exists():
        return path.exists()
    kind = "a folder" if path.is_dir() else "no regular file"
    raise OSError(f"{path} must be a file, but it is {kind}; {remedy}")


@contextmanager
def readable(path, remedy, kind=""):
    """One sentence, whatever the reader of a damaged file raises.

    Parameters
    ----------
    path : Path or str
    remedy : str
        End of the sentence.
    kind : str, default=""
        What the file cannot be read as.

    Raises
    ------
    ValueError
        For any error but a lack of memory.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read{kind} ({_text_at_start(path) or _reason(error)}); {remedy}") from error


def _reason(error):
    return str(error).partition("\n")[0] or type(error).__name__


def _text_at_start(path):
    """That a file begins with text, as a web page does that was saved in its place; empty if it does not."""
    try:
        with open(path, "rb") as file:
            text = file.read(200).decode("utf-8-sig", "ignore").strip()
    except OSError:
        return ""
    line = text.partition("\n")[0].strip()[:40]
    return f"it begins with {line!r}" if line and line.isprintable() else ""


def fetch_file(path, urls, *, sha256=None, check=None, download_if_missing=True, n_retries=3, delay=1.0):
    """Download a file unless it is there.

    Bytes go to ``<path>.part``, from where a later call resumes if the server allows it; the file gets its name once it
    is complete and what it should be. A file that is there already is not verified.

    Parameters
    ----------
    path : Path
    urls : list of str
        Mirrors of the same bytes, tried in turn.
    sha256 : str, default=None
        Expected checksum in hexadecimal digits.
    check : callable, default=None
        It is called with the path of what was downloaded, and raises where that is not the file.
    download_if_missing : bool, default=True
    n_retries : int, default=3
        Times that every mirror is tried after a failure, at least 1.
    delay : float, default=1.0
        Seconds between these rounds.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If the file is not there and cannot or must not be downloaded, cannot be written, or is not the expected one.
    """
    if is_file(path, f"move it away, or put {urls[0]} in its place."):
        return path
    if not download_if_missing:
        raise OSError(
            f"{path} does not exist and download_if_missing=False; allow the download, or get the file from {urls[0]} "
            "and put it there."
        )
    part = path.with_name(path.name + ".part")
    try:
        with _writing(part):
            path.parent.mkdir(parents=True, exist_ok=True)
        url = _download(urls, part, path, n_retries, delay)
        _refuse_another(part, url, path, sha256, check)
        with _writing(path):
            os.replace(part, path)
    except _UnwritableError as error:
        with suppress(OSError):
            part.unlink()
        raise OSError(str(error)) from error.__cause__
    return path


def _refuse_another(part, url, path, sha256, check):
    """Remove a download that is not what it should be."""
    reason = _mismatch(part, sha256, check)
    if reason is None:
        return
    advice = "Try again"
    if text := _text_at_start(part):
        reason, advice = f"{reason}, and {text}", "Log in if the network asks for that, and try again"
    part.unlink()
    raise OSError(
        f"{path.name} from {url} {reason}; the file was refused and removed. {advice}, or put a good copy at {path}."
    )


def _mismatch(part, sha256, check):
    """What is wrong with a download, or None."""
    if sha256 is not None:
        found = _sha256(part)
        return None if found == sha256 else f"has SHA-256 {found}, but {sha256} was expected"
    try:
        if check is not None:
            check(part)
    except MemoryError:
        raise
    except Exception as error:
        return f"is not the file that was expected ({_reason(error)})"
    return None


@contextmanager
def _writing(path):
    try:
        yield
    except OSError as error:
        raise _UnwritableError(
            f"{path} could not be written ({error.strerror or error}); make room there, or give a data_home that can "
            "be written to."
        ) from error


def _download(urls, part, path, n_retries, delay):
    """Fill `part` from the first mirror that gives all of the file, and return that mirror."""
    for round_ in range(max(1, n_retries)):
        if round_:
            time.sleep(delay)
        for url in urls:
            try:
                _resume(url, part)
                return url
            except (OSError, HTTPException) as error:  # URLError and time-outs are OSErrors
                reason = getattr(error, "reason", None) or error
    raise OSError(
        f"{path.name} could not be downloaded from {' or '.join(urls)} ({reason}); download it where there is a "
        f"network and put it at {path}."
    )


def _resume(url, part):
    """Download what `part` lacks; start again where the server cannot resume."""
    start = _bytes_of(part)
    headers = {"User-Agent": "sklearn-aecf", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = urlopen(Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code == 416:  # the part does not fit the server's file, so the next attempt starts again
            part.unlink()
        raise
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if response.status == 206 and not resumed:
            raise OSError(f"the server sent other bytes than asked for: {response.headers.get('Content-Range')}")
        length = response.headers.get("Content-Length")
        expected = None if length is None else int(length) + (start if resumed else 0)
        _append(response, part, resumed)
    if expected is not None and part.stat().st_size != expected:
        raise OSError(f"the connection ended after {part.stat().st_size} of {expected} bytes")


def _bytes_of(part):
    """How much of a download is there; what is not a file of its own, such as a link to another, is removed."""
    try:
        status = part.lstat()
    except FileNotFoundError:
        return 0
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return status.st_size
    with _writing(part):
        part.unlink()
    return 0


def _append(response, part, resumed):
    with _opened(part, resumed) as file:
        while block := response.read(_BLOCK_BYTES):
            with _writing(part):
                while block:
                    block = block[file.write(block) :]


def _opened(part, resumed):
    """A part to write to, unbuffered, so that what is written is not tried again when it is closed."""
    with _writing(part):
        if not resumed:
            part.unlink(missing_ok=True)
        return open(part, "ab", buffering=0, opener=_not_through_a_link)


def _not_through_a_link(path, flags):
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def read_npz(path, names, remedy):
    """Arrays of an npz file, without pickles.

    Parameters
    ----------
    path : Path
    names : list of str or None
        Arrays to read; None reads all.
    remedy : str
        End of the sentence that refuses a file.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        If the file is no npz file, is damaged, or lacks an array.
    """
    with readable(path, remedy, " as an npz file"), zipfile.ZipFile(path) as archive:
        stored = [name.removesuffix(".npy") for name in archive.namelist()]
        lacking = [name for name in names or [] if name not in stored]
        arrays = {} if lacking else {name: _array(archive, name) for name in names or stored}
    if lacking:
        raise ValueError(f"{path} has no array {lacking[0]!r}; {remedy}")
    return arrays


def _array(archive, name):
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as file:
        shape, _, dtype = _HEADER_READERS[np.lib.format.read_magic(file)](file)
        announced, there = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    # What a damaged head announces is not allocated; one that announces too little would hide what else is damaged.
    if announced != there and not dtype.hasobject:
        raise ValueError(f"{name} should have {announced} bytes, but has {there}")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def check_arrays(path, stored, remedy, *, shapes, ranges, kinds, finite=()):
    """Refuse a file whose arrays do not fit each other, or hold what cannot be.

    Parameters
    ----------
    path : Path
    stored : dict of str to ndarray
    remedy : str
        End of the sentence that refuses a file.
    shapes : dict of str to tuple
    ranges : dict of str to range
        Of arrays of integers.
    kinds : dict of str to {"floats", "text"}
        Of the other arrays.
    finite : sequence of str
        Arrays of floats in which nothing is missing.

    Raises
    ------
    ValueError
    """
    for name, expected in shapes.items():
        if stored[name].shape != expected:
            raise ValueError(f"{path} should hold {name} of shape {expected}, but it is {stored[name].shape}; {remedy}")
    for name, known in ranges.items():
        array, last = stored[name], known.stop - 1
        if array.dtype.kind not in "iu" or (array.size and not known.start <= array.min() <= array.max() <= last):
            raise ValueError(f"{path} should hold {name} from {known.start} to {last}, but has others; {remedy}")
    for name, kind in kinds.items():
        if stored[name].dtype.kind != {"floats": "f", "text": "U"}[kind]:
            raise ValueError(f"{path} should hold {kind} in {name}, but has {stored[name].dtype}; {remedy}")
    for name in finite:
        if not np.isfinite(stored[name]).all():
            raise ValueError(f"{path} should hold finite numbers in {name}, but has others; {remedy}")


def save_npz(path, arrays):
    """Write an npz file whole or not at all; where the folder cannot be written, warn and go on without."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(content.getbuffer())
    except OSError as error:
        warnings.warn(
            f"{path} could not be written ({error.strerror or error}), so the next call builds the data again; give a "
            "data_home that can be written to.",
            stacklevel=3,
        )
