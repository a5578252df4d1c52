"""Tables on sensors that lie, from what `benchmarks/corruption.py` wrote."""

import csv
from collections import defaultdict

import numpy as np
import results_page
from results_page import OURS, PLAIN, RESULTS
from tables import as_markdown, as_rst

DATA = {**results_page.DATA, "wikipedia": "Wikipedia", "yeast2view": "yeast", "landuse21": "land use"}
OFF = "AECF, corruption_rate=0"
# What leaves values that look genuine, or nearly so.
HARD = ("negated", "blended", "swapped")


class Measured:
    """Values of the CSV by data set, model, kind and measure: one a seed, splits of a seed averaged."""

    def __init__(self, path=RESULTS / "corruption.csv"):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        found = defaultdict(lambda: defaultdict(list))
        for row in rows:
            for name in ("score", "told", "ece", "auc_weight", "auc_reliability", "false_alarms"):
                if row[name]:
                    found[row["data"], row["model"], row["kind"], name][int(row["seed"])].append(float(row[name]))
        self.values = {key: {seed: np.mean(v) for seed, v in seeds.items()} for key, seeds in found.items()}
        self.data = [name for name in DATA if any(row["data"] == name for row in rows)]
        self.models = list(dict.fromkeys(row["model"] for row in rows))
        self.kinds = [kind for kind in dict.fromkeys(row["kind"] for row in rows) if kind != "genuine"]

    def seeds(self, data, model, kinds, measure):
        """Values by seed, a mean over kinds."""
        each = [self.values.get((data, model, kind, measure), {}) for kind in kinds]
        shared = set.intersection(*map(set, each))
        return np.array([np.mean([values[seed] for values in each]) for seed in sorted(shared)])

    def mean(self, *key):
        values = self.seeds(*key)
        return float(values.mean()) if len(values) else np.nan

    def recovered(self, data, kinds, plain):
        """Share of the plain model's shortfall, against ours if told or itself where that is better, that ours wins."""
        ours = lost = 0.0
        for kind in kinds:
            told = self.mean(data, OURS, [kind], "told")
            reached = self.mean(data, plain, [kind], "score")
            ours += max(told, reached) - self.mean(data, OURS, [kind], "score")
            lost += max(told, reached) - reached
        return 1 - ours / lost if lost > 0 else np.nan


def model_tables(measured):
    """A table a data set: every model with genuine, lying and declared values."""
    header = ["Model", "genuine", "lying", "told which lie", "ECE, lying", "AUC of the weight", "of the reliability"]
    for data in measured.data:
        body = []
        for model in measured.models:
            scores = measured.seeds(data, model, measured.kinds, "score")
            if not len(scores):
                continue
            error = f" ± {scores.std(ddof=1) / np.sqrt(len(scores)):.3f}" if len(scores) > 1 else ""
            cells = [measured.mean(data, model, ["genuine"], "score"), None]
            cells += [
                measured.mean(data, model, ["genuine"], "told"),
                measured.mean(data, model, measured.kinds, "ece"),
            ]
            cells += [measured.mean(data, model, measured.kinds, name) for name in ("auc_weight", "auc_reliability")]
            texts = ["" if value is None or np.isnan(value) else f"{value:.3f}" for value in cells]
            texts[1] = f"{scores.mean():.3f}{error}"
            body.append([model, *texts])
        score = "mAP" if data in ("extrasensory", "yeast2view") else "accuracy"
        yield header, body, f"{DATA[data]}: {score}, a mean over {len(measured.kinds)} kinds of corruption"


