"""One file that is safe to open: a zip of a JSON head and safetensors, in which nothing can be run."""

import json
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from sklearn_aecf._data import InputSpec
from sklearn_aecf._data._columns import Encoding
from sklearn_aecf._files import whole_file
from sklearn_aecf.masking import EntropyMasking, RandomCorruption, RegretMasking, UniformMasking

# Raised when an older version could not read what is written; every version reads all formats up to its own.
FORMAT = 1

HEAD, TENSORS = "head.json", "tensors.safetensors"

# A head is text about names and widths; so many bytes, and characters of its arrays of text, are plenty.
MAX_HEAD = 2**24

# What a damaged part says of itself may be long.
MAX_REASON = 200

# What reading a damaged file may raise: zipfile seeks places that are not there.
_DAMAGES = (
    ValueError, KeyError, EOFError, OSError, RuntimeError, OverflowError, MemoryError, zipfile.BadZipFile, struct.error,
    SafetensorError,
)  # fmt: skip

_STRATEGIES = {kind.__name__: kind for kind in (UniformMasking, EntropyMasking, RegretMasking, RandomCorruption)}
_RECORDS = {kind.__name__: kind for kind in (InputSpec, Encoding)}


# The file


def write_file(path, head, arrays):
    """Write a file whole or not at all.

    Parameters
    ----------
    path : str or path-like
    head : dict
        As JSON takes it.
    arrays : dict of str to ndarray

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = checked_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file in it.")
    with whole_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(HEAD, json.dumps({"format": FORMAT, **head}, allow_nan=False))
        archive.writestr(TENSORS, save_tensors({k: np.ascontiguousarray(v) for k, v in arrays.items()}))


def read_file(path):
    """Head and arrays of a file.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    head : dict
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        If the file is none of ours, damaged, or of a later version.
    """
    path = checked_path(path)
    # A pipe would be waited for.
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is no file; give the file that save wrote.")
    with open(path, "rb") as file:
        try:
            head, tensors = _members(file)
        except _DAMAGES as error:
            raise damaged(path, error) from error
    if head["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {head['format']}, but this version of sklearn-aecf reads formats up to {FORMAT}; "
            f"install the version that wrote it ({shortened(head.get('version'))}), or a later one."
        )
    return head, tensors


def _members(file):
    """Head and arrays of an open file."""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if sorted(info.filename for info in infos) != sorted([HEAD, TENSORS]):
            raise ValueError(f"it holds {', '.join(sorted(repr(info.filename) for info in infos)) or 'nothing'}")
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
            raise ValueError("its parts are compressed or encrypted")
        # What is stored as it is cannot be larger than the file.
        if any(not info.file_size == info.compress_size <= os.fstat(file.fileno()).st_size for info in infos):
            raise ValueError("its parts are not of the size that they announce")
        if archive.getinfo(HEAD).file_size > MAX_HEAD:
            raise ValueError(f"its head has {archive.getinfo(HEAD).file_size} bytes")
        # Reading compares each part with its checksum.
        head, tensors = _strict_json(archive.read(HEAD)), load_tensors(archive.read(TENSORS))
    if not isinstance(head, dict) or type(head.get("format")) is not int or head["format"] < 1:
        raise ValueError("its head names no format")
    return head, tensors


def checked_path(path):
    """The path, if it is one: a number would be taken for an open file."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a pathlib.Path. Got {type(path).__name__}.")
    return Path(path)


def _strict_json(text):
    """What JSON says, without the numbers that it has no words for, and without keys said twice."""

    def once(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("its head says something twice")
        return found

    def refuse(number):
        raise ValueError(f"its head has {number}")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def damaged(path, error):
    return ValueError(f"{path} holds no model saved by sklearn-aecf, or is damaged: {shortened(error)}.")


def shortened(reason):
    """A reason that somebody else gives, as the end of a sentence."""
    reason = " ".join(str(reason).split())
    reason = reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}..."
    return reason.rstrip(". ") or "it is empty"


# Values that JSON does not know


class CannotSaveError(TypeError):
    """Something that has no place in a file."""


def packed(value):
    """A value as JSON takes it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic) and not isinstance(value, np.longdouble):
        return packed(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"~float": repr(value)}
    if isinstance(value, list):
        return [packed(item) for item in value]
    if isinstance(value, tuple):
        return {"~tuple": [packed(item) for item in value]}
    if isinstance(value, frozenset | set):
        return {"~set": [packed(item) for item in sorted(value)]}
    if isinstance(value, slice):
        return {"~slice": [packed(bound) for bound in (value.start, value.stop, value.step)]}
    if isinstance(value, Mapping):
        return {"~dict": [[packed(key), packed(item)] for key, item in value.items()]}
    if isinstance(value, np.ndarray) and value.ndim == 1 and _has_words(value.dtype):
        return {"~array": [value.dtype.kind if value.dtype.kind == "U" else value.dtype.str, packed(value.tolist())]}
    if type(value).__name__ in _RECORDS:
        return {"~record": [type(value).__name__, {f.name: packed(getattr(value, f.name)) for f in fields(value)}]}
    if type(value) in _STRATEGIES.values():
        return {"~strategy": [type(value).__name__, packed(value.get_params())]}
    raise CannotSaveError(f"Values of type {type(value).__name__} cannot be saved.")


def _has_words(dtype):
    """Whether an array of that dtype can be read again: of longdouble not everywhere."""
    return dtype.kind in "UO" or (dtype.kind in "biuf" and dtype.itemsize <= 8)


def unpacked(value):
    """What `packed` was given."""
    if isinstance(value, list):
        return [unpacked(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "~record":
        return _RECORDS[content[0]](**{name: unpacked(item) for name, item in content[1].items()})
    if tag == "~strategy":
        return _STRATEGIES[content[0]](**unpacked(content[1]))
    if tag == "~float":
        return float(content)
    if tag == "~dict":
        return {unpacked(key): unpacked(item) for key, item in content}
    if tag == "~array":
        if not re.fullmatch(r"U|\|?O|[<>|=]?[biuf][1248]", content[0]):
            raise ValueError(f"its array is of {content[0]!r}")
        items = unpacked(content[1])
        # Each text takes the room of the longest.
        if content[0] == "U" and len(items) * max(map(len, items), default=0) > MAX_HEAD:
            raise ValueError("its array of text is too large")
        return np.array(items, dtype=content[0])
    return {"~tuple": tuple, "~set": frozenset, "~slice": lambda bounds: slice(*bounds)}[tag](unpacked(content))
