"""Cases of the rooms around the classifier: the container, `compose` and `metrics`; see `fuzz_targets`."""

import operator
import warnings
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from fuzz_choices import (
    BINS,
    COLUMNS,
    FEATURES,
    HIDDEN,
    KEYS,
    KIND,
    ORDERS,
    PARAMS,
    PRESENT,
    PROBABILITIES,
    RATES,
    REPORTED,
    SCORINGS,
    TAKES,
    TRANSFORMERS,
)
from fuzz_inputs import (
    BY_LABEL,
    MISSING,
    OTHER,
    SAME,
    WEIGHTS,
    WIDTHS,
    X_SPACE,
    full,
    inputs,
    value_of,
)
from fuzz_oracle import (
    Defect,
    Refusal,
    attempt,
    check_agree,
    check_unchanged,
    same,
)
from fuzz_targets import made, model
from sklearn.preprocessing import StandardScaler

from sklearn_aecf import MultimodalData
from sklearn_aecf._data import split_modalities
from sklearn_aecf.compose import ModalityTransformer, corrupt_modalities, drop_modalities, hide
from sklearn_aecf.metrics import (
    corruption_report,
    expected_calibration_error,
    monotonicity_report,
    reliability_curve,
    subset_report,
)

# The container

CONTAINER_SPACE = {
    **{k: v for k, v in X_SPACE.items() if k != "values"}, "key": (KEYS, 12), "take": (TAKES, 4),
    "axis": (["1", "2", "-1", "None"], 1), "present": (PRESENT, 2), "feature_names": (FEATURES, 1),
    "groups": (COLUMNS, 4), "remainder": (["'drop'", "'x'", "None"], 2),
}  # fmt: skip


def container(case):
    """A container holds what it was given, and gives rows and columns of it as numpy does; or refuses."""
    given, fresh = inputs(case), inputs(case)
    form, options = case.get("form", "dict"), {}
    for option in ("present", "feature_names"):
        if option in case:
            options[option] = value_of(case[option], n=given.n_rows)
    if form in BY_LABEL and form != "frames":
        groups = value_of(case["groups"]) if "groups" in case else given.modalities
        remainder = {"remainder": value_of(case["remainder"])} if "remainder" in case else {}
        X = attempt(MultimodalData.from_frame, given.X, groups, **remainder)
    elif given.modalities is not None:
        groups = value_of(case["groups"]) if "groups" in case else given.modalities
        X = attempt(MultimodalData.from_array, given.X, groups)
    else:
        X = attempt(MultimodalData, given.X, **options)
    check_unchanged(given.X, fresh.X, "X")
    if isinstance(X, Refusal):
        return "refused"
    check_container(X)
    if given.table is not None and not case.keys() & {"groups", "present", "names"}:
        n_rows = len(X)
        expected = [np.full((n_rows, WIDTHS[k]), np.nan) if x is None else x for k, x in given.table.items()]
        present = np.column_stack([~np.isnan(x).all(axis=1) for x in expected])
        check_agree(present, X.present, "present")
        if all(array.ndim == 2 and array.shape[1] for array in X.values()):
            check_agree(np.hstack(expected), attempt(np.asarray, X), "asarray", 0)
    ended = "answered"
    if "key" in case:
        ended = check_rows(X, lambda key: X[key], case["key"])
    if "take" in case:
        axis = value_of(case.get("axis", "0"))
        ended = check_rows(X, lambda key: X.take(key, axis=axis), case["take"], axis, "-0123456789[")
    return ended


def check_container(X):
    """What holds of every container."""
    for text in (repr, MultimodalData.copy, lambda X: X.shape, lambda X: X.dtype, lambda X: X.column_groups()):
        if isinstance(attempt(text, X), Refusal):
            raise Defect(f"A container refuses {text}")
    if not attempt(operator.eq, X, X.copy()) or len(X) != X.shape[0] or X.present.shape != (len(X), len(X.names)):
        raise Defect("A container is not equal to its copy, or has another shape than it says")
    frame = attempt(X.to_frame)
    if not isinstance(frame, Refusal) and all(array.ndim == 2 and array.shape[1] for array in X.values()):
        again = attempt(MultimodalData.from_frame, frame)
        if isinstance(again, Refusal) or not (list(again) == list(X) and (again.present == X.present).all()):
            raise Defect(f"to_frame and back: something else, {again!r}")


