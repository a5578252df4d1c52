"""What training and prediction cost, against a hand-written torch loop and against other libraries, in one process.

    python benchmarks/speed.py [--sections training prediction ...] [--device cpu] [--repeats 5] [--quick]

Competitors take turns; figures are medians of seconds, and ratios of them. Writes `results/speed.csv` and a figure,
prints the bars that the project sets itself, and ends with an error if one is missed.
"""

import argparse
import csv
import os
import platform
import subprocess
import sys
import tempfile
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from competitors import (
    PLAIN,
    SIZES,
    UNSTOPPED,
    ConcatenationHead,
    aecf_epochs,
    interleaved,
    loop_epochs,
    made,
    mlp_epochs,
    resnet50,
    skorch_epochs,
    skorch_net,
    timed,
)
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.datasets import load_handwritten, load_heart_disease
from sklearn_aecf.metrics import subset_report

RESULTS = Path(__file__).parent / "results"
# Sections: each yields (section, case, name, figure, unit) rows, and bars as (name, reached, limit, at least?).


def training(arguments, rows, bars):
    with threads(1):
        for case, size in SIZES.items():
            train_case(arguments, case, size, rows, bars)


def train_case(arguments, case, size, rows, bars):
    device = arguments.device
    X, y = made(size[0] // (10 if arguments.quick else 1), size[1], size[3])
    size = (len(y), *size[1:])
    n_epochs = 3 if size[0] > 10_000 else 6
    competitors = {
        "hand-written loop": lambda: loop_epochs(X, y, size, n_epochs, device),
        "plain gated fusion": lambda: aecf_epochs(X, y, size, n_epochs, device, **PLAIN),
        "AECF, one member": lambda: aecf_epochs(X, y, size, n_epochs, device, n_members=1),
        "AECF": lambda: aecf_epochs(X, y, size, n_epochs, device),
    }
    found = interleaved(competitors, arguments.repeats)
    slow = {
        "authors' layer, hand-written loop": lambda: loop_epochs(X, y, size, n_epochs, device, authors=True),
        "skorch, default loader": lambda: skorch_epochs(X, y, size, 2),
        "scikit-learn MLPClassifier": lambda: mlp_epochs(X, y, size, 3),
    }
    found |= interleaved(slow, 1 if size[0] > 10_000 else 2)
    if size[3] != 80:
        table = np.concatenate(list(X.values()), axis=1)
        boosting = HistGradientBoostingClassifier(max_iter=20, early_stopping=False)
        found["HistGradientBoosting, 20 of 100 iterations (whole fit)"] = timed(lambda: boosting.fit(table, y))
    for name, seconds in found.items():
        rows.append(("training", case, name, seconds, "s an epoch"))
    plain, full = found["plain gated fusion"], found["AECF"]
    bars.append((f"plain epoch / hand-written loop, {case}", plain / found["hand-written loop"], 1.10, False))
    bars.append((f"one member / plain step, {case}", found["AECF, one member"] / plain, 1.8, False))
    bars.append((f"eight members / plain step, {case}", full / plain, 3.0, False))


@contextmanager
def threads(n):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prediction(arguments, rows, bars):
    size = (20_000 if arguments.quick else 100_000, [512, 512], 512, 80, 512)
    X, y = made(size[0], size[1], 80)
    rng = np.random.default_rng(0)
    hidden = rng.random(len(y)) < 0.6
    first = hidden & (rng.random(len(y)) < 0.5)
    missing = {name: x.copy() for name, x in X.items()}
    missing["m0"][first], missing["m1"][hidden & ~first] = np.nan, np.nan
    net = skorch_net(size, 1).initialize()
    few = {name: x[:1000] for name, x in X.items()}
    for label, settings in (("plain", PLAIN), ("eight members", {})):
        model = AECFClassifier(embed_dim=512, hidden_dim=512, max_epochs=1, **UNSTOPPED, **settings).fit(few, y[:1000])
        inputs, present = [torch.from_numpy(x) for x in X.values()], torch.ones(len(y), 1, 2, dtype=torch.bool)
        module = model.net_.module_.eval()

        @torch.inference_mode()
        def bare(module=module, inputs=inputs, present=present):
            parts = [
                torch.sigmoid(module([x[i : i + 1024] for x in inputs], p[:, 0])["logits"][0]).mean(dim=0)
                for i, p in zip(range(0, len(present), 1024), present.split(1024), strict=True)
            ]
            return torch.cat(parts).numpy()

        competitors = {
            "bare inference loop": lambda: timed(bare),
            "predict_proba": lambda model=model: timed(lambda: model.predict_proba(X)),
            "predict_proba, 30 % missing": lambda model=model: timed(lambda: model.predict_proba(missing)),
        }
        if label == "plain":
            competitors["skorch, default loader"] = lambda: timed(lambda: net.predict_proba(X))
        found = interleaved(competitors, arguments.repeats)
        for name, seconds in found.items():
            rows.append(("prediction", label, name, len(y) / seconds, "rows/s"))
        ours = found["predict_proba"]
        bars.append((f"predict_proba / bare inference loop, {label}", ours / found["bare inference loop"], 1.15, False))
        bars.append(
            (f"30 % missing / nothing missing, {label}", found["predict_proba, 30 % missing"] / ours, 1.0, False)
        )
        if label == "plain":
            bars.append(("skorch's default / predict_proba", found["skorch, default loader"] / ours, 2.5, True))


def backbone(arguments, rows, bars):
    X, y = made(4096, [2048, 512], 80)
    images, network = torch.randn(8, 3, 224, 224), resnet50()
    inputs, present = [torch.from_numpy(x) for x in X.values()], torch.ones(512, 1, 2, dtype=torch.bool)
    blocks = [[x[i : i + 512] for x in inputs] for i in range(0, 4096, 512)]
    few = {name: x[:200] for name, x in X.items()}
    heads = {}
    for name, settings in (("AECF, one member", {"n_members": 1}), ("AECF", {})):
        module = AECFClassifier(max_epochs=1, **UNSTOPPED, **settings).fit(few, y[:200]).net_.module_.eval()
        heads[name] = lambda x, module=module: module(x, present[:, 0])["logits"]
    heads["concatenation of equal width"] = ConcatenationHead(module.encoders.embeddings, 128, 80).eval()

    def seconds_a_row(run, n_rows):
        with torch.inference_mode():
            return timed(run) / n_rows

    competitors = {"ResNet-50-sized backbone": lambda: seconds_a_row(lambda: network(images), len(images))}
    for name, head in heads.items():
        competitors[name] = lambda head=head: seconds_a_row(lambda: [head(block) for block in blocks], 4096)
    found = interleaved(competitors, 3 * arguments.repeats)
    for name, seconds in found.items():
        rows.append(("backbone", "features 2,048 and 512, 80 labels", name, 1e6 * seconds, "us a row"))
    bars.append(("head / backbone", found["AECF"] / found["ResNet-50-sized backbone"], 0.01, False))
    plain = found["concatenation of equal width"]
    bars.append(("head of one member / concatenation head", found["AECF, one member"] / plain, 1.05, False))
    bars.append(("head of eight members / concatenation head", found["AECF"] / plain, 1.05, False))


def scaling(arguments, rows, bars):
    sweeps = {
        "rows": [((n, [16, 16], 32, 2, 512), n) for n in (1_000, 10_000, 100_000, 1_000_000)],
        "modalities": [((4_000, [64] * m, 64, 2, 256), m) for m in (2, 4, 8, 16, 32)],
        "width": [((2_000, [d, d], d, 2, 256), d) for d in (16, 64, 256, 1024, 2048)],
        "labels": [((4_000, [64, 64], 64, c, 256), c) for c in (2, 10, 100, 1000)],
    }
    for name, cases in sweeps.items():
        cases = cases[:-1] if arguments.quick else cases
        figures = []
        for size, value in cases:
            X, y = made(size[0], size[1], size[3])
            seconds = float(np.median(aecf_epochs(X, y, size, 4 if size[0] < 50_000 else 2, arguments.device)))
            figures.append((value, seconds))
            rows.append(("scaling", name, str(value), seconds, "s an epoch"))
        slope = np.polyfit(*np.log(np.array(figures[-3:])).T, 1)[0]
        rows.append(("scaling", name, "slope of the last three, log-log", slope, ""))
        if name in ("rows", "modalities"):
            bars.append((f"slope of cost in {name}", slope, 1.05, False))


def grid_search(arguments, rows, bars):
    grid = {"learning_rate": [1e-3, 3e-3], "dropout": [0.2, 0.5], "n_members": [4, 8]}
    for case, (X, y) in real_sets().items():

        def search(n_jobs, X=X, y=y):
            model = AECFClassifier(max_epochs=5 if arguments.quick else "auto", random_state=0)
            return timed(lambda: GridSearchCV(model, grid, cv=3, n_jobs=n_jobs, refit=False).fit(X, y))

        search(2)  # starts the worker processes, which stay
        found = interleaved({"n_jobs=1": lambda: search(1), "n_jobs=2": lambda: search(2)}, 2)
        for name, seconds in found.items():
            rows.append(("grid search", f"{case}, 8 candidates x 3 folds", name, seconds, "s"))
        bars.append((f"n_jobs=1 / n_jobs=2, {case}", found["n_jobs=1"] / found["n_jobs=2"], 1.8, True))


def real_sets():
    heart, digits = load_heart_disease(), load_handwritten()
    return {"heart": (heart.data, heart.target), "handwritten": (digits.data, digits.target)}


def scikit_learns_network():
    network = MLPClassifier((128,), early_stopping=True, random_state=0)
    return make_pipeline(SimpleImputer(), StandardScaler(), network)


def fits(arguments, rows, bars):
    """Whole fits with the defaults, in turns with what users would take instead."""
    cases = real_sets()
    X, y = cases["handwritten"]
    cases["handwritten, 200 rows"] = X[::10], y[::10]
    for case, (X, y) in cases.items():
        table, model = np.asarray(X), AECFClassifier(random_state=0)
        competitors = {
            "AECFClassifier()": lambda model=model, X=X, y=y: timed(lambda: model.fit(X, y)),
            "MLPClassifier((128,), early_stopping=True)": lambda table=table, y=y: timed(
                lambda: scikit_learns_network().fit(table, y)
            ),
            "HistGradientBoostingClassifier()": lambda table=table, y=y: timed(
                lambda: HistGradientBoostingClassifier().fit(table, y)
            ),
        }
        found = interleaved(competitors, arguments.repeats)
        for name, seconds in found.items():
            rows.append(("whole fits", case, name, seconds, "s"))
        rows.append(("whole fits", case, "epochs of AECFClassifier()", model.n_iter_, ""))
        ours, usual = list(found.values())[:2]
        if len(y) > 200:
            bars.append((f"whole fit / MLPClassifier's, {case}", ours / usual, 12, False))
        else:
            bars.append((f"seconds of a whole fit, {case}", ours, 0.5, False))
    large_fit(arguments, rows, bars)


def large_fit(arguments, rows, bars):
    n_rows, rng = 30_000 if arguments.quick else 300_000, np.random.default_rng(0)
    case, y = f"{n_rows:,} x 3 x 64, 5 classes", rng.integers(0, 5, n_rows)
    table = rng.standard_normal((n_rows, 192), dtype=np.float32)
    table += 0.15 * rng.standard_normal((5, 192), dtype=np.float32)[y]
    X = MultimodalData({name: table[:, 64 * m : 64 * m + 64] for m, name in enumerate("abc")})
    model = AECFClassifier(random_state=0)
    ours = timed(lambda: model.fit(X, y))
    boosting = timed(lambda: HistGradientBoostingClassifier().fit(table, y))
    rows.append(("whole fits", case, "AECFClassifier()", ours, "s"))
    rows.append(("whole fits", case, "HistGradientBoostingClassifier()", boosting, "s"))
    rows.append(("whole fits", case, "epochs of AECFClassifier()", model.n_iter_, ""))
    bars.append((f"whole fit / HistGradientBoosting's, {case}", ours / boosting, 3, False))


def one_row(arguments, rows, bars):
    for case, (X, y) in real_sets().items():
        model = AECFClassifier(max_epochs=5, random_state=0).fit(X, y)
        usual = scikit_learns_network().fit(np.asarray(X), y)
        one = X[:1]
        row, arrays = np.asarray(one), dict(one)

        def typical(run):
            return [timed(run) for _ in range(100)]

        def beside(model=model, one=one, typical=typical):
            with busy_process(), busy_process():
                return typical(lambda: model.predict_proba(one))

        plain, busy_name = "MLPClassifier's pipeline", "predict_proba beside two busy processes"
        competitors = {
            "predict_proba": lambda m=model, one=one, typical=typical: typical(lambda: m.predict_proba(one)),
            "predict_proba of a dict": lambda m=model, x=arrays, typical=typical: typical(lambda: m.predict_proba(x)),
            plain: lambda usual=usual, row=row, typical=typical: typical(lambda: usual.predict_proba(row)),
            busy_name: beside,
        }
        found = interleaved(competitors, arguments.repeats)
        for name, seconds in found.items():
            rows.append(("one row", case, name, 1e3 * seconds, "ms"))
        ours = found["predict_proba"]
        bars.append((f"one row / MLPClassifier's pipeline, {case}", ours / found[plain], 3, False))
        bars.append((f"one row beside two busy processes / quiet, {case}", found[busy_name] / ours, 3, False))


def reports(arguments, rows, bars):
    for case, (X, y) in real_sets().items():
        model = AECFClassifier(max_epochs=5, random_state=0).fit(X, y)
        competitors = {
            "predict_proba": lambda model=model, X=X: timed(lambda: model.predict_proba(X)),
            "subset_report": lambda model=model, X=X, y=y: timed(lambda: subset_report(model, X, y)),
        }
        found = interleaved(competitors, arguments.repeats)
        for name, seconds in found.items():
            rows.append(("reports", f"{case}, 63 subsets", name, 1e3 * seconds, "ms"))
        bars.append(
            (f"subset_report / predict_proba, {case}", found["subset_report"] / found["predict_proba"], 6, False)
        )


@contextmanager
def busy_process():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def busy(arguments, rows, bars):
    for case, size in SIZES.items():
        X, y = made(min(size[0], 6_000), size[1], size[3])
        size = (len(y), *size[1:])

        def beside(X=X, y=y, size=size):
            with busy_process():
                return aecf_epochs(X, y, size, 4)

        competitors = {"quiet": lambda X=X, y=y, size=size: aecf_epochs(X, y, size, 4), "beside a busy process": beside}
        found = interleaved(competitors, arguments.repeats)
        for name, seconds in found.items():
            rows.append(("busy", case, name, seconds, "s an epoch"))
        bars.append(
            (f"beside a busy process / quiet, {case}", found["beside a busy process"] / found["quiet"], 1.2, False)
        )


def memory(arguments, rows, bars):
    gigabytes = {"float32": 1, "float64": 1, "memmap": 4}
    for kind, size in gigabytes.items():
        size = 0.5 if arguments.quick else size
        command = [sys.executable, "-W", "ignore", __file__, "--memory-of", kind, str(size)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        megabytes, beyond = (float(value) for value in answer[-2:])
        rows.append(("memory", f"{kind}, {megabytes:.0f} MB as float32", "peak beyond X", beyond, "MB"))
        limit = 500 if kind == "memmap" else 1.2 * megabytes + 200
        bars.append((f"peak memory of a fit beyond X, {kind}, {megabytes:.0f} MB", beyond, limit, False))


def memory_of(kind, gigabytes):
    """Print megabytes of X as float32 and the peak of anonymous memory beyond it (file pages can be given back)."""

    def anonymous():
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon"))

    n_rows, rng = int(gigabytes * 2**30 / 4096), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        X = {}
        for name in ("a", "b"):
            if kind == "memmap":
                path = Path(folder) / f"{name}.npy"
                stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n_rows, 512))
                for start in range(0, n_rows, 8192):
                    stored[start : start + 8192] = rng.standard_normal(
                        stored[start : start + 8192].shape, dtype=np.float32
                    )
                stored.flush()
                X[name] = np.load(path, mmap_mode="r")
            else:
                X[name] = rng.standard_normal((n_rows, 512), dtype=np.float32).astype(kind, copy=False)
        y = rng.integers(0, 10, n_rows)
        settings = {"embed_dim": 64, "hidden_dim": 64, "random_state": 0}
        AECFClassifier(max_epochs=1, **settings).fit({name: x[:500] for name, x in X.items()}, y[:500])
        before, peak, done = anonymous(), [0.0], threading.Event()

        def watch():
            while not done.wait(0.005):
                peak[0] = max(peak[0], anonymous())

        watcher = threading.Thread(target=watch)
        watcher.start()
        AECFClassifier(max_epochs=2, **settings).fit(X, y)
        done.set()
        watcher.join()
    print(n_rows * 4096 / 2**20, peak[0] - before)


