"""Tables of the page on speed, from what `benchmarks/speed.py` wrote."""

import csv
import shutil
from pathlib import Path

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
    if any(row["section"] == "whole fits" for row in rows):
        parts.append(_fits([row for row in rows if row["section"] == "whole fits"]))
    parts.append(_training([row for row in rows if row["section"] == "training"]))
    others = [row for row in rows if row["section"] not in ("machine", "bar", "training", "whole fits")]
    body = [
        [row["section"], row["case"], row["name"], f"{float(row['figure']):.4g} {row['unit']}".strip()]
        for row in others
    ]
    parts.append(as_rst(["Section", "Case", "What", "Median"], body, "Everything else"))
    (folder / "speed.rst").write_text("\n".join(parts), encoding="utf-8")
    shutil.copy(RESULTS / "speed.png", folder / "speed.png")


def _fits(rows):
    cases = list(dict.fromkeys(row["case"] for row in rows))
    names = list(dict.fromkeys(row["name"] for row in rows if row["unit"] == "s"))
    found = {(row["case"], row["name"]): float(row["figure"]) for row in rows}
    body = []
    for case in cases:
        cells = [f"{found[case, name]:.3g}" if (case, name) in found else "" for name in names]
        body.append([case, f"{found[case, 'epochs of AECFClassifier()']:.0f}", *cells])
    return as_rst(["Data", "our epochs", *names], body, "Whole fits with the defaults, seconds")


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
