"""What a user picks today from outside scikit-learn: boosting and tabular networks, on masked copies.

They come with the extra `benchmarks`, and each is imported when it is made.
"""

import importlib
import logging

import numpy as np
from baselines import MODELS as BASELINES
from baselines import MaskedCopies


class FlaggedCopies(MaskedCopies):
    """A network of pytabkit on masked copies: the mean where a value is missing, and a flag for each modality.

    Its training stops on masked copies of the validation rows.
    """

    def fit(self, X, y, validation_set):
        array = np.asarray(X[~validation_set])
        known = ~np.isnan(array)
        self.means_ = np.where(known, array, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        self.held_out_ = self._repeated(validation_set)
        return super().fit(X, y)

    def _features(self, X, copied=False):
        array = super()._features(X, copied)
        ends = np.cumsum([X[name].shape[1] for name in X.names])
        flags = [~np.isnan(part).all(axis=1) for part in np.split(array, ends[:-1], axis=1)]
        filled = np.where(np.isnan(array), self.means_, array)
        return np.column_stack([filled, *flags]).astype(np.float32)

    def _fit_one(self, array, y):
        known = ~np.isnan(y)
        train, held_out = known & ~self.held_out_, known & self.held_out_
        if len(np.unique(y[train])) < 2:
            return float(y[train].mean()) if train.any() else 0.5
        rows = [array[train], y[train].astype(int)]
        # Without rows of the label to validate on, it holds out a fifth of the others itself.
        if held_out.any():
            rows += [array[held_out], y[held_out].astype(int)]
        return self._new_estimator().fit(*rows)


def _library(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is not installed; pip install 'sklearn-aecf[benchmarks]' has it.") from error


def _lightgbm(**settings):
    model = _library("lightgbm").LGBMClassifier
    return MaskedCopies(model(colsample_bytree=0.3, n_jobs=1, verbosity=-1, random_state=0, **settings))


def _catboost(**settings):
    model = _library("catboost").CatBoostClassifier
    # Complete it would write a folder of its own, and use every core.
    return MaskedCopies(
        model(rsm=0.3, thread_count=1, verbose=False, allow_writing_files=False, random_state=0, **settings)
    )


def _xgboost(**settings):
    model = _library("xgboost").XGBClassifier
    return MaskedCopies(model(colsample_bytree=0.3, n_jobs=1, verbosity=0, random_state=0, **settings))


def _pytabkit(name):
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    model = getattr(_library("pytabkit"), name)
    return FlaggedCopies(model(device="cpu", n_threads=1, random_state=0))


# Three settings each: few steps, more and larger ones, and shallow trees.
LIGHTGBM = [
    {"learning_rate": 0.1, "n_estimators": 100, "num_leaves": 31},
    {"learning_rate": 0.2, "n_estimators": 150, "num_leaves": 31},
    {"learning_rate": 0.1, "n_estimators": 200, "num_leaves": 7},
]
CATBOOST = [
    {"learning_rate": 0.1, "iterations": 100, "depth": 6},
    {"learning_rate": 0.2, "iterations": 150, "depth": 6},
    {"learning_rate": 0.1, "iterations": 200, "depth": 3},
]
XGBOOST = [
    {"learning_rate": 0.1, "n_estimators": 100, "max_depth": 6},
    {"learning_rate": 0.2, "n_estimators": 150, "max_depth": 6},
    {"learning_rate": 0.1, "n_estimators": 200, "max_depth": 3},
]
# Wider than for the larger sets of `robustness.py`.
STRENGTHS = [{"C": c} for c in (0.003, 0.03, 0.3, 3.0)]

# Ours, plain gated fusion and what is attainable from `baselines.py`, and the field.
MODELS = {
    **{name: BASELINES[name] for name in ("AECF", "gated fusion", "aecf 0.1.0 layer")},
    **{name: (STRENGTHS, BASELINES[name][1]) for name in ("late fusion, logistic", "late fusion, product of experts")},
    "LightGBM + masked copies": (LIGHTGBM, _lightgbm),
    "CatBoost + masked copies": (CATBOOST, _catboost),
    "XGBoost + masked copies": (XGBOOST, _xgboost),
    "RealMLP + masked copies": ([{}], lambda: _pytabkit("RealMLP_TD_Classifier")),
    "TabM + masked copies": ([{}], lambda: _pytabkit("TabM_D_Classifier")),
    "a network per subset": BASELINES["a network per subset"],
}
