"""Cases drawn at random from everything that can be passed. A few in every run of the tests; `make fuzz` runs 100,000.

``FUZZ_CASES=100000 pytest tests/fuzz`` runs so many, ``FUZZ_SEED=1`` others than usual. A failure lists each defect
once, with the smallest case that shows it: ``fit({"y": "bytes"})`` of `fuzz_targets` (or `fuzz_rooms`)
runs it again, with a traceback.
"""

import os
import time
from collections import Counter

import pytest
from fuzz_inputs import cases
from fuzz_oracle import judged, minimal
from fuzz_rooms import COMPOSE_SPACE, CONTAINER_SPACE, METRICS_SPACE, compose, container, metrics
from fuzz_targets import FIT_SPACE, PARAMS_SPACE, PREDICT_SPACE, fit, params, predict
from hypothesis import HealthCheck, Phase, given, seed, settings

N_CASES = int(os.environ.get("FUZZ_CASES", 1200))
SEED = int(os.environ.get("FUZZ_SEED", 0))
TALLY = {}

# Share of all cases, and what cases are drawn from; a fit costs ten times as much as a prediction.
TARGETS = {
    fit: (0.20, cases(FIT_SPACE)), predict: (0.30, cases(PREDICT_SPACE)), container: (0.25, cases(CONTAINER_SPACE)),
    compose: (0.12, cases(COMPOSE_SPACE)), metrics: (0.09, cases(METRICS_SPACE)), params: (0.04, cases(PARAMS_SPACE)),
}  # fmt: skip


class Summary:
    """A line a target at the end of the run."""

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("fuzz")
        for name, (counts, seconds) in TALLY.items():
            endings = ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items()))
            terminalreporter.line(f"{name}: {sum(counts.values())} cases in {seconds:.0f} s: {endings}")


@pytest.fixture(autouse=True, scope="session")
def _summary(request):
    request.config.pluginmanager.register(Summary())


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_an_answer_or_a_sentence(target):
    share, strategy = TARGETS[target]
    counts, found, start = Counter(), {}, time.perf_counter()

    @seed(SEED)
    @settings(
        max_examples=max(1, round(share * N_CASES)), deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def run(case):
        ending, defect = judged(target, case)
        counts[ending] += 1
        if defect is None:
            return
        key = defect.signature
        if key not in found or key.endswith("answers differ"):
            case, defect = minimal(target, case, defect)
        if key.endswith("answers differ"):  # for another reason, perhaps
            key += str(sorted(case.keys() - {"seed"}))
        found.setdefault(key, [0, case, defect])[0] += 1

    run()
    TALLY[target.__name__] = counts, time.perf_counter() - start
    lines = [f"{count} x {target.__name__}({case}): {defect}" for count, case, defect in found.values()]
    if found:
        pytest.fail("\n".join(["defects, each with its smallest case:", *lines]), pytrace=False)
