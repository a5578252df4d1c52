"""What the fetchers share: downloads that resume and are verified, and files written whole or not at all."""

import hashlib
import numbers
import os
import tempfile
import time
import warnings
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from sklearn.datasets import get_data_home

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60

# All that a damaged archive raises, whichever of the standard library's readers meets it.
DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


def resolve_home(data_home):
    """The folder of a data set: the one given, or ``sklearn_aecf`` in scikit-learn's data home."""
    home = Path(get_data_home()) / "sklearn_aecf" if data_home is None else Path(data_home).expanduser()
    if home.exists() and not home.is_dir():
        raise NotADirectoryError(f"data_home must be a folder, but {home} is a file; give the folder that it is in.")
    return home


def is_one_of(value, known):
    """Whether an option has a known value, of the type that it is documented with: 2017.0 is no year."""
    return isinstance(value, str | numbers.Integral) and value in known


def fetch_file(path, urls, *, sha256=None, download_if_missing=True, n_retries=3, delay=1.0):
    """Download a file unless it is there.

    Bytes go to ``<path>.part``, from where a later call resumes if the server allows it; the file gets its name once it
    is complete and its checksum, if known, is right. A file that is there already is not verified.

    Parameters
    ----------
    path : Path
    urls : list of str
        Mirrors of the same bytes, tried in turn.
    sha256 : str, default=None
        Expected checksum in hexadecimal digits.
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
        If the file is not there and cannot or must not be downloaded, or is not the expected one.
    """
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} must be a file, but it is a folder; move it away, or put {urls[0]} in its place."
        )
    if path.exists():
        return path
    if not download_if_missing:
        raise OSError(
            f"{path} does not exist and download_if_missing=False; allow the download, or get the file from {urls[0]} "
            "and put it there."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    url = _download(urls, part, path, n_retries, delay)
    if sha256 is not None:
        found = _sha256(part)
        if found != sha256:
            part.unlink()
            raise OSError(
                f"{path.name} from {url} has SHA-256 {found}, but {sha256} was expected; the file was refused and "
                f"removed. Try again, or put a good copy at {path}."
            )
    os.replace(part, path)
    return path


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
    start = part.stat().st_size if part.exists() else 0
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
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
    if expected is not None and part.stat().st_size != expected:
        raise OSError(f"the connection ended after {part.stat().st_size} of {expected} bytes")


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
    try:
        with np.load(path, allow_pickle=False) as stored:
            lacking = [name for name in names or [] if name not in stored.files]
            arrays = {} if lacking else {name: stored[name] for name in names or stored.files}
    except FileNotFoundError:
        raise
    except (*DAMAGED, AttributeError, TypeError) as error:  # an npy file gives an array, which is no context
        raise ValueError(f"{path} cannot be read as an npz file ({error}); {remedy}") from error
    if lacking:
        raise ValueError(f"{path} has no array {lacking[0]!r}; {remedy}")
    return arrays


def save_npz(path, arrays):
    """Write an npz file whole or not at all; where the folder cannot be written, warn and go on without."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            np.savez_compressed(file, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        warnings.warn(
            f"{path} could not be written ({error.strerror}), so the next call builds the data again; give a data_home "
            "that can be written to.",
            stacklevel=3,
        )
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
