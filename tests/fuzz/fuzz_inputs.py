"""X, y and weights from a few named choices: valid unless a choice says otherwise.

A case is a dict of choices; what it does not mention has its plain value. Choices are text, so that a case that was
printed can be run again.
"""

import warnings
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import torch
from fuzz_oracle import Unbuildable
from hypothesis import strategies as st
from scipy import sparse
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.helper import SliceDict

from sklearn_aecf import MultimodalData
from sklearn_aecf.masking import EntropyMasking, RandomCorruption, UniformMasking

WIDTHS = {"a": 3, "b": 2, "c": 1}
LABELS_OF = {name: [f"{name}{i}" for i in range(width)] for name, width in WIDTHS.items()}
JUNK = object()
GROUPS = {"a": slice(0, 3), "b": slice(3, 5), "c": slice(5, 6)}
NAMESPACE = {
    "np": np, "pd": pd, "pl": pl, "torch": torch, "sparse": sparse, "Decimal": Decimal, "EarlyStopping": EarlyStopping,
    "LRScheduler": LRScheduler, "EntropyMasking": EntropyMasking, "RandomCorruption": RandomCorruption,
    "UniformMasking": UniformMasking,
}  # fmt: skip


def value_of(text, **names):
    """What a choice stands for, made anew."""
    try:
        return eval(text, {**NAMESPACE, **names})
    except Exception as error:
        raise Unbuildable(text) from error


def cases(space, most=3):
    """Cases with up to `most` choices; `space` has a strategy or a list by name, and how often it is chosen."""
    pool = [name for name, (_, weight) in space.items() for _ in range(weight)]
    strategies = {
        name: st.sampled_from(list(choices)) if isinstance(choices, list | dict) else choices
        for name, (choices, _) in space.items()
    }

    @st.composite
    def drawn(draw):
        names = draw(st.lists(st.sampled_from(pool), max_size=most, unique=True))
        return {"seed": draw(st.integers(0, 2**16)), **{name: draw(strategies[name]) for name in names}}

    return drawn()


# Values: an array of one modality to another

VALUES = {
    "constant": lambda x, rng: np.full_like(x, 3.0), "zeros": lambda x, rng: np.zeros_like(x),
    "tiny": lambda x, rng: x * 1e-300, "denormal": lambda x, rng: x * 5e-324, "small": lambda x, rng: x * 1e-30,
    "1e5": lambda x, rng: x * 1e5, "1e30": lambda x, rng: x * 1e30, "1e38": lambda x, rng: x * 1e38,
    "1e99": lambda x, rng: x * 1e99, "1e154": lambda x, rng: x * 1e154, "1e300": lambda x, rng: x * 1e300,
    "offset 1e4": lambda x, rng: x + 1e4, "offset 1e7": lambda x, rng: x + 1e7, "offset 1e15": lambda x, rng: x + 1e15,
    "offset -1e30": lambda x, rng: x - 1e30, "outlier": lambda x, rng: with_value(x, rng, 1e20),
    "outlier 1e99": lambda x, rng: with_value(x, rng, 1e99), "infinity": lambda x, rng: with_value(x, rng, np.inf),
    "-infinity": lambda x, rng: with_value(x, rng, -np.inf), "code": lambda x, rng: with_value(x, rng, -9999.0),
    "signs": lambda x, rng: np.sign(x), "-0": lambda x, rng: x * -0.0,
    "max float": lambda x, rng: with_value(x, rng, np.finfo(float).max),
    "both infinities": lambda x, rng: with_value(with_value(x, rng, np.inf), rng, -np.inf),
}  # fmt: skip


def with_value(x, rng, value):
    """A copy with the value in one place."""
    x = x.copy()
    if x.size:
        x[rng.integers(len(x)), rng.integers(x.shape[1])] = value
    return x


# Missing: a table of modalities to another


def _hide(where):
    def hide(table, rng):
        n_rows = len(table["a"])
        hidden = {name: np.array(x) for name, x in table.items()}
        where(hidden, rng.random((n_rows, 3)) < 0.3)
        return hidden

    return hide


def _rows(table, drawn):
    for x, rows in zip(table.values(), drawn.T, strict=True):
        x[rows] = np.nan


