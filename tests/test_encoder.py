"""A pretrained torch module as a transformer: nothing of it changes, missing stays missing, nothing is encoded twice."""

import functools
import importlib
import pickle
import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import FrozenEncoder, ModalityTransformer
from sklearn_aecf.compose import _feature_store as feature_store
from sklearn_aecf.compose._feature_store import FeatureStore
from sklearn_aecf.compose._fingerprint import fingerprint
from sklearn_aecf.compose._frozen import encoder_device, frozen, pool


class Counted(nn.Module):
    """A linear layer that notes, in a file that processes can share, how many items it has seen."""

    def __init__(self, log, width=3):
        super().__init__()
        self.log = str(log)
        self.linear = nn.Linear(width, 4)

    def forward(self, x):
        with open(self.log, "a") as file:
            file.write("x" * len(x))
        return self.linear(x.flatten(1))

    def seen(self):
        n_seen = len(Path(self.log).read_text()) if Path(self.log).exists() else 0
        Path(self.log).write_text("")
        return n_seen


class Tower(nn.Module):
    """What training would change: batch statistics, dropout, a buffer written at every call."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("n_calls", torch.zeros(1))
        self.register_buffer("scale", None)

    def forward(self, x):
        self.n_calls += 1
        return self.dropout(self.norm(self.conv(x))) + 0 * torch.rand(1)


class Tokens(nn.Module):
    """Token embeddings with a mask, as a Hugging Face model returns them."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(256, 5)

    def forward(self, input_ids, attention_mask=None):
        return {"last_hidden_state": self.table(input_ids), "pooler_output": None}

    def encode(self, texts):
        return np.array([[len(text), text.count("a")] for text in texts], dtype=np.float64)


def tokenize(texts):
    longest = max(map(len, texts))
    return {
        "input_ids": [list(text.encode()) + [0] * (longest - len(text)) for text in texts],
        "attention_mask": [[1] * len(text) + [0] * (longest - len(text)) for text in texts],
    }


def to_tensor(image):
    return torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32) / 255).permute(2, 0, 1)


@pytest.fixture(autouse=True)
def _same_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def counted(tmp_path):
    return Counted(tmp_path / "calls.txt")


@pytest.fixture
def vectors(rng):
    X = rng.normal(size=(10, 3)).astype(np.float32)
    X[4] = np.nan
    return X


