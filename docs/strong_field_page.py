"""AECF beside the strong field, from what `benchmarks/strong_field.py` wrote."""

import copy
import sys
from pathlib import Path

import corruption_page
import numpy as np
import results_page
from results_page import OURS, PER_SUBSET, PLAIN, RATES, RESULTS, ranked
from tables import as_rst, with_error

PATH = RESULTS / "strong_field.csv"
WHOLE = corruption_page.DATA
SMALL = {f"{name}-{size}": f"{title}, {size} rows" for size in (200, 500) for name, title in WHOLE.items()}
TITLES = {**WHOLE, **SMALL}
REALMLP, CATBOOST = "RealMLP + masked copies", "CatBoost + masked copies"
# Ahead by more than this, in score, is told.
POINT = 0.01


class Field(results_page.Measured):
    """The CSV, without the figures of a model on a data set on whose splits it did not always finish."""

    def __init__(self, path=PATH):
        super().__init__(path, TITLES)
        self.models = [OURS] + [model for model in self.models if model != OURS]
        self.unfinished = {(row["data"], row["model"]) for row in self.rows if row["status"]}
        self.values = {key: found for key, found in self.values.items() if key[:2] not in self.unfinished}
        self.tried = {(row["data"], row["model"]) for row in self.rows}
        self.others = [model for model in ranked(self) if model != OURS]

    def seeds(self, *key):
        return self.values.get(key, {})

    def among(self, names):
        """The same, of some of the data sets; ranked are the models that were tried on all of them."""
        part = copy.copy(self)
        part.data = [data for data in self.data if data in names]
        part.models = [model for model in self.models if all((data, model) in self.tried for data in part.data)]
        return part

    def differences(self, data, model, rate):
        """AECF's score minus that of a model, by seed that both have."""
        ours, other = (self.seeds(data, name, rate, "score") for name in (OURS, model))
        return [ours[seed] - other[seed] for seed in sorted(ours.keys() & other.keys())]

    def closest(self, data, rate):
        """The other model with the best mean score where both were measured, and the differences to it by seed."""
        found = {model: self.differences(data, model, rate) for model in self.others}
        best = min((model for model in found if found[model]), key=lambda model: np.mean(found[model]))
        return best, found[best]


def ece_ranks(field):
    """Mean rank of each model in calibration error, over data sets and drop rates."""
    ranks = [results_page.mean_ranks(field, rate, "ece") for rate in RATES]
    return {model: np.mean([each[model] for each in ranks]) for model in ranks[0]}


def rank_table(field, kind):
    """Mean ranks in score and NLL at each drop rate, and in calibration error over all of them."""
    ranks = [results_page.mean_ranks(field, rate, measure) for measure in ("score", "nll") for rate in RATES]
    ece = ece_ranks(field)
    body = []
    for model in ranked(field):
        cells = [f"{each[model]:.1f}" for each in ranks] + [f"{ece[model]:.1f}"]
        unfinished = sum((data, model) in field.unfinished for data in field.data)
        body.append([model, *cells, str(unfinished) if unfinished else ""])
    header = ["Model", *(f"{name}, drop {rate:g}" for name in ("score", "NLL") for rate in RATES), "ECE, all rates"]
    caption = f"Mean rank among {len(body)} models over {len(field.data)} {kind} (1 is best)"
    return [*header, "sets on which it did not finish"], body, caption


def margin_table(field):
    """AECF minus the best of the others, in points, by data set and drop rate."""
    body = []
    for data in field.data:
        cells = []
        for rate in RATES:
            model, found = field.closest(data, rate)
            cells.append(f"{with_error([100 * value for value in found], 1, sign='+')} ({short(model)})")
        body.append([TITLES[data], *cells])
    header = ["Data", *(f"drop {rate:g}" for rate in RATES)]
    return (
        header,
        body,
        f"AECF minus the best other model, in points of score: mean and standard error of {seeds(field)}",
    )


def ahead_table(field):
    """Every model that is ahead of AECF by more than a point at some rate, the furthest ahead first."""
    found = []
    for data in field.data:
        for model in field.others:
            points = [-100 * np.mean(field.differences(data, model, rate) or [0]) for rate in RATES]
            if max(points) > 100 * POINT:
                found.append((max(points), [TITLES[data], model, *(f"{each:+.1f}" for each in points)]))
    header = ["Data", "Model", *(f"drop {rate:g}" for rate in RATES)]
    body = [row for _, row in sorted(found, key=lambda pair: -pair[0])]
    return header, body, "Ahead of AECF by more than a point at some drop rate: points of score ahead"


def seconds_table(field):
    """Seconds of a fit by model and data set."""
    body = []
    for model in (OURS, *field.others, PER_SUBSET):
        cells = [f"{field.mean(data, model, 0.0, 'fit_seconds'):.1f}".replace("nan", "") for data in field.data]
        unfinished = [(data, model) in field.unfinished for data in field.data]
        body.append([model, *("not finished" if no else cell for no, cell in zip(unfinished, cells, strict=True))])
    header = ["Model", *(TITLES[data] for data in field.data)]
    return header, body, "Seconds of the processor for one fit with the chosen settings, on one thread"