MISSING = {
    "rows": _hide(_rows),
    "some of a": _hide(lambda table, drawn: table["a"].__setitem__(drawn, np.nan)),
    "a column": _hide(lambda table, drawn: table["a"].__setitem__((slice(None), 1), np.nan)),
    "all of b": _hide(lambda table, drawn: table["b"].fill(np.nan)),
    "first row": _hide(lambda table, drawn: [x.__setitem__(slice(0, 1), np.nan) for x in table.values()]),
    "half": _hide(lambda table, drawn: [x.__setitem__(slice(None, None, 2), np.nan) for x in table.values()]),
    "everything": _hide(lambda table, drawn: [x.fill(np.nan) for x in table.values()]),
    "all but a row of b": _hide(lambda table, drawn: table["b"].__setitem__(slice(1, None), np.nan)),
    "b is None": lambda table, rng: {**table, "b": None},
    "all None": lambda table, rng: dict.fromkeys(table),
}

# Dtypes: an array with NaN to what stands for it, and the numbers that this means (None: nothing)


def _cast(dtype, holds_nan=False, prepare=lambda x: x):
    def cast(x):
        x = prepare(x if holds_nan else np.nan_to_num(x, posinf=9, neginf=-9))
        array = x.astype(dtype)
        return array, array.astype(float)

    return cast


def _whole(x):
    return np.clip(np.rint(4 * x), -100, 100)


def _counts(x):
    return np.abs(_whole(x))


def _objects(convert, missing=None):
    def cast(x):
        array = np.empty(x.shape, dtype=object)
        array[...] = [[missing if v != v else convert(v) for v in row] for row in x.tolist()]
        return array, x

    return cast


def _frame(dtype, prepare=lambda x: x):
    def cast(x):
        x = prepare(x)
        known = _objects(float)(x)[0]
        return pd.DataFrame({label: pd.array(known[:, i], dtype=dtype) for i, label in enumerate(LABELS_OF["a"])}), x

    return cast


def _tensor(dtype):
    def cast(x):
        tensor = torch.from_numpy(np.array(x)).to(dtype)
        return tensor, tensor.double().numpy()

    return cast


def _read_only(x):
    array = np.asfortranarray(x)
    array.flags.writeable = False
    return array, x


DTYPES = {
    "float32": _cast(np.float32, True), "float16": _cast(np.float16, True), "longdouble": _cast(np.longdouble, True),
    "big-endian": _cast(">f8", True), "int8": _cast(np.int8, prepare=_whole), "int64": _cast(np.int64, prepare=_whole),
    "uint8": _cast(np.uint8, prepare=_counts), "uint64": _cast(np.uint64, prepare=_counts),
    "bool": _cast(bool, prepare=lambda x: x > 0), "None": _objects(float), "NA": _objects(float, pd.NA),
    "object NaN": _objects(float, np.nan),
    "NaT": lambda x: (_objects(float, pd.NaT)(x)[0], None if np.isnan(x).any() else x),
    "numbers as text": lambda x: (_objects(str)(x)[0], None), "Decimal": _objects(Decimal),
    "text": lambda x: (_objects(lambda v: "red")(x)[0], None), "str": lambda x: (np.full(x.shape, "red"), None),
    "bytes": lambda x: (np.full(x.shape, b"1"), None), "complex": lambda x: (x + 1j, None),
    "datetime": lambda x: (np.full(x.shape, np.datetime64("2020-01-01")), None),
    "timedelta": lambda x: (np.full(x.shape, np.timedelta64(3, "s")), None),
    "mixed": lambda x: (np.where(np.arange(len(x))[:, None] % 2, "red", _objects(float)(x)[0]), None),
    "structured": lambda x: (np.zeros(len(x), dtype=[("x", float), ("y", float)]), None), "read-only": _read_only,
    "strided": lambda x: (np.repeat(x, 2, axis=0)[::2], x), "reversed": lambda x: (x[::-1].copy()[::-1], x),
    "masked": lambda x: (np.ma.masked_invalid(x), np.where(np.isfinite(x), x, np.nan)),
    "list": lambda x: (x.tolist(), x), "list with None": lambda x: (_objects(float)(x)[0].tolist(), x),
    "list of tuples": lambda x: (list(map(tuple, x.tolist())), x), "matrix": lambda x: (np.asmatrix(x), x),
    "frame": _frame(float), "Int64": _frame("Int64", _whole),
    "Float32": _frame("Float32", lambda x: x.astype(np.float32).astype(float)),
    "boolean": _frame("boolean", lambda x: np.where(np.isnan(x), x, x > 0)),
    "category": lambda x: (_frame(float)(x)[0].astype("category"), None),
    "polars": lambda x: (pl.DataFrame({label: x[:, i] for i, label in enumerate(LABELS_OF["a"])}, nan_to_null=True), x),
    "string": lambda x: (_frame(float)(x)[0].astype("string"), None), "tensor": _tensor(torch.float32),
    "bfloat16": _tensor(torch.bfloat16), "grad": lambda x: (torch.from_numpy(np.array(x)).requires_grad_(), x),
}  # fmt: skip

