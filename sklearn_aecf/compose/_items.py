"""Raw items of one modality: which are there, files opened, and batches that a module takes."""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch

from sklearn_aecf._data import missing_rows
from sklearn_aecf._data._values import frame_to_array, is_frame, unmasked
from sklearn_aecf.compose._fingerprint import fingerprint

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # of Pillow: more than 8 bits, which RGB would cut off


def optional_import(load, package, purpose):
    """What `load` imports, or one sentence about the package that is missing."""
    try:
        return load()
    except ImportError:
        raise ImportError(
            f"FrozenEncoder needs {package} to {purpose}. You can install it with `pip install sklearn-aecf[images]`."
        ) from None


def read_items(X):
    """The items of X, one a row, and which of them are there.

    Parameters
    ----------
    X : array-like of shape (n_rows,), (n_rows, 1) or (n_rows, ...)

    Returns
    -------
    items : sequence of length n_rows
    present : ndarray of bool, shape (n_rows,)
        False for None, NaN, NA and NaT, and for arrays of NaN alone.

    Raises
    ------
    TypeError, ValueError
        If X holds several modalities, or no items.
    """
    if isinstance(X, Mapping):
        raise TypeError(
            "FrozenEncoder takes the items of one modality. Got a mapping of modalities; use it inside "
            "ModalityTransformer({'image': FrozenEncoder(...)})."
        )
    if isinstance(X, str | bytes) or not hasattr(X, "__len__"):
        raise TypeError(f"FrozenEncoder takes a sequence with one item per row. Got {type(X).__name__}.")
    if getattr(X, "ndim", 1) == 0:
        raise TypeError(f"FrozenEncoder takes a sequence with one item per row. Got a 0-d {type(X).__name__}.")
    if is_frame(X):
        X = frame_to_array(X)
    elif not isinstance(X, list | tuple | np.ndarray | torch.Tensor):
        X = X.to_list() if hasattr(X, "to_list") else list(X)
    if isinstance(X, np.ma.MaskedArray):
        X = unmasked(X, "X")
    if isinstance(X, np.ndarray) and X.dtype.kind not in "biufc":
        if X.size != len(X):
            raise ValueError(f"FrozenEncoder takes one item per row. Got objects in an array of shape {X.shape}.")
        X = X.reshape(-1).astype(object)
    if isinstance(X, np.ndarray) and X.dtype.kind in "biufc":
        return X, ~missing_rows(X)
    if any(isinstance(item, np.ma.MaskedArray) for item in X):
        X = [unmasked(item, f"Item {i}") if isinstance(item, np.ma.MaskedArray) else item for i, item in enumerate(X)]
    return X, np.array([not _is_missing(item) for item in X], dtype=bool)


def _is_missing(item):
    if item is None or type(item).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(item, float | np.floating | np.datetime64):
        return bool(item != item)
    if isinstance(item, np.ndarray | torch.Tensor):
        floating = item.dtype.kind == "f" if isinstance(item, np.ndarray) else item.is_floating_point()
        return bool(floating and (item != item).all())
    return isinstance(item, list | tuple) and bool(item) and all(map(_is_missing, item))


