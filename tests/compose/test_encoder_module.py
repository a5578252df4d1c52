"""A frozen encoder leaves its module as it was: weights, flags, gradients and random states."""

import threading
from contextlib import nullcontext

import joblib
import numpy as np
import pytest
import torch
from encoder_helpers import Tower, cpu
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from sklearn_aecf.compose import FrozenEncoder
from sklearn_aecf.compose._fingerprint import fingerprint
from sklearn_aecf.compose._frozen import encoder_device, frozen
from sklearn_aecf.nn._runtime import seeded

pytestmark = pytest.mark.usefixtures("seeded")


class MakesTensors(nn.Module):
    """A layer between tensors of torch's default dtype."""

    def __init__(self, dtype):
        super().__init__()
        self.linear = nn.Linear(3, 2, dtype=dtype)

    def forward(self, x):
        return self.linear(x + torch.ones(3)) @ torch.eye(2)


class Surroundings:
    """What a caller may have set for all of torch."""

    def __init__(self, dtype=torch.float32, context=nullcontext):
        self.dtype, self.context = dtype, context

    def __enter__(self):
        torch.set_default_dtype(self.dtype)
        self.entered = self.context()
        self.entered.__enter__()

    def __exit__(self, *exception):
        self.entered.__exit__(*exception)
        torch.set_default_dtype(torch.float32)


class TestWhatIsSetAround:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize(
        "surroundings",
        [
            Surroundings(torch.float64),
            Surroundings(torch.bfloat16),
            Surroundings(context=torch.no_grad),
            Surroundings(context=torch.inference_mode),
            Surroundings(context=lambda: torch.autocast("cpu")),
        ],
        ids=["float64", "bfloat16", "no_grad", "inference_mode", "autocast"],
    )
    def test_changes_nothing(self, surroundings, dtype, vectors):
        module = MakesTensors(dtype)
        expected = cpu(module).fit_transform(vectors)
        assert np.isfinite(expected[0]).all()
        with surroundings:
            before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
            assert_array_equal(cpu(module).fit_transform(vectors), expected)
            assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")) == before

    def test_what_was_kept_in_inference_mode_can_be_trained_with(self):
        class Keeps(nn.Linear):
            kept = None

            def forward(self, x):
                if self.kept is None:
                    self.kept = torch.ones(3)
                return super().forward(x * self.kept)

        keeps = Keeps(3, 2)
        with torch.inference_mode():
            cpu(keeps).fit_transform(np.ones((2, 3)))
        keeps(torch.ones(2, 3, requires_grad=True)).sum().backward()

    def test_waits_for_a_classifier_that_draws_random_numbers(self):
        encoding = threading.Thread(target=cpu(Tower()).fit_transform, args=[np.ones((2, 3, 8, 8))])
        with seeded(0, "cpu"):
            encoding.start()
            encoding.join(0.3)
            assert encoding.is_alive()
        encoding.join(20)
        assert not encoding.is_alive()