# Shapes: what stands for modalities to something of another shape; what a table of it would be is not asked

SHAPES = {
    "short b": lambda parts: {**parts, "b": parts["b"][:-1]}, "1-D c": lambda parts: {**parts, "c": parts["c"][:, 0]},
    "3-D b": lambda parts: {**parts, "b": parts["b"][:, :, None]},
    "no columns in b": lambda parts: {**parts, "b": parts["b"][:, :0]}, "scalar b": lambda parts: {**parts, "b": 3.0},
    "0-D b": lambda parts: {**parts, "b": np.array(3.0)}, "text b": lambda parts: {**parts, "b": "hello"},
    "ragged b": lambda parts: {**parts, "b": [[0.0] * (1 + i % 2) for i in range(len(parts["b"]))]},
    "junk b": lambda parts: {**parts, "b": [JUNK] * len(parts["b"])},
    "dict b": lambda parts: {**parts, "b": {"x": 1}},
    "wide b": lambda parts: {**parts, "b": np.hstack([parts["b"]] * 2)}, "empty b": lambda parts: {**parts, "b": []},
    "no a": lambda parts: {k: v for k, v in parts.items() if k != "a"}, "only a": lambda parts: {"a": parts["a"]},
    "function b": lambda parts: {**parts, "b": len}, "arrays in b": lambda parts: {**parts, "b": _arrays(parts["b"])},
    "sparse b": lambda parts: {**parts, "b": sparse.csr_array(parts["b"])},
}  # fmt: skip


def _arrays(x):
    array = np.empty(len(x), dtype=object)
    array[:] = list(np.asarray(x))
    return array


# Names of modalities, which change nothing at fit

NAMES = {
    "long": lambda name: name * 300, "spaces": lambda name: f" {name} ", "dunder": lambda name: f"{name}__x",
    "dots": lambda name: f"{name}.x", "unicode": lambda name: f"{name}é→",
    "empty": lambda name: "" if name == "a" else name, "integer": lambda name: 1 if name == "a" else name,
    "None": lambda name: None if name == "a" else name, "tuple": lambda name: (name, 0),
    "wildcard": lambda name: f"{name}*", "capital": lambda name: name.upper() if name == "a" else name,
    "X": lambda name: "X" if name == "a" else name, "np.str_": np.str_,
}  # fmt: skip
REFUSED_NAMES = {"integer", "None", "tuple"}

# Forms: what stands for modalities to X and the parameter `modalities`


def _columns(parts):
    """Columns by label; NaN where nobody has the modality."""
    columns, n_rows = {}, max((len(part) for part in parts.values() if part is not None), default=0)
    for name, part in parts.items():
        if part is None:
            part = np.full((n_rows, WIDTHS[name]), np.nan)
        if isinstance(part, pd.DataFrame | pl.DataFrame):
            values = [part[label] for label in part.columns]
        else:
            part = part.detach().float().numpy() if isinstance(part, torch.Tensor) else part
            part = np.asarray(part, dtype=object if isinstance(part, list) else None)
            values = list(part.T if part.ndim == 2 else part.T[None])
        columns |= {f"{name}{i}": column for i, column in enumerate(values)}
    return columns


def _pandas(parts):
    frame = pd.DataFrame({label: pd.Series(column) for label, column in _columns(parts).items()})
    return frame, {name: [label for label in frame.columns if label[0] == name] for name in parts}


