"""Tables of other papers, rerun under their protocols, with logistic regression beside.

    python benchmarks/published.py --data-dir DIR [--tables cpm dcp rcml] [--runs 10] [--models AECF ...] [--quick]

DIR holds `landuse21.npz`; the digits come with the package. Nothing is tuned: every model has its defaults. Logistic
regression is there because a table in which it wins says little about who else does. Writes one row a table, missing
rate, model and run; a second run goes on where the first stopped.
"""

import argparse
from pathlib import Path

import numpy as np
from baselines import LateFusion, Tabular
from joblib import parallel_config
from protocol import measures
from records import Results
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.datasets import load_handwritten

# Accuracy as printed in the papers, by missing rate.
PUBLISHED = {
    "cpm": ("CPM-Nets", {0.0: 0.950, 0.1: 0.946, 0.2: 0.934, 0.3: 0.934, 0.4: 0.924, 0.5: 0.910}),
    "dcp": ("DCP", {0.0: 0.697, 0.3: 0.617, 0.5: 0.577, 0.8: 0.384}),
    "rcml": ("RCML", {0.0: 0.994}),
}
MODELS = {
    "AECF": lambda seed: AECFClassifier(random_state=seed),
    "late fusion, logistic": lambda seed: LateFusion(_logistic()),
    "imputation + logistic": lambda seed: Tabular(_logistic()),
}


def _logistic():
    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=1000))


def hidden_cells(X, share, rng):
    """X without a share of all its cells (rows times modalities), drawn evenly; a row keeps at least one (CPM-Nets)."""
    kept = X.present.copy()
    wanted = round(share * kept.size)
    for cell in rng.permutation(kept.size):
        row, modality = divmod(int(cell), kept.shape[1])
        if wanted == 0:
            break
        if kept[row, modality] and kept[row].sum() > 1:
            kept[row, modality] = False
            wanted -= 1
    return _with_only(X, kept)


def single_view_rows(X, share, rng):
    """X in which a share of the rows keeps one modality, drawn evenly (DCP)."""
    kept = X.present.copy()
    rows = rng.choice(len(X), round(share * len(X)), replace=False)
    kept[rows] = False
    kept[rows, rng.integers(0, kept.shape[1], len(rows))] = True
    return _with_only(X, kept)


def _with_only(X, kept):
    arrays = {name: np.asarray(X[name], dtype=np.float32) for name in X.names}
    return MultimodalData(
        {name: np.where(kept[:, m, None], array, np.nan) for m, (name, array) in enumerate(arrays.items())}
    )


def cases(table, run, data_dir):
    """Missing rate, X_train, y_train, X_test, y_test of one run of a table: modalities are missing in both parts."""
    if table == "dcp":
        with np.load(Path(data_dir or ".") / "landuse21.npz") as file:
            X = MultimodalData({"phog": file["X_phog59"], "lbp": file["X_lbp40"]})
            y = file["y"]
    else:
        X, y = load_handwritten(return_X_y=True)
    stratify = y if table == "cpm" else None
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, stratify=stratify, random_state=run)
    hide = single_view_rows if table == "dcp" else hidden_cells
    for rate in PUBLISHED[table][1]:
        rng = np.random.default_rng([run, round(100 * rate)])
        yield rate, hide(X[train], rate, rng), y[train], hide(X[test], rate, rng), y[test]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--tables", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="one run: does everything work?")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "published.csv")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.runs, arguments.output = 1, arguments.output.with_name("published-quick.csv")
    results = Results(arguments.output, ())
    for table in arguments.tables:
        _add_published(results, table)
    progress = tqdm([(table, run) for run in range(arguments.runs) for table in arguments.tables])
    with parallel_config(n_jobs=1):
        for table, run in progress:
            for rate, X, y, X_test, y_test in cases(table, run, arguments.data_dir):
                for name in arguments.models:
                    if (table, f"missing {rate:g}", name, str(run)) in results:
                        continue
                    progress.set_postfix_str(f"{table} {rate:g} {name}")
                    found = measures(y_test, MODELS[name](run).fit(X, y).predict_proba(X_test))
                    results.add([_row(table, rate, name, run, found)])


def _add_published(results, table):
    name, scores = PUBLISHED[table]
    name = f"{name}, as published"
    if (table, f"missing {next(iter(scores)):g}", name, "") not in results:
        results.add([_row(table, rate, name, "", {"score": score}) for rate, score in scores.items()])


def _row(table, rate, model, run, found):
    row = {"data": table, "part": f"missing {rate:g}", "model": model, "seed": str(run), "drop_rate": f"{rate:g}"}
    return row | {key: f"{value:.5f}" for key, value in found.items()}


if __name__ == "__main__":
    main()