SECTIONS = {
    each.__name__: each
    for each in (fits, one_row, reports, training, prediction, backbone, scaling, grid_search, busy, memory)
}


def machine(device):
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = next(
            (line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line), name
        )
    parts = [name, f"{os.cpu_count()} cores", f"torch {torch.__version__}", f"numpy {np.__version__}"]
    parts.append(f"Python {platform.python_version()}")
    return ", ".join(([torch.cuda.get_device_name()] if device.startswith("cuda") else []) + parts)


def figure(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cases = [case for case in SIZES if any(row[1] == case and row[0] == "training" for row in rows)]
    fig, axes = plt.subplots(len(cases), 1, figsize=(8, 2.3 * len(cases)), layout="constrained", squeeze=False)
    for ax, case in zip(axes[:, 0], cases, strict=True):
        found = {name: value for section, c, name, value, unit in rows if section == "training" and c == case}
        floor = found["hand-written loop"]
        found = {name: value / floor for name, value in found.items() if "whole fit" not in name}
        ax.barh(
            list(found), list(found.values()), color=["C0" if "AECF" in n or "plain" in n else "0.7" for n in found]
        )
        ax.axvline(1, color="0.3", lw=0.8)
        ax.invert_yaxis()
        ax.set(title=case, xlabel="seconds of an epoch / hand-written loop")
    fig.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="torch's threads; by default its own choice")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="smaller sizes: does everything run?")
    parser.add_argument("--output", type=Path, default=RESULTS / "speed.csv")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.memory_of:
        memory_of(arguments.memory_of[0], float(arguments.memory_of[1]))
        return
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows, bars = [("machine", machine(arguments.device), f"{torch.get_num_threads()} threads", "", "")], []
    for name in arguments.sections:
        print(f"{name} ...", flush=True)
        SECTIONS[name](arguments, rows, bars)
    missed = [bar for bar in bars if not (bar[1] >= bar[2] if bar[3] else bar[1] <= bar[2])]
    for name, reached, limit, at_least in bars:
        verdict = "missed" if (name, reached, limit, at_least) in missed else "met"
        rows.append(("bar", name, f"{'at least' if at_least else 'at most'} {limit:g}: {verdict}", reached, ""))
        print(f"{verdict:7}{name}: {reached:.3g} ({'>=' if at_least else '<='} {limit:g})")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.output, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["section", "case", "name", "figure", "unit"])
        writer.writerows([*row[:3], f"{row[3]:.5g}" if row[3] != "" else "", row[4]] for row in rows)
    if any(row[0] == "training" for row in rows):
        figure(rows, arguments.output.with_suffix(".png"))
    sys.exit(f"{len(missed)} of {len(bars)} bars missed." if missed else 0)


if __name__ == "__main__":
    main()
