"""What is called with the inputs: a function a target, which takes a case and says how it ended.

``fit({"seed": 3, "y": "bytes"})`` runs one case, with a traceback.
"""

import copy
import pickle
import warnings
from functools import lru_cache

import numpy as np
import pandas as pd
import polars as pl
from fuzz_choices import (
    COLUMNS,
    EQUAL_CLASSES,
    HELD_OUT,
    LATER,
    PARAMS,
    SUBSETS,
)
from fuzz_inputs import (
    BY_LABEL,
    DICT_LIKE,
    FORMS,
    MISSING,
    OTHER,
    SAME,
    WEIGHTS,
    X_SPACE,
    full,
    inputs,
    value_of,
)
from fuzz_oracle import (
    Defect,
    Refusal,
    Unbuildable,
    attempt,
    check_agree,
    check_probabilities,
    check_unchanged,
    check_untouched,
)
from sklearn.base import clone

from sklearn_aecf import AECFClassifier, MultimodalData

TINY = {
    "n_members": 1, "embed_dim": 4, "hidden_dim": 4, "max_epochs": 1, "dropout": 0.0, "device": "cpu",
    "random_state": 0, "batch_size": 8, "learning_rate": 0.05,
}  # fmt: skip
# Columns as pairs of position and label to other columns; and what is then known by label of the second column, a1.
CHANGES = {
    "turned": lambda columns: columns[::-1],
    "dropped": lambda columns: columns[:1] + columns[2:],
    "renamed": lambda columns: [columns[0], (1, _other_label(columns[1][1])), *columns[2:]],
    "added": lambda columns: [*columns, (1, _other_label(columns[1][1]))],
    "doubled": lambda columns: [*columns, columns[1]],
}
FIT_SPACE = {
    **X_SPACE, "y": ([*SAME, *OTHER], 6), "weight": (WEIGHTS, 5), "earlier": (["fit"], 5), "again": (["fit"], 1),
    "validation_set": (HELD_OUT, 1), "modalities": (COLUMNS, 1), "columns": (CHANGES, 1),
    **{name: (values, 1) for name, values in PARAMS.items()},
}  # fmt: skip


def made(given, case):
    """X in its form; `MultimodalData`, which refuses for itself, is made here."""
    return attempt(MultimodalData, given.X) if case.get("form") == "MultimodalData" else given.X


# Fitting

# Choices that spell the same numbers in another way.
SPELLING = {"form", "dtype", "y", "weight", "names", "missing"}


def depends_on_spelling(case):
    """Whether another choice refers to names or labels, which the plain twin of the case spells otherwise, or is drawn."""
    names = "names" in case and case.keys() & {"scale", "encoders", "validation_set"}
    labels = case.get("y") in SAME and case.keys() & {"class_weight", "validation_set", "earlier"}
    return bool(names or labels or case.keys() & {"modalities", "columns", "encoders"})


def fit(case):
    """A fit answers with probabilities, as from a dict of float64; or refuses, and leaves the estimator as it was."""
    given, fresh = inputs(case), inputs(case)
    X = made(given, case)
    if isinstance(X, Refusal):
        return refused(lambda: attempt(MultimodalData, {"a": given.table["a"]}), X, given)
    if "columns" in case and case.get("form") in BY_LABEL:
        X, given.table = changed_columns(X, case["columns"]), None
        fresh.X = given.X
    clf, result = _fitted(case, X, given.y, given.weight, given.modalities, given.n_rows)
    check_unchanged((given.X, given.weight), (fresh.X, fresh.weight), "X or sample_weight")
    check_unchanged(given.y, fresh.y, "y")
    if not isinstance(result, Refusal):
        check_answers(clf, X, given, case.get("seed", 0))
    # A third class has another weight.
    twin = {name: choice for name, choice in case.items() if choice not in EQUAL_CLASSES or "y" in case}
    if given.table is not None and not depends_on_spelling(case) and (twin != case or SPELLING & case.keys()):
        table = given.table if case.get("form", "dict") in DICT_LIKE else full(given.table)
        plain, other = _fitted(twin, table, given.plain_y, given.plain_weight, None, given.n_rows)
        one, two = (result, other) if isinstance(result, Refusal) or isinstance(other, Refusal) else (
            attempt(clf.predict_proba, X), attempt(plain.predict_proba, table))  # fmt: skip
        # A rounding error of float32 is as large as a step of AdamW where a gradient is zero.
        check_agree(one, two, "fit", 1e-3 if "dtype" in case else 1e-5)
    return "refused" if isinstance(result, Refusal) else "answered"


