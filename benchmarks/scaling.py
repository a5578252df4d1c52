"""What several processes gain: a search on a Dask cluster, and one training on two ranks.

    python benchmarks/scaling.py [--sections search training seeds constants] [--repeats 3] [--quick]

- ``search``: 16 fits one after the other, and on two worker processes of one thread; how often the data is sent.
- ``training``: rows a second of one process of one thread and of two, taking turns, the best epoch of each.
- ``seeds``: test scores of one process and of two ranks with the same batches, over 5 seeds.
- ``constants``: what `beyond.py` computes with.

Every line says how many processes wanted a core of this machine meanwhile. Writes `results/scaling.csv`.
"""

import argparse
import csv
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import torch
from competitors import SIZES, UNSTOPPED, made
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.datasets import load_handwritten, make_multimodal_classification
from sklearn_aecf.distributed import data_parallel

RESULTS = Path(__file__).parent / "results" / "scaling.csv"
FIRST = next(iter(SIZES))

# Sections: each yields (case, name, figure, unit).


class Counted(MultimodalData):
    """Counts how often it is sent."""

    sent: list = []

    def __reduce_ex__(self, protocol):
        self.sent.append(self.nbytes)
        return MultimodalData, (dict(self),)


def search(arguments):
    import dask
    from distributed import Client, LocalCluster

    # Dask's own setting returns memory to the system with every tensor.
    dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**27})
    n_rows = 1000 if arguments.quick else 4000
    data, y = make_multimodal_classification(n_rows, n_classes=5, n_features=[256, 128, 64], random_state=0)
    X = Counted(data)
    clf = AECFClassifier(max_epochs=8, early_stopping=False, device="cpu", random_state=0)
    grid = {"mask_rate": [0.3, 0.5], "learning_rate": [1e-3, 3e-3]}
    seconds: dict = {"serial": [], "2 workers": []}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(lambda: __import__("sklearn_aecf") and None)
        for _ in range(arguments.repeats):
            start = time.perf_counter()
            serial = GridSearchCV(clf, grid, cv=4, refit=False).fit(X, y)
            seconds["serial"].append(time.perf_counter() - start)
            X.sent.clear()
            start = time.perf_counter()
            with joblib.parallel_config(backend="dask"):
                spread = GridSearchCV(clf, grid, cv=4, refit=False).fit(X, y)
            seconds["2 workers"].append(time.perf_counter() - start)
    for name, values in seconds.items():
        yield "GridSearchCV, 16 fits", name, min(values), "s"
    yield "GridSearchCV, 16 fits", "times faster", min(seconds["serial"]) / min(seconds["2 workers"]), ""
    scores = [[found.cv_results_[f"split{i}_test_score"] for i in range(4)] for found in (serial, spread)]
    yield "GridSearchCV, 16 fits", "largest difference of a score", np.abs(np.subtract(*scores)).max(), ""
    yield "GridSearchCV, 16 fits", "times the data was sent", len(X.sent), ""
    yield "GridSearchCV, 16 fits", "bytes sent", sum(X.sent), "B"
    yield "GridSearchCV, 16 fits", "bytes, if sent with every fit", 16 * X.nbytes, "B"


def training(arguments):
    for batch_size in (128, 256, 1024):
        best: dict = {}
        for _ in range(arguments.repeats):
            for n_ranks in (1, 2):
                found = on_ranks(n_ranks, "train", batch_size, arguments.quick)
                best[n_ranks] = max(best.get(n_ranks, 0), found)
        case = f"{FIRST}, batches of {batch_size}"
        for n_ranks, rate in best.items():
            yield case, f"{n_ranks} processes of one thread", rate, "rows/s"
        yield case, "times faster", best[2] / best[1], ""


def train(batch_size, quick):
    """Rows a second in the best epoch."""
    n_rows, widths, embed_dim, n_outputs, hidden_dim = SIZES[FIRST]
    n_rows = n_rows // 10 if quick else n_rows
    X, y = made(n_rows, widths, n_outputs)
    sizes = {"embed_dim": embed_dim, "hidden_dim": hidden_dim, "batch_size": int(batch_size)}
    with data_parallel():
        clf = AECFClassifier(**sizes, **UNSTOPPED, max_epochs=3, device="cpu").fit(X, y)
    return n_rows / clf.history_["dur"].min()