def _two_level(parts):
    frame = _pandas(parts)[0]
    return frame.set_axis(pd.MultiIndex.from_tuples([(label[0], label) for label in frame.columns]), axis=1), None


def _polars(parts):
    columns = {
        label: column.tolist() if getattr(column, "dtype", None) == np.dtype(object) else column
        for label, column in _columns(parts).items()
    }
    frame = pl.DataFrame(columns, strict=False)
    if pl.Object in frame.dtypes:
        raise TypeError("polars has no such dtype")
    return frame, {name: [label for label in columns if label[0] == name] for name in parts}


def _array(parts):
    return np.column_stack([np.asarray(column) for column in _columns(parts).values()]), GROUPS


def _lists(parts):
    rows = _array(parts)[0].tolist()
    if not rows:
        raise TypeError("a list without rows has no columns")
    return rows, GROUPS


def _frames(parts):
    return {k: x if x is None else pd.DataFrame(x, columns=LABELS_OF[k]) for k, x in parts.items()}, None


def _reordered(parts):
    frame, groups = _pandas(parts)
    return frame.set_axis(np.arange(len(frame))[::-1] // 2), groups


FORMS = {
    "dict": lambda parts: (parts, None), "MultimodalData": lambda parts: (MultimodalData(parts), None),
    "SliceDict": lambda parts: (SliceDict(**parts), None), "array": _array, "pandas": _pandas, "two-level": _two_level,
    "polars": _polars, "OrderedDict": lambda parts: (OrderedDict(parts), None),
    "proxy": lambda parts: (MappingProxyType(parts), None),
    "list of lists": _lists,
    "tensor of all": lambda parts: (torch.from_numpy(_array(parts)[0].astype(float)), GROUPS),
    "frames": _frames, "reordered index": _reordered,
}  # fmt: skip
WRONG_FORMS = {
    "list": lambda parts: (list(parts.values()), None), "None": lambda parts: (None, None),
    "a text": lambda parts: ("X", None), "empty": lambda parts: ({}, None),
    "3-D": lambda parts: (parts["a"][:, :, None], None), "1-D": lambda parts: (parts["a"][:, 0], None),
    "sparse": lambda parts: (sparse.csr_array(_array(parts)[0]), GROUPS),
    "plain sparse": lambda parts: (sparse.csr_array(_array(parts)[0]), None), "number": lambda parts: (5, None),
    "set": lambda parts: ({1, 2}, None), "iterator": lambda parts: (iter(parts), None),
    "1-D groups": lambda parts: (parts["a"][:, 0], GROUPS), "series": lambda parts: (_pandas(parts)[0]["a0"], None),
    "scalar groups": lambda parts: (np.float64(3), GROUPS), "ragged": lambda parts: ([[1.0], [1.0, 2.0]] * 12, GROUPS),
}  # fmt: skip
BY_LABEL = ("pandas", "two-level", "polars", "reordered index", "frames")
DICT_LIKE = ("dict", "MultimodalData", "SliceDict", "OrderedDict", "proxy")

# Labels: class indices of two classes to y; those of SAME mean the same partition in the same order


def _many(codes):
    return np.column_stack([codes, 1 - codes, np.arange(len(codes)) % 3 == 0]).astype(float)


SAME = {
    "str": lambda c: np.array(["no", "yes"])[c], "object": lambda c: np.array(["no", "yes"], dtype=object)[c],
    "bool": lambda c: c == 1, "float": lambda c: c.astype(float), "float16": lambda c: c.astype(np.float16),
    "uint8": lambda c: c.astype(np.uint8), "int8": lambda c: c.astype(np.int8) - 1,
    "big-endian": lambda c: c.astype(">i8"), "list": lambda c: c.tolist(), "tuple": lambda c: tuple(c.tolist()),
    "column": lambda c: c[:, None], "series": lambda c: pd.Series(c, index=np.arange(len(c))[::-1]),
    "categorical": lambda c: pd.Categorical(np.array(["no", "yes"])[c]),
    "categorical series": lambda c: pd.Series(np.array(["no", "yes"])[c]).astype("category"),
    "string": lambda c: pd.Series(np.array(["no", "yes"])[c], dtype="string"),
    "Int64": lambda c: pd.Series(c, dtype="Int64"), "boolean": lambda c: pd.Series(c == 1, dtype="boolean"),
    "polars": lambda c: pl.Series(c), "tensor": torch.from_numpy, "bool tensor": lambda c: torch.from_numpy(c) == 1,
    "huge": lambda c: c + 2**62, "uint64": lambda c: c.astype(np.uint64) + np.uint64(2**63),
    "masked": lambda c: np.ma.array(c),
    "frame": lambda c: pd.DataFrame({"y": c}), "polars frame": lambda c: pl.DataFrame({"y": c}),
    "read-only": lambda c: np.broadcast_to(c[:1] if len(c) < 2 else c, c.shape),
    "polars categorical": lambda c: pl.Series(np.array(["no", "yes"])[c].tolist(), dtype=pl.Categorical),
    "np.str_ list": lambda c: list(np.array(["no", "yes"])[c]),
}  # fmt: skip
OTHER = {
    "objects": lambda c: c.astype(object), "bytes": lambda c: np.array([b"no", b"yes"])[c],
    "mixed": lambda c: np.array([1, "a"], dtype=object)[c],
    "None label": lambda c: np.array([None, "a"], dtype=object)[c], "NaN": lambda c: np.where(c == 0, np.nan, 1.0),
    "a NaN": lambda c: np.r_[np.nan, c[1:]], "NA": lambda c: pd.Series(c, dtype="Int64").mask(np.arange(len(c)) == 0),
    "one class": np.zeros_like, "short": lambda c: c[:-1], "long": lambda c: np.r_[c, 0], "empty": lambda c: c[:0],
    "labels": _many, "labels NaN": lambda c: np.where(np.arange(3) == np.arange(len(c))[:, None] % 5, np.nan, _many(c)),
    "labels -1": lambda c: np.where(np.arange(3) == np.arange(len(c))[:, None] % 5, -1, _many(c)),
    "labels bool": lambda c: _many(c) == 1, "labels of 2": lambda c: _many(c) * 2,
    "labels str": lambda c: _many(c).astype(str), "labels unknown": lambda c: _many(c) * [1, 1, np.nan],
    "labels frame": lambda c: pd.DataFrame(_many(c)), "labels sparse": lambda c: sparse.csr_array(_many(c)),
    "labels object": lambda c: _many(c).astype(object),
    "labels Int64": lambda c: pd.DataFrame(_many(c)).astype("Int64").mask(_many(c) == 1),
    "labels polars": lambda c: pl.DataFrame(_many(c)), "labels constant": lambda c: _many(c) * 0,
    "labels lists": lambda c: [[i] * (i + 1) for i in c.tolist()],
    "labels None": lambda c: np.where(_many(c) == 1, None, 0), "labels inf": lambda c: _many(c) / 0.0,
    "three": lambda c: np.arange(len(c)) % 3, "all different": lambda c: np.arange(len(c)),
    "a rare one": lambda c: np.r_[2, c[1:]], "3-D": lambda c: c[:, None, None], "scalar": lambda c: 1,
    "None": lambda c: None, "inf": lambda c: np.r_[np.inf, c[1:]], "complex": lambda c: c * 1j,
    "Decimal": lambda c: [Decimal(v) for v in c.tolist()], "dict": lambda c: dict(enumerate(c.tolist())),
    "generator": lambda c: (v for v in c.tolist()), "sets": lambda c: [{v} for v in c.tolist()],
    "datetime": lambda c: np.array(["2020-01-01", "2021-01-01"], dtype="M8[D]")[c], "continuous": lambda c: c + 0.5,
    "no columns": lambda c: c[:, None][:, :0], "text": lambda c: "yes",
    "masked one": lambda c: np.ma.array(c, mask=np.arange(len(c)) == 0),
    "structured": lambda c: np.zeros(len(c), dtype=[("x", int)]), "tuples": lambda c: [("a", v) for v in c.tolist()],
    "row": lambda c: c[None],
}  # fmt: skip

# Weights as text; those of EQUAL weigh all rows alike

EQUAL = [
    "np.ones(n)", "np.full(n, 1e-300)", "np.full(n, 1e-15)", "np.full(n, 1e300)", "[1] * n", "2.0",
    "np.ones(n, dtype=bool)", "pd.Series(np.ones(n), index=np.arange(n)[::-1])", "torch.ones(n)",
    "np.full(n, 3, dtype=np.uint8)", "pl.Series(np.ones(n))", "np.full(n, 5e-324)", "np.full(n, 1e308)",
]  # fmt: skip
WEIGHTS = [
    *EQUAL, "np.zeros(n)", "-np.ones(n)", "np.full(n, np.nan)", "np.ones(n - 1)", "np.eye(n)[0]", "'balanced'",
    "np.ones((n, 1))", "np.ones((n, 2))", "np.arange(n)", "np.r_[np.inf, np.ones(n - 1)]",
    "np.r_[np.nan, np.ones(n - 1)]", "np.ones(n) * 1j", "np.array(['x'] * n)", "np.array(['1'] * n)", "[None] * n",
    "np.r_[1e308, np.ones(n - 1)]", "np.geomspace(1e-300, 1e300, n)", "np.r_[-1e-300, np.ones(n - 1)]",
    "np.arange(n) % 2", "np.r_[np.zeros(n - 11), np.ones(11)]", "np.nan", "object()", "{0: 1.0}", "[]",
    "np.where(np.arange(n) < n - 3, 1e-200, 1)", "np.float16(np.arange(n))",
]  # fmt: skip


@dataclass
class Inputs:
    """What is passed, and the same as plainly as possible."""

    X: Any
    modalities: Any
    n_rows: int
    table: dict | None
    y: Any = None
    plain_y: Any = None
    weight: Any = None
    plain_weight: Any = None


def inputs(case, n_rows=24):
    """X, y and weights of a case; the same for the same case."""
    rng = np.random.default_rng(case.get("seed", 0))
    n_rows = int(case.get("n_rows", n_rows))
    # Sixteenths, which every float holds exactly.
    table = {name: np.round(rng.normal(size=(n_rows, width)) * 16) / 16 for name, width in WIDTHS.items()}
    codes = rng.permutation(n_rows) % 2
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "values" in case:
            name = "ab"[case.get("seed", 0) % 2]
            table[name] = VALUES[case["values"]](table[name], rng)
        if "missing" in case:
            table = MISSING[case["missing"]](table, rng)
        try:
            X, modalities, table = _in_form(case, table)
        except Exception as error:
            raise Unbuildable(case) from error
    found = Inputs(X, modalities, n_rows, table)
    with np.errstate(all="ignore"):
        kind = case.get("y")
        found.y = {**SAME, **OTHER}[kind](codes) if kind else codes
        found.plain_y = OTHER[kind](codes) if kind in OTHER else codes
    weight = case.get("weight", "None")
    found.weight = value_of(weight, n=n_rows)
    found.plain_weight = value_of("None" if weight in EQUAL else weight, n=n_rows)
    return found


def _in_form(case, table):
    parts = {name: x if x is None else x.copy() for name, x in table.items()}
    if "dtype" in case and parts["a"] is not None:
        parts["a"], known = DTYPES[case["dtype"]](parts["a"])
        table = None if known is None else {**table, "a": known}
    if "shape" in case:
        parts, table = SHAPES[case["shape"]](parts), None
    form = case.get("form", "dict")
    if "names" in case:
        parts = {NAMES[case["names"]](name): part for name, part in parts.items()}
        table = None if case["names"] in REFUSED_NAMES or form not in DICT_LIKE else table
    if form == "MultimodalData":
        return parts, None, table  # made where its refusals are judged
    X, modalities = {**FORMS, **WRONG_FORMS}[form](parts)
    if form in WRONG_FORMS:
        table = None
    return X, modalities, table


def full(table, n_rows=None):
    """A table with NaN for a modality that nobody has."""
    n_rows = next((len(x) for x in table.values() if x is not None), n_rows or 0)
    return {k: np.full((n_rows, WIDTHS[k]), np.nan) if x is None else x for k, x in table.items()}


X_SPACE = {
    "form": ([*FORMS], 3), "dtype": (DTYPES, 3), "values": (VALUES, 2), "missing": (MISSING, 3), "shape": (SHAPES, 1),
    "names": (NAMES, 1), "n_rows": (["0", "1", "2", "9", "10", "11", "40"], 1),
}  # fmt: skip
