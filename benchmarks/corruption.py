"""AECF and what users have today, side by side, while sensors lie: values are there, and wrong.

    python benchmarks/corruption.py --data-dir DIR [--datasets avmnist ...] [--seeds 5] [--models AECF ...] [--quick]

Each observed modality of each test row is broken with a probability of one half; one of several stays good. Every
model sees the same rows. The kinds of corruption are those of `compose.corrupt_modalities`; AECF learns from others
(`masking.RandomCorruption`), and from its training rows alone. Writes one row a data set, split, model, seed and kind,
with the score where the model is told which modalities are broken beside it; a second run goes on where the first
stopped. With --ablation variants of AECF are compared on validation rows.
"""

import argparse
from pathlib import Path

import numpy as np
from baselines import LONGER, MODELS
from joblib import parallel_config
from protocol import fit, measures, probabilities
from records import Results
from robustness import chosen_settings
from sklearn.metrics import roc_auc_score
from strong_models import MODELS as STRONG
from tasks import LOCAL_NAMES, NAMES, tasks
from tqdm import tqdm

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.compose import corrupt_modalities
from sklearn_aecf.masking import EntropyMasking, Masking, draw_subsets, row_rates

RATE = 0.5
# None of these is learnt from. The last three leave values that look genuine, or nearly so: the hard half.
KINDS = (
    "heavy_noise", "uniform_noise", "added_noise", "spikes", "drift", "dead", "half_dead", "saturated", "shuffled",
    "negated", "blended", "swapped",
)  # fmt: skip

COMPARED = {
    "AECF": MODELS["AECF"],
    "AECF, corruption_rate=0": ([{}], lambda: AECFClassifier(corruption_rate=0)),
    **{
        name: MODELS[name]
        for name in (
            "gated fusion",
            "concatenation + modality dropout",
            "late fusion, logistic",
            "boosting + masked copies",
        )
    },
}
# Of these the strong field is measured only where it is asked for.
KNOWN = {**STRONG, **COMPARED}


class Dominant(Masking):
    """Hide a modality with a probability that grows with its weight alone."""

    def __init__(self, rate=0.5):
        self.rate = rate

    def draw(self, present, weights, entropy, n_draws, state):
        size = present.sum(dim=1, keepdim=True)
        rates = row_rates(self.rate, len(present), present.device) * size * weights
        return draw_subsets(present, rates.clamp(max=0.9), n_draws)


# The paper's mechanisms and ours, varied on validation rows.
VARIANTS = {
    "AECF": {},
    "corruption_rate=0": {"corruption_rate": 0},
    "corruption_rate=0.3": {"corruption_rate": 0.3},
    "no entropy term": {"entropy_weight": 0},
    "entropy_weight=0.05": {"entropy_weight": 0.05},
    "entropy_weight=0.5": {"entropy_weight": 0.5},
    "the paper's coefficient": {"entropy_scale": 1.0},
    "a constant coefficient": {"entropy_scale": 1e6},
    "masking='entropy'": {"masking": "entropy"},
    "EntropyMasking(cap=0.6)": {"masking": EntropyMasking(cap=0.6)},
    "the dominant modality hidden": {"masking": Dominant()},
    "monotone_weight=0.1": {"monotone_weight": 0.1},
    "monotone_weight=0.5": {"monotone_weight": 0.5},
    "no agreement term": {"agreement_weight": 0},
}
VARIED = {name: ([{}], lambda params=params: AECFClassifier(**LONGER, **params)) for name, params in VARIANTS.items()}

MORE = ("kind", "told", "auc_weight", "auc_reliability", "false_alarms", "fit_seconds", "settings")


def draw_broken(present, seed):
    """Which modalities of which rows lie."""
    rng = np.random.default_rng(seed)
    broken = present & (rng.random(present.shape) < RATE)
    lost = np.flatnonzero(present.any(axis=1) & (broken == present).all(axis=1))
    for row in lost:
        broken[row, rng.choice(np.flatnonzero(present[row]))] = False
    return broken


def measured(model, task, seed):
    """A row of figures for genuine rows, and one for each kind of corruption."""
    X, y, present = task.X_test, task.y_test, task.X_test.present
    broken = draw_broken(present, seed)
    hidden = {name: np.where(broken[:, [m]], np.nan, X[name]) for m, name in enumerate(X.names)}
    told = measures(y, probabilities(model, MultimodalData(hidden)))["score"]
    for kind in ("genuine", *KINDS):
        lying = X if kind == "genuine" else corrupt_modalities(X, broken, kind=kind, random_state=1000 + seed)
        row = {"drop_rate": 0.0 if kind == "genuine" else RATE, "kind": kind, "told": told}
        row |= measures(y, probabilities(model, lying))
        if hasattr(model, "gate_weights") and kind != "genuine":
            row["auc_weight"] = _auc(model.gate_weights(lying), broken, present)
        reliability = _reliability(model, lying)
        if reliability is not None and kind == "genuine":
            row["false_alarms"] = (reliability[present] < 0.5).mean()
        elif reliability is not None:
            row["auc_reliability"] = _auc(reliability, broken, present)
        yield row


def _auc(score, broken, present):
    return roc_auc_score(~broken[present], score[present])


def _reliability(model, X):
    return model.modality_reliability(X) if hasattr(model, "modality_reliability") else None


def run(data, seed, models, results, arguments):
    on = "validation" if arguments.ablation else "test"
    for task in tasks(data, seed, arguments.data_dir, on=on, max_train=arguments.max_train):
        for name in models:
            if (data, task.part, name, str(seed)) in results:
                continue
            candidates, make = (VARIED if arguments.ablation else KNOWN)[name]
            known = results.settings(data, name)
            settings = next((each for each in candidates if str(each) == known), None)
            if settings is None:
                settings = chosen_settings(name, make, candidates, task)
            model = make(**settings)
            seconds = fit(model, task, seed)
            shared = {"data": data, "part": task.part, "model": name, "seed": str(seed), "settings": str(settings)}
            shared |= {"fit_seconds": f"{seconds:.2f}"}
            rows = [
                shared | {key: value if isinstance(value, str) else f"{value:.5f}" for key, value in row.items()}
                for row in measured(model, task, seed)
            ]
            results.add(rows)
            yield task.part, name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--datasets", nargs="+", choices=NAMES + LOCAL_NAMES, default=NAMES)
    parser.add_argument("--models", nargs="+", choices=[*KNOWN, *VARIED], help="also those of strong_models.py")
    parser.add_argument("--ablation", action="store_true", help="variants of AECF, on validation rows")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-train", type=int, default=4000, help="rows to train on, at most")
    parser.add_argument("--quick", action="store_true", help="500 training rows and one seed: does everything run?")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    known = VARIED if arguments.ablation else KNOWN
    models = arguments.models or list(VARIED if arguments.ablation else COMPARED)
    if not set(models) <= set(known):
        parser.error(f"--models must be among {', '.join(known)}")
    if arguments.output is None:
        name = "corruption_ablation.csv" if arguments.ablation else "corruption.csv"
        arguments.output = Path(__file__).parent / "results" / name
    if arguments.quick:
        arguments.seeds, arguments.max_train = 1, 500
        arguments.output = arguments.output.with_name(f"{arguments.output.stem}-quick.csv")
    results = Results(arguments.output, MORE)
    with parallel_config(n_jobs=1):
        progress = tqdm([(data, seed) for seed in range(arguments.seeds) for data in arguments.datasets])
        for data, seed in progress:
            for part, model in run(data, seed, models, results, arguments):
                progress.set_postfix_str(f"{data} {part} {model}")


if __name__ == "__main__":
    main()
