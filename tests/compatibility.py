"""Paths through scikit-learn that X takes: run by `test_compatibility.py`, and shown as a page of the documentation.

A path gets X in some form, y and a function that makes a classifier, and raises where it fails. What a cell is expected
to be stands in `EXPECTED`; everything not listed there works as it is.
"""

import pickle
import tempfile
import warnings

import joblib
import numpy as np
import sklearn
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, get_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import indexable, resample, shuffle
from sklearn.utils._indexing import _safe_indexing
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import _num_features, _num_samples

from sklearn_aecf import AECFClassifier
from sklearn_aecf.compose import ModalityDropout, ModalityTransformer
from sklearn_aecf.metrics import missing_modality_scorer

NAMES = ["a", "b", "c"]
SKLEARN = parse_version(parse_version(sklearn.__version__).base_version)


class ReadAsOneTableError(AssertionError):
    """The tool turned X into an array before the classifier saw it, and the modalities were lost."""


class CheckingClassifier(AECFClassifier):
    """A quick classifier that refuses to learn from anything but the modalities of the test."""

    def __init__(self, modalities=None, *, mask_rate=0.5, n_members=2, random_state=0):
        super().__init__(
            modalities, mask_rate=mask_rate, n_members=n_members, random_state=random_state,
            embed_dim=4, hidden_dim=4, max_epochs=1, device="cpu",
        )  # fmt: skip

    def fit(self, X, y, sample_weight=None, *, validation_set=None):
        super().fit(X, y, sample_weight, validation_set=validation_set)
        if self.modality_names_ != NAMES:
            raise ReadAsOneTableError(f"modalities {self.modality_names_}")
        return self


class UnavailableError(Exception):
    """This scikit-learn, or what is installed beside it, does not have the tool."""


PATHS = {}


def path(name):
    def register(function):
        PATHS[name] = function
        return function

    return register


def n_rows_of(X):
    return X.shape[0]


def groups_for(y):
    return np.arange(len(y)) % 5


@path("_num_samples")
def _(X, y, make):
    assert _num_samples(X) == len(y)


@path("_num_features")
def _(X, y, make):
    assert _num_features(X) == 12


@path("_safe_indexing, integers")
def _(X, y, make):
    assert n_rows_of(_safe_indexing(X, np.array([0, 2, 5]))) == 3


@path("_safe_indexing, mask")
def _(X, y, make):
    assert n_rows_of(_safe_indexing(X, np.arange(len(y)) < 7)) == 7


@path("_safe_indexing, slice")
def _(X, y, make):
    assert n_rows_of(_safe_indexing(X, slice(3, 8))) == 5


@path("_safe_indexing, list")
def _(X, y, make):
    assert n_rows_of(_safe_indexing(X, [1, 1, 4])) == 3


@path("indexable")
def _(X, y, make):
    assert n_rows_of(indexable(X, y)[0]) == len(y)


@path("resample")
def _(X, y, make):
    assert n_rows_of(resample(X, y, n_samples=9, stratify=y, random_state=0)[0]) == 9


@path("shuffle")
def _(X, y, make):
    assert n_rows_of(shuffle(X, y, random_state=0)[0]) == len(y)


@path("train_test_split")
def _(X, y, make):
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    make().fit(X_train, y_train).score(X_test, y_test)


def _splitter(name, splitter):
    @path(name)
    def _(X, y, make):
        for train, test in splitter.split(X, y, groups_for(y)):
            assert len(train) > len(test) // 2 and max(train.max(), test.max()) < len(y)


for _name, _split in {
    "KFold": KFold(3),
    "StratifiedKFold": StratifiedKFold(3),
    "GroupKFold": GroupKFold(3),
    "StratifiedGroupKFold": StratifiedGroupKFold(3),
    "ShuffleSplit": ShuffleSplit(3, random_state=0),
    "TimeSeriesSplit": TimeSeriesSplit(3),
}.items():
    _splitter(_name, _split)


@path("cross_val_score")
def _(X, y, make):
    assert np.isfinite(cross_val_score(make(), X, y, cv=2, error_score="raise")).all()


@path("cross_validate, several scorers")
def _(X, y, make):
    scoring = {"accuracy": "accuracy", "auc": "roc_auc", "dropped": missing_modality_scorer("accuracy", n_repeats=1)}
    found = cross_validate(make(), X, y, cv=2, scoring=scoring, return_train_score=True, error_score="raise")
    assert np.isfinite(found["test_dropped"]).all()


@path("cross_validate, n_jobs=2")
def _(X, y, make):
    cross_validate(make(), X, y, cv=2, n_jobs=2, error_score="raise")


