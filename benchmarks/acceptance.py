"""What README and the results page claim, measured: data in the package, baselines in the same run.

    python benchmarks/acceptance.py [--seeds 3] [--output benchmarks/results/acceptance.csv]

Writes one row a data set, protocol, model, seed, fold and drop rate. The page of the documentation is made from it.
"""

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_aecf import AECFClassifier
from sklearn_aecf.datasets import load_handwritten, load_heart_disease
from sklearn_aecf.metrics import drop_modalities, expected_calibration_error

COLUMNS = ["data", "protocol", "model", "seed", "fold", "drop_rate", "accuracy", "auc", "ece", "seconds"]


def models(seed):
    """The classifier as it comes, the same network as plain gated fusion, and imputation with logistic regression."""
    off = {"n_members": 1, "masking": None, "entropy_weight": 0, "cec_weight": 0}
    imputed = make_pipeline(
        FunctionTransformer(np.asarray), SimpleImputer(keep_empty_features=True), StandardScaler(),
        LogisticRegression(max_iter=2000),
    )  # fmt: skip
    return {
        "AECF": AECFClassifier(random_state=seed),
        "gated fusion": AECFClassifier(random_state=seed, **off),
        "gated fusion, no temperature": AECFClassifier(random_state=seed, temperature=None, **off),
        "imputation + logistic regression": imputed,
    }


def measured(model, X, y):
    probability = model.predict_proba(X)
    auc = roc_auc_score(y, probability[:, 1]) if probability.shape[1] == 2 else ""
    accuracy = float((model.classes_[probability.argmax(axis=1)] == y).mean())
    return [accuracy, auc, float(expected_calibration_error(y, probability, labels=model.classes_))]


def handwritten(seeds):
    digits = load_handwritten()
    train, test = ~digits.is_test, digits.is_test
    for seed in range(seeds):
        for name, model in models(seed).items():
            start = time.perf_counter()
            model.fit(digits.data[train], digits.target[train])
            seconds = time.perf_counter() - start
            for rate in (0.0, 0.3, 0.5, 0.7):
                for draw in range(1 if rate == 0 else 3):
                    hidden = drop_modalities(digits.data[test], rate, random_state=draw)
                    result = measured(model, hidden, digits.target[test])
                    yield ["handwritten", "test rows", name, seed, draw, rate, *result, seconds]


def heart(seeds):
    bunch = load_heart_disease()
    X, y = bunch.data, bunch.target
    for seed in range(seeds):
        folds = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y))
        sites = list(LeaveOneGroupOut().split(y, y, bunch.groups))
        for protocol, splits in (("5 folds", folds), ("leave one hospital out", sites)):
            for fold, (train, test) in enumerate(splits):
                for name, model in models(seed).items():
                    if "no temperature" in name:
                        continue
                    start = time.perf_counter()
                    model.fit(X[train], y[train])
                    seconds = time.perf_counter() - start
                    yield [
                        "heart disease",
                        protocol,
                        name,
                        seed,
                        fold,
                        0.0,
                        *measured(model, X[test], y[test]),
                        seconds,
                    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "acceptance.csv")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.output, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for run in (handwritten, heart):
            for row in run(arguments.seeds):
                writer.writerow([f"{value:.5f}" if isinstance(value, float) else value for value in row])
                file.flush()


if __name__ == "__main__":
    main()
