"""The data sets of the benchmarks, split into rows to train on, to validate on and to test on."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_aecf import MultimodalData
from sklearn_aecf.datasets import fetch_avmnist, fetch_extrasensory, load_handwritten, load_heart_disease

NAMES = ("avmnist", "extrasensory", "handwritten", "heart")
# Sets whose licence lets nobody pass them on: read from files of these names in `data_dir`, where they are.
LOCAL_NAMES = ("wikipedia", "yeast2view", "landuse21")

# Rows to train on, at most: what gradient boosting with masked copies fits within minutes.
MAX_TRAIN = 12_000
MAX_VALIDATION = 2_000


@dataclass(frozen=True)
class Task:
    """One split of one data set.

    Attributes
    ----------
    name, part : str
        Data set, and which of its splits (a hospital, a fold).
    X : MultimodalData
        Rows to learn from.
    y : ndarray
        Classes, or 0/1 a label with NaN where it was not reported.
    is_validation : ndarray of bool
        Rows of X for early stopping, calibration and tuning.
    X_test, y_test
        Rows to measure on.
    """

    name: str
    part: str
    X: MultimodalData
    y: np.ndarray
    is_validation: np.ndarray
    X_test: MultimodalData
    y_test: np.ndarray

    @property
    def multilabel(self):
        return self.y.ndim == 2


def tasks(name, seed, data_dir=None, *, on="test", max_train=MAX_TRAIN, n_rows=None):
    """The splits of a data set for one seed.

    Parameters
    ----------
    name : {"avmnist", "extrasensory", "handwritten", "heart", "wikipedia", "yeast2view", "landuse21"}
    seed : int
    data_dir : path, default=None
        Where `fetch_avmnist` and `fetch_extrasensory` find their files; by default scikit-learn's data home.
    on : {"test", "validation"}
        What X_test is: the test rows, or rows held out of the others, for choices that must not see the test rows.
    max_train : int
        Rows to train on, at most.
    n_rows : int, default=None
        Rows to learn from, at most, a fifth of them to validate on: shares of the classes stay.

    Yields
    ------
    Task
    """
    rng = np.random.default_rng(seed)
    for part, X, y, groups, train, held_out, test in _splits(name, seed, data_dir):
        if on == "validation" and name == "avmnist":
            train, held_out, test = _without_a_speaker(groups, train, held_out, seed)
        elif on == "validation":
            train, held_out, test = _without_test_rows(rng, groups, train, held_out)
        if n_rows is not None and len(train) + len(held_out) > n_rows:
            held_out = _cut(held_out, y, n_rows // 5, seed)
            train = _cut(train, y, n_rows - len(held_out), seed)
        train = _at_most(rng, train, max_train)
        held_out = _at_most(rng, held_out, MAX_VALIDATION)
        rows = np.concatenate([train, held_out])
        yield Task(name, part, X[rows], y[rows], np.arange(len(rows)) >= len(train), X[test], y[test])


def _splits(name, seed, data_dir):
    """Part, X, y, groups (or None) and the positions of the rows to train, validate and test on."""
    if name == "avmnist":
        bunch = _avmnist(data_dir)
        rows = [np.flatnonzero(bunch.split == value) for value in ("train", "validation", "test")]
        yield "official", bunch.data, bunch.target, bunch.speakers, *rows
    elif name == "extrasensory":
        bunch = _extrasensory(data_dir)
        fold = seed % 5
        train, test = np.flatnonzero(bunch.fold != fold), np.flatnonzero(bunch.fold == fold)
        users = np.random.default_rng(seed).permutation(np.unique(bunch.groups[train]))
        held_out = np.isin(bunch.groups[train], users[: len(users) // 6])
        yield f"fold {fold}", bunch.data, bunch.target, bunch.groups, train[~held_out], train[held_out], test
    elif name == "handwritten":
        digits = load_handwritten()
        train, held_out = _share(np.flatnonzero(~digits.is_test), digits.target, 0.15, seed)
        yield "official", digits.data, digits.target, None, train, held_out, np.flatnonzero(digits.is_test)
    elif name == "heart":
        heart = load_heart_disease()
        for site, hospital in enumerate(heart.group_names):
            known = np.flatnonzero(heart.groups != site)
            train, held_out = _share(known, heart.target, 0.2, seed)
            test = np.flatnonzero(heart.groups == site)
            yield str(hospital), heart.data, heart.target, None, train, held_out, test
    elif name in LOCAL_NAMES:
        X, y, known, test = _local(name, seed, data_dir)
        train, held_out = _share(known, None if y.ndim == 2 else y, 0.15, seed)
        yield f"split {seed}", X, y, None, train, held_out, test
    else:
        raise ValueError(f"Unknown data set {name!r}. Data sets: {', '.join(NAMES + LOCAL_NAMES)}.")


def _local(name, seed, data_dir):
    """X, y and the positions of the rows to learn from and to test on, of a file of arrays ``X_<modality>``."""
    with np.load(Path(data_dir or ".") / f"{name}.npz") as file:
        arrays = dict(file)
    X = MultimodalData({key.removeprefix("X_"): value for key, value in arrays.items() if key.startswith("X_")})
    y = arrays["y"] if "y" in arrays else arrays["Y"].astype(float)
    if "is_test" in arrays:
        is_test = arrays["is_test"]
    elif "fold" in arrays:
        is_test = arrays["fold"] == seed % 10
    else:
        is_test = np.random.default_rng(1000 + seed).random(len(y)) < 0.2
    return X, y, np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _without_a_speaker(speakers, train, held_out, seed):
    """One of the training speakers takes the place of the test speakers, whom no model has heard either."""
    known = np.unique(speakers[train])
    left_out = known[seed % len(known)]
    return (
        train[speakers[train] != left_out],
        held_out[speakers[held_out] != left_out],
        train[speakers[train] == left_out],
    )


def _without_test_rows(rng, groups, train, held_out):
    """The held-out rows become those to measure on; others of the training rows take their place."""
    if groups is None:
        order = rng.permutation(train)
        chosen = np.sort(order[: max(len(order) // 8, min(200, len(order) // 5))])
        return np.setdiff1d(train, chosen), chosen, held_out
    users = rng.permutation(np.unique(groups[train]))
    mask = np.isin(groups[train], users[: len(users) // 6])
    return train[~mask], train[mask], held_out


def _share(rows, y, fraction, seed):
    stratify = None if y is None else y[rows]
    return train_test_split(rows, test_size=fraction, stratify=stratify, random_state=seed)


def _cut(rows, y, size, seed):
    return rows if len(rows) <= size else np.sort(_share(rows, None if y.ndim == 2 else y, size, seed)[1])


def _at_most(rng, rows, limit):
    return rows if len(rows) <= limit else np.sort(rng.choice(rows, limit, replace=False))


# Read once for all seeds.
_avmnist, _extrasensory = cache(fetch_avmnist), cache(fetch_extrasensory)
