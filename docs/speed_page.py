"""Tables of the page on speed, from what `benchmarks/speed.py` wrote."""

import csv
import shutil
from pathlib import Path

import numpy as np
from results_page import DATA, OURS, RATES, Measured
from tables import as_rst

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def write_page(folder):
    """Write what the page on speed includes."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(RESULTS / "speed.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    machine = next(row for row in rows if row["section"] == "machine")
    bars = [row for row in rows if row["section"] == "bar"]
    parts = [f"Measured on: {machine['case']}, {machine['name']}; training on one thread.\n"]
    body = [[row["case"], f"{float(row['figure']):.3g}", row["name"]] for row in bars]
    parts.append(as_rst(["Ratio (memory: MB)", "Reached", "Goal"], body, "Ratios, and the goals that were set before"))
    parts.append(_accuracy())
    parts.append(_training([row for row in rows if row["section"] == "training"]))
    others = [row for row in rows if row["section"] not in ("machine", "bar", "training")]
    body = [
        [row["section"], row["case"], row["name"], f"{float(row['figure']):.4g} {row['unit']}".strip()]
        for row in others
    ]
    parts.append(as_rst(["Section", "Case", "What", "Median"], body, "Everything else"))
    (folder / "speed.rst").write_text("\n".join(parts), encoding="utf-8")
    shutil.copy(RESULTS / "speed.png", folder / "speed.png")


def _accuracy():
    """Scores of `AECFClassifier()` before the work on speed and after it."""
    before, after = Measured("before_speed.csv"), Measured("after_speed.csv")
    body = []
    for data in before.data:
        for rate in RATES:
            key = data, OURS, rate, "score"
            pairs = [(after.seeds(*key)[seed] - value) for seed, value in before.seeds(*key).items()]
            error = np.std(pairs, ddof=1) / np.sqrt(len(pairs))
            change = f"{100 * np.mean(pairs):+.2f} ± {100 * error:.2f}"
            body.append([f"{DATA[data]}, drop {rate:g}", before.cell(*key), after.cell(*key), change])
    header = ["Data", "before", "after", "difference, points"]
    return as_rst(header, body, f"Accuracy before and after the work on speed, {len(pairs)} seeds")


def _training(rows):
    cases = list(dict.fromkeys(row["case"] for row in rows))
    names = list(dict.fromkeys(row["name"] for row in rows))
    found = {(row["case"], row["name"]): float(row["figure"]) for row in rows}
    body = []
    for name in names:
        cells = [name]
        for case in cases:
            seconds, floor = found.get((case, name)), found[case, "hand-written loop"]
            cells.append("" if seconds is None else f"{1e3 * seconds:.0f} ms ({seconds / floor:.2f})")
        body.append(cells)
    return as_rst(["", *cases], body, "An epoch, and its ratio to the hand-written loop")