def check_rows(X, choose, text, axis=0, sound="-0123456789[s"):
    """Rows or columns as numpy gives them, or a sentence; keys that begin as `sound` says have to be taken."""
    found = attempt(choose, value_of(text))
    if isinstance(found, Refusal):
        try:
            sound = axis == 0 and text[0] in sound and np.arange(len(X))[value_of(text)] is not None
        except (IndexError, TypeError, ValueError):
            sound = False
        if sound and text[:2] not in ("[[", "[]", "[N") and np.ndim(value_of(text)) < 2:
            raise Defect(f"Refused rows that there are: {type(found.error).__name__}: {found.error}", text)
        return "refused"
    key = value_of(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(found, MultimodalData):
            for name in found:
                if not _names(key) and not same(np.asarray(found[name]), np.asarray(X[name])[_rows_key(key)]):
                    raise Defect("Other rows than numpy's", f"{text}, modality {name}")
        elif isinstance(key, tuple) and axis == 0:
            expected = np.asarray(X)[_rows_key(key[0])][:, key[1]]
            if repr(expected) != repr(found):
                raise Defect("Other columns than numpy's", text)
    return "answered"


def _names(key):
    return isinstance(key, str) or (
        isinstance(key, list | np.ndarray | pd.Index) and all(isinstance(name, str) for name in np.ravel(key))
    )


def _rows_key(key):
    key = key[0] if isinstance(key, tuple) and len(key) == 2 else key
    key = slice(None) if isinstance(key, tuple) and not key else key
    if isinstance(key, slice):
        return key
    key = np.atleast_1d(np.asarray(key))
    return key if key.size else key.astype(int)


# Modalities hidden, broken and transformed

COMPOSE_SPACE = {
    **X_SPACE, "call": (["corrupt", "hide", "transform"], 12), "rate": (RATES, 4), "kind": (KIND, 5),
    "keep_one": (["False", "None", "'x'"], 2), "random_state": (PARAMS["random_state"], 1), "groups": (COLUMNS, 1),
    "transformers": (TRANSFORMERS, 4), "remainder": (["'drop'", "'x'", "None"], 1),
    "hidden": (HIDDEN, 2),
}  # fmt: skip


CALLS = {"kind": "corrupt", "transformers": "transform", "hidden": "hide"}


def compose(case):
    """X in the form in which it came, with nothing changed but what was to be; and the same for every form."""
    given, fresh = inputs(case), inputs(case)
    X = made(given, case)
    if isinstance(X, Refusal):
        return "refused"
    groups = value_of(case["groups"]) if "groups" in case else given.modalities
    hinted = [call for option, call in CALLS.items() if option in case]
    call = case.get("call") or (hinted or ["drop"])[0]
    result = _composed(call, case, X, groups, given.n_rows)
    check_unchanged(given.X, fresh.X, "X")
    if isinstance(result, Refusal):
        if call != "transform" and given.table is not None and not case.keys() & {"groups", "names"}:
            table = given.table if isinstance(X, Mapping) else full(given.table)
            check_agree(result, _composed(call, case, table, None, given.n_rows), call)
        return "refused"
    kept = type(result) is type(X) or isinstance(X, list | torch.Tensor | MappingProxyType)
    if call != "transform" and not kept:
        raise Defect(f"{call}: another form", f"{type(X).__name__} became {type(result).__name__}")
    if given.table is not None and "groups" not in case and "names" not in case:
        found, before = attempt(_read, result, groups), full(given.table)
        if isinstance(attempt(_read, before, None), Refusal):
            return "answered"
        if isinstance(found, Refusal):
            raise Defect(f"{call}: gave what cannot be read: {found.error}")
        if call in ("drop", "hide", "corrupt"):
            for name, x in found.items():
                x, was = full({name: x if x.shape[1] else None}, len(x))[name].astype(float), before[name]
                if not np.isnan(x[np.isnan(was)]).all():
                    raise Defect(f"{call}: a gap was filled")
                if call == "corrupt" and (np.isnan(x) & ~np.isnan(was)).any():
                    raise Defect("corrupt: NaN in place of a value")
        if call == "transform" and "dtype" in case:
            return "answered"  # scikit-learn computes in the precision that it is given
        twin = _composed(call, case, before, None, given.n_rows)
        if isinstance(twin, Refusal):
            raise Defect(f"{call}: refused as a dict of float64 only: {twin.error}")
        twin = attempt(_read, twin, None)
        for name in twin:
            check_agree(_wide(found[name], twin[name]), twin[name], f"{call} of every form", 1e-5)
    return "answered"


def _composed(call, case, X, groups, n_rows):
    options = {"modalities": groups}
    if call == "transform":
        transformers = value_of(case.get("transformers", "{'a': StandardScaler()}"), StandardScaler=StandardScaler)
        remainder = value_of(case.get("remainder", "'passthrough'"))
        transformer = attempt(ModalityTransformer, transformers, remainder=remainder, modalities=groups)
        result = attempt(transformer.fit_transform, X, theirs=True)
        if not isinstance(result, Refusal):
            again = attempt(transformer.transform, X, theirs=True)
            if isinstance(again, Refusal) or not again == result:
                raise Defect(
                    f"transform: something else than fit_transform: {again if isinstance(again, Refusal) else ''}"
                )
        return result
    if call == "hide":
        return attempt(hide, X, value_of(case.get("hidden", "'a'")), **options)
    options["random_state"] = value_of(case.get("random_state", "0"))
    options["keep_one"] = value_of(case.get("keep_one", "True"))
    rate = value_of(case.get("rate", "0.5"), n=n_rows)
    if call == "corrupt":
        return attempt(corrupt_modalities, X, rate, kind=value_of(case.get("kind", "'noise'")), **options)
    return attempt(drop_modalities, X, rate, **options)


def _wide(x, like):
    return x if x.shape[1] else np.full(like.shape, np.nan)


def _read(X, groups):
    """Arrays of numbers, whatever the form."""
    data = split_modalities(X, groups)
    filled = [np.where(data.present[:, m, None], x.astype(float), np.nan) for m, x in enumerate(data.arrays)]
    return dict(zip(data.names, filled, strict=True))


# Metrics

METRICS_SPACE = {
    "n_rows": (["0", "1", "2", "9", "100"], 2), "n_classes": (["2", "5", "1"], 3), "y": ([*SAME, *OTHER], 6),
    "call": (["curve", "subset", "corruption", "monotonicity"], 6), "prob": (PROBABILITIES, 5), "weight": (WEIGHTS, 4),
    "strategy": (["'quantile'", "'x'", "None", "['uniform']"], 3), "norm": (["'l2'", "'max'", "'x'", "2"], 3),
    "kind": (["'classwise'", "'binary'", "'x'", "None"], 3), "n_bins": (BINS, 3), "debias": (["True", "'x'"], 2),
    "bootstrap_ci": (["0.9", "0", "1", "2", "'x'", "np.nan", "True"], 1), "labels": (ORDERS, 3),
    "model": (["labels", "text", "pandas", "reliable"], 2), "missing": (MISSING, 2), "subsets": (REPORTED, 2),
    "form": (["pandas", "polars", "two-level", "MultimodalData", "array"], 2), "scoring": (SCORINGS, 2),
    "corruption": (KIND, 2), "modalities": (COLUMNS, 1),
}  # fmt: skip


def metrics(case):
    """An error in [0, 1] as counted by hand, a report without infinities, or a sentence."""
    given, fresh = inputs(case), inputs(case)
    X, call = made(given, case), case.get("call", "error")
    if isinstance(X, Refusal):
        return "refused"
    answer = _error(call, case, given) if call in ("error", "curve") else _report(call, case, X, given)
    check_unchanged((given.X, given.y, given.weight), (fresh.X, fresh.y, fresh.weight), "X, y or sample_weight")
    return "refused" if isinstance(answer, Refusal) else "answered"


def _error(call, case, given):
    rng = np.random.default_rng(case.get("seed", 0))
    p = rng.dirichlet(np.ones(int(case.get("n_classes", 2))), given.n_rows)
    if case.get("y", "").startswith("labels"):
        p = rng.random((given.n_rows, 3))
    options = {"sample_weight": given.weight}
    names = ["strategy", "kind", "n_bins", "labels", *(["norm", "debias", "bootstrap_ci"] if call == "error" else [])]
    options |= {name: value_of(case[name]) for name in names if name in case}
    if "bootstrap_ci" in options:
        options |= {"n_bootstrap": 5, "random_state": 0}
    function = expected_calibration_error if call == "error" else reliability_curve
    answer = attempt(function, given.y, value_of(case.get("prob", "p"), p=p), **options)
    if isinstance(answer, Refusal):
        return answer
    if call == "curve":
        if not np.isfinite(np.r_[answer.confidence, answer.accuracy, answer.weight]).all():
            raise Defect("reliability_curve: NaN or infinity")
        return answer
    if not (0 <= answer <= 1 + 1e-9 or np.isnan(answer) or "debias" in case):
        raise Defect("expected_calibration_error: outside [0, 1]", f"{answer}")
    plain = not case.keys() - {"seed", "n_rows", "n_classes", "y", "weight"} and case.get("y") in (None, *SAME)
    if plain:
        check_agree(_error_by_hand(given.plain_y, p, given.plain_weight), answer, "expected_calibration_error")
    return answer


def _error_by_hand(y, p, weight):
    """Bins of equal width, one after the other."""
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=float)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [abs((weight * (right - confidence))[bins == b].sum()) for b in range(15)]
    return sum(gaps) / weight.sum()


def _report(call, case, X, given):
    clf, options = model(case.get("model", "dict")), {}
    if not isinstance(X, Mapping):
        options["modalities"] = value_of(case["modalities"]) if "modalities" in case else given.modalities
    if call == "subset":
        options |= {name: value_of(case[name]) for name in ("subsets", "scoring") if name in case}
        options |= {"sample_weight": given.weight, "kind": value_of(case.get("corruption", "None"))}
        answer = attempt(subset_report, clf, X, given.y, **options)
    elif call == "corruption":
        options["kinds"] = value_of(case.get("corruption", "['dead', 'noise']"))
        answer = attempt(corruption_report, clf, X, given.y, **options)
    else:
        answer = attempt(monotonicity_report, clf, X, **options)
    if not isinstance(answer, Refusal):
        for name, column in (answer.pairs if call == "monotonicity" else answer).items():
            share = name in ("accuracy", "genuine", "missing", "lying", "ece", "confidence", "noticed")
            if share and ((column < 0) | (column > 1 + 1e-9)).any():
                raise Defect(f"{call} report: {name} outside [0, 1]")
    return answer
