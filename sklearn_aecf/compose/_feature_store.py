"""Rows of features on disk, found again by key."""

import os
import time
import uuid
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

KEY_BYTES = 16
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class FeatureStore:
    """Rows of features in the files of a folder; several processes may use it at once.

    A file is written under another name first and never changed afterwards: whoever reads sees all of it or nothing,
    and two writers of the same rows leave two equal copies. Files that cannot be read (cut short, or of something
    else) are passed over.

    Parameters
    ----------
    folder : path
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
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OSError(
                f"The cache folder {self.folder} cannot be written to ({error.strerror}); give cache another one, "
                "or None."
            ) from error

    def load(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Those of the wanted rows that are there, by key."""
        wanted, found = set(keys), {}
        for path in sorted(self.folder.glob("*.npz")):
            if not wanted:
                break
            try:
                found.update(_rows_of(path, wanted))
            except UNREADABLE:
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
                    f"Features could not be kept in {self.folder} ({error.strerror}), so a later call encodes these "
                    "items again; make room there, or give cache another folder.",
                    stacklevel=2,
                )
                return

    def _write(self, some):
        keys, rows = zip(*some, strict=True)
        path = self.folder / f"{uuid.uuid4().hex}.npz"
        unfinished = path.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(unfinished, "wb") as file:
                np.savez(
                    file,
                    keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES),
                    rows=np.stack(rows).astype(np.float32, copy=False),
                )
            os.replace(unfinished, path)
        finally:
            if unfinished.exists():
                unfinished.unlink()


def _rows_of(path, wanted):
    with np.load(path, allow_pickle=False) as file:
        keys = [key.tobytes() for key in file["keys"]]
        chosen = [(position, key) for position, key in enumerate(keys) if key in wanted]
        if not chosen:
            return {}
        rows = file["rows"]  # the archive's checksum is verified here
    if rows.shape[:1] != (len(keys),) or rows.ndim != 2:
        raise ValueError("keys and rows do not match")
    return {key: rows[position] for position, key in chosen}