def seeds(arguments):
    one, two = (np.array(on_ranks(n_ranks, "score", 1 if arguments.quick else 5)) for n_ranks in (1, 2))
    for place, measure in enumerate(("accuracy", "log loss")):
        case = f"handwritten, {len(one)} seeds, {measure}"
        difference = (two - one)[:, place]
        yield case, "one process", one[:, place].mean(), ""
        yield case, "two ranks", two[:, place].mean(), ""
        yield case, "difference", difference.mean(), ""
        yield case, "standard error", difference.std(ddof=1) / len(one) ** 0.5 if len(one) > 1 else np.nan, ""


def score(n_seeds):
    """Accuracy and log loss of each seed, half of the modalities of the test rows hidden."""
    found = []
    X, y = load_handwritten(return_X_y=True)
    for seed in range(int(n_seeds)):
        learnt, test = train_test_split(np.arange(len(y)), test_size=0.4, stratify=y, random_state=seed)
        with data_parallel():
            clf = AECFClassifier(device="cpu", random_state=seed).fit(X[learnt], y[learnt])
        keep = np.random.default_rng(seed).random((len(test), len(X.names))) < 0.5
        hidden = {name: np.where(keep[:, m, None], X[name][test], np.nan) for m, name in enumerate(X.names)}
        probability = clf.predict_proba(hidden)
        found.append((np.mean(clf.classes_[probability.argmax(axis=1)] == y[test]), log_loss(y[test], probability)))
    return found


def constants(arguments):
    """Seconds of a step of one process by rows, and of an exchange of gradients by bytes."""
    for batch_size in (128, 1024):
        rate = on_ranks(1, "train", batch_size, arguments.quick)
        yield f"{FIRST}, batches of {batch_size}", "one process, one thread", rate, "rows/s"
    for n_bytes, seconds in on_ranks(2, "exchange"):
        yield "all_reduce of two processes, gloo on one machine", f"{n_bytes} bytes", seconds, "s"
    yield "file mapped into memory, pages cached", "read", reading(), "B/s"


def exchange():
    """Median seconds of an all_reduce, by bytes."""
    found = []
    with data_parallel() as ranks:
        for n_values in (10_000, 1_000_000, 10_000_000):
            values, seconds = torch.zeros(n_values), []
            for _ in range(15):
                start = time.perf_counter()
                ranks.mean(values)
                seconds.append(time.perf_counter() - start)
            found.append((4 * n_values, float(np.median(seconds))))
    return found


def reading():
    """Bytes a second of blocks of 256 rows of a memmap in random order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, np.zeros((200_000, 512), dtype=np.float32))
        rows = np.load(path, mmap_mode="r")
        start = time.perf_counter()
        for block in np.random.default_rng(0).permutation(len(rows) // 256):
            np.array(rows[256 * block : 256 * (block + 1)])
        return rows.nbytes / (time.perf_counter() - start)


def on_ranks(n_ranks, function, *arguments):
    """What a function of this file returns on the first of so many ranks, each a process of one thread."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = [] if n_ranks == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", n_ranks]
        command = [sys.executable, *launcher, __file__, "--rank-of", folder, function, json.dumps(arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(list(map(str, command)), check=True, env=environment)
        return pickle.loads((Path(folder) / "found").read_bytes())


def rank(folder, function, arguments):
    torch.set_num_threads(1)
    found = {"train": train, "score": score, "exchange": exchange}[function](*json.loads(arguments))
    if os.environ.get("RANK", "0") == "0":
        (Path(folder) / "found").write_bytes(pickle.dumps(found))


SECTIONS = {"search": search, "training": training, "seeds": seeds, "constants": constants}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="smaller sizes: does everything run?")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--rank-of", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.rank_of:
        rank(*arguments.rank_of)
        return
    kept = []
    if arguments.output.exists():
        with open(arguments.output, newline="") as file:
            kept = [row for row in csv.reader(file) if row[0] not in ("section", *arguments.sections)]
    for section in arguments.sections:
        for case, name, figure, unit in SECTIONS[section](arguments):
            kept.append([section, case, name, f"{figure:.5g}", unit, f"{os.getloadavg()[0]:.1f}"])
            print(*kept[-1], sep=" | ", flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.output, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["section", "case", "name", "figure", "unit", "load"], *sorted(kept, key=lambda row: row[0])]
        )


if __name__ == "__main__":
    main()