def refused(plainly, refusal, given):
    """A refusal before any call; only what means nothing may be refused."""
    if given.table is not None and any(x is not None and len(x) for x in given.table.values()):
        check_agree(refusal, plainly(), "MultimodalData")
    return "refused"


def _fitted(case, X, y, weight, modalities, n_rows):
    """A classifier fitted, or refused, on the case; what a refusal leaves behind is looked at."""
    params = {name: value_of(case[name]) for name in PARAMS if name in case}
    if "modalities" in case and modalities is not None:
        modalities = value_of(case["modalities"])
    clf = AECFClassifier(**TINY)
    rows, labels = models_rows()
    if "earlier" in case:
        attempt(clf.fit, rows, labels)
        expected = attempt(clf.predict_proba, rows)
    plain = clf.get_params(deep=False)
    clf.set_params(modalities=modalities, **params)
    before = dict(vars(clf))
    options = {"sample_weight": weight}
    if "validation_set" in case:
        options["validation_set"] = value_of(case["validation_set"], X=X, y=y, n=n_rows)
    result = attempt(clf.fit, X, y, **options)
    if isinstance(result, Refusal):
        check_untouched(clf, before, case)
        if "earlier" in case:
            vars(clf).update(plain)
            if not np.array_equal(attempt(clf.predict_proba, rows), expected):
                raise Defect("A refusal changed predictions")
    elif "again" in case and not case.keys() & {"warm_start", "random_state"}:
        check_agree(attempt(clone(clf).fit, X, y, **options).predict_proba(X), clf.predict_proba(X), "fit again", 0)
    return clf, result


def check_answers(clf, X, given, turn):
    """Answers on rows that a fit took."""
    several = attempt(clf.predict, X)
    if isinstance(several, Refusal):
        raise Defect(f"predict refuses the rows of fit: {several.error}")
    n_rows, n_out = len(several), len(clf.classes_)
    exclusive = several.ndim == 1
    if n_rows != given.n_rows or not np.isin(several, clf.classes_ if exclusive else [0, 1]).all():
        raise Defect("predict answers with something else than classes")
    check_probabilities(attempt(clf.predict_proba, X), (n_rows, n_out), exclusive, "predict_proba")
    nothing = {name: np.full((2, width), np.nan) for name, width in clf.n_features_per_modality_.items() if width}
    check_probabilities(attempt(clf.predict_proba, nothing), (2, n_out), exclusive, "predict_proba of nothing")
    method = METHODS[turn % len(METHODS)]
    check_method(method, ask(clf, method, X), n_rows, n_out, exclusive, clf)


METHODS = (
    "predict_proba", "gate_weights", "transform", "uncertainty", "predict_proba_subsets", "predict",
    "modality_reliability", "predict_log_proba",
)  # fmt: skip


def ask(clf, method, X, subsets=None):
    """An answer of a fitted classifier."""
    if method == "predict_proba_subsets":
        n = len(clf.modality_names_)
        subsets = [[name] for name in clf.modality_names_] + [[]] if subsets is None else value_of(subsets, n=n)
        return attempt(clf.predict_proba_subsets, X, subsets)
    if not hasattr(clf, method):
        return Refusal(AttributeError(f"No {method} here."))
    return attempt(getattr(clf, method), X)


