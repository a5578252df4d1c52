"""What a frozen encoder refuses, each in one sentence, the packages that it may lack, and its progress bar."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from encoder_helpers import Tower, cpu, to_tensor, tokenize
from PIL import Image
from torch import nn

from sklearn_aecf.compose import FrozenEncoder

pytestmark = pytest.mark.usefixtures("seeded")


class Wide(nn.Module):
    def forward(self, x):
        return x.new_ones(1, len(x))


class Parts(nn.Module):
    def forward(self, x):
        return [x, x[:, :2]]


class Overflows(nn.Module):
    def forward(self, x):
        return torch.where(torch.arange(len(x))[:, None] == 1, torch.inf, x)


@pytest.mark.parametrize(
    ("make", "X", "error", "message"),
    [
        (lambda: cpu(nn.Linear(3, 2), method="forwrad"), np.ones((2, 3)), ValueError, "Linear has no method 'forwrad'; did you mean 'forward'?"),
        (lambda: FrozenEncoder(nn.Linear(3, 2), device="gpu"), np.ones((2, 3)), ValueError, "device must be 'auto', 'cpu', 'cuda', 'cuda:1', 'mps' or the like. Got 'gpu'."),
        (lambda: cpu(nn.Linear(3, 2)), {"image": np.ones((2, 3))}, TypeError, "FrozenEncoder takes the items of one modality. Got a mapping of modalities; use it inside ModalityTransformer({'image': FrozenEncoder(...)})."),
        (lambda: FrozenEncoder(nn.Linear(3, 2), device="meta"), np.ones((2, 3)), ValueError, "device='meta' cannot be used here (Cannot copy out of meta tensor; no data!); use 'auto' or 'cpu'."),
        (lambda: cpu(nn.Linear(3, 2)), np.array(1.0), TypeError, "FrozenEncoder takes a sequence with one item per row. Got a 0-d ndarray."),
        (lambda: cpu(nn.Linear(3, 2)), np.ma.array([[1]], mask=[[1]]), ValueError, "X is a masked array of int64, which cannot hold NaN; make it one of floats, or an object array with None where it is masked."),
        (lambda: cpu(nn.Linear(3, 2), preprocess=tuple, batched=True), np.ones((2, 3)), ValueError, "preprocess must return, with batched=True, one row per item, here 2, in a tensor or a list, or a mapping. Got tuple of 2."),
        (lambda: cpu(nn.Linear(3, 2), preprocess=lambda rows: rows[:1], batched=True), np.ones((2, 3)), ValueError, "preprocess must return, with batched=True, one row per item, here 2, in a tensor or a list, or a mapping. Got list of 1."),
        (lambda: cpu(Parts()), np.ones((2, 3)), TypeError, "The module must return a tensor, an array, a tuple or a mapping of them. Got list of parts that differ in shape; give pooling a function from the output to a tensor of shape (b, d)."),
        (lambda: cpu(nn.Linear(3, 2)), "a.png", TypeError, "FrozenEncoder takes a sequence with one item per row. Got str."),
        (lambda: cpu(nn.Linear(3, 2)), np.array([["a", "b"]]), ValueError, "FrozenEncoder takes one item per row. Got objects in an array of shape (1, 2)."),
        (lambda: cpu(nn.Linear(3, 2)), pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "FrozenEncoder takes one item per row. Got objects in an array of shape (1, 2)."),
        (lambda: cpu(nn.Linear(3, 2)), [None, "no.png"], ValueError, "Item 1 cannot be read from 'no.png' (FileNotFoundError); repair the file, or put None in its place, which counts as missing; text that looks like a path needs load=None."),
        (lambda: cpu(nn.Linear(3, 2), load="image"), [__file__], ValueError, f"Item 0 cannot be read from {__file__!r} (UnidentifiedImageError); repair the file, or put None in its place, which counts as missing."),
        (lambda: cpu(nn.Linear(3, 2), preprocess=tokenize), [["a"]], TypeError, "preprocess returned a mapping for a single item, as Hugging Face processors and tokenizers do; set batched=True, and have it return tensors (return_tensors='pt', for text also padding=True)."),
        (lambda: cpu(nn.Linear(3, 2), preprocess=len), [None, 3], ValueError, "preprocess failed on item 1 (TypeError: object of type 'int' has no len()); it gets one int at a time, or a list of them with batched=True."),
        (lambda: cpu(Wide()), np.ones((2, 3)), ValueError, "The module must give one row of features per item, shape (2, d). Got (1, 2); give pooling a function from the output to that."),
        (lambda: cpu(Overflows()), [None, np.ones(3), np.ones(3)], ValueError, "The module's features of item 2 are not finite, which would count as missing; use weights of a wider dtype (module.float()), or put None in the item's place."),
        (lambda: cpu(nn.Conv2d(3, 2, 3)), np.ones((2, 3, 8, 8), np.uint8), TypeError, "Conv2d.forward failed on a batch of uint8 (Input type (unsigned char) and bias type (float) should be the same); integers stay integers, so have preprocess return floats of the scale that the module was trained on, such as image.astype('float32') / 255."),
        (lambda: cpu(nn.Flatten()), [Image.new("RGB", (4, 4))] * 2, TypeError, "Flatten.forward failed on a list of Image ('list' object has no attribute 'flatten'); give preprocess a function that makes tensors of them, such as a torchvision transform."),
        (lambda: FrozenEncoder(nn.Linear), np.ones((2, 3)), ValueError, f"The 'module' parameter of FrozenEncoder must be an instance of 'torch.nn.modules.module.Module'. Got {nn.Linear!r} instead."),
        (lambda: cpu(nn.Linear(3, 2), batch_size=0), np.ones((2, 3)), ValueError, "The 'batch_size' parameter of FrozenEncoder must be an int in the range [1, inf). Got 0 instead."),
    ],
)  # fmt: skip
def test_refused(make, X, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make().fit_transform(X)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8, np.int64, bool])
@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(3, 2),
        nn.Conv1d(1, 2, 3),
        nn.BatchNorm1d(1),
        nn.LayerNorm(3),
        nn.GRU(3, 2),
        nn.InstanceNorm1d(1, affine=True),
    ],
)
def test_integers_where_floats_are_wanted(module, dtype):
    with pytest.raises(
        TypeError, match=rf"\.forward failed on a batch of {np.dtype(dtype)} \(.*\); integers stay integers, so"
    ):
        cpu(module).fit_transform(np.ones((2, 1, 3), dtype))


def test_errors_of_the_module_itself_are_left_as_they_are():
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("out of memory")

    for X in (np.ones((2, 3), np.uint8), np.ones((2, 3)), ["text"]):
        with pytest.raises(RuntimeError, match="^out of memory$"):
            cpu(Fails()).fit_transform(X)


def test_another_width_than_at_fit(rng):
    encoder = cpu(nn.Identity()).fit(rng.normal(size=(2, 3)))
    message = "The module gives 4 features, but FrozenEncoder was fitted with 3; fit it again."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        encoder.transform(rng.normal(size=(2, 4)))


@pytest.mark.parametrize("device", ["cuda:99", "mps"])
@pytest.mark.skipif(torch.backends.mps.is_available(), reason="mps is there")
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=rf"^device='{device}' cannot be used here \(.*\); use 'auto' or 'cpu'\.$"):
        FrozenEncoder(nn.Linear(3, 2), device=device).fit_transform(np.ones((2, 3)))


@pytest.mark.parametrize("cached", [False, True])
def test_a_truncated_image_is_named(cached, paths, tmp_path):
    big = tmp_path / "big.png"
    Image.effect_noise((64, 64), 90).save(big)
    big.write_bytes(big.read_bytes()[:2000])
    message = (
        f"Item 1 cannot be read from {str(big)!r} (OSError); repair the file, or put None in its place, which counts as "
        "missing."
    )
    encoder = cpu(Tower(), preprocess=to_tensor, cache=tmp_path / "cache" if cached else None)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        encoder.fit_transform([Image.open(paths[0]), Image.open(big)])


@pytest.mark.parametrize("cached", [False, True])
def test_widths_that_differ_between_items(cached, tmp_path):
    waves = np.array([np.ones(3), np.ones(4)], dtype=object)
    message = (
        "The module gives 3 features for some items and 4 for others; give pooling a function from its output to a tensor "
        "of shape (b, d)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cpu(nn.Identity(), batch_size=1, cache=tmp_path if cached else None).fit_transform(waves)


def test_missing_file_with_a_cache(tmp_path):
    message = (
        "Item 1 cannot be read from 'no.png' (FileNotFoundError); repair the file, or put None in its place, which counts "
        "as missing; text that looks like a path needs load=None."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cpu(nn.Linear(3, 2), cache=tmp_path).fit_transform([None, "no.png"])


@pytest.mark.parametrize(
    ("package", "module", "params", "X", "message"),
    [
        ("PIL", "Pillow", {}, ["a.png"], "FrozenEncoder needs Pillow to open images. You can install it with `pip install sklearn-aecf[images]`."),
        ("tqdm.auto", "tqdm", {"verbose": 1}, np.ones((2, 3)), "FrozenEncoder needs tqdm to show progress. You can install it with `pip install sklearn-aecf[images]`."),
    ],
)  # fmt: skip
def test_optional_packages(package, module, params, X, message, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        cpu(nn.Linear(3, 2), **params).fit_transform(X)


def test_progress(capsys):
    cpu(nn.Linear(3, 2), verbose=1).fit_transform(np.ones((2, 3)))
    assert "Linear.forward" in capsys.readouterr().err
