"""Tables of other papers beside ours, from what `benchmarks/published.py` wrote."""

import csv
from pathlib import Path

from tables import as_rst, with_error

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
CAPTIONS = {
    "cpm": "Handwritten digits, six views, by the share of cells missing (protocol of CPM-Nets)",
    "dcp": "Land use, two views, by the share of rows with one view (protocol of DCP)",
    "rcml": "Handwritten digits, six views, nothing missing (protocol of RCML)",
}


def write_pages(folder):
    """Write one table a paper: accuracy in per cent, and standard errors over runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(RESULTS / "published.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = []
    for table, caption in CAPTIONS.items():
        chosen = [row for row in rows if row["data"] == table]
        rates = list(dict.fromkeys(row["drop_rate"] for row in chosen))
        body = []
        for model in dict.fromkeys(row["model"] for row in chosen):
            scores = [
                [100 * float(row["score"]) for row in chosen if (row["model"], row["drop_rate"]) == (model, rate)]
                for rate in rates
            ]
            body.append([model, *(with_error(found, 1) for found in scores)])
        parts.append(as_rst(["Model", *rates], body, caption))
    (folder / "published.rst").write_text("\n".join(parts) + "\n", encoding="utf-8")