def check_method(method, answer, n_rows, n_out, exclusive, clf):
    """A `Defect` unless an answer makes sense."""
    if isinstance(answer, Refusal):
        return
    n_modalities = len(clf.modality_names_)
    if method in ("predict_proba", "predict_proba_subsets"):
        shape = (n_rows, n_out) if method == "predict_proba" else (len(answer), n_rows, n_out)
        check_probabilities(answer, shape, exclusive, method)
    elif method == "gate_weights":
        sums = answer.sum(axis=1)
        sound = (np.abs(sums - 1) < 1e-5) | (sums == 0)
        if answer.shape != (n_rows, n_modalities) or not sound.all() or (answer < 0).any():
            raise Defect("gate_weights: no weights")
    elif method == "transform" and not (answer.shape == (n_rows, clf.embed_dim) and np.isfinite(answer).all()):
        raise Defect("transform: NaN, or another shape")
    elif method == "uncertainty" and (answer.shape != (n_rows,) or np.isinf(answer).any() or (answer < 0).any()):
        raise Defect("uncertainty: infinite, negative, or of another shape")
    elif method == "modality_reliability" and (
        answer.shape != (n_rows, n_modalities) or not ((answer >= 0) & (answer <= 1) | np.isnan(answer)).all()
    ):
        raise Defect("modality_reliability: outside [0, 1]")


# Predicting

MODELS = [
    "dict", "array", "pandas", "two-level", "polars", "frames", "plain array", "plain pandas", "labels", "reliable",
    "reliable", "without c", "text", "members",
]  # fmt: skip
MISNAMED = {
    "capital": lambda X: {"A" if name == "a" else name: part for name, part in X.items()},
    "unknown": lambda X: {**X, "zzz": X["a"]},
    "left out": lambda X: {name: part for name, part in X.items() if name != "a"},
    "reversed": lambda X: dict(list(X.items())[::-1]),
}
PREDICT_SPACE = {
    **X_SPACE, "model": (MODELS, 12), "method": (list(METHODS), 6), "n_rows": (["0", "1", "2", "63", "65", "130"], 2),
    "columns": (CHANGES, 2), "misnamed": (MISNAMED, 1), "subsets": (SUBSETS, 1),
}  # fmt: skip


@lru_cache(maxsize=1)
def models_rows():
    """Rows to fit on before, and their labels."""
    given = inputs({"seed": 1, "missing": "rows"})
    return given.table, given.y


