"""Tables and figure of the results page, and README's table, from what `benchmarks/` wrote."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import rankdata
from tables import as_markdown, as_rst, with_error

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
DATA = {
    "avmnist": "AV-MNIST",
    "extrasensory": "ExtraSensory",
    "handwritten": "handwritten",
    "heart": "heart disease",
}
RATES = (0.0, 0.3, 0.5, 0.7)
MEASURES = {
    "score", "nll", "brier", "ece", "subsets_mean", "subsets_worst", "gate_entropy", "gate_entropy_std", "fit_seconds",
}  # fmt: skip
OURS, PLAIN = "AECF", "gated fusion"
STOPPED_ON_COMPLETE = "gated fusion, stopped on complete rows"
# What is attainable; not a model that others are ranked against.
PER_SUBSET = "a network per subset"
# The same model as ours, fitted several times, and tuned as the baselines are: shown, and not ranked against itself.
SEVERAL = "AECF, mean of 4 fits"
TUNED = "AECF, tuned"
BASE = "every mechanism on"
SHOWN = (OURS, PLAIN, "boosting + masked copies", "late fusion, logistic", "concatenation + modality dropout")


class Measured:
    """A CSV file of `benchmarks/`: arrays of one value a seed, by data set, model, drop rate and measure."""

    def __init__(self, name, titles=DATA):
        with open(RESULTS / name, newline="") as file:
            rows = list(csv.DictReader(file))
        parts = defaultdict(list)
        for row in rows:
            key = row["data"], row["model"], float(row["drop_rate"]), int(row["seed"])
            parts[key].append(row)
        self.values = defaultdict(dict)
        for (data, model, rate, seed), found in sorted(parts.items(), key=lambda item: item[0][3]):
            for measure in MEASURES & rows[0].keys():
                numbers = [float(row[measure]) for row in found if row[measure]]
                if numbers:
                    self.values[data, model, rate, measure][seed] = float(np.mean(numbers))
        self.models = list(dict.fromkeys(row["model"] for row in rows))
        self.data = [name for name in titles if any(row["data"] == name for row in rows)]
        self.rows = rows

    def seeds(self, data, model, rate, measure):
        """Values by seed; the splits of a seed (hospitals) are averaged."""
        return self.values[data, model, rate, measure]

    def mean(self, *key):
        return float(np.mean(list(self.seeds(*key).values()))) if self.seeds(*key) else np.nan

    def cell(self, *key):
        values = list(self.seeds(*key).values())
        return with_error(values, 3) if values else ""


def robustness_tables(measured):
    """Header, rows and caption: a table a data set, then mean ranks."""
    for data in measured.data:
        score = "mAP" if data == "extrasensory" else "accuracy"
        seeds = len(measured.seeds(data, OURS, 0.0, "score"))
        header = ["Model", *(f"{score}, drop {rate:g}" for rate in RATES), "ECE, drop 0.5", "ECE, drop 0.7"]
        body = [
            [
                model,
                *(measured.cell(data, model, rate, "score") for rate in RATES),
                *(f"{measured.mean(data, model, rate, 'ece'):.3f}" for rate in (0.5, 0.7)),
            ]
            for model in measured.models
            if measured.seeds(data, model, 0.0, "score")
        ]
        yield header, body, f"{DATA[data]}: means and standard errors of {seeds} seeds"
    header = ["Model", *(f"score, drop {rate:g}" for rate in RATES), *(f"ECE, drop {rate:g}" for rate in RATES)]
    ranks = [mean_ranks(measured, rate, measure) for measure in ("score", "ece") for rate in RATES]
    body = [[model, *(f"{each[model]:.1f}" for each in ranks)] for model in ranked(measured)]
    yield header, body, f"Mean rank among {len(body)} models over {len(measured.data)} data sets (1 is best)"


def ranked(measured):
    """Models that are ranked."""
    return [model for model in measured.models if model not in (PER_SUBSET, SEVERAL, TUNED)]


def mean_ranks(measured, rate, measure):
    """Mean rank of each model over the data sets; one without a figure is last."""
    sign, models = -1 if measure == "score" else 1, ranked(measured)
    table = [[sign * measured.mean(data, model, rate, measure) for model in models] for data in measured.data]
    table = np.nan_to_num(table, nan=np.inf)
    return dict(zip(models, np.mean([rankdata(row) for row in table], axis=0), strict=True))


def lead(measured, model, rate):
    """By how much AECF's mean score is above a model's, by data set."""
    return {
        data: measured.mean(data, OURS, rate, "score") - measured.mean(data, model, rate, "score")
        for data in measured.data
    }


def bars(measured):
    """Name, what was reached, and whether the bar that the project set itself is met."""
    gain, standard = (lead(measured, model, 0.5) for model in (PLAIN, STOPPED_ON_COMPLETE))

    def both(plain, stopped):
        return f"{100 * plain:+.1f} (stopped on complete rows: {100 * stopped:+.1f})"

    for data in ("avmnist", "handwritten"):
        text = both(gain[data], standard[data])
        yield f"+18 points over gated fusion, drop 0.5, {DATA[data]}", text, gain[data] >= 0.18
    mean, least = np.mean(list(gain.values())), min(gain.values())
    text = both(mean, np.mean(list(standard.values())))
    yield "+12 points on average over the sets, drop 0.5", text, mean >= 0.12
    yield "never less than +3 points, drop 0.5", both(least, min(standard.values())), least >= 0.03
    lost = min(lead(measured, PLAIN, 0.0).values())
    yield "complete rows lose less than 0.5 points", f"{100 * lost:+.1f} at worst", lost > -0.005
    for rate in (0.5, 0.7):
        ratios = {
            data: measured.mean(data, OURS, rate, "ece") / measured.mean(data, PLAIN, rate, "ece")
            for data in measured.data
        }
        text = ", ".join(f"{DATA[data]} {ratio:.2f}" for data, ratio in ratios.items())
        yield f"ECE at most half of gated fusion's, drop {rate:g}", text, max(ratios.values()) <= 0.5
        ranks = mean_ranks(measured, rate, "ece")
        yield f"lowest mean rank in ECE, drop {rate:g}", f"{ranks[OURS]:.2f}", ranks[OURS] <= min(ranks.values())
    for rate in RATES:
        ranks = mean_ranks(measured, rate, "score")
        best = min(ranks, key=ranks.get)
        text = f"{ranks[OURS]:.2f}" + ("" if best == OURS else f" ({best}: {ranks[best]:.2f})")
        yield f"best mean rank in score, drop {rate:g}", text, ranks[OURS] <= ranks[best]
    behind = {
        (data, model): -ahead
        for model in ranked(measured)
        if model != OURS
        for data, ahead in lead(measured, model, 0.5).items()
    }
    (data, model), worst = max(behind.items(), key=lambda item: item[1])
    text = f"{100 * worst:+.1f} points ({model}, {DATA[data]})"
    yield "no model ahead by more than 1 point on any set, drop 0.5", text, worst <= 0.01
    if "extrasensory" in measured.data:
        ahead = [lead(measured, "boosting + masked copies", rate)["extrasensory"] for rate in RATES]
        text = ", ".join(f"{100 * value:+.1f}" for value in ahead)
        yield "ExtraSensory: above boosting with masked copies at every rate", text, min(ahead) > 0


def ablation_table(measured):
    """Difference of each variant to the base, paired by data set and seed."""
    columns = [("score", (rate,)) for rate in (0.0, 0.5, 0.7)]
    columns += [(measure, RATES) for measure in ("score", "nll", "ece")]
    body = []
    for model in measured.models:
        if model == BASE:
            continue
        pairs = [(data, seed) for data in measured.data for seed in measured.seeds(data, model, max(RATES), "score")]
        cells = [model, str(len(pairs))]
        for measure, rates in columns:
            changes = [
                [
                    measured.seeds(data, model, rate, measure)[seed] - measured.seeds(data, BASE, rate, measure)[seed]
                    for rate in rates
                ]
                for data, seed in pairs
            ]
            differences = (1 if measure == "nll" else 100) * np.mean(changes, axis=1)
            error = differences.std(ddof=1) / np.sqrt(len(pairs))
            digits = 3 if measure == "nll" else 1
            cells.append(f"{differences.mean():+.{digits}f} ± {error:.{digits}f}")
        body.append(cells)
    names = {"score": "points", "nll": "NLL", "ece": "ECE, points"}
    header = ["Variant", "pairs"]
    header += [f"{names[m]}, {'mean of rates' if len(rates) > 1 else f'drop {rates[0]:g}'}" for m, rates in columns]
    return header, body, f'Variant minus "{BASE}"; more points are better, less NLL and ECE are better'


def gate_table(measured):
    """Normalised entropy of the default's gate on rows with several modalities, and its spread between rows."""
    body = []
    for data in measured.data:
        cells = [DATA[data]]
        cells += [f"{measured.mean(data, BASE, 0.0, name):.3f}" for name in ("gate_entropy", "gate_entropy_std")]
        constant, own = (
            [measured.mean(data, model, rate, "score") for rate in RATES] for model in ("constant gate", BASE)
        )
        cells.append(" / ".join(f"{100 * (c - o):+.1f}" for c, o in zip(constant, own, strict=True)))
        body.append(cells)
    header = ["Data", "mean entropy", "standard deviation between rows", "a constant gate instead, points by drop rate"]
    return header, body, "The gate: normalised entropy (1 is uniform)"


