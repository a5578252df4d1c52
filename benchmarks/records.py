"""Figures of a benchmark in a CSV file that a later run goes on with."""

import csv

COLUMNS = ("data", "part", "model", "seed", "drop_rate", "score", "nll", "brier", "ece")


class Results:
    """The CSV file, of which finished parts are not computed again.

    Parameters
    ----------
    path : Path
    more : tuple of str
        Columns after the common ones.
    """

    def __init__(self, path, more):
        self.path = path
        self.columns = [*COLUMNS, *more]
        self.rows = []
        if path.exists():
            with open(path, newline="") as file:
                self.rows = list(csv.DictReader(file))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append([{name: name for name in self.columns}])

    def __contains__(self, key):
        return any(tuple(row[name] for name in ("data", "part", "model", "seed")) == key for row in self.rows)

    def settings(self, data, model):
        """What was chosen before, or None."""
        found = [row["settings"] for row in self.rows if row["data"] == data and row["model"] == model]
        return found[0] if found else None

    def add(self, rows):
        self.rows += rows
        self._append(rows)

    def _append(self, rows):
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerows(rows)
