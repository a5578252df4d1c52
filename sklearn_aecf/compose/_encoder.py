"""FrozenEncoder: a pretrained torch module as a transformer of one raw modality."""

import copy
import os
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_aecf._data import did_you_mean
from sklearn_aecf.compose._feature_store import FeatureStore
from sklearn_aecf.compose._fingerprint import fingerprint
from sklearn_aecf.compose._frozen import called, encoder_device, frozen, module_dtype, moved, pool
from sklearn_aecf.compose._items import ItemReader, optional_import, read_items

CACHE_FORMAT = 1  # counted up when features of the same module would be others


class FrozenEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn the raw items of one modality into features, with a torch module whose weights stay as they are.

    Images (as paths, Pillow images or arrays), text, waveforms: whatever the module takes, from torchvision, timm,
    Hugging Face, sentence-transformers or your own code. The module runs in evaluation and without gradients; its
    weights, buffers and training flags are afterwards what they were. Modules given as `load`, `preprocess` or
    `pooling` are in evaluation meanwhile, too. Missing items become rows of NaN.

    Parameters
    ----------
    module : torch.nn.Module
        It is shared, not copied, by clones of the encoder; a pickle contains it.
    method : str, default="forward"
        Method of the module that is called, e.g. ``"get_image_features"`` of CLIP or ``"encode"`` of
        sentence-transformers.
    load : {"auto", "image"}, callable or None, default="auto"
        What becomes of an item that is a str or a path. ``"image"`` opens the file with Pillow, as RGB. ``"auto"``
        does so for path objects and for a str with the ending of an image file (``.jpg``, ``.png``, ...); any other
        str is text. A function gets the path and returns the item, e.g. a waveform, or an image of more than 8 bits
        a channel, scaled to what the module takes; ``"image"`` and ``"auto"`` refuse those. None opens nothing.
    preprocess : callable, default=None
        What turns items into input of the module, e.g. a torchvision transform or a Hugging Face tokenizer. Without
        it, arrays of equal shapes are stacked, and text and images are handed over as a list.
    batched : bool, default=False
        Whether `preprocess` gets the list of a batch's items, as Hugging Face tokenizers and processors want, and
        not one item. A mapping that it returns goes to the module as keyword arguments, anything else as the first.
    pooling : {"auto", "mean", "cls"} or callable, default="auto"
        How the output becomes one row per item. ``"auto"`` takes, of a mapping, the first there is of
        ``image_embeds``, ``text_embeds``, ``sentence_embedding``, ``pooler_output`` and ``last_hidden_state``, of a
        tuple the first part; then shape (b, d) as it is, the mean over tokens of (b, t, d), where the input has an
        ``attention_mask`` over those that are no padding, and the mean over space of (b, c, h, w). ``"mean"`` and
        ``"cls"`` (the first token) take ``last_hidden_state``. A function gets the output and returns (b, d).
    batch_size : int, default=32
        Items a call of the module.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` is the accelerator that the weights are on, else
        cuda, then mps, then cpu. The module moves there for the call only.
    cache : str, path, joblib.Memory or None, default=None
        Folder in which features are kept, item by item, so that the folds of a cross-validation, other splits and
        later runs encode no item twice.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    n_features_out_ : int
        Width of the features; 0 where every item was missing at `fit`.

    Raises
    ------
    ValueError
        If a file cannot be read, the device is not there, items of a batch differ in shape, the module's output cannot
        be pooled or is not finite, or its width is not that of `fit`.
    TypeError
        If X holds several modalities, or something that `cache` cannot tell apart, or the module wants floats and gets
        integers, or tensors and gets a list.
    OSError
        If `cache` cannot be written to.
    ImportError
        If Pillow or, for the progress bar, tqdm is missing.

    See Also
    --------
    ModalityTransformer : One transformer per modality.

    Notes
    -----
    An item is missing where it is None, NaN, NA or NaT, or an array or list of NaN alone.

    Features in the cache are found by the content of the item (of an image file: its bytes, wherever it lies and
    whatever it is called; with a function as `load`: what that returns, so it opens every item) together with
    everything they depend on: weights and settings of the module, `method`, `load`, `preprocess`, `batched` and
    `pooling`, functions by their code, packages by their version. The weights are read for that once per call, at about
    3 seconds a gigabyte. Processes may share a folder. A file in it that was damaged is found out when it is read, and
    deleted; its items are encoded again.

    Floating input is cast to the dtype of the module's weights; integers stay integers, as they may be tokens: have
    `preprocess` scale images of 8 bits. Features are float32, and do not depend on torch's default dtype, nor on
    autocast or inference mode around a call.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklearn_aecf.compose import FrozenEncoder
    >>> images = np.ones((3, 1, 8, 8), dtype=np.float32)
    >>> images[1] = np.nan  # missing
    >>> encoder = FrozenEncoder(torch.nn.Conv2d(1, 2, kernel_size=3), device="cpu")
    >>> features = encoder.fit_transform(images)
    >>> features.shape, np.isnan(features).all(axis=1).tolist()
    ((3, 2), [False, True, False])
    """

    _parameter_constraints: dict = {
        "module": [nn.Module],
        "method": [str],
        "load": [StrOptions({"auto", "image"}), callable, None],
        "preprocess": [callable, None],
        "batched": ["boolean"],
        "pooling": [StrOptions({"auto", "mean", "cls"}), callable],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "cache": [str, os.PathLike, joblib.Memory, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        module,
        *,
        method="forward",
        load="auto",
        preprocess=None,
        batched=False,
        pooling="auto",
        batch_size=32,
        device="auto",
        cache=None,
        verbose=0,
    ):
        self.module = module
        self.method = method
        self.load = load
        self.preprocess = preprocess
        self.batched = batched
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.cache = cache
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def __sklearn_clone__(self):
        # scikit-learn would copy the weights; nobody changes them, so every clone may use the same.
        params = self.get_params(deep=False)
        hollow = copy.copy(self)
        for name in params:
            setattr(hollow, name, None)
        return super(FrozenEncoder, hollow).__sklearn_clone__().set_params(**params)

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def fit(self, X, y=None):
        """Encode the first item that is there, to learn the width of the features.

        Parameters
        ----------
        X : array-like of shape (n_rows,), (n_rows, 1) or (n_rows, ...)
            An item per row: path, text, image, array.
        y : ignored
            Not used.

        Returns
        -------
        self
            The estimator itself.
        """
        self._check()
        items, present = read_items(X)
        first = np.flatnonzero(present)[:1]
        self.n_features_out_ = self._encode(items, first).shape[1]
        return self

    def fit_transform(self, X, y=None):
        """Encode items, and learn the width of the features.

        Parameters
        ----------
        X : array-like of shape (n_rows,), (n_rows, 1) or (n_rows, ...)
            Items: paths, texts or arrays; None or NaN where one is missing.
        y : ignored
            Not used.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_features_out)
            Features; NaN where an item is missing.
        """
        self._check()
        items, present = read_items(X)
        rows = self._encode(items, np.flatnonzero(present))
        self.n_features_out_ = rows.shape[1]
        return _spread(rows, present)

    def transform(self, X):
        """Encode items.

        Parameters
        ----------
        X : array-like of shape (n_rows,), (n_rows, 1) or (n_rows, ...)
            Items: paths, texts or arrays; None or NaN where one is missing.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_features_out)
            NaN where an item is missing.
        """
        check_is_fitted(self)
        self._check()
        items, present = read_items(X)
        if not present.any():
            return np.full((len(present), self.n_features_out_), np.nan, dtype=np.float32)
        rows = self._encode(items, np.flatnonzero(present))
        if rows.shape[1] != self.n_features_out_:
            known = f"was fitted with {self.n_features_out_}" if self.n_features_out_ else "was fitted on missing items"
            raise ValueError(f"The module gives {rows.shape[1]} features, but FrozenEncoder {known}; fit it again.")
        return _spread(rows, present)

    def _check(self):
        self._validate_params()
        if not callable(getattr(self.module, self.method, None)):
            names = [name for name in dir(type(self.module)) if not name.startswith("_")]
            raise ValueError(
                f"{type(self.module).__name__} has no method {self.method!r}{did_you_mean(self.method, names)}"
            )

    def _encode(self, items, positions):
        """Features of the items at some positions, one row each; what the cache has is not encoded."""
        reader = ItemReader(self.load, self.preprocess, self.batched)
        store, keys, rows = None, positions.tolist(), {}
        if self._cache_folder() is not None and len(positions):
            store = FeatureStore(self._cache_folder() / self._fingerprint().hex())
            keys = [reader.key(items[position], position) for position in positions.tolist()]
            rows = store.load(keys)
        todo = {key: position for key, position in zip(keys, positions.tolist(), strict=True) if key not in rows}
        if todo:
            if store is not None:
                store.check_writable()
            try:
                self._run(reader, items, todo, rows, store)
            finally:
                if store is not None:
                    store.flush()  # also what was done before an interruption
        if not keys:
            return np.empty((0, 0), dtype=np.float32)
        widths = sorted({len(rows[key]) for key in keys})
        if len(widths) > 1:
            raise ValueError(
                f"The module gives {widths[0]} features for some items and {widths[-1]} for others; give pooling a "
                "function from its output to a tensor of shape (b, d)."
            )
        return np.stack([rows[key] for key in keys])

    def _run(self, reader, items, todo, rows, store):
        """Encode the items of `todo` (key to position) in batches, into `rows` and the store."""
        device = encoder_device(self.module, self.device)
        keys = list(todo)
        with self._progress(len(keys)) as progress, frozen(self.module, device, self._helpers()):
            for start in range(0, len(keys), self.batch_size):
                some = keys[start : start + self.batch_size]
                features = self._features(reader, items, [todo[key] for key in some], device)
                rows.update(zip(some, features, strict=True))
                if store is not None:
                    store.add(some, features)
                progress(len(some))

    def _features(self, reader, items, positions, device):
        """Features of one batch, float32 of shape (n_positions, d)."""
        batch = moved(reader.batch([items[i] for i in positions], positions), device, module_dtype(self.module))
        output = called(self.module, self.method, batch)
        tensor = pool(output, self.pooling, batch.get("attention_mask") if isinstance(batch, dict) else None)
        if tensor.ndim != 2 or len(tensor) != len(positions):
            raise ValueError(
                f"The module must give one row of features per item, shape ({len(positions)}, d). Got "
                f"{tuple(tensor.shape)}; give pooling a function from the output to that."
            )
        features = np.array(tensor.float().cpu().numpy())
        broken = ~np.isfinite(features).all(axis=1)
        if broken.any():
            raise ValueError(
                f"The module's features of item {positions[int(broken.argmax())]} are not finite, which would count as "
                "missing; use weights of a wider dtype (module.float()), or put None in the item's place."
            )
        return features

    def _helpers(self):
        """Modules besides the encoder's that are called, and so set to evaluation."""
        return [value for value in (self.load, self.preprocess, self.pooling) if isinstance(value, nn.Module)]

    def _fingerprint(self):
        """What the features depend on besides the items."""
        return fingerprint(
            [CACHE_FORMAT, self.module, self.method, self.load, self.preprocess, bool(self.batched), self.pooling],
            evaluated=[part for root in (self.module, *self._helpers()) for part in root.modules()],
        )

    def _cache_folder(self):
        location = self.cache.location if isinstance(self.cache, joblib.Memory) else self.cache
        return None if location is None else Path(location).expanduser() / "frozen_encoder"

    @contextmanager
    def _progress(self, n_items):
        """A function that takes how many items more are done."""
        if not self.verbose:
            yield lambda n_done: None
            return
        tqdm = optional_import(_tqdm, "tqdm", "show progress")
        with tqdm(total=n_items, desc=f"{type(self.module).__name__}.{self.method}", unit="item") as bar:
            yield bar.update


def _tqdm():
    from tqdm.auto import tqdm

    return tqdm


def _spread(rows, present):
    """The rows in the places of the items that are there, NaN elsewhere."""
    if present.all():
        return rows
    spread = np.full((len(present), rows.shape[1]), np.nan, dtype=np.float32)
    spread[present] = rows
    return spread