def readme_table(measured):
    header = ["Model", *(DATA[data] for data in measured.data)]
    body = [
        [
            model,
            *(
                f"{measured.mean(data, model, 0.5, 'score'):.3f} / {measured.mean(data, model, 0.5, 'ece'):.3f}"
                for data in measured.data
            ),
        ]
        for model in measured.models
        if model != PER_SUBSET
    ]
    seeds = min(len(measured.seeds(data, OURS, 0.5, "score")) for data in measured.data)
    caption = (
        f"Half of the modalities hidden: accuracy (ExtraSensory: mAP) / ECE on test rows, {seeds} seeds, 3 draws each"
    )
    return header, body, caption


def markdown():
    """The table as README shows it."""
    return as_markdown(*readme_table(Measured("robustness.csv")))


def figure(measured, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sklearn_aecf.inspection import DropRateDisplay

    fig, axes = plt.subplots(1, len(measured.data), figsize=(3.6 * len(measured.data), 3.4), layout="constrained")
    for ax, data in zip(np.atleast_1d(axes), measured.data, strict=True):
        scores = {
            model: np.array([list(measured.seeds(data, model, rate, "score").values()) for rate in RATES])
            for model in SHOWN
            if model in measured.models
        }
        name = "mAP" if data == "extrasensory" else "accuracy"
        DropRateDisplay(np.array(RATES), scores, score_name=name).plot(ax=ax)
        values = np.concatenate([each.ravel() for each in scores.values()])
        ax.set(title=DATA[data], ylim=(values.min() - 0.03, values.max() + 0.03))
        ax.get_legend().remove()
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def write_pages(folder):
    """Write what the page of results includes."""
    folder.mkdir(parents=True, exist_ok=True)
    measured, ablation = Measured("robustness.csv"), Measured("ablation.csv")
    body = [[name, text, "met" if met else "not met"] for name, text, met in bars(measured)]
    goals = as_rst(["Goal", "Reached", ""], body, "Goals that were set before the measurements")
    tables = "\n".join(as_rst(*table) for table in robustness_tables(measured))
    (folder / "goals.rst").write_text(goals + "\n", encoding="utf-8")
    (folder / "robustness.rst").write_text(tables + "\n", encoding="utf-8")
    changes = as_rst(*ablation_table(ablation)) + "\n" + as_rst(*gate_table(ablation)) + "\n"
    (folder / "ablation.rst").write_text(changes, encoding="utf-8")
    figure(measured, folder / "robustness.png")


if __name__ == "__main__":
    print(markdown())
