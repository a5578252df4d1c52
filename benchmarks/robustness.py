"""AECF and what users have today, side by side, while modalities go missing.

    python benchmarks/robustness.py --data-dir DIR [--datasets avmnist ...] [--seeds 5] [--models AECF ...] [--quick]

Writes one row a data set, split, model, seed and drop rate; a second run goes on where the first stopped. Every model
sees the same rows and the same hidden modalities. Settings are chosen on validation rows, once per data set and model,
from the few in `baselines.py`; AECF and gated fusion have their defaults. DIR holds the files of `fetch_avmnist` and
`fetch_extrasensory`; the other data sets come with the package.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from baselines import MAX_PER_SUBSET, MODELS, PER_SUBSET
from joblib import parallel_config
from protocol import RATES, at_drop_rate, fit, measures, over_subsets
from records import Results
from sklearn.utils.validation import has_fit_parameter
from tasks import NAMES, tasks
from tqdm import tqdm

from sklearn_aecf.compose import drop_modalities


def chosen_settings(name, make, candidates, task, call=lambda function: function()):
    """The best of the candidates on validation rows, by the mean score over the drop rates.

    `call` fits and scores one of them: a benchmark with a time limit has its own.
    """
    if len(candidates) == 1:
        return candidates[0]
    held_out = task.is_validation
    X, y = task.X[held_out], task.y[held_out]
    views = [X if rate == 0 else drop_modalities(X, rate, random_state=0) for rate in RATES]

    def score(settings):
        model = make(**settings)
        training = task if has_fit_parameter(model, "validation_set") else _training_rows(task)
        fit(model, training, seed=0)
        return np.mean([measures(y, model.predict_proba(view))["score"] for view in views])

    return max(candidates, key=lambda settings: call(lambda: score(settings)))


def _training_rows(task):
    rows = ~task.is_validation
    return replace(task, X=task.X[rows], y=task.y[rows], is_validation=task.is_validation[rows])


def run(data, seed, models, results, arguments):
    quick = {"max_train": 500} if arguments.quick else {}
    for task in tasks(data, seed, arguments.data_dir, **quick):
        for name in models:
            few = len(task.X.names) <= MAX_PER_SUBSET
            if (data, task.part, name, str(seed)) in results or (name == PER_SUBSET and not few):
                continue
            candidates, make = MODELS[name]
            known = results.settings(data, name)
            settings = (
                next(each for each in candidates if str(each) == known)
                if known is not None
                else chosen_settings(name, make, candidates, task)
            )
            model = make(**settings)
            seconds = fit(model, task, seed)
            shared = {"data": data, "part": task.part, "model": name, "seed": seed, "settings": str(settings)}
            shared |= {"fit_seconds": f"{seconds:.2f}"}
            subsets = over_subsets(model, task.X_test, task.y_test)
            rows = []
            for rate in RATES:
                found = at_drop_rate(model, task.X_test, task.y_test, rate, seed)
                rows.append({**shared, "drop_rate": rate, **_rounded(found), **_rounded(subsets)})
            results.add([{key: str(value) for key, value in row.items()} for row in rows])
            yield task.part, name


def _rounded(values):
    return {name: f"{value:.5f}" for name, value in values.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--datasets", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="500 training rows and one seed: does everything run?")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "robustness.csv")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.output = 1, arguments.output.with_name("robustness-quick.csv")
    results = Results(arguments.output, ("subsets_mean", "subsets_worst", "fit_seconds", "settings"))
    with parallel_config(n_jobs=1):
        progress = tqdm([(data, seed) for seed in range(arguments.seeds) for data in arguments.datasets])
        for data, seed in progress:
            for part, model in run(data, seed, arguments.models, results, arguments):
                progress.set_postfix_str(f"{data} {part} {model}")


if __name__ == "__main__":
    main()
