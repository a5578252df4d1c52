"""Tables of the results page and of README, from the CSV that `benchmarks/acceptance.py` writes."""

import csv
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results" / "acceptance.csv"


def tables(path=RESULTS):
    """Header, rows and caption of each table."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    yield _handwritten([row for row in rows if row["data"] == "handwritten"])
    yield _heart([row for row in rows if row["data"] == "heart disease"])


def _handwritten(rows):
    names = list(dict.fromkeys(row["model"] for row in rows))
    rates = sorted({float(row["drop_rate"]) for row in rows})
    body = []
    for name in names:
        cells = [name]
        for rate in rates:
            chosen = [row for row in rows if row["model"] == name and float(row["drop_rate"]) == rate]
            cells.append(f"{_mean(chosen, 'accuracy'):.3f} / {_mean(chosen, 'ece'):.3f}")
        body.append(cells)
    seeds = len({row["seed"] for row in rows})
    caption = f"Handwritten digits, 400 test rows, accuracy / ECE by drop rate; {seeds} seeds, 3 draws each"
    return ["Model", *(f"drop {rate:g}" for rate in rates)], body, caption


def _heart(rows):
    names = list(dict.fromkeys(row["model"] for row in rows))
    body = []
    for name in names:
        folds = [row for row in rows if row["model"] == name and row["protocol"] == "5 folds"]
        sites = [row for row in rows if row["model"] == name and row["protocol"] != "5 folds"]
        body.append(
            [
                name,
                f"{_mean(folds, 'accuracy'):.3f} ± {_error(folds, 'accuracy'):.3f}",
                f"{_mean(folds, 'auc'):.3f} ± {_error(folds, 'auc'):.3f}",
                f"{_mean(folds, 'ece'):.3f}",
                f"{_mean(sites, 'auc'):.3f}",
            ]
        )
    seeds = len({row["seed"] for row in rows})
    caption = f"Heart disease, 920 patients; ± is the standard error of five folds; {seeds} seeds"
    return ["Model", "accuracy, 5 folds", "AUC, 5 folds", "ECE, 5 folds", "AUC, one hospital left out"], body, caption


def _mean(rows, column):
    return np.mean([float(row[column]) for row in rows])


def _error(rows, column):
    """Standard error over the folds of one split, averaged over seeds."""
    seeds = sorted({row["seed"] for row in rows})
    spreads = [np.std([float(row[column]) for row in rows if row["seed"] == seed], ddof=1) for seed in seeds]
    return np.mean(spreads) / np.sqrt(5)


def as_markdown(path=RESULTS):
    """The tables as README shows them."""
    parts = []
    for header, body, caption in tables(path):
        lines = [header, ["---"] * len(header), *body]
        parts.append(f"{caption}:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(parts) + "\n"


def write_page(target):
    """Write the tables as reStructuredText."""
    lines = []
    for header, body, caption in tables():
        lines += [f".. list-table:: {caption}", "   :header-rows: 1", ""]
        for row in [header, *body]:
            lines += [("   * - " if i == 0 else "     - ") + cell for i, cell in enumerate(row)]
        lines.append("")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(as_markdown())