class ItemReader:
    """Opens the files among the items and prepares batches, with messages that say which item failed.

    Parameters
    ----------
    load, preprocess, batched
        As in `FrozenEncoder`.
    """

    def __init__(self, load, preprocess, batched):
        self.load, self.preprocess, self.batched = load, preprocess, batched

    def key(self, item, position) -> bytes:
        """Sixteen bytes of an item's content; of an image file the bytes in it, wherever it lies."""
        if not self._is_file(item) or callable(self.load):  # which may read a folder, or a second file
            return fingerprint(self._opened(item, position))
        try:
            with open(_not_a_pipe(item), "rb") as file:
                return blake2b(file.read(), digest_size=16, person=b"file").digest()
        except (OSError, ValueError) as error:  # a name with a null byte
            raise self._unreadable(item, position, error) from error

    def batch(self, items, positions):
        """What the module is called with: a tensor, a mapping of tensors, or a list."""
        opened = [self._opened(item, position) for item, position in zip(items, positions, strict=True)]
        if self.preprocess is None:
            return _stacked(opened)
        if self.batched:
            prepared = self.preprocess(opened)
            if isinstance(prepared, Mapping):
                return {name: _stacked(value) if _is_rows(value) else value for name, value in prepared.items()}
            n_rows = len(prepared) if _has_length(prepared) else None
            if n_rows != len(items) or isinstance(prepared, tuple):
                raise ValueError(
                    f"preprocess must return, with batched=True, one row per item, here {len(items)}, in a tensor or a "
                    f"list, or a mapping. Got {type(prepared).__name__}{'' if n_rows is None else f' of {n_rows}'}."
                )
            return prepared if isinstance(prepared, torch.Tensor) else _stacked(prepared)
        return _stacked([self._prepared(item, position) for item, position in zip(opened, positions, strict=True)])

    def _prepared(self, item, position):
        try:
            prepared = self.preprocess(item)
        except Exception as error:
            raise ValueError(
                f"preprocess failed on item {position} ({type(error).__name__}: {error}); it gets one "
                f"{type(item).__name__} at a time, or a list of them with batched=True."
            ) from error
        if isinstance(prepared, Mapping):
            raise TypeError(
                "preprocess returned a mapping for a single item, as Hugging Face processors and tokenizers do; set "
                "batched=True, and have it return tensors (return_tensors='pt', for text also padding=True)."
            )
        return prepared

    def _is_file(self, item):
        if isinstance(item, os.PathLike):
            return self.load is not None
        if not isinstance(item, str) or self.load is None:
            return False
        return self.load != "auto" or item.lower().endswith(IMAGE_SUFFIXES)

    def _opened(self, item, position):
        is_file = self._is_file(item)
        try:
            if type(item).__module__.startswith("PIL."):
                item.load()  # Pillow reads the pixels when they are needed
            opened = (self.load if callable(self.load) else _image)(item) if is_file else item
        except ImportError:
            raise
        except Exception as error:
            raise self._unreadable(item, position, error) from error
        if is_file and not callable(self.load) and opened.mode in DEEP_MODES:
            raise ValueError(
                f"Item {position} in {str(item)!r} holds values of more than 8 bits (mode {opened.mode}); give load a "
                "function that scales them."
            )
        return opened

    def _unreadable(self, item, position, error):
        is_text = self.load == "auto" and isinstance(item, str)
        text = "; text that looks like a path needs load=None" if is_text else ""
        source = str(getattr(item, "filename", item))  # of a Pillow image the file that it was opened from
        return ValueError(
            f"Item {position} cannot be read from {source!r} ({type(error).__name__}); repair the file, or put None "
            f"in its place, which counts as missing{text}."
        )


def _image(path):
    image_module = optional_import(_pillow, "Pillow", "open images")
    with image_module.open(_not_a_pipe(path)) as image:
        return image.copy() if image.mode in DEEP_MODES else image.convert("RGB")


def _not_a_pipe(path):
    """A path, unless reading it would wait until somebody writes."""
    if Path(path).is_fifo():
        raise OSError(f"{path} is a pipe")
    return path


def _pillow():
    from PIL import Image

    return Image


def _has_length(value):
    return hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def _is_rows(value):
    return isinstance(value, list | tuple | np.ndarray)


def _stacked(items):
    """Tensors, arrays and numbers as one tensor; a list of text, images and the like as it is."""
    if isinstance(items, np.ndarray):
        items = list(items)
    if not items or not all(map(_is_numeric, items)):
        return items
    if not all(isinstance(item, torch.Tensor) for item in items):
        items = [torch.tensor(np.asarray(item)) for item in items]
    shapes = sorted({tuple(item.shape) for item in items})
    if len(shapes) > 1:
        raise ValueError(
            f"Items of a batch have different shapes, {shapes[0]} and {shapes[-1]}; have preprocess bring them to one "
            "(padding=True with batched=True), or set batch_size=1."
        )
    return torch.stack(list(items))


def _is_numeric(item):
    if isinstance(item, torch.Tensor | int | float | np.number | np.bool_):
        return True
    if isinstance(item, np.ndarray):
        return item.dtype.kind in "biuf"
    return isinstance(item, list | tuple) and bool(item) and all(map(_is_numeric, item))
