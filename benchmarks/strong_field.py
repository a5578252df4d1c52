"""AECF and the strong field on seven data sets and small cuts of them, while modalities go missing.

    python benchmarks/strong_field.py --data-dir DIR [--datasets wikipedia wikipedia-200 ...] [--models AECF ...]
        [--seeds 5 | --seeds 0 3] [--rows 4000] [--time-limit 1800] [--quick]

Every model (`strong_models.py`) sees the same rows and the same hidden modalities, on one thread. Settings are chosen
on validation rows, once per data set and model. What a model learns from is at most `--rows` rows, a fifth of them to
validate on; `wikipedia-200` is a task of its own with 200. Writes one row a data set, split, model, seed and drop rate;
a second run goes on where the first stopped. A model whose fit and predictions take longer than the time limit gets
rows without figures that say so, and is not tried with further seeds (delete the rows to try again). Needs `os.fork`
and the extra `benchmarks`.
"""

import argparse
import multiprocessing
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from baselines import MAX_PER_SUBSET, PER_SUBSET
from baselines import MODELS as BASELINES
from joblib import parallel_config
from protocol import RATES, at_drop_rate, fit, probabilities
from records import Results
from robustness import chosen_settings
from strong_models import MODELS
from tasks import LOCAL_NAMES, NAMES, tasks
from threadpoolctl import threadpool_limits
from tqdm import tqdm

WHOLE = NAMES + LOCAL_NAMES
SMALL = (200, 500)
DATASETS = WHOLE + tuple(f"{name}-{size}" for size in SMALL for name in WHOLE)
KNOWN = {**BASELINES, **MODELS}
UNFINISHED = "did not finish"
NOT_TRIED = "did not finish on another split"
COLUMNS = ("n_rows", "n_test", "fit_seconds", "predict_seconds", "settings", "status")


def in_time(function, limit):
    """What a function returns; TimeoutError after `limit` seconds. A copy of this process computes it."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        try:
            sender.send((True, function()))
        except BaseException:
            sender.send((False, traceback.format_exc(limit=-3)))

    process = context.Process(target=work, daemon=True)
    process.start()
    # Only the copy writes: its end is seen here even if it is killed.
    sender.close()
    try:
        done, result = receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGXCPU:
            raise TimeoutError from None
        raise RuntimeError(f"The process of the model ended with exit status {process.exitcode}.") from None
    finally:
        process.kill()
        process.join()
    if not done:
        raise RuntimeError(result)
    return result


def figures(model, task, seed):
    """Fit, then a row of figures for each drop rate."""
    times = {}
    for name, act in (
        ("fit_seconds", lambda: fit(model, task, seed)),
        ("predict_seconds", lambda: probabilities(model, task.X_test)),
    ):
        # Of the processor, as in the time limit: other work on the machine does not lengthen them.
        start = time.process_time()
        act()
        times[name] = f"{time.process_time() - start:.3f}"
    for rate in RATES:
        found = at_drop_rate(model, task.X_test, task.y_test, rate, seed)
        yield {**times, "drop_rate": str(rate), **{name: f"{value:.5f}" for name, value in found.items()}}


def measured(name, data, task, seed, results, limit):
    """Settings and rows of figures of a model; rows that only say so if it does not finish."""
    candidates, make = KNOWN[name]
    finished = []

    def score_in_time(function):
        try:
            finished.append(in_time(function, limit))
        except TimeoutError:
            return -np.inf
        return finished[-1]

    settings, status, rows = {}, UNFINISHED, [{"drop_rate": str(rate)} for rate in RATES]
    if any((row["data"], row["model"], row["status"]) == (data, name, UNFINISHED) for row in results.rows):
        status = NOT_TRIED
    else:
        known = results.settings(data, name)
        if known is None:
            settings = chosen_settings(name, make, candidates, task, call=score_in_time)
        else:
            settings = next(each for each in candidates if str(each) == known)
        if finished or known is not None or len(candidates) == 1:
            with suppress(TimeoutError):
                status, rows = "", in_time(lambda: list(figures(make(**settings), task, seed)), limit)
    return [{"settings": str(settings), "status": status, **row} for row in rows]


def run(data, seed, models, results, arguments):
    name, _, size = data.partition("-")
    for task in tasks(name, seed, arguments.data_dir, n_rows=min(int(size or arguments.rows), arguments.rows)):
        for model in models:
            few = len(task.X.names) <= MAX_PER_SUBSET
            if (data, task.part, model, str(seed)) in results or (model == PER_SUBSET and not few):
                continue
            yield task.part, model
            try:
                rows = measured(model, data, task, seed, results, arguments.time_limit)
            except RuntimeError as error:
                # Left out, so that a second run tries again.
                tqdm.write(f"{data} {task.part} {model}, seed {seed}: {error}")
                continue
            shared = {"data": data, "part": task.part, "model": model, "seed": str(seed)}
            shared |= {"n_rows": str(len(task.X)), "n_test": str(len(task.X_test))}
            results.add([{**dict.fromkeys(results.columns, ""), **shared, **row} for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--models", nargs="+", choices=list(KNOWN), default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[5], help="how many, or the first and the one after")
    parser.add_argument("--rows", type=int, default=4000, help="rows to learn from, at most")
    parser.add_argument("--time-limit", type=int, default=1800, help="seconds of one fit with its predictions")
    parser.add_argument("--quick", action="store_true", help="200 rows and one seed: does everything run?")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "strong_field.csv")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.rows = [1], 200
        arguments.output = arguments.output.with_name(f"{arguments.output.stem}-quick.csv")
    results = Results(arguments.output, COLUMNS)
    # Ended from outside, it takes the process of the model along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    torch.set_num_threads(1)
    with parallel_config(n_jobs=1), threadpool_limits(1):
        progress = tqdm([(data, seed) for seed in range(*arguments.seeds) for data in arguments.datasets])
        for data, seed in progress:
            for part, model in run(data, seed, arguments.models, results, arguments):
                progress.set_postfix_str(f"{data} {part} {model}")


if __name__ == "__main__":
    main()