@path("cross_validate, sample weights")
def _(X, y, make):
    cross_validate(make(), X, y, cv=2, params={"sample_weight": np.ones(len(y))}, error_score="raise")


@path("cross_val_predict")
def _(X, y, make):
    assert cross_val_predict(make(), X, y, cv=2, method="predict_proba").shape == (len(y), 2)


@path("GridSearchCV")
def _(X, y, make):
    GridSearchCV(make(), {"mask_rate": [0.2, 0.5]}, cv=2, error_score="raise").fit(X, y).predict(X)


@path("GridSearchCV, n_jobs=2")
def _(X, y, make):
    GridSearchCV(make(), {"mask_rate": [0.2, 0.5]}, cv=2, n_jobs=2, error_score="raise").fit(X, y).predict(X)


@path("RandomizedSearchCV")
def _(X, y, make):
    RandomizedSearchCV(make(), {"mask_rate": [0.2, 0.5]}, n_iter=2, cv=2, error_score="raise").fit(X, y).predict(X)


@path("HalvingGridSearchCV")
def _(X, y, make):
    HalvingGridSearchCV(
        make(), {"mask_rate": [0.2, 0.5]}, cv=2, min_resources=40, factor=2, error_score="raise"
    ).fit(X, y).predict(X)  # fmt: skip


@path("learning_curve")
def _(X, y, make):
    learning_curve(make(), X, y, cv=2, train_sizes=[0.6, 1.0], error_score="raise")


@path("validation_curve")
def _(X, y, make):
    validation_curve(make(), X, y, cv=2, param_name="mask_rate", param_range=[0.2, 0.5], error_score="raise")


@path("permutation_test_score")
def _(X, y, make):
    permutation_test_score(make(), X, y, cv=2, n_permutations=2)


@path("Pipeline, passthrough")
def _(X, y, make):
    Pipeline([("nothing", "passthrough"), ("clf", make())]).fit(X, y).predict_proba(X)


@path("Pipeline, FunctionTransformer")
def _(X, y, make):
    make_pipeline(FunctionTransformer(), make()).fit(X, y).predict_proba(X)


@path("Pipeline, ModalityTransformer")
def _(X, y, make):
    modalities = make().modalities
    step = ModalityTransformer({"a": StandardScaler()}, modalities=modalities)
    make_pipeline(step, CheckingForAnyOrder()).fit(X, y).predict_proba(X)


@path("Pipeline, ModalityDropout")
def _(X, y, make):
    make_pipeline(ModalityDropout(0.3, modalities=make().modalities, random_state=0), make()).fit(X, y).predict_proba(X)


@path("Pipeline, memory=")
def _(X, y, make):
    with tempfile.TemporaryDirectory() as folder:
        step = ModalityTransformer({"a": StandardScaler()}, modalities=make().modalities)
        for _ in range(2):
            make_pipeline(step, CheckingForAnyOrder(), memory=folder).fit(X, y).predict_proba(X)


@path("Pipeline, StandardScaler")
def _(X, y, make):
    make_pipeline(StandardScaler(), make()).fit(X, y).predict_proba(X)


@path("Pipeline, set_output('pandas')")
def _(X, y, make):
    step = ModalityTransformer({"a": StandardScaler()}, modalities=make().modalities)
    make_pipeline(step, CheckingForAnyOrder()).set_output(transform="pandas").fit(X, y).predict_proba(X)


@path("ColumnTransformer, by index")
def _(X, y, make):
    columns = ColumnTransformer([("a", StandardScaler(), list(range(6)))], remainder="passthrough")
    clf = CheckingClassifier({"a": slice(0, 6), "b": slice(6, 10), "c": slice(10, 12)})
    make_pipeline(columns, clf).fit(X, y).predict_proba(X)


@path("ColumnTransformer, by name")
def _(X, y, make):
    columns = ColumnTransformer([("a", StandardScaler(), [f"a{i}" for i in range(6)])], remainder="passthrough")
    clf = CheckingClassifier({"a": slice(0, 6), "b": slice(6, 10), "c": slice(10, 12)})
    make_pipeline(columns, clf).fit(X, y).predict_proba(X)


@path("CalibratedClassifierCV, sigmoid")
def _(X, y, make):
    CalibratedClassifierCV(make(), cv=2).fit(X, y).predict_proba(X)


@path("CalibratedClassifierCV, isotonic, ensemble=False")
def _(X, y, make):
    CalibratedClassifierCV(make(), cv=2, method="isotonic", ensemble=False).fit(X, y).predict_proba(X)


