"""Training on several processes: what two ranks have, against each other and against one process."""

import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import fits_on_every_rank as fits
import numpy as np
import pytest

from sklearn_aecf.distributed import ALONE, Ranks, current_ranks, data_parallel

FOLDER = Path(__file__).parent


def test_without_a_launcher_there_is_one_rank():
    with data_parallel() as ranks:
        assert ranks is ALONE is current_ranks() and ranks.is_first and ranks.alone


@pytest.mark.parametrize("n_rows, size", [(10, 4), (11, 2), (12, 3), (5, 5)])
def test_ranks_share_all_rows(n_rows, size):
    ranks = [Ranks(rank, size) for rank in range(size)]
    shares = [np.arange(n_rows)[each.share(n_rows)] for each in ranks]
    assert len({len(share) for share in shares}) == 1
    assert set(np.concatenate(shares)) == set(range(n_rows))
    portions = [np.arange(n_rows)[each.portion(n_rows)] for each in ranks]
    np.testing.assert_array_equal(np.concatenate(portions), np.arange(n_rows))


def launch(script, *arguments, timeout=300, folder=None):
    """A script on two ranks."""
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, str(FOLDER / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=folder,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two ranks found, by name of the case."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    folder = tmp_path_factory.mktemp("ranks")
    run = launch("fits_on_every_rank.py", folder)
    assert run.returncode == 0, run.stderr[-3000:]
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(2)]


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case.__name__ for case in fits.HEALTHY])
def test_both_ranks_have_the_same_bits(found, case):
    first, second = (dict(each[case]) if isinstance(each[case], dict) else each[case] for each in found)
    assert isinstance(first, dict), first
    first.pop("read", None), second.pop("read", None)
    assert_same(first, second)


@pytest.mark.slow
def test_steps_are_those_of_one_process(found):
    alone = fits.drawn_nowhere(ALONE)
    together = found[0]["drawn_nowhere"]
    for name, weights in alone["weights"].items():
        np.testing.assert_allclose(together["weights"][name], weights, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(together["probability"], alone["probability"], atol=1e-4)
    for (mean, scale), (one_mean, one_scale) in zip(together["scales"], alone["scales"], strict=True):
        np.testing.assert_allclose([mean, scale], [one_mean, one_scale], rtol=1e-10)
    for name in ("train_loss", "prediction_loss", "gate_entropy"):
        np.testing.assert_allclose(together["history"][name], alone["history"][name], rtol=1e-4)


@pytest.mark.slow
def test_history_has_the_columns_of_one_process(found):
    X, y = fits.rows()
    alone = fits.AECFClassifier(**fits.SMALL).fit(X, y).history_
    together = found[0]["usual"]["history"]
    assert together.keys() == alone.keys()
    np.testing.assert_array_equal(together["train_batch_count"], alone["train_batch_count"])


@pytest.mark.slow
def test_ranks_stop_together(found):
    assert found[0]["callbacks"]["n_iter"] == found[1]["callbacks"]["n_iter"] == 3
    assert "accuracy" in found[0]["callbacks"]["history"]


@pytest.mark.slow
def test_ranks_read_their_own_rows_of_a_file(found):
    first, second = (each["from_disk"]["read"] for each in found)
    assert len(np.intersect1d(first, second)) <= 1
    assert first.max() <= second.min() and len(first) == len(second)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case, sentence",
    [
        ("other_rows", "The number of rows is 300 on rank 1, but 301 on rank 0"),
        ("other_width", "The shape of a modality (b) is (3,) on rank 1, but (4,) on rank 0"),
        ("other_modalities", "The shape of a modality (b) is None on rank 1, but (4,) on rank 0"),
        ("other_labels", "The target y of rank 1 is not that of rank 0"),
        ("other_parameter", "A parameter (embed_dim) is 17 on rank 1, but 16 on rank 0"),
    ],
)
def test_other_data_is_refused_on_every_rank(found, case, sentence):
    remedy = "give every rank the same X, y and parameters: it takes its own share of the rows."
    for each in found:
        assert each[case] == f"ValueError: {sentence}; {remedy}"


@pytest.mark.slow
def test_modules_of_other_shapes_are_refused_on_every_rank(found):
    for each in found:
        assert each["other_encoder"] == (
            "ValueError: encoders or network make modules of other shapes on other ranks; let them depend on nothing "
            "but the parameters."
        )


@pytest.mark.slow
@pytest.mark.parametrize("case", ["one_fails", "one_encoder_fails"])
def test_an_error_of_one_rank_stops_all(found, case):
    first, second = (each[case] for each in found)
    assert first == f"OtherRankError: Rank 1 stopped this fit, so all others stop too: {second}"


@pytest.mark.slow
def test_a_rank_that_ends_within_the_training_leaves_no_other_waiting(found):
    run = launch("ends_on_one_rank.py", timeout=120)
    assert run.returncode != 0 and "OSError: disk full" in run.stderr


@pytest.mark.slow
def test_script_of_the_guide_runs_on_one_process_and_on_two(tmp_path):
    page = FOLDER.parent.parent / "docs" / "guide" / "scaling_out.rst"
    if not page.exists():
        pytest.skip("the documentation is not in this copy")
    (script,) = re.findall(r":caption: train.py\n\n(.*?)\n\n\.\.", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "train.py").write_text(textwrap.dedent(script))
    alone = subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert alone.stdout.endswith("with 1 processes\n"), alone.stderr
    together = launch(tmp_path / "train.py", folder=tmp_path)
    assert together.stdout.endswith("with 2 processes\n"), together.stderr
    assert abs(float(alone.stdout.split()[0]) - float(together.stdout.split()[0])) < 0.1
    assert (tmp_path / "model.aecf").exists()
