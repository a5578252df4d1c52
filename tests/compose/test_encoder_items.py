"""What the items of a frozen encoder may be, and which of them count as missing."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from encoder_helpers import Counted, Tokens, Tower, cpu, to_tensor, tokenize
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torch import nn

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import ModalityTransformer

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture
def counted(tmp_path):
    return Counted(tmp_path / "calls.txt")


class TestMissing:
    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT")])
    def test_markers(self, missing):
        out = cpu(Tokens(), method="encode").fit_transform([missing, "abc", missing])
        assert_array_equal(out, np.array([[np.nan, np.nan], [3, 1], [np.nan, np.nan]], dtype=np.float32))
        assert out.dtype == np.float32

    def test_rows_of_nan(self, counted, vectors):
        out = cpu(counted).fit_transform(vectors)
        assert np.isnan(out[4]).all() and np.isfinite(np.delete(out, 4, axis=0)).all()
        listed = cpu(counted).fit_transform(list(vectors))
        assert_allclose(listed, out, atol=1e-6)
        assert_allclose(cpu(counted).fit_transform(list(torch.tensor(vectors))), out, atol=1e-6)

    def test_lists_and_masked_arrays(self):
        rows = [[1.0, 2.0], [np.nan, np.nan]]
        expected = np.array(rows, dtype=np.float32)
        identity = cpu(nn.Identity())
        assert_array_equal(identity.fit_transform(rows), expected)
        masked = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[0, 0], [1, 1]])
        assert_array_equal(identity.fit_transform(masked), expected)
        assert_array_equal(identity.fit_transform([masked[0], masked[1]]), expected)

    def test_text_in_a_list(self, vectors):
        X = MultimodalData({"text": ["aa", np.nan, np.nan], "labs": vectors[:3]})
        for form in (X, {"text": ("aa", np.nan, np.nan), "labs": vectors[:3]}):
            out = ModalityTransformer({"text": cpu(Tokens(), method="encode"), "labs": "passthrough"}).fit_transform(
                form
            )
            assert_array_equal(out["text"], np.float32([[2, 2], [np.nan] * 2, [np.nan] * 2]))

    def test_all_missing(self, counted, vectors):
        encoder = cpu(counted).fit(vectors)
        for nothing in ([None, None], np.full((2, 3), np.nan), pd.Series([np.nan, np.nan])):
            assert np.isnan(encoder.transform(nothing)).all() and encoder.transform(nothing).shape == (2, 4)
        assert encoder.transform([]).shape == (0, 4)
        without = cpu(counted)
        assert without.fit_transform([None, None]).shape == (2, 0) and without.n_features_out_ == 0
        message = "The module gives 4 features, but FrozenEncoder was fitted on missing items; fit it again."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            without.transform(vectors)


class TestWhatItemsMayBe:
    def test_paths_images_and_tensors_agree(self, paths):
        tower, images = Tower(), [Image.open(path).convert("RGB") for path in paths]
        expected = cpu(tower, preprocess=to_tensor).fit_transform(images)
        given = [*paths[:4], None]
        for X in (given, np.array(given, dtype=object), np.array(given, dtype=object)[:, None], pd.Series(given),
                  pd.DataFrame({"image": given}), pl.Series(given), pl.DataFrame({"image": given}),
                  [*map(Path, given[:4]), None]):  # fmt: skip
            out = cpu(tower, preprocess=to_tensor).fit_transform(X)
            assert_allclose(out[:4], expected[:4], atol=1e-6)
            assert np.isnan(out[4]).all()
        assert_allclose(cpu(tower, preprocess=to_tensor).fit_transform(np.array(paths)), expected, atol=1e-6)
        assert_allclose(cpu(tower).fit_transform(torch.stack([*map(to_tensor, images)])), expected, atol=1e-6)

    def test_grey_images_become_rgb(self, tmp_path):
        Image.new("L", (9, 9), 80).save(tmp_path / "grey.png")
        assert cpu(Tower(), preprocess=to_tensor).fit_transform([tmp_path / "grey.png"]).shape == (1, 4)

    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
    def test_images_of_more_than_8_bits(self, dtype, tmp_path):
        path = tmp_path / "deep.tiff"
        Image.fromarray(np.full((9, 9), 300, dtype=dtype)).save(path)
        with Image.open(path) as image:
            message = (
                f"Item 1 in {str(path)!r} holds values of more than 8 bits (mode {image.mode}); give load a function that "
                "scales them."
            )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            cpu(Tower(), preprocess=to_tensor).fit_transform([None, path])
        scaled = cpu(nn.Flatten(), load=lambda path: np.asarray(Image.open(path), dtype=np.float32) / 300)
        assert_array_equal(scaled.fit_transform([path]), np.ones((1, 81)))

    def test_load(self, paths, tmp_path, rng):
        Path(paths[0]).rename(tmp_path / "image without ending")
        given = [str(tmp_path / "image without ending")]
        assert cpu(Tower(), preprocess=to_tensor, load="image").fit_transform(given).shape == (1, 4)
        assert_array_equal(cpu(Tokens(), method="encode", load=None).fit_transform(["a.png"]), [[5, 1]])
        np.save(tmp_path / "wave.npy", np.ones(3))
        waves = cpu(nn.Linear(3, 2), load=np.load)
        assert waves.fit_transform([str(tmp_path / "wave.npy"), None]).shape == (2, 2)

    def test_waveforms_of_different_lengths(self, rng):
        class Levels(nn.Module):
            def forward(self, x):
                return torch.stack([x.mean(dim=1), x.abs().mean(dim=1)], dim=1)

        waves = np.empty(3, dtype=object)
        waves[:] = [rng.normal(size=n) for n in (5, 7, 5)]
        out = cpu(Levels(), batch_size=1).fit_transform(waves)
        assert_allclose(out[1], [waves[1].mean(), np.abs(waves[1]).mean()], atol=1e-6)
        message = (
            "Items of a batch have different shapes, (5,) and (7,); have preprocess bring them to one (padding=True with "
            "batched=True), or set batch_size=1."
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            cpu(Levels()).fit_transform(waves)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_weights_of_another_dtype(self, dtype, vectors):
        layer = nn.Linear(3, 2).to(dtype)
        out = cpu(layer).fit_transform(vectors.astype(np.float64))
        expected = layer.float()(torch.tensor(vectors)).detach()
        assert out.dtype == np.float32
        assert_allclose(out, expected, atol=0.05)

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
    def test_the_batch_size_does_not_matter(self, batch_size):
        texts = ["a", "some words", None, "abcdef", "x y", "the longest of these texts"]
        tokens = Tokens()
        one = cpu(tokens, preprocess=tokenize, batched=True, batch_size=1).fit_transform(texts)
        out = cpu(tokens, preprocess=tokenize, batched=True, batch_size=batch_size).fit_transform(texts)
        assert out.shape == (6, 5)
        assert_allclose(out, one, atol=1e-6)