@path("CalibratedClassifierCV, temperature")
def _(X, y, make):
    if parse_version("1.8") > SKLEARN:
        raise UnavailableError("temperature scaling came with scikit-learn 1.8")
    CalibratedClassifierCV(make(), cv=2, method="temperature").fit(X, y).predict_proba(X)


@path("CalibratedClassifierCV, frozen")
def _(X, y, make):
    CalibratedClassifierCV(FrozenEstimator(make().fit(X, y))).fit(X, y).predict_proba(X)


@path("CalibratedClassifierCV, sample weights")
def _(X, y, make):
    CalibratedClassifierCV(make(), cv=2).fit(X, y, sample_weight=np.ones(len(y))).predict_proba(X)


@path("TunedThresholdClassifierCV")
def _(X, y, make):
    TunedThresholdClassifierCV(make(), cv=2).fit(X, y).predict(X)


@path("FixedThresholdClassifier")
def _(X, y, make):
    FixedThresholdClassifier(make(), threshold=0.3).fit(X, y).predict(X)


@path("VotingClassifier")
def _(X, y, make):
    VotingClassifier([("one", make()), ("two", make())], voting="soft").fit(X, y).predict_proba(X)


@path("StackingClassifier")
def _(X, y, make):
    StackingClassifier([("one", make()), ("two", make())], LogisticRegression(), cv=2).fit(X, y).predict_proba(X)


@path("StackingClassifier, passthrough")
def _(X, y, make):
    final = make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression())
    StackingClassifier([("one", make())], final, cv=2, passthrough=True).fit(X, y).predict_proba(X)


@path("BaggingClassifier")
def _(X, y, make):
    BaggingClassifier(make(), n_estimators=2, random_state=0).fit(X, y).predict_proba(X)


@path("OneVsRestClassifier")
def _(X, y, make):
    OneVsRestClassifier(make()).fit(X, (np.arange(len(y)) + y) % 3).predict_proba(X)


@path("OneVsOneClassifier")
def _(X, y, make):
    OneVsOneClassifier(make()).fit(X, (np.arange(len(y)) + y) % 3).predict(X)


@path("OutputCodeClassifier")
def _(X, y, make):
    OutputCodeClassifier(make(), random_state=0).fit(X, (np.arange(len(y)) + y) % 3).predict(X)


@path("MultiOutputClassifier")
def _(X, y, make):
    MultiOutputClassifier(make()).fit(X, np.column_stack([y, np.arange(len(y)) % 3])).predict(X)


@path("SelfTrainingClassifier")
def _(X, y, make):
    SelfTrainingClassifier(make(), max_iter=1).fit(X, np.where(np.arange(len(y)) % 4 == 0, -1, y)).predict(X)


@path("permutation_importance")
def _(X, y, make):
    permutation_importance(make().fit(X, y), X, y, n_repeats=1, random_state=0)


@path("partial_dependence")
def _(X, y, make):
    clf = make().fit(X, y)
    partial_dependence(clf, X, [1], grid_resolution=3)


@path("DummyClassifier")
def _(X, y, make):
    DummyClassifier().fit(X, y).predict_proba(X)


@path("get_scorer")
def _(X, y, make):
    clf = make().fit(X, y)
    for name in ("accuracy", "roc_auc", "neg_log_loss", "average_precision", "neg_brier_score", "f1"):
        assert np.isfinite(get_scorer(name)(clf, X, y))


@path("RocCurveDisplay")
def _(X, y, make):
    _drawn(RocCurveDisplay.from_estimator(make().fit(X, y), X, y))


@path("ConfusionMatrixDisplay")
def _(X, y, make):
    _drawn(ConfusionMatrixDisplay.from_estimator(make().fit(X, y), X, y))


@path("CalibrationDisplay")
def _(X, y, make):
    _drawn(CalibrationDisplay.from_estimator(make().fit(X, y), X, y))


@path("metadata routing")
def _(X, y, make):
    with config_context(enable_metadata_routing=True):
        clf = make().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(clf, {"mask_rate": [0.2]}, cv=2, error_score="raise")
        search.fit(X, y, sample_weight=np.ones(len(y)))
        search.score(X, y, sample_weight=np.ones(len(y)))
        make_pipeline(clf).fit(X, y, sample_weight=np.ones(len(y)))


@path("metadata routing, validation_set")
def _(X, y, make):
    with config_context(enable_metadata_routing=True):
        clf = make().set_fit_request(validation_set=True)
        cross_validate(clf, X, y, cv=2, params={"validation_set": np.arange(len(y)) % 4 == 0}, error_score="raise")