@pytest.fixture
def paths(tmp_path, rng):
    files = []
    for i in range(5):
        Image.fromarray(rng.integers(0, 255, (12, 10, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        files.append(str(tmp_path / f"{i}.png"))
    return files


def cpu(module, **params):
    return FrozenEncoder(module, device="cpu", **params)


class TestTheModuleStaysAsItWas:
    def test_weights_buffers_flags_and_gradients(self, rng):
        tower = Tower()
        tower.norm.eval()  # a mixture of flags
        tower.conv.weight.requires_grad = False
        tower.conv.bias.grad = torch.ones(4)
        before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
        where = {name: tensor.data_ptr() for name, tensor in tower.state_dict().items()}
        flags = [part.training for part in tower.modules()]
        X = rng.normal(size=(6, 3, 8, 8))
        features = cpu(tower, batch_size=4).fit_transform(X)
        for name, tensor in tower.state_dict().items():
            assert torch.equal(tensor, before[name]) and tensor.data_ptr() == where[name]
            assert not tensor.is_inference()
        assert [part.training for part in tower.modules()] == flags
        assert not tower.conv.weight.requires_grad and tower.conv.bias.requires_grad
        assert tower.conv.bias.grad.tolist() == [1, 1, 1, 1]
        tower.eval()
        with torch.no_grad():
            assert_allclose(features, tower(torch.tensor(X).float()).mean(dim=(2, 3)), atol=1e-6)
        tower.train()(torch.tensor(X).float()).sum().backward()  # it can still be trained

    def test_after_an_error_and_an_interruption(self, rng):
        class Fails(Tower):
            def forward(self, x):
                raise KeyboardInterrupt

        tower = Fails()
        with pytest.raises(KeyboardInterrupt):
            cpu(tower).fit(rng.normal(size=(2, 3, 8, 8)))
        assert all(part.training for part in tower.modules())
        assert not torch.is_inference_mode_enabled()

    def test_random_states_and_threads(self, rng):
        tower = Tower()
        before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
        cpu(tower).fit_transform(rng.normal(size=(4, 3, 8, 8)))
        assert torch.equal(torch.random.get_rng_state(), before[0])
        assert_array_equal(np.random.get_state()[1], before[1])
        assert torch.get_num_threads() == before[2]

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    def test_moves_to_the_gpu_and_back(self, rng):
        tower, X = Tower(), rng.normal(size=(4, 3, 8, 8))
        where = [tensor.data_ptr() for tensor in tower.state_dict().values()]
        on_gpu = FrozenEncoder(tower, device="cuda").fit_transform(X)
        assert [tensor.data_ptr() for tensor in tower.state_dict().values()] == where
        assert_allclose(on_gpu, cpu(tower).fit_transform(X), atol=1e-4)

    def test_two_threads_share_a_module(self, rng):
        tower, X = Tower(), rng.normal(size=(40, 3, 8, 8))
        expected = cpu(tower).fit_transform(X)
        runs = joblib.Parallel(n_jobs=4, prefer="threads")(
            joblib.delayed(cpu(tower, batch_size=1).fit_transform)(X) for _ in range(4)
        )
        for run in runs:
            assert_allclose(run, expected, atol=1e-6)
        assert all(part.training for part in tower.modules())

    def test_what_the_module_keeps_can_be_trained_with(self, rng):
        class Keeps(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight, self.positions = nn.Parameter(torch.full((3,), 5.0)), None

            def forward(self, x):
                if self.positions is None:
                    self.positions = torch.arange(3.0)
                self.weight.data = self.weight.data / 5
                return x * self.weight * self.positions

        keeps = Keeps()
        loss = (keeps.weight * 2).prod()
        cpu(keeps).fit_transform(rng.normal(size=(2, 3)))
        assert keeps.weight.tolist() == [5, 5, 5]
        keeps(torch.ones(2, 3)).sum().backward()
        loss.backward()  # a step of training may have begun before

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize("script", [torch.jit.script, lambda module: torch.jit.trace(module, torch.zeros(2, 3))])
    def test_torchscript(self, script, vectors, tmp_path):
        module = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
        scripted = script(module)
        before = {name: tensor.clone() for name, tensor in scripted.state_dict().items()}
        out = cpu(scripted, cache=tmp_path).fit_transform(vectors)
        assert_allclose(out, cpu(module).fit_transform(vectors), atol=1e-6)
        assert all(torch.equal(tensor, before[name]) for name, tensor in scripted.state_dict().items())
        known = fingerprint(scripted)
        with torch.no_grad():
            next(scripted.parameters()).add_(1)
        assert fingerprint(scripted) != known

    def test_modules_around_it_are_in_evaluation(self):
        dropout = nn.Dropout(0.9)
        encoder = cpu(nn.Identity(), preprocess=dropout)
        assert_array_equal(encoder.fit_transform(torch.ones(3, 50)), np.ones((3, 50)))
        assert dropout.training

    def test_buffers_set_the_dtype_where_there_are_no_weights(self):
        class Projection(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("matrix", torch.ones(3, 2, dtype=torch.float64))

            def forward(self, x):
                return x @ self.matrix

        assert_array_equal(cpu(Projection()).fit_transform(np.ones((2, 3), dtype=np.float32)), np.full((2, 2), 3))

    def test_tied_buffers_and_weights_without_any(self):
        class Shares(nn.Module):
            def __init__(self):
                super().__init__()
                self.one, self.two = nn.Module(), nn.Module()
                buffer = torch.zeros(1)
                self.one.register_buffer("b", buffer)
                self.two.register_buffer("b", buffer)

        shares = Shares()
        with frozen(shares, encoder_device(shares, "cpu")):
            shares.one.b += 1
            assert shares.two.b.item() == 1
        assert shares.one.b.item() == 0 and shares.one.b is shares.two.b


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


class TestPooling:
    tokens = torch.arange(12.0).reshape(2, 3, 2)

    def test_shapes(self):
        assert pool(torch.ones(2, 3), "auto").shape == (2, 3)
        assert pool(torch.ones(2), "auto").shape == (2, 1)
        assert pool(np.ones((2, 3)), "auto").shape == (2, 3)
        assert pool((torch.ones(2, 3), torch.ones(2, 9)), "auto").shape == (2, 3)
        assert pool([torch.ones(3), torch.ones(3)], "auto").shape == (2, 3)
        assert pool(torch.ones(2, 3, 4, 4), "mean").shape == (2, 3)
        assert pool(torch.ones(2, 3, 4, 4, 4), "auto").shape == (2, 3)
        assert pool(self.tokens, "auto").tolist() == [[2, 3], [8, 9]]
        assert pool(self.tokens, "cls").tolist() == [[0, 1], [6, 7]]
        assert pool({"x": self.tokens}, lambda output: output["x"][:, 1]).tolist() == [[2, 3], [8, 9]]

    def test_padding_does_not_count(self):
        present = torch.tensor([[1, 1, 0], [1, 0, 0]])
        assert pool(self.tokens, "mean", present).tolist() == [[1, 2], [6, 7]]
        assert pool(self.tokens, "mean", torch.ones(2, 9)).tolist() == [[2, 3], [8, 9]]

    def test_order_of_outputs(self):
        output = {"last_hidden_state": self.tokens, "pooler_output": torch.ones(2, 5), "image_embeds": torch.ones(2, 4)}
        assert pool(output, "auto").shape == (2, 4)
        assert pool({**output, "image_embeds": None}, "auto").shape == (2, 5)
        assert pool(output, "cls").tolist() == [[0, 1], [6, 7]]

    @pytest.mark.parametrize(
        ("output", "pooling", "present", "error", "message"),
        [
            (torch.ones(2, 3), "cls", None, ValueError, "pooling='cls' needs an output of shape (b, t, d). Got (2, 3)."),
            (torch.ones(2, 3), "mean", None, ValueError, "pooling='mean' needs an output of shape (b, t, d) or (b, c, ...). Got (2, 3)."),
            ({"logits": torch.ones(2, 3)}, "mean", None, ValueError, "pooling='mean' looks for 'last_hidden_state' in the module's output, which has 'logits'; give pooling a function from the output to a tensor of shape (b, d)."),
            (torch.ones(2, 3, 1), "auto", torch.tensor([[1, 1, 1, 0]] * 2), ValueError, "The module gives 3 tokens for an attention mask of 4, so padding cannot be told apart; set batch_size=1, or give pooling a function."),
            ("text", "auto", None, TypeError, "The module must return a tensor, an array, a tuple or a mapping of them. Got str; give pooling a function from the output to a tensor of shape (b, d)."),
        ],
    )  # fmt: skip
    def test_refused(self, output, pooling, present, error, message):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            pool(output, pooling, present)


def write_some(folder):
    store = FeatureStore(folder, rows_a_file=3)
    for i in range(60):
        store.add([i.to_bytes(16, "big")], np.full((1, 4), i, dtype=np.float32))
        assert set(store.load([bytes(16)])) <= {bytes(16)}
    store.flush()


class TestCache:
    def test_no_item_twice(self, counted, vectors, tmp_path):
        encoder = cpu(counted, cache=tmp_path / "cache")
        first = encoder.fit_transform(vectors)
        assert counted.seen() == 9
        assert_array_equal(clone(encoder).fit_transform(vectors), first)
        assert_array_equal(encoder.transform(vectors[[7, 1, 4, 1]]), first[[7, 1, 4, 1]])  # another order, other rows
        assert counted.seen() == 0
        more = np.concatenate([vectors, vectors[:2], vectors[:2] + 1, vectors[:1] + 1])
        assert_allclose(encoder.transform(more)[10:12], first[:2])
        assert counted.seen() == 2

    @pytest.mark.parametrize("form", [str, Path, lambda path: joblib.Memory(path, verbose=0)])
    def test_forms(self, form, counted, vectors, tmp_path):
        cpu(counted, cache=form(tmp_path / "cache")).fit_transform(vectors)
        counted.seen()
        cpu(counted, cache=form(tmp_path / "cache")).fit_transform(vectors)
        assert counted.seen() == 0
        cpu(counted, cache=joblib.Memory(None)).fit_transform(vectors)
        assert counted.seen() == 9

    def test_folds_share_it(self, counted, rng, tmp_path):
        X, y = rng.normal(size=(30, 3)), np.arange(30) % 2
        cross_val_score(make_pipeline(cpu(counted, cache=tmp_path / "cache"), LogisticRegression()), X, y, cv=5)
        assert counted.seen() == 30

    def test_files_count_by_what_is_in_them(self, paths, tmp_path):
        log = Counted(tmp_path / "log", 192)
        encoder = cpu(log, preprocess=to_tensor, cache=tmp_path / "cache")
        first = encoder.fit_transform(paths)
        assert log.seen() == 5
        Path(paths[0]).rename(tmp_path / "elsewhere.png")
        assert_array_equal(encoder.transform([tmp_path / "elsewhere.png"]), first[:1])
        assert log.seen() == 0
        Path(paths[1]).write_bytes(Path(paths[2]).read_bytes())
        assert_array_equal(encoder.transform(paths[1:3]), first[[2, 2]])
        Image.new("RGB", (12, 10), "red").save(paths[3])
        assert np.abs(encoder.transform(paths[3:4]) - first[3]).max() > 1e-3
        assert log.seen() == 1

    def test_load_reads_more_than_the_file(self, tmp_path):
        folder, cache = tmp_path / "folder", tmp_path / "cache"
        folder.mkdir()
        encoder = cpu(nn.Identity(), load=lambda path: np.load(Path(path) / "frame.npy"), cache=cache)
        for value in (1, 2):
            np.save(folder / "frame.npy", np.full(3, value, dtype=np.float32))
            assert_array_equal(encoder.fit_transform([str(folder)]), np.full((1, 3), value))
        beside = cpu(nn.Identity(), load=lambda path: np.load(Path(path).with_suffix(".npy")), cache=cache)
        for name, value in (("a", 1), ("b", 2)):
            (tmp_path / f"{name}.txt").write_text("the same")
            np.save(tmp_path / f"{name}.npy", np.full(3, value, dtype=np.float32))
        out = beside.fit_transform([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")])
        assert out[:, 0].tolist() == [1, 2]

    def test_home_folder(self, counted, vectors, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        cpu(counted, cache="~/cache").fit_transform(vectors)
        assert list((tmp_path / "cache").rglob("*.npz"))

    def test_what_cannot_be_written_is_found_before_the_work(self, counted, vectors, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError) as caught:
            cpu(counted, cache=tmp_path / "file").fit_transform(vectors)
        assert re.fullmatch(
            rf"The cache folder {tmp_path}/file/frozen_encoder/\w+ cannot be written to \(Not a directory\); give cache "
            "another one, or None.",
            str(caught.value),
        )
        assert counted.seen() == 0

    def test_a_full_disk_costs_no_features(self, counted, vectors, tmp_path, monkeypatch):
        def full(*args):
            raise OSError(28, "No space left on device")

        store = FeatureStore(tmp_path / "new", rows_a_file=1)
        monkeypatch.setattr(feature_store.os, "replace", full)
        message = (
            f"Features could not be kept in {tmp_path / 'new'} (No space left on device), so a later call encodes these "
            "items again; make room there, or give cache another folder."
        )
        with pytest.warns(UserWarning, match=f"^{re.escape(message)}$") as caught:
            for i in range(3):
                store.add([bytes([i] * 16)], np.ones((1, 2)))
        assert len(caught) == 1 and list((tmp_path / "new").iterdir()) == []
        with pytest.warns(UserWarning, match="No space left"):
            assert np.isfinite(cpu(counted, cache=tmp_path).fit_transform(vectors)).sum() == 36

    def test_whatever_changes_the_features_changes_the_key(self, counted, vectors, tmp_path):
        encoder = cpu(counted, cache=tmp_path / "cache")
        encoder.fit_transform(vectors)
        assert counted.seen() == 9
        for change in (
            {"preprocess": torch.as_tensor},
            {"pooling": lambda output: output},
            {"preprocess": np.negative},
        ):
            clone(encoder).set_params(**change).fit_transform(vectors)
            assert counted.seen() == 9
        for same in ({"batch_size": 2}, {"verbose": 0}):
            clone(encoder).set_params(**same).fit_transform(vectors)
            assert counted.seen() == 0
        before = encoder.transform(vectors)
        counted.eval()
        encoder.transform(vectors)
        assert counted.seen() == 0  # the mode has no say
        with torch.no_grad():
            counted.linear.bias += 1
        assert_allclose(encoder.transform(vectors), before + 1, atol=1e-6)
        assert counted.seen() == 9

    def test_other_processes(self, counted, rng, tmp_path):
        X, y = rng.normal(size=(20, 3)), np.arange(20) % 2
        pipeline = make_pipeline(cpu(counted, cache=tmp_path / "cache"), LogisticRegression())
        grid = {"logisticregression__C": [0.1, 1.0]}
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
        assert 20 <= counted.seen() <= 80  # two may start at once
        serial = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
        assert counted.seen() == 0  # the other processes' features are found
        assert_allclose(search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])

    def test_two_writers_at_once(self, tmp_path):
        joblib.Parallel(n_jobs=2)(joblib.delayed(write_some)(tmp_path) for _ in range(2))
        found = FeatureStore(tmp_path).load([i.to_bytes(16, "big") for i in range(70)])
        assert len(found) == 60 and all((row == int.from_bytes(key, "big")).all() for key, row in found.items())
        assert not list(tmp_path.glob("*.part"))

    def test_broken_files_are_passed_over(self, counted, vectors, tmp_path):
        encoder = cpu(counted, cache=tmp_path / "cache")
        first = encoder.fit_transform(vectors)
        (file,) = (tmp_path / "cache").rglob("*.npz")
        content = bytearray(file.read_bytes())
        content[-len(content) // 2] ^= 255
        for broken in (bytes(content), content[: len(content) // 2], b"", b"not an archive"):
            file.write_bytes(broken)
            counted.seen()
            assert_array_equal(encoder.transform(vectors), first)
            assert counted.seen() == 9
            for written in (tmp_path / "cache").rglob("*.npz"):
                written.unlink()
        np.savez(file, keys=np.zeros((2, 16), dtype=np.uint8), rows=np.zeros(2))
        assert FeatureStore(file.parent).load([bytes(16)]) == {}

    def test_an_interruption_keeps_what_was_done(self, counted, vectors, tmp_path):
        def stumble(row):
            if row[0] == vectors[6, 0]:
                raise KeyboardInterrupt
            return row

        encoder = cpu(counted, preprocess=stumble, cache=tmp_path / "cache", batch_size=2)
        with pytest.raises(KeyboardInterrupt):
            encoder.fit_transform(vectors)
        assert counted.seen() == 4
        encoder.fit_transform(vectors[:4])
        assert counted.seen() == 0

    def test_a_store_writes_after_some_time(self, tmp_path):
        store = FeatureStore(tmp_path / "new", seconds_a_file=0)
        store.add([bytes(16)], np.ones((1, 2)))
        assert FeatureStore(tmp_path / "new").load([bytes(16)])[bytes(16)].tolist() == [1, 1]

    def test_what_cannot_be_told_apart(self, counted, vectors, tmp_path):
        with open(tmp_path / "open", "w") as file:
            encoder = cpu(counted, preprocess=partial(lambda row, file: row, file=file), cache=tmp_path)
            with pytest.raises(TypeError) as caught:
                encoder.fit_transform(vectors)
        assert re.fullmatch(
            r"cache needs to know what the features depend on, but _io.TextIOWrapper cannot be read \(.*\); leave it out of "
            "module, preprocess, pooling and load, or set cache=None.",
            str(caught.value),
        )


SCALE = 2.0


def scaled(x):
    return x * SCALE


def shifted(x):
    return scaled(x) + 1


class Shift:
    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return x + self.by


class TestFingerprint:
    def test_same_after_pickling(self):
        for value in (
            Tower(),
            Tokens(),
            partial(scaled, x=np.ones(3)),
            Shift(1),
            {"b": 1, "a": {2, "x"}},
            torch.ones(2),
        ):
            assert fingerprint(pickle.loads(pickle.dumps(value))) == fingerprint(value)

    def test_functions_by_code_and_what_they_use(self, monkeypatch):
        before = fingerprint(shifted)
        assert fingerprint(shifted) == before != fingerprint(scaled)
        monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)  # used by a function that it calls
        assert fingerprint(shifted) != before

    def test_closures_methods_objects_and_classes(self):
        def make(by, body="x + by"):
            return eval(f"lambda x: {body}", {"by": by})

        assert fingerprint(make(1)) == fingerprint(make(1))
        assert len({fingerprint(f) for f in (make(1), make(2), make(1, "x - by"))}) == 3
        assert fingerprint(Shift(1)) != fingerprint(Shift(2))
        assert fingerprint(Shift(1).__call__) != fingerprint(Shift(2).__call__)

        def new(method):
            return type("New", (), {"__call__": method, "__module__": __name__})

        assert fingerprint(new(scaled)) != fingerprint(new(shifted))

    def test_order_of_layers(self):
        layers = {"b": nn.ReLU(), "a": nn.Tanh()}
        turned = dict(reversed(layers.items()))
        assert fingerprint(nn.ModuleDict(layers)) != fingerprint(nn.ModuleDict(turned))
        one, other = Shift(1), Shift(1)
        one.a, one.b = other.b, other.a = 1, 1
        assert fingerprint(one) == fingerprint(other)

    @pytest.mark.parametrize("package", [False, True])
    @pytest.mark.parametrize(
        "body",
        [
            "import {m}\ndef f(x): return {m}.helper(x)",
            "def f(x):\n from {m} import helper\n return helper(x)",
            "def f(x):\n import {m} as short\n return [short.helper(y) for y in x]",
            "def f(x):\n try:\n  import not_there_at_all\n except ImportError:\n  import {m}\n return {m}.helper(x)",
        ],
    )
    def test_helpers_in_modules_of_the_user(self, body, package, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        name = "helpers_of_a_test.part" if package else "helpers_of_a_test"
        (tmp_path / "helpers_of_a_test").mkdir()
        file = tmp_path / (name.replace(".", "/") + ".py")
        seen = set()
        for factor in (2, 2, 300):
            file.write_text(f"FACTOR = {factor}\ndef helper(x): return x * FACTOR\n")
            importlib.invalidate_caches()
            for loaded in (name, "helpers_of_a_test"):
                sys.modules.pop(loaded, None)
            namespace = {"__name__": "__main__"}
            exec(body.format(m=name), namespace)
            seen.add(fingerprint(namespace["f"]))
        assert len(seen) == 2

    def test_constants_of_a_module(self):
        settings = ModuleType("settings_of_a_test")
        settings.SCALE, settings.unused = 1, 1
        function = eval("lambda x: x * settings.SCALE", {"settings": settings})
        before = fingerprint(function)
        settings.unused = 2
        assert fingerprint(function) == before
        settings.SCALE = 2
        assert fingerprint(function) != before

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (np.ones(3), np.zeros(3)),
            (torch.ones(3), torch.zeros(3)),
            ({1}, {2}),
            (partial(pow, 2), partial(pow, 3)),
            (functools.cached_property(lambda self: 2), functools.cached_property(lambda self: 3)),
            (functools.lru_cache(lambda self: 2), functools.lru_cache(lambda self: 3)),
        ],
    )
    def test_attributes_of_classes(self, one, other):
        first, second = (type("Prepares", (), {"__module__": __name__, "mean": mean})() for mean in (one, other))
        assert fingerprint(first) == fingerprint(first) != fingerprint(second)

    def test_functions_with_a_cache_or_attributes(self):
        def double(x):
            return x * double.factor

        double.factor = 2
        before = fingerprint(double)
        double.factor = 3
        assert fingerprint(double) != before
        assert fingerprint(functools.lru_cache(scaled)) != fingerprint(functools.lru_cache(shifted))
        assert fingerprint(torch.no_grad()(scaled)) != fingerprint(torch.no_grad()(shifted))
        wrapper = functools.wraps(np.atleast_1d)(lambda x: x)
        assert fingerprint(wrapper) != fingerprint(functools.wraps(np.atleast_1d)(lambda x: -x))

    def test_the_mode_counts_where_nobody_sets_it(self):
        tower = Tower()
        before, known = fingerprint(tower), fingerprint(tower, tower.modules())
        tower.eval()
        assert fingerprint(tower) != before and fingerprint(tower, tower.modules()) == known
        for name in ("training", "deprecation_warnings"):
            one, other = Shift(1), Shift(1)
            setattr(one, name, {})
            setattr(other, name, {"asked": True})
            assert fingerprint(one) != fingerprint(other)

    def test_values(self):
        values = [0, 0.0, False, None, "", b"", (), [], {}, set(), np.zeros(1), np.zeros(2), np.zeros(1, "f4"),
                  torch.zeros(1), torch.zeros(1, 1), torch.zeros(1, dtype=torch.bfloat16), torch.float32, torch.float64,
                  nn.functional.relu, nn.functional.gelu, np.negative, np.array([None]),
                  np.ma.array([1.0], mask=[0]), np.ma.array([1.0], mask=[1]), np.datetime64("2020")]  # fmt: skip
        assert len({fingerprint(value) for value in values}) == len(values)

    def test_unreadable(self):
        def empty():
            def inner():
                return later

            return inner
            later = 1

        for value, label in ((empty(), "builtins.function"), (torch.zeros(3).to_sparse(), "torch.Tensor")):
            with pytest.raises(
                TypeError, match=rf"^cache needs to know .* but {label} cannot be read \(.*\); leave it"
            ):
                fingerprint(value)

    def test_what_refers_to_itself(self):
        loop = [1]
        loop.append(loop)
        assert fingerprint(loop) == fingerprint(loop)


class TestInScikitLearn:
    def test_clone_shares_the_module(self, counted, vectors):
        encoder = cpu(counted, batch_size=3).set_output(transform="pandas").fit(vectors)
        copied = clone(encoder)
        assert copied.module is counted and copied.batch_size == 3 and not hasattr(copied, "n_features_out_")
        assert isinstance(copied.fit_transform(vectors), pd.DataFrame)
        nested = clone(make_pipeline(ModalityTransformer({"image": {"small": encoder}}), fast_classifier()))
        assert nested[0].transformers["image"]["small"].module is counted
        assert encoder.module is counted and encoder.n_features_out_ == 4

    def test_pickle(self, counted, vectors):
        encoder = cpu(counted).fit(vectors)
        assert_allclose(pickle.loads(pickle.dumps(encoder)).transform(vectors), encoder.transform(vectors))

    def test_names_and_output(self, counted, vectors):
        encoder = cpu(counted).set_output(transform="pandas")
        frame = encoder.fit_transform(pd.DataFrame(vectors, index=range(5, 15)))
        assert frame.columns.tolist() == [f"frozenencoder{i}" for i in range(4)] and frame.index[0] == 5
        assert encoder.get_feature_names_out().tolist() == frame.columns.tolist()

    def test_fit_looks_at_one_item(self, counted, vectors):
        encoder = cpu(counted).fit(vectors)
        assert counted.seen() == 1 and encoder.n_features_out_ == 4
        with pytest.raises(NotFittedError):
            clone(encoder).transform(vectors)

    def test_with_the_classifier(self, paths, tmp_path):
        n_rows = 40
        y = np.arange(n_rows) % 2
        image = np.array([paths[i] for i in y], dtype=object)
        text = np.array(["aaa", "bbbbb"], dtype=object)[y]
        image[::5], text[3::5] = None, None
        X = MultimodalData({"image": image, "text": text, "labs": np.ones((n_rows, 2))})
        encoders = ModalityTransformer(
            {
                "image": cpu(Tower(), preprocess=to_tensor, cache=tmp_path / "cache"),
                "text": cpu(Tokens(), preprocess=tokenize, batched=True, cache=tmp_path / "cache"),
            }
        )
        out = encoders.fit_transform(X)
        assert_array_equal(out.present, X.present)
        assert encoders.get_feature_names_out()[0] == "image__frozenencoder0"
        pipeline = make_pipeline(encoders, fast_classifier(max_epochs=40))
        grid = {"modalitytransformer__text__pooling": ["mean", "cls"]}
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
        assert search.best_score_ > 0.9
        assert search.predict_proba(X[:3]).shape == (3, 2)
        frame = pd.DataFrame({"image": image, "text": text})
        encoders = ModalityTransformer(encoders.transformers, modalities={"image": "image", "text": "text"})
        assert_allclose(encoders.fit_transform(frame)["text"], out["text"])


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
        (lambda: FrozenEncoder(nn.Linear), np.ones((2, 3)), ValueError, f"The 'module' parameter of FrozenEncoder must be an instance of 'torch.nn.modules.module.Module'. Got {nn.Linear!r} instead."),
        (lambda: cpu(nn.Linear(3, 2), batch_size=0), np.ones((2, 3)), ValueError, "The 'batch_size' parameter of FrozenEncoder must be an int in the range [1, inf). Got 0 instead."),
    ],
)  # fmt: skip
def test_refused(make, X, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make().fit_transform(X)


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


class TestClip:
    """Both towers of a tiny CLIP, as Hugging Face builds it."""

    @pytest.fixture
    def clip(self):
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        tower = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        text = {**tower, "vocab_size": 12, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
        config = transformers.CLIPConfig(
            text_config={**text, "pad_token_id": 1},
            vision_config={**tower, "image_size": 8, "patch_size": 4},
            projection_dim=6,
        )
        return transformers.CLIPModel(config)

    @pytest.fixture
    def tokens(self, clip):
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        words = ["<s>", "</s>", "<unk>", "a", "red", "blue", "square"]
        tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token="<s>",
            eos_token="</s>",
            pad_token="</s>",
            unk_token="<unk>",
            model_input_names=["input_ids", "attention_mask"],
        )
        return partial(fast, padding=True, truncation=True, max_length=8, return_tensors="pt")

    @pytest.mark.parametrize("batch_size", [1, 2, 32])
    def test_towers(self, clip, tokens, paths, batch_size):
        texts = ["a red square", None, "blue", "a a a blue square"]
        encoder = cpu(clip, method="get_text_features", preprocess=tokens, batched=True, batch_size=batch_size)
        out = encoder.fit_transform(texts)
        assert out.shape == (4, 6) and np.isnan(out[1]).all()
        clip.eval()
        with torch.no_grad():
            expected = clip.text_projection(clip.text_model(**tokens(texts[:1])).pooler_output)
        clip.train()
        assert_allclose(out[:1], expected, atol=1e-6)
        images = cpu(clip, method="get_image_features", preprocess=to_tensor, batch_size=batch_size).fit_transform(
            paths
        )
        assert images.shape == (5, 6)
        vision = cpu(clip.vision_model, preprocess=to_tensor, pooling="cls", batch_size=batch_size).fit_transform(paths)
        assert vision.shape == (5, 8) and all(part.training for part in clip.modules())

    def test_the_cache_knows_model_and_tokenizer_again(self, clip, tokens, tmp_path):
        before = fingerprint(clip), fingerprint(tokens)
        texts = np.array(["a red square", "blue"], dtype=object)
        encoder = cpu(clip, method="get_text_features", preprocess=tokens, batched=True, cache=tmp_path)
        first = encoder.fit_transform(texts)
        # A fast tokenizer remembers its last padding; that is no other tokenizer.
        assert (fingerprint(clip), fingerprint(tokens)) == before
        assert fingerprint(pickle.loads(pickle.dumps((clip, tokens)))) == fingerprint((clip, tokens))
        assert_allclose(encoder.transform(texts[::-1]), first[::-1])
        assert len(list(tmp_path.rglob("*.npz"))) == 1
        assert fingerprint(partial(tokens, max_length=4)) != before[1]
