"""Fingerprints: equal for what gives the same features, different for what may not."""

import functools
import importlib
import pickle
import sys
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch
from encoder_helpers import Tokens, Tower
from torch import nn

from sklearn_aecf.compose._fingerprint import fingerprint

pytestmark = pytest.mark.usefixtures("seeded")

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