@path("array API dispatch")
def _(X, y, make):
    try:
        with config_context(array_api_dispatch=True):
            pass
    except (ImportError, RuntimeError) as unavailable:
        raise UnavailableError(str(unavailable)) from None  # of another package, or SciPy's switch
    with config_context(array_api_dispatch=True):
        cross_val_score(make(), X, y, cv=2, error_score="raise")
        train_test_split(X, y, random_state=0)


@path("joblib.hash")
def _(X, y, make):
    assert joblib.hash(X) == joblib.hash(pickle.loads(pickle.dumps(X)))


@path("pickle")
def _(X, y, make):
    clf = make().fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), clf.predict_proba(X))


@path("clone")
def _(X, y, make):
    clf = make().fit(X, y)
    np.testing.assert_array_equal(clone(clf).fit(X, y).predict_proba(X), clf.predict_proba(X))


@path("FrozenEstimator")
def _(X, y, make):
    frozen = FrozenEstimator(make().fit(X, y))
    frozen.fit(X[:5] if not hasattr(X, "iloc") else X.iloc[:5], y[:5]).predict_proba(X)


@path("set_config(transform_output='pandas')")
def _(X, y, make):
    with config_context(transform_output="pandas"):
        make_pipeline(FunctionTransformer(), make()).fit(X, y).predict_proba(X)


@path("HTML representation")
def _(X, y, make):
    assert "CheckingClassifier" in make_pipeline(StandardScaler(), make().fit(X, y))._repr_html_()


def CheckingForAnyOrder():
    """After a ModalityTransformer the modalities are in its order, and known by name."""
    return AECFClassifier(n_members=2, embed_dim=4, hidden_dim=4, max_epochs=1, random_state=0, device="cpu")


def _drawn(display):
    import matplotlib.pyplot as plt

    assert display.figure_ is not None
    plt.close(display.figure_)


def run_cell(name, X, y, groups, positions):
    """What a path does with X: "works", "works, flattened", or the exception that it raises.

    Parameters
    ----------
    groups : dict or None
        `modalities` of the form; None for a form that names its modalities itself.
    positions : dict
        Column groups by position, for tools that turn X into an array.
    """
    error = None
    for status, modalities in (("works", groups), ("works, flattened", positions)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                PATHS[name](X, y, lambda modalities=modalities: CheckingClassifier(modalities))
        except Exception as caught:
            error = error or caught
        else:
            return status
    return error


# What does not simply work. "flattened": the tool turns X into an array, which the classifier reads through
# `modalities` by position. Anything else is scikit-learn's own refusal: a part of its message, and the reason.
_CUTS_COLUMNS = "it writes into columns of X; give it X as an array"
_NAMES = ("Specifying the columns using strings is only supported", "only DataFrames have names of columns")
_NO_ARRAY = "it needs an array, and a SliceDict is none; use MultimodalData"
EXPECTED = {
    "MultimodalData": {
        "Pipeline, StandardScaler": "flattened",
        "ColumnTransformer, by name": _NAMES,
        "BaggingClassifier": "flattened",
        "OneVsOneClassifier": "flattened",
        "SelfTrainingClassifier": "flattened",
        "partial_dependence": ("cannot be assigned into", _CUTS_COLUMNS),
    },
    "array": {"ColumnTransformer, by name": _NAMES},
    "pandas": {
        "Pipeline, StandardScaler": "flattened",
        "BaggingClassifier": "flattened",
        "OneVsOneClassifier": "flattened",
        "SelfTrainingClassifier": "flattened",
    },
    "polars": {
        "Pipeline, StandardScaler": "flattened",
        "BaggingClassifier": "flattened",
        "OneVsOneClassifier": "flattened",
        "SelfTrainingClassifier": "flattened",
        "permutation_importance": "flattened",
        "partial_dependence": ("has no attribute", "it reads pandas' dtypes"),
    },
    "SliceDict": {
        "array API dispatch": ("SliceDict is not a supported array type", "a SliceDict is no array of the standard"),
        "_num_features": ("Unable to find the number of features", "a SliceDict does not tell its features"),
        **dict.fromkeys(
            [
                "Pipeline, StandardScaler",
                "ColumnTransformer, by index",
                "ColumnTransformer, by name",
                "StackingClassifier, passthrough",
                "BaggingClassifier",
                "OneVsOneClassifier",
                "OutputCodeClassifier",
                "SelfTrainingClassifier",
                "permutation_importance",
                "partial_dependence",
            ],
            ("", _NO_ARRAY),
        ),
    },
}
