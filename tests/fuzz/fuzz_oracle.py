"""What must hold whatever is passed: an answer that makes sense, or a sentence; nothing of the caller's changed."""

import linecache
import random
import re
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import sklearn
import torch
from scipy import sparse
from sklearn.exceptions import DataConversionWarning

import sklearn_aecf

OURS, SKLEARN, TESTS = (f"{Path(file).parent}/" for file in (sklearn_aecf.__file__, sklearn.__file__, __file__))
# Files of scikit-learn whose refusals are as good as ours.
CHECKS = {
    "utils/validation.py", "utils/_param_validation.py", "utils/multiclass.py", "utils/class_weight.py", "base.py",
    "metrics/_scorer.py",
}  # fmt: skip
# What numpy, torch, pandas and Python themselves say.
FOREIGN = (
    "could not convert string to float", "ufunc", "expected all tensors", "has no attribute", "cannot reshape",
    "broadcast", "mat1 and mat2", "out of bounds", "isnan not supported", "object is not", "unsupported operand",
    "not supported between", "truth value", "setting an array element", "argument must be", "unhashable",
    "invalid literal", "size mismatch", "division by zero", "inhomogeneous",
)  # fmt: skip
PROMISED = (ValueError, TypeError, IndexError, KeyError)


class Defect(AssertionError):  # noqa: N818
    """Something that must not happen. Defects with the same signature are one."""

    def __init__(self, what, details=""):
        super().__init__(f"{what}. {details}" if details else what)
        self.signature = re.sub(r"'[^']*'|\"[^\"]*\"|0x\w+|[-+]?\d[\d.e+-]*|\bnan\b|\binf\b", "~", what)


class Unbuildable(Exception):  # noqa: N818
    """The library behind a form cannot hold such values, so that there is nothing to pass."""


class Refusal:
    """A sentence that ended a call."""

    def __init__(self, error):
        self.error = error

    def __repr__(self):
        return f"refused: {self.error}"


def attempt(call, *args, theirs=False, **kwargs):
    """What a call returns, or the `Refusal` that ended it; a `Defect` if either breaks a promise.

    With `theirs`, scikit-learn may speak for itself, as where it was handed the values.
    """
    before = surroundings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            result = Refusal(error)
    changed = [name for name, value in surroundings().items() if value != before[name]]
    if isinstance(result, Refusal):
        check_sentence(result.error, theirs)
    if changed:
        raise Defect(f"Changed for the caller: {', '.join(changed)}")
    for warning in caught:
        if not (is_ours(warning) or (theirs and warning.category is RuntimeWarning)):
            where = Path(warning.filename).name
            raise Defect(f"{warning.category.__name__} in {where}: {warning.message}")
    return result


def is_ours(warning):
    """Whether a warning is a sentence that points at the caller, or scikit-learn's about columns and names."""
    checked = warning.filename.removeprefix(SKLEARN) in CHECKS or warning.filename.startswith(TESTS)
    checked = checked or str(warning.message).startswith("The number of unique classes")
    return warning.category is DataConversionWarning or (checked and warning.category is UserWarning)


