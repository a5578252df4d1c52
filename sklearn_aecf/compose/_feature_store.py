"""Rows of features on disk, found again by key."""

import os
import struct
import time
import uuid
import warnings
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np

from sklearn_aecf._files import whole_file

KEY_BYTES = DIGEST_BYTES = 16
SUFFIX = ".features"
MAGIC = b"AECF features 1\n"
HEAD = struct.Struct("<16sQQ")  # magic, rows, width
ROW_DTYPE = np.dtype("<f4")


class FeatureStore:
    """Rows of features in the files of a folder; several processes may use it at once.

    A file is written under another name first and never changed afterwards: whoever reads sees all of it or nothing,
    and two writers of the same rows leave two equal copies. It holds ``HEAD``, the keys, their digest, the rows and
    their digest. A file that is not as it was written (cut short, changed, from the folder of another encoder) gives no
    rows and is deleted; what is no file, or cannot be opened, is passed over.

    Parameters
    ----------
    folder : path
        Its name goes into the digests.
    rows_a_file : int, default=1024
        Rows that are collected before they are written,
    seconds_a_file : float, default=30
        unless this much time passes first: no more than that is lost when the process is killed.
    """

    def __init__(self, folder, rows_a_file=1024, seconds_a_file=30.0):
        self.folder = Path(folder)
        self.rows_a_file, self.seconds_a_file = rows_a_file, seconds_a_file
        self._waiting: list[tuple[bytes, np.ndarray]] = []
        self._written, self._writes = time.monotonic(), True

    def check_writable(self):
        """Find out before the work whether its result can be kept.

        Raises
        ------
        OSError
            If it cannot.
        """
        probe = self.folder / f"{uuid.uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as error:
            raise OSError(
                f"The cache folder {self.folder} cannot be written to ({error.strerror or error}); give cache another "
                "one, or None."
            ) from error

    def load(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Those of the wanted rows that are there, by key."""
        wanted, found = set(keys), {}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if not wanted:
                break
            if not path.is_file():
                continue
            try:
                found.update(self._read(path, wanted))
            except ValueError:
                with suppress(OSError):
                    path.unlink()
            except OSError:
                continue
            wanted -= found.keys()
        return found

    def add(self, keys: Iterable[bytes], rows: np.ndarray):
        """Keep rows of shape (n_rows, d), now or with the next ones."""
        self._waiting += zip(keys, rows, strict=True)
        if len(self._waiting) >= self.rows_a_file or time.monotonic() - self._written > self.seconds_a_file:
            self.flush()

    def flush(self):
        """Write the rows that wait."""
        self._written = time.monotonic()
        waiting, self._waiting = self._waiting, []
        for width in {len(row) for _, row in waiting} if self._writes else ():
            try:
                self._write([(key, row) for key, row in waiting if len(row) == width])
            except OSError as error:
                self._writes = False
                warnings.warn(
                    f"Features could not be kept in {self.folder} ({error.strerror or error}), so a later call encodes "
                    "these items again; make room there, or give cache another folder.",
                    stacklevel=2,
                )
                return

    def _write(self, some):
        keys, rows = zip(*some, strict=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / f"{uuid.uuid4().hex}{SUFFIX}") as file:
            file.writelines(self._sealed(b"".join(keys), np.stack(rows).astype(ROW_DTYPE, copy=False)))

    def _sealed(self, keys, rows):
        head, values = HEAD.pack(MAGIC, *rows.shape), rows.tobytes()
        return head, keys, self._digest(head, keys), values, self._digest(head, keys, values)

    def _read(self, path, wanted):
        """The wanted rows of a file, by key; ValueError where it is not as it was written."""
        with open(path, "rb") as file:
            head = file.read(HEAD.size)
            n_rows, width = _announced_shape(head, os.fstat(file.fileno()).st_size)
            keys = self._verified(file, n_rows * KEY_BYTES, head)
            listed = (keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES))
            chosen = [(key, row) for row, key in enumerate(listed) if key in wanted]
            if not chosen:
                return {}
            values = self._verified(file, n_rows * width * ROW_DTYPE.itemsize, head, keys)
        rows = np.frombuffer(values, dtype=ROW_DTYPE).reshape(n_rows, width)
        if not np.isfinite(rows).all():
            raise ValueError("features are not finite")
        return {key: rows[row] for key, row in chosen}

    def _verified(self, file, size, *before):
        content = file.read(size)
        if file.read(DIGEST_BYTES) != self._digest(*before, content):
            raise ValueError("the content is not what was written")
        return content

    def _digest(self, *parts):
        digest = blake2b(self.folder.name.encode("utf-8", "surrogateescape"), digest_size=DIGEST_BYTES)
        for part in parts:
            digest.update(part)
        return digest.digest()


def _announced_shape(head, file_size):
    """The shape in a file's head, once the file is as long as that makes it."""
    if len(head) != HEAD.size or not head.startswith(MAGIC):
        raise ValueError("the head is not ours")
    _, n_rows, width = HEAD.unpack(head)
    row_size = KEY_BYTES + width * ROW_DTYPE.itemsize
    if file_size != HEAD.size + n_rows * row_size + 2 * DIGEST_BYTES:
        raise ValueError("the file has another length")
    return n_rows, width
