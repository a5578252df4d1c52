"""Data, forms of X, classifiers and surroundings that the tests share."""

from urllib.error import URLError

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from skorch.helper import SliceDict

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.datasets import _fetch, make_multimodal_classification

FORMS = ["dict", "MultimodalData", "array", "pandas", "two-level", "polars"]
# A tiny network, which the default dropout would leave too little of.
FAST = {
    "max_epochs": 4, "embed_dim": 16, "hidden_dim": 16, "dropout": 0.3, "n_members": 2, "device": "cpu",
    "random_state": 0,
}  # fmt: skip


@pytest.fixture(scope="session")
def data():
    """150 rows, 3 classes, modalities a (6), b (4), c (2), a third of them missing."""
    return make_multimodal_classification(150, n_classes=3, n_features=[6, 4, 2], missing_rate=0.3, random_state=0)


def in_form(X, form):
    """The same rows in another form, and the `modalities` that read it."""
    groups = X.column_groups()
    names = {name: [f"{name}{i}" for i in range(X[name].shape[1])] for name in X}
    columns = [column for group in names.values() for column in group]
    if form == "dict":
        return dict(X), None
    if form == "MultimodalData":
        return X, None
    if form == "SliceDict":
        return SliceDict(**X), None
    if form == "array":
        return np.asarray(X), groups
    if form == "pandas":
        return pd.DataFrame(np.asarray(X), columns=columns), names
    if form == "two-level":
        return X.to_frame(), None
    if form == "polars":
        return pl.DataFrame(np.asarray(X), schema=columns), names
    raise ValueError(form)


def fast_classifier(**params):
    """A small, quick classifier, for tests of everything but accuracy."""
    return AECFClassifier(**{**FAST, **params})


@pytest.fixture(scope="session")
def fitted(data):
    """A small classifier fitted on `data`; tests must not change it."""
    return fast_classifier().fit(*data)


@pytest.fixture(scope="session")
def trained(data):
    """Like `fitted`, but for long enough to learn something; tests must not change it."""
    return fast_classifier(max_epochs=30).fit(*data)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def seeded():
    """The same draws of torch in every test, and its random state as it was afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def vectors(rng):
    """Ten rows of three numbers, the fifth of them missing."""
    X = rng.normal(size=(10, 3)).astype(np.float32)
    X[4] = np.nan
    return X


@pytest.fixture
def paths(tmp_path, rng):
    """Five small photographs on disk."""
    files = []
    for i in range(5):
        Image.fromarray(rng.integers(0, 255, (12, 10, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        files.append(str(tmp_path / f"{i}.png"))
    return files


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(_fetch, "urlopen", refuse)


def hide(X, name, rows=slice(None)):
    """A copy of X without one modality in some rows."""
    arrays = {key: np.array(array, dtype=float) for key, array in X.items()}
    arrays[name][rows] = np.nan
    return MultimodalData(arrays)


@pytest.fixture(autouse=True, scope="session")
def _no_windows():
    import matplotlib

    matplotlib.use("Agg")


@pytest.fixture
def closed_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")