def share_table(measured):
    """What is recovered of what is lost, with and without the hard kinds, and the price on genuine rows."""
    easy = [kind for kind in measured.kinds if kind not in HARD]
    body = []
    for data in measured.data:
        genuine = [measured.seeds(data, model, ["genuine"], "score") for model in (OURS, OFF)]
        change = 100 * (genuine[0] - genuine[1])
        body.append(
            [
                DATA[data],
                *(
                    f"{measured.recovered(data, kinds, plain):.2f}"
                    for plain in (PLAIN, OFF)
                    for kinds in (measured.kinds, easy)
                ),
                f"{measured.mean(data, OURS, easy, 'auc_reliability'):.3f}",
                f"{100 * measured.mean(data, OURS, ['genuine'], 'false_alarms'):.2f} %",
                f"{change.mean():+.2f} ± {change.std(ddof=1) / np.sqrt(len(change)):.2f}",
            ]
        )
    numbers = [[float(cell.split()[0]) for cell in row[1:]] for row in body]
    mean = np.nanmean(numbers, axis=0)
    body.append(["mean", *(f"{v:.2f}" for v in mean[:4]), f"{mean[4]:.3f}", f"{mean[5]:.2f} %", f"{mean[6]:+.2f}"])
    header = [
        "Data", "recovered of gated fusion's loss", "without the hard kinds", "of AECF's without reliability",
        "without the hard kinds", "AUC of the reliability, without the hard kinds", "false alarms",
        "genuine rows, points",
    ]  # fmt: skip
    return header, body, f"What is recovered; the hard kinds are {', '.join(HARD)}"


def kind_table(measured):
    """Each kind, a mean over the data sets."""
    body = []
    for kind in measured.kinds:
        cells = [
            np.mean([measured.mean(data, model, [kind], "score") for data in measured.data])
            for model in (PLAIN, OFF, OURS)
        ]
        cells += [np.mean([measured.mean(data, OURS, [kind], "told") for data in measured.data])]
        cells += [
            np.mean([measured.mean(data, OURS, [kind], name) for data in measured.data])
            for name in ("ece", "auc_weight", "auc_reliability")
        ]
        body.append([kind, *(f"{value:.3f}" for value in cells)])
    header = ["Kind", PLAIN, OFF, OURS, "AECF, told", "ECE", "AUC of the weight", "of the reliability"]
    return header, body, "Each kind of corruption: score, a mean over the data sets"


def ablation_table(measured):
    """Difference of each variant to the defaults, paired by data set and seed, on genuine, missing and lying rows."""
    body = []
    for model in measured.models:
        if model == OURS:
            continue
        cells = [model]
        for kinds, measure in (
            (["genuine"], "score"), (["genuine"], "told"), (measured.kinds, "score"), (["genuine"], "ece"),
            (measured.kinds, "ece"),
        ):  # fmt: skip
            changes = [
                measured.seeds(data, model, kinds, measure) - measured.seeds(data, OURS, kinds, measure)
                for data in measured.data
                if len(measured.seeds(data, model, kinds, measure)) == len(measured.seeds(data, OURS, kinds, measure))
            ]
            points = 100 * np.concatenate(changes)
            cells.append(f"{points.mean():+.2f} ± {points.std(ddof=1) / np.sqrt(len(points)):.2f}")
        body.append(cells)
    header = ["Variant", "genuine", "half missing", "lying", "ECE, genuine", "ECE, lying"]
    return header, body, "Variant minus the defaults, in points: means over data sets and seeds, and standard errors"


def markdown():
    """The table as README shows it."""
    measured = Measured()
    header = ["Model", *(DATA[data] for data in measured.data)]
    body = [
        [
            model,
            *(
                f"{measured.mean(data, model, measured.kinds, 'score'):.3f} / "
                f"{measured.mean(data, model, measured.kinds, 'ece'):.3f}"
                if len(measured.seeds(data, model, measured.kinds, "score"))
                else ""
                for data in measured.data
            ),
        ]
        for model in measured.models
    ]
    seeds = min(len(measured.seeds(data, OURS, measured.kinds, "score")) for data in measured.data)
    caption = (
        f"Half of the modalities broken, in {len(measured.kinds)} ways: accuracy (ExtraSensory, yeast: mAP) / ECE on "
        f"test rows, {seeds} seeds"
    )
    return as_markdown(header, body, caption)


def write_pages(folder):
    """Write what the page of results includes."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = Measured()
    ablation = ablation_table(Measured(RESULTS / "corruption_ablation.csv"))
    (folder / "corruption_ablation.rst").write_text(as_rst(*ablation) + "\n", encoding="utf-8")
    tables = [share_table(measured), kind_table(measured), *model_tables(measured)]
    (folder / "corruption.rst").write_text("\n".join(as_rst(*table) for table in tables) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(markdown())
