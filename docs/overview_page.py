"""The picture of the landing page and of README, from what `benchmarks/` wrote.

``python docs/overview_page.py`` writes README's copy, ``docs/overview.png``.
"""

import hashlib
import json
from pathlib import Path

import corruption_page
import numpy as np
import results_page
from results_page import OURS, PLAIN, RATES

HERE = Path(__file__).parent
PICTURE = HERE / "overview.png"
MODELS = {
    OURS: "AECF (this package)",
    PLAIN: "gated fusion",
    "concatenation + modality dropout": "concatenation, modality dropout",
    "late fusion, logistic": "late fusion, logistic regression",
    "boosting + masked copies": "boosting, masked copies",
}
COLOURS = ("#d1495b", "#30638e", "#4f9d69", "#8f6bb3", "#c98a1b")
MEASURES = {"score": "score", "ece": "calibration error"}
BROKEN_RATE = 0.5


def numbers():
    """Means over data sets: of each measure, by model, as modalities go missing and as they lie.

    Returns
    -------
    missing, lying : dict of (measure, model) to list of float
        At the drop rates 0, 0.3, 0.5 and 0.7; with all sensors genuine and with half of them broken.
    data : tuple of two lists of str
        The data sets behind each: those on which all models were measured.
    """
    measured, broken = results_page.Measured("robustness.csv"), corruption_page.Measured()
    sets = [d for d in measured.data if all(measured.seeds(d, model, 0.0, "score") for model in MODELS)]
    lied = [d for d in broken.data if all(len(broken.seeds(d, model, broken.kinds, "score")) for model in MODELS)]
    missing, lying = {}, {}
    for measure in MEASURES:
        for model in MODELS:
            missing[measure, model] = [
                float(np.mean([measured.mean(d, model, rate, measure) for d in sets])) for rate in RATES
            ]
            lying[measure, model] = [
                float(np.mean([broken.mean(d, model, kinds, measure) for d in lied]))
                for kinds in (["genuine"], broken.kinds)
            ]
    names = [results_page.DATA[d] for d in sets], [corruption_page.DATA[d] for d in lied]
    return missing, lying, names


def fingerprint():
    """Of all that the picture shows; it is written into the file, so that a test can tell an old picture."""
    missing, lying, names = numbers()
    shown = [[*key, *(f"{v:.4f}" for v in values)] for part in (missing, lying) for key, values in part.items()]
    return hashlib.sha256(json.dumps([shown, names, list(MODELS.values())]).encode()).hexdigest()[:16]


def caption():
    """What the picture shows, in words."""
    _, _, (sets, lied) = numbers()
    n_kinds = len(corruption_page.Measured().kinds)
    return (
        f"Left: each modality is missing with the probability on the axis; means over {_listed(sets)}. Right: half of "
        f"the modalities send wrong values, in {n_kinds} ways; means over {_listed(lied)}. Score is accuracy, or mean "
        "average precision where a row has several labels."
    )


def _listed(names):
    return f"{', '.join(names[:-1])} and {names[-1]}"


def draw(path, dark=False):
    """Draw two rows (score, calibration error) and two columns (missing, lying)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    missing, lying, _ = numbers()
    ink = "#e6e6e6" if dark else "#222222"
    style = {
        "text.color": ink, "axes.labelcolor": ink, "axes.edgecolor": "#888888", "xtick.color": ink,
        "ytick.color": ink, "axes.spines.top": False, "axes.spines.right": False, "font.size": 10,
        "axes.grid": True, "grid.color": "#888888", "grid.alpha": 0.25, "svg.hashsalt": "overview",
    }  # fmt: skip
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            2, 2, figsize=(8.4, 5.6), sharex="col", layout="constrained", width_ratios=(1.25, 1)
        )
        for row, (measure, label) in zip(axes, MEASURES.items(), strict=True):
            for (model, name), colour in zip(MODELS.items(), COLOURS, strict=True):
                line = {"color": colour, "lw": 3 if model == OURS else 1.6, "marker": "o", "label": name}
                line |= {"ms": 6 if model == OURS else 4, "zorder": 3 if model == OURS else 2}
                row[0].plot(RATES, missing[measure, model], **line)
                row[1].plot((0, BROKEN_RATE), lying[measure, model], **line)
            row[0].set_ylabel(f"{label}\n({'higher' if measure == 'score' else 'lower'} is better)")
        axes[0, 0].set_title("Modalities go missing", weight="bold")
        axes[0, 1].set_title("Modalities lie", weight="bold")
        axes[1, 0].set(xlabel="chance that a modality is hidden", xticks=RATES)
        axes[1, 1].set(xlabel="chance that a modality is broken", xticks=(0, BROKEN_RATE), xlim=(-0.06, 0.56))
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(
            path, dpi=110, transparent=dark, facecolor="none" if dark else "white",
            metadata={"Description": fingerprint(), "Software": None},
        )  # fmt: skip
        plt.close(figure)


def write_pages(folder):
    """Write what the landing page includes."""
    draw(folder / "overview-light.png")
    draw(folder / "overview-dark.png", dark=True)
    (folder / "overview-caption.rst").write_text(caption() + "\n", encoding="utf-8")


if __name__ == "__main__":
    draw(PICTURE)
    print(caption())