@lru_cache(maxsize=len(MODELS))
def model(name):
    """A classifier fitted on a form, or on something of its own."""
    case = {"seed": 1, "missing": "rows", "n_rows": 40}
    if name in FORMS:
        case["form"] = name
    if name in ("labels", "text"):
        case["y"] = {"labels": "labels", "text": "str"}[name]
    if name == "reliable":
        case = {"seed": 1, "n_rows": 240}
    given, params = inputs(case), dict(TINY)
    X, modalities = given.X, given.modalities
    if name == "plain array":
        X, modalities = inputs(case | {"form": "array"}).X, None
    if name == "plain pandas":
        X, modalities = inputs(case | {"form": "pandas"}).X, None
    if name == "without c":
        X = {**X, "c": None}
    if name == "members":
        params |= {"n_members": 3, "masking": "regret", "add_gap_indicator": True, "dropout": 0.5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AECFClassifier(modalities, **params).fit(X, given.y)


def predict(case):
    """A fitted classifier answers as it does for a dict of float64, or refuses."""
    name, method, form = case.get("model", "dict"), case.get("method", "predict_proba"), case.get("form", "dict")
    subsets = case.get("subsets")
    method = "predict_proba_subsets" if subsets else method
    clf, given, fresh = model(name), inputs(case), inputs(case)
    X, table = made(given, case), given.table
    if isinstance(X, Refusal):
        return refused(lambda: attempt(clf.predict_proba, table), X, given)
    # What has to be taken: what was fitted, and modalities by name.
    sure = form in {name, *DICT_LIKE, "frames"} and case.get("columns") not in ("dropped", "renamed")
    if "columns" in case and form in BY_LABEL:
        X = given.X = changed_columns(X, case["columns"])
        table = _by_label(table, case["columns"]) if form == name else None
    if "misnamed" in case and type(X) is dict:
        X = given.X = MISNAMED[case["misnamed"]](X) if "a" in X else X
        table = {"left out": table and {**table, "a": None}, "reversed": table}.get(case["misnamed"])
    if "names" in case or name.startswith("plain"):
        table = None
    before = dict(vars(clf))
    answer = ask(clf, method, X, subsets)
    check_untouched(clf, before, case)
    if not case.keys() & {"columns", "misnamed"}:
        check_unchanged(given.X, fresh.X, "X")
    n_rows = table and next((len(x) for x in table.values() if x is not None), None)
    if n_rows:
        check_method(method, answer, n_rows, len(clf.classes_), name != "labels", clf)
        if sure or not isinstance(answer, Refusal):
            plain = ask(clf, method, table, subsets)
            numbers = method != "predict" or isinstance(answer, Refusal) or isinstance(plain, Refusal)
            check_agree(answer, plain, f"{method}", 1e-5) if numbers else None
    return "refused" if isinstance(answer, Refusal) else "answered"


def changed_columns(frame, change):
    """A frame, or the first one of a dict, with other columns."""
    if isinstance(frame, dict):
        return {**frame, "a": changed_columns(frame["a"], change)} if hasattr(frame.get("a"), "columns") else frame
    columns = CHANGES[change](list(enumerate(frame.columns)))
    positions, labels = map(list, zip(*columns, strict=True))
    if hasattr(frame, "iloc"):
        return frame.iloc[:, positions].set_axis(pd.Index(labels), axis=1)
    if change == "doubled":
        raise Unbuildable(change)
    return pl.DataFrame([frame[:, i].alias(label) for i, label in columns])


def _by_label(table, change):
    """What stands in a frame with other columns, for whoever knows their labels; None if that is not sure."""
    if change in ("turned", "added") or table is None or table["a"] is None:
        return table if change == "turned" else None
    known = {**table, "a": np.array(table["a"], dtype=float)}
    known["a"][:, 1] = np.nan
    return known if change in ("dropped", "renamed") else None


def _other_label(label):
    return f"{label}_" if isinstance(label, str) else (label[0], f"{label[1]}_")


# Parameters

PARAMS_SPACE = {
    **{name: (values, 1) for name, values in PARAMS.items() if name not in ("device", "verbose")}, "later": (LATER, 12),
    "missing": (MISSING, 2), "y": ([*SAME, "labels", "labels NaN"], 2),
    "route": (["pickle", "deepcopy", "get_params", "set_params"], 8),
}  # fmt: skip


def params(case):
    """A copy, a clone and an estimator of the same parameters predict the same bits; later parameters do not matter."""
    given = inputs(case)
    chosen = {name: value_of(case[name]) for name in PARAMS if name in case}
    clf = attempt(AECFClassifier, **{**TINY, **chosen})
    result = attempt(clf.fit, given.X, given.y)
    if isinstance(result, Refusal):
        return "refused"
    X, route = given.X, case.get("route", "clone")
    expected = attempt(clf.predict_proba, X)
    if route in ("pickle", "deepcopy"):
        try:
            other = pickle.loads(pickle.dumps(clf)) if route == "pickle" else copy.deepcopy(clf)
        except (AttributeError, pickle.PicklingError) as error:
            if "lambda" in str(case):
                raise Unbuildable(case) from error
            raise
    else:
        other = {
            "clone": clone,
            "get_params": lambda clf: AECFClassifier(**clf.get_params(deep=False)),
            "set_params": lambda clf: AECFClassifier().set_params(**clf.get_params(deep=False)),
        }[route](clf)
        if "random_state" in case:
            return "answered"
        attempt(other.fit, given.X, given.y)
    check_agree(attempt(other.predict_proba, X), expected, f"predict_proba after {route}", 0)
    if "later" in case:
        changed = attempt(clf.set_params, **value_of(case["later"]))
        if isinstance(changed, Refusal):
            check_agree(attempt(clf.predict_proba, X), expected, "predict_proba after a refused set_params", 0)
            return "refused"
        again = attempt(clf.predict_proba, X)
        check_agree(again, expected, f"predict_proba after set_params({case['later']})", 0)
    return "answered"