def goals(field):
    """Name, what was reached, and whether the bar that the project set itself is met."""
    whole = field.among(WHOLE)
    for measure, name in (("score", "score"), ("nll", "NLL")):
        for rate in RATES:
            ranks = results_page.mean_ranks(whole, rate, measure)
            yield best_rank(f"best mean rank in {name}, drop {rate:g}", ranks)
    yield nobody_ahead(field)
    yield best_rank("lowest mean rank in ECE", ece_ranks(whole))
    ratios = ratio_to(whole, PLAIN, 0.5, "ece")
    met = sum(ratio <= 0.5 for ratio in ratios.values()) >= 5
    yield "ECE at most half of gated fusion's on five of seven sets, drop 0.5", listed(ratios, "{:.2f}"), met
    shares = shares_of_attainable(whole)
    met = bool(shares) and min(shares.values()) >= 0.9
    yield (
        "90 % of the gap to a network per subset closed where it is above a point, drop 0.5",
        listed(shares, "{:.0%}"),
        met,
    )
    for model, most in ((REALMLP, 0.2), (CATBOOST, 1.0)):
        ratios = ratio_to(whole, model, 0.0, "fit_seconds")
        met = bool(ratios) and not any(ratio > most for ratio in ratios.values())
        yield f"seconds of a fit at most {most:g} of {short(model)}'s", listed(ratios, "{:.2f}"), met


def best_rank(name, ranks):
    best = min(ranks, key=ranks.get)
    text = f"{ranks[OURS]:.2f}" + ("" if ranks[OURS] <= ranks[best] else f" ({short(best)}: {ranks[best]:.2f})")
    return name, text, ranks[OURS] <= ranks[best]


def nobody_ahead(field):
    behind = []
    for data in field.data:
        for rate in RATES:
            model, found = field.closest(data, rate)
            behind.append((-np.mean(found), f"{short(model)}, {TITLES[data]}, drop {rate:g}"))
    n_behind = sum(value > POINT for value, _ in behind)
    worst, where = max(behind)
    text = f"{n_behind} of {len(behind)} sets and rates; at worst {100 * worst:+.1f} ({where})"
    return "no model ahead by more than 1 point anywhere, small cuts included", text, n_behind == 0


def ratio_to(field, model, rate, measure):
    """AECF's mean over that of another model, by data set on which that was tried; NaN where it did not finish."""
    tried = [data for data in field.data if (data, model) in field.tried]
    return {d: field.mean(d, OURS, rate, measure) / field.mean(d, model, rate, measure) for d in tried}


def shares_of_attainable(field):
    """Of the gap from plain gated fusion to a network for each subset, what AECF closes, where it is above a point."""
    shares = {}
    for data in field.data:
        ours, plain, best = (field.mean(data, model, 0.5, "score") for model in (OURS, PLAIN, PER_SUBSET))
        if best - plain > POINT:
            shares[data] = (ours - plain) / (best - plain)
    return shares


def listed(values, form):
    texts = ["not finished" if np.isnan(value) else form.format(value) for value in values.values()]
    return ", ".join(f"{TITLES[data]} {text}" for data, text in zip(values, texts, strict=True)) or "not measured"


def short(model):
    return model.removesuffix(" + masked copies")


def seeds(field):
    """How many seeds the figures are of."""
    numbers = [len(field.seeds(data, OURS, 0.0, "score")) for data in field.data]
    least, most = min(numbers), max(numbers)
    several = f"{most} seed" + "s" * (most > 1)
    return several if least == most else f"{least} to {several}"


def coverage(field):
    """A sentence on what has been measured so far; none where everything has."""
    counts = [sum(data in names for data in field.data) for names in (WHOLE, SMALL)]
    if counts == [len(WHOLE), len(SMALL)]:
        return ""
    text = f"Measured so far: {counts[0]} of the {len(WHOLE)} data sets, {counts[1]} of the {len(SMALL)} cuts"
    text += f", {seeds(field)}"
    missing = ", ".join(title for data, title in WHOLE.items() if data not in field.data)
    return text + (f". Missing are {missing}.\n\n" if missing else ".\n\n")


def sections(field):
    """The tables of the page, as reStructuredText."""
    whole, small = field.among(WHOLE), field.among(SMALL)
    body = [[name, text, "met" if met else "not met"] for name, text, met in goals(field)]
    tables = [(["Goal", "Reached", ""], body, "Goals that were set before the measurements")]
    header, rows, caption = ahead_table(field)
    tables.append((header, rows or [["none", *[""] * (len(header) - 1)]], caption))
    for part, kind in ((whole, "data sets"), (small, "small cuts")):
        if part.data:
            tables += [rank_table(part, kind), margin_table(part)]
    text = coverage(field) + "\n".join(as_rst(*table) for table in [*tables, seconds_table(whole)])
    some = [model for model in field.others if not all((data, model) in field.tried for data in field.data)]
    return text + (
        f"\nNot tried on every set, so ranked at most among those of one kind: {', '.join(some)}.\n" if some else ""
    )


def write_pages(folder):
    """Write what the page of results includes."""
    folder.mkdir(parents=True, exist_ok=True)
    text = sections(Field()) if PATH.exists() else "The figures are not in this copy."
    (folder / "strong_field.rst").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(sections(Field(Path(sys.argv[1]) if sys.argv[1:] else PATH)))