def check_sentence(error, theirs=False):
    """A `Defect` unless the error is one sentence that somebody wrote for the user."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = frames[-1]
    line = linecache.getline(frame.filename, frame.lineno).strip()
    message = str(error.args[0] if error.args else "")
    where = frame.filename.removeprefix(OURS)
    what = f"{type(error).__name__} in {Path(where).name}:{frame.name}: {message[:300]}"
    ours = frame.filename.startswith(OURS)
    checked = frame.filename.removeprefix(SKLEARN) in CHECKS
    raised = line.startswith("raise")  # else numpy or torch raised it, which have no frames
    through_theirs = any(each.filename.startswith(SKLEARN) for each in frames)
    if theirs and through_theirs and isinstance(error, ValueError | TypeError):
        return
    if message.startswith("Seed must be between"):
        return  # of numpy, and all of scikit-learn passes it on
    if not (isinstance(error, PROMISED) and (ours or checked) and raised):
        raise Defect(f"Foreign {what}") from error
    if frame.name == "named_errors":
        return  # it ends with what the user's own module says
    if any(phrase in message.lower() for phrase in FOREIGN) or (ours and not message.rstrip().endswith((".", "?"))):
        raise Defect(f"No sentence: {what}") from error


def surroundings():
    """Global state that belongs to the caller."""
    kind, keys, position, *rest = np.random.get_state()
    return {
        "random": random.getstate(),
        "numpy.random": (kind, keys.tobytes(), position, *rest),
        "torch.random": torch.get_rng_state().numpy().tobytes(),
        "threads": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy errors": tuple(np.geterr().items()),
    }


def check_unchanged(given, fresh, what):
    """A `Defect` if what was passed is no longer what it was built as."""
    if not same(given, fresh):
        raise Defect(f"{what} of the caller was changed")


def same(one, other):
    """Whether two things were built alike: types, order, dtypes and bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) or hasattr(one, "known_feature_names"):
        names = list(one.keys())
        return names == list(other.keys()) and all(same(one[name], other[name]) for name in names)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, pd.DataFrame | pd.Series):
        return (one.equals(other) or repr(one) == repr(other)) and one.index.equals(other.index)
    if isinstance(one, pl.DataFrame | pl.Series):
        return one.equals(other) or repr(one) == repr(other)
    if sparse.issparse(one):
        return one.shape == other.shape and same(one.data, other.data)
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.requires_grad == other.requires_grad and repr(one) == repr(other)
    if isinstance(one, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape and one.flags.writeable == other.flags.writeable
        padded = one.dtype.hasobject or one.dtype.itemsize > 8
        return alike and (repr(one) == repr(other) if padded else bits(one) == bits(other))
    return True


def bits(array):
    """The bytes of an array, and of its mask."""
    mask = np.ma.getmaskarray(array).tobytes() if isinstance(array, np.ma.MaskedArray) else b""
    return np.asarray(array).tobytes(), mask


def check_agree(one, other, what, atol=1e-6):
    """A `Defect` unless both were refused, or both answered alike."""
    if isinstance(one, Refusal) != isinstance(other, Refusal):
        refusal = (one if isinstance(one, Refusal) else other).error
        who = "given one way" if isinstance(one, Refusal) else "as a dict of float64"
        raise Defect(f"{what}: refused {who} only: {type(refusal).__name__}", str(refusal))
    if isinstance(one, Refusal):
        return
    one, other = (np.where(pd.isna(x), np.nan, x).astype(float) for x in (one, other))
    if one.shape != other.shape:
        raise Defect(f"{what}: shapes differ", f"{one.shape} and {other.shape}")
    if not np.allclose(one, other, rtol=atol, atol=atol, equal_nan=True):
        raise Defect(f"{what}: answers differ", f"by up to {np.nanmax(np.abs(one - other)):.3g}")


def check_probabilities(probability, shape, exclusive, what):
    """A `Defect` unless rows are finite probabilities, which sum to one where classes exclude each other."""
    probability = np.asarray(probability)
    if probability.shape != shape:
        raise Defect(f"{what}: wrong shape", f"{probability.shape} instead of {shape}")
    if not np.isfinite(probability).all():
        raise Defect(f"{what}: NaN or infinity")
    if (probability < 0).any() or (probability > 1 + 1e-9).any():
        raise Defect(f"{what}: outside [0, 1]")
    if exclusive and not np.allclose(probability.sum(axis=-1), 1, atol=1e-6):
        raise Defect(f"{what}: rows do not sum to one")


def check_untouched(estimator, before, case):
    """A `Defect` if a refusal left anything behind on an estimator."""
    after = vars(estimator)
    odd = sorted(name for name in before.keys() | after.keys() if before.get(name, case) is not after.get(name, case))
    if odd:
        raise Defect(f"A refusal changed the estimator: {', '.join(odd)}")


def judged(target, case):
    """How a case ended, and the defect that it shows, if any."""
    try:
        return target(case), None
    except Defect as defect:
        return "defect", defect
    except Unbuildable:
        return "skipped", None
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.name}"
        return "defect", Defect(f"The answer cannot be looked at: {type(error).__name__} in {where}: {error}")


def minimal(target, case, defect):
    """A case with as few choices as show the same defect, and that defect."""
    for name in sorted(case):
        smaller = {key: value for key, value in case.items() if key != name}
        found = judged(target, smaller)[1]
        if found is not None and found.signature == defect.signature:
            case, defect = smaller, found
    return case, defect