class TestTheModuleStaysAsItWas:
    def test_weights_buffers_flags_and_gradients(self, rng):
        tower = Tower()
        tower.norm.eval()  # a mixture of flags
        tower.conv.weight.requires_grad = False
        tower.conv.bias.grad = torch.ones(4)
        before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
        where = {name: tensor.data_ptr() for name, tensor in tower.state_dict().items()}
        flags = [part.training for part in tower.modules()]
        X = rng.normal(size=(6, 3, 8, 8))
        features = cpu(tower, batch_size=4).fit_transform(X)
        for name, tensor in tower.state_dict().items():
            assert torch.equal(tensor, before[name]) and tensor.data_ptr() == where[name]
            assert not tensor.is_inference()
        assert [part.training for part in tower.modules()] == flags
        assert not tower.conv.weight.requires_grad and tower.conv.bias.requires_grad
        assert tower.conv.bias.grad.tolist() == [1, 1, 1, 1]
        tower.eval()
        with torch.no_grad():
            assert_allclose(features, tower(torch.tensor(X).float()).mean(dim=(2, 3)), atol=1e-6)
        tower.train()(torch.tensor(X).float()).sum().backward()  # it can still be trained

    def test_after_an_error_and_an_interruption(self, rng):
        class Fails(Tower):
            def forward(self, x):
                raise KeyboardInterrupt

        tower = Fails()
        with pytest.raises(KeyboardInterrupt):
            cpu(tower).fit(rng.normal(size=(2, 3, 8, 8)))
        assert all(part.training for part in tower.modules())
        assert not torch.is_inference_mode_enabled()

    def test_random_states_and_threads(self, rng):
        tower = Tower()
        before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
        cpu(tower).fit_transform(rng.normal(size=(4, 3, 8, 8)))
        assert torch.equal(torch.random.get_rng_state(), before[0])
        assert_array_equal(np.random.get_state()[1], before[1])
        assert torch.get_num_threads() == before[2]

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    def test_moves_to_the_gpu_and_back(self, rng):
        tower, X = Tower(), rng.normal(size=(4, 3, 8, 8))
        where = [tensor.data_ptr() for tensor in tower.state_dict().values()]
        on_gpu = FrozenEncoder(tower, device="cuda").fit_transform(X)
        assert [tensor.data_ptr() for tensor in tower.state_dict().values()] == where
        assert_allclose(on_gpu, cpu(tower).fit_transform(X), atol=1e-4)

    def test_two_threads_share_a_module(self, rng):
        tower, X = Tower(), rng.normal(size=(40, 3, 8, 8))
        expected = cpu(tower).fit_transform(X)
        runs = joblib.Parallel(n_jobs=4, prefer="threads")(
            joblib.delayed(cpu(tower, batch_size=1).fit_transform)(X) for _ in range(4)
        )
        for run in runs:
            assert_allclose(run, expected, atol=1e-6)
        assert all(part.training for part in tower.modules())

    def test_what_the_module_keeps_can_be_trained_with(self, rng):
        class Keeps(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight, self.positions = nn.Parameter(torch.full((3,), 5.0)), None

            def forward(self, x):
                if self.positions is None:
                    self.positions = torch.arange(3.0)
                self.weight.data = self.weight.data / 5
                return x * self.weight * self.positions

        keeps = Keeps()
        loss = (keeps.weight * 2).prod()
        cpu(keeps).fit_transform(rng.normal(size=(2, 3)))
        assert keeps.weight.tolist() == [5, 5, 5]
        keeps(torch.ones(2, 3)).sum().backward()
        loss.backward()  # a step of training may have begun before

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize("script", [torch.jit.script, lambda module: torch.jit.trace(module, torch.zeros(2, 3))])
    def test_torchscript(self, script, vectors, tmp_path):
        module = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
        scripted = script(module)
        before = {name: tensor.clone() for name, tensor in scripted.state_dict().items()}
        out = cpu(scripted, cache=tmp_path).fit_transform(vectors)
        assert_allclose(out, cpu(module).fit_transform(vectors), atol=1e-6)
        assert all(torch.equal(tensor, before[name]) for name, tensor in scripted.state_dict().items())
        known = fingerprint(scripted)
        with torch.no_grad():
            next(scripted.parameters()).add_(1)
        assert fingerprint(scripted) != known

    def test_modules_around_it_are_in_evaluation(self):
        dropout = nn.Dropout(0.9)
        encoder = cpu(nn.Identity(), preprocess=dropout)
        assert_array_equal(encoder.fit_transform(torch.ones(3, 50)), np.ones((3, 50)))
        assert dropout.training

    def test_buffers_set_the_dtype_where_there_are_no_weights(self):
        class Projection(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("matrix", torch.ones(3, 2, dtype=torch.float64))

            def forward(self, x):
                return x @ self.matrix

        assert_array_equal(cpu(Projection()).fit_transform(np.ones((2, 3), dtype=np.float32)), np.full((2, 2), 3))

    def test_tied_buffers_and_weights_without_any(self):
        class Shares(nn.Module):
            def __init__(self):
                super().__init__()
                self.one, self.two = nn.Module(), nn.Module()
                buffer = torch.zeros(1)
                self.one.register_buffer("b", buffer)
                self.two.register_buffer("b", buffer)

        shares = Shares()
        with frozen(shares, encoder_device(shares, "cpu")):
            shares.one.b += 1
            assert shares.two.b.item() == 1
        assert shares.one.b.item() == 0 and shares.one.b is shares.two.b
