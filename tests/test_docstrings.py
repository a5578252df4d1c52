"""Docstrings by numpydoc's own validation: every public object says what it takes, what it returns, and shows its use."""

import importlib
import inspect
import re

import pytest

from sklearn_aecf import AECFClassifier

validate = pytest.importorskip("numpydoc.validate", reason="numpydoc is not installed").validate

MODULES = [
    "sklearn_aecf",
    *(
        f"sklearn_aecf.{name}"
        for name in (
            "calibration",
            "compose",
            "datasets",
            "distributed",
            "inspection",
            "losses",
            "masking",
            "metrics",
            "nn",
        )
    ),
]
CHECKS = {
    "GL08": "there is a docstring",
    "SS03": "the summary ends with a period",
    "PR01": "every parameter is documented",
    "PR02": "no parameter is documented that does not exist",
    "PR03": "parameters are in the order of the signature",
    "PR04": "every parameter has a type",
    "PR07": "every parameter has a description",
    "PR09": "the description of a parameter ends with a period",
    "RT01": "what is returned is documented",
    "RT03": "what is returned has a description",
    "YD01": "what is yielded is documented",
}
# Classes and functions show their use; a method is seen in the example of its class.
SHOWN = {"EX01": "there is an example"}


def public_objects():
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            thing = getattr(importlib.import_module(module), name)
            yield f"{module}.{name}", True
            if inspect.isclass(thing):
                yield from ((f"{module}.{name}.{member}", False) for member in own_members(thing))


def own_members(kind):
    """Public methods and properties that this package defines, inherited ones included."""
    for name in dir(kind):
        member = inspect.getattr_static(kind, name)
        function = getattr(member, "fget", None) or getattr(kind, name, None)
        written_here = (getattr(function, "__module__", None) or "").startswith("sklearn_aecf")
        if not name.startswith("_") and callable(function) and written_here:
            yield name


@pytest.mark.parametrize(("name", "whole"), list(public_objects()), ids=lambda value: str(value))
def test_docstring_is_complete(name, whole):
    checks = {**CHECKS, **SHOWN} if whole else CHECKS
    found = [f"{code}: {message}" for code, message in validate(name)["errors"] if code in checks]
    assert not found, f"{name}: {'; '.join(found)}"


def test_parameters_are_grouped_once_each():
    notes = inspect.getdoc(AECFClassifier).split("**Parameters by task.**")[1].split("A plain dict")[0]
    assert sorted(re.findall(r"`(\w+)`", notes)) == sorted(inspect.signature(AECFClassifier).parameters)
