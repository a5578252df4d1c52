"""The fitted thing: a network, what prepares its inputs, and what calibrates its answers. It knows no y."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_aecf._data import Modalities
from sklearn_aecf._inputs import NetworkInputs
from sklearn_aecf._problem import Problem
from sklearn_aecf.calibration import SubsetTemperature
from sklearn_aecf.losses import uncertainty
from sklearn_aecf.nn._folded import FoldedNetwork, folded
from sklearn_aecf.nn._runtime import autocast, one_thread, seeded, usual_dtype, usual_torch

# Rows that go through the network together, at most.
MAX_ROWS = 1024

# Matrix products treat the last rows of a batch that fill no block differently, in the last digit, and torch computes
# batched ones of fewer than 400 multiplications in another way. With whole blocks of enough rows a row's prediction
# hardly depends on the rows beside it: by 1e-7 at most, where measured.
BLOCK_ROWS = 64
SMALL_BLOCK_ROWS = 16
FEW_MULTIPLICATIONS = 400

# Multiplications of a prediction below which one thread is as fast as two, and does not wait for a core that another
# process has.
SMALL_WORK = 2_000_000_000

# Modalities whose subsets have a number in 64 bits.
MAX_CODED = 62

# Activations computed together: what a core's cache holds.
CACHED = 1_000_000


class Calibration(nn.Module):
    """From logits to calibrated probabilities, and to the prior as far as nothing is to be believed.

    Logits are divided by ``exp(a + sum over m of (1 - h_m) b_m)``, with ``h_m`` between 0 (modality absent) and 1
    (there and trusted), see `SubsetTemperature`. The prior gets the weight ``prod over m of (1 - h_m)``: all of it
    where nothing is observed (ours). It computes in float64, unless converted.

    Parameters
    ----------
    problem : Multiclass or Multilabel
    prior : ndarray of shape (n_outputs,)
    temperature : SubsetTemperature or None
    n_modalities : int
        Those that the network has a part for.
    """

    prior: Tensor
    log_scale: Tensor
    absence: Tensor

    def __init__(self, problem: Problem, prior: np.ndarray, temperature: SubsetTemperature | None, n_modalities: int):
        super().__init__()
        self.problem = problem
        for name, values in calibration_constants(prior, temperature, n_modalities).items():
            self.register_buffer(name, values.clone())

    def temperature(self, heard: Tensor) -> Tensor:
        """Temperatures (...) of subsets (..., m), in [0, 1] for each modality."""
        return temperature_of(1 - heard.to(self.absence.dtype), self.log_scale, self.absence)

    def forward(self, logits: Tensor, present: Tensor, trust: Tensor | None = None) -> Tensor:
        """Probabilities (..., c).

        Parameters
        ----------
        logits : Tensor of shape (..., c)
            Finite, also where nothing is observed (what stands there has no influence).
        present : bool Tensor of shape (..., m)
        trust : Tensor of shape (..., m), optional
            In [0, 1].
        """
        heard = present if trust is None else trust.to(self.prior.dtype) * present
        constants = self.prior, self.log_scale, self.absence
        return calibrated(self.problem, logits, heard, *constants)


def calibration_constants(prior, temperature, n_modalities) -> dict[str, Tensor]:
    """What `Calibration` keeps, in float64."""
    log_scale = 0.0 if temperature is None else temperature.log_scale_
    absence = np.zeros(n_modalities) if temperature is None else temperature.absence_
    constants = {"prior": prior, "log_scale": log_scale, "absence": absence}
    return {name: torch.from_numpy(np.asarray(values, dtype=np.float64)) for name, values in constants.items()}


def temperature_of(unheard: Tensor, log_scale: Tensor, absence: Tensor) -> Tensor:
    """See `Calibration`; `unheard` is ``1 - h_m``, of shape (..., m)."""
    return (unheard @ absence + log_scale).exp()


def calibrated(
    problem: Problem, logits: Tensor, heard: Tensor, prior: Tensor, log_scale: Tensor, absence: Tensor
) -> Tensor:
    """See `Calibration`; `heard` is ``h_m``, of shape (..., m)."""
    unheard = 1 - heard.to(prior.dtype)
    scaled = logits.to(prior.dtype) / temperature_of(unheard, log_scale, absence)[..., None]
    return problem.probabilities(scaled).lerp(prior, unheard.prod(dim=-1, keepdim=True))


def mean_logits(problem: Problem, output: dict[str, Tensor]) -> Tensor:
    """Logits (b, v, c) of the members' mean probabilities, of the network's output."""
    return problem.mean_logits(output["logits"].float(), dim=1).transpose(0, 1)


def distinct_views(views):
    """Each row's different views.

    Parameters
    ----------
    views : ndarray of bool, shape (n_rows, n_views, n_modalities)

    Returns
    -------
    distinct : ndarray of bool, shape (n_rows, n_distinct, n_modalities)
    count : ndarray of int, shape (n_rows,)
        So many of them, the first, are those of the row.
    place : ndarray of int, shape (n_rows, n_views)
        Where each view is among them.
    """
    if views.shape[2] > MAX_CODED:
        everything = np.broadcast_to(np.arange(views.shape[1]), views.shape[:2])
        return views, np.full(len(views), views.shape[1]), everything
    code = views @ (1 << np.arange(views.shape[2], dtype=np.int64))
    order = code.argsort(axis=1)
    is_new = np.diff(np.take_along_axis(code, order, axis=1), axis=1, prepend=-1) > 0
    rank, place = is_new.cumsum(axis=1) - 1, np.empty_like(order)
    np.put_along_axis(place, order, rank, axis=1)
    count = rank[:, -1] + 1
    distinct = np.zeros((len(views), count.max(), views.shape[2]), dtype=bool)
    distinct[np.arange(len(views))[:, None], place] = views
    return distinct, count, place


@dataclass
class Model:
    """Turns rows of modalities into probabilities and explanations, by one call of the network a chunk.

    Attributes
    ----------
    network : nn.Module
        With the `forward` of `AECFNetwork`.
    inputs : NetworkInputs
    problem : Multiclass or Multilabel
    prior : ndarray of shape (n_outputs,)
        Prediction for rows with nothing observed.
    temperature : SubsetTemperature or None
    device : str
    precision : {"float32", "bfloat16"}
    embed_dim : int
    encoder_width, head_width : int
        Activations a row in the encoders, and a row and view in the heads: they decide how many rows are computed
        together.
    work_per_row : float
        Multiplications of a row, which decide whether further threads are worth while.
    """

    network: nn.Module
    inputs: NetworkInputs
    problem: Problem
    prior: np.ndarray
    temperature: SubsetTemperature | None = None
    device: str = "cpu"
    precision: str = "float32"
    embed_dim: int = 1
    encoder_width: int = 1024
    head_width: int = 1024
    work_per_row: float = np.inf

    def observed(self, data: Modalities):
        """Rows with at least one modality that the network has a part for."""
        return data.present[:, self.inputs.active].any(axis=1)

    def probabilities(self, data: Modalities, views=None):
        """Calibrated probabilities.

        Parameters
        ----------
        data : Modalities
        views : ndarray of bool, shape (n_rows, n_views, n_modalities), default=None
            Subsets of each row's modalities to predict from; by default the observed set alone.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_views, n_outputs)
            The prior where a row has nothing of a view.
        """
        if views is not None:
            distinct, count, place = distinct_views(views)
            if count.min() < views.shape[1]:
                return np.take_along_axis(self._probabilities(data, distinct, count), place[..., None], axis=1)
        return self._probabilities(data, views)

    def _probabilities(self, data, views=None, n_views=None):
        """As `probabilities`, of the first `n_views` (n_rows,) views of each row; the prior from the others."""
        present = (data.present[:, None] if views is None else views)[..., self.inputs.active]
        with self._at_rest(len(data)):
            found = self._collect_chunks(data, self._mean_logits_and_trust, views, n_views=n_views, may_fold=True)
            heard = torch.from_numpy(present * found["trust"] if "trust" in found else present)
            constants = calibration_constants(self.prior, self.temperature, len(self.inputs.active))
            return calibrated(self.problem, torch.from_numpy(found["logits"]), heard, **constants).numpy()

    @contextmanager
    def _at_rest(self, n_rows):
        """Torch as it is to be while rows are predicted, whatever the caller has set."""
        with usual_dtype(), torch.inference_mode(), one_thread(n_rows * self.work_per_row < SMALL_WORK):
            if self.network.training:
                self.network.eval()
            yield

    @property
    def calibration(self) -> Calibration:
        """What makes probabilities of logits."""
        return Calibration(self.problem, self.prior, self.temperature, len(self.inputs.active))

    def _mean_logits_and_trust(self, output):
        found = {"logits": mean_logits(self.problem, output)}
        return found if "trust" not in output else {**found, "trust": output["trust"]}

    def logits(self, data: Modalities, views=None):
        """Logits of the members' mean probabilities, not calibrated.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_views, n_outputs)
            Arbitrary where a row has no active modality in a view.

        Raises
        ------
        ValueError
            If an encoder or a network of the user's returns NaN or infinity.
        """
        return self._collect(data, lambda output: {"logits": mean_logits(self.problem, output)}, views)["logits"]

    def gate_weights(self, data: Modalities):
        """Gate weights, shape (n_rows, n_modalities); 0 in rows with nothing observed."""
        weights = np.zeros(data.present.shape)
        found = self._collect(data, lambda output: {"weights": output["weights"][:, 0]})
        weights[:, self.inputs.active] = found["weights"]
        return weights

    def reliability(self, data: Modalities):
        """Reliabilities, shape (n_rows, n_modalities); NaN where missing, and in modalities never seen in training."""
        reliability = np.full(data.present.shape, np.nan)
        reliability[:, self.inputs.active] = 1
        if self.network.reliability is not None:
            found = self._collect(data, lambda output: {"reliability": _reliability_in(output)[:, 0]})
            reliability[:, self.inputs.active] = found["reliability"]
        reliability[~data.present] = np.nan
        return reliability

    @usual_torch()
    @torch.inference_mode()
    def seen_alone(self, inputs: list[Tensor], present: Tensor, views: Tensor):
        """Embeddings, and calibrated logits from some subsets of the modalities, of rows as tensors.

        Parameters
        ----------
        inputs : list of Tensor of shape (n_rows, ...)
        present : bool Tensor of shape (n_rows, n_active)
        views : bool Tensor of shape (n_views, n_active)
            The same for all rows.

        Returns
        -------
        embeddings : Tensor of shape (n_rows, n_active, embed_dim)
        logits : Tensor of shape (n_rows, n_views, n_outputs)
        """
        self.network.eval()
        temperature = self.calibration.temperature(views).float()
        embeddings, logits, n_together = [], [], self._rows_together(len(views))
        for start in range(0, len(present), n_together):
            rows = slice(start, start + n_together)
            here = present[rows].to(self.device)
            with autocast(self.device, self.precision):
                output = self.network(
                    [x[rows].to(self.device) for x in inputs], here, views=here[:, None] & views.to(self.device)
                )
                embeddings.append(output["embeddings"].float().cpu())
                logits.append(mean_logits(self.problem, output).cpu())
        return torch.cat(embeddings), torch.cat(logits) / temperature[:, None]

    def fused(self, data: Modalities):
        """Fused embeddings, shape (n_rows, embed_dim); zeros in rows with nothing observed."""
        fused = self._collect(data, lambda output: {"fused": output["fused"][:, 0]})["fused"]
        fused[~self.observed(data)] = 0
        return fused

    def uncertainty(self, data: Modalities, n_samples: int):
        """Variance of the members' probabilities, or of stochastic passes, (n_rows,); NaN where nothing is observed."""

        def spread(output):
            logits = output["samples"] if "samples" in output else output["logits"][0]
            return {"spread": uncertainty(self.problem.probabilities(logits.float()))}

        with seeded(0, self.device):
            found = self._collect(data, spread, n_samples=n_samples)["spread"]
        found[~self.observed(data)] = np.nan
        return found

    def _collect(self, data, pick, views=None, n_samples=0):
        """What `pick` takes from the network's output, by name, for all rows."""
        with self._at_rest(len(data)):
            return self._collect_chunks(data, pick, views, n_samples)

    def _collect_chunks(self, data, pick, views, n_samples=0, n_views=None, may_fold=False):
        """As `_collect`, in torch's state of prediction.

        Of the views of a row only the first `n_views` (n_rows,) are of interest; what is found for others is 0. With
        `may_fold` the output may have no more than ``logits`` and ``trust``.
        """
        asked = folded(self.network) if may_fold and self.precision == "float32" else None
        asked = AskedNetwork(self, n_samples) if asked is None else AskedFolded(self, asked)
        buffers = asked.room(self._padded(min(self._rows_together(1), len(data))))
        collected: dict[str, np.ndarray] = {}
        for rows, n_rows, width in self._chunks(len(data), 1 if views is None else views.shape[1], n_views):
            inputs = [buffer[: self._padded(n_rows)] for buffer in buffers]
            self.inputs.write(data, rows, inputs)
            for x in inputs:
                x[n_rows:] = 0
            chosen = None if views is None else views[rows, :width]
            with autocast(self.device, self.precision):
                output = asked(len(inputs[0]), data.present[rows], chosen)
                found = {name: value[:n_rows].float().cpu().numpy() for name, value in pick(output).items()}
            for name, value in found.items():
                if n_views is None:
                    collected.setdefault(name, np.empty((len(data), *value.shape[1:])))[rows] = value
                else:
                    collected.setdefault(name, np.zeros((*views.shape[:2], *value.shape[2:])))[rows, :width] = value
        if not all(np.isfinite(value).all() for value in collected.values()):
            wrong = np.zeros(len(data), dtype=bool)
            for value in collected.values():
                wrong |= ~np.isfinite(value).reshape(len(data), -1).all(axis=1)
            raise ValueError(
                f"The network returns NaN or infinity for {wrong.sum()} of {len(data)} rows (first in row "
                f"{wrong.argmax()}); look at what its encoders make of the values there."
            )
        return collected

    def _chunks(self, n_rows, width, n_views=None):
        """Rows to compute together (a slice or positions), their number, and that of their views; at most `width`."""
        if n_views is None:
            together = self._rows_together(width)
            for start in range(0, n_rows, together):
                stop = min(start + together, n_rows)
                yield slice(start, stop), stop - start, width
            return
        # Rows of as many views come together: each chunk has the views of its first.
        order, start = np.argsort(-n_views, kind="stable"), 0
        while start < n_rows:
            width = n_views[order[start]]
            rows = order[start : start + self._rows_together(width)]
            yield rows, len(rows), width
            start += len(rows)

    def _rows_together(self, n_views):
        n_rows = CACHED // (self.encoder_width + n_views * self.head_width) // BLOCK_ROWS * BLOCK_ROWS
        return min(MAX_ROWS, max(BLOCK_ROWS, n_rows))

    def _padded(self, n_rows):
        """Rows in whole blocks."""
        small = SMALL_BLOCK_ROWS * self.embed_dim * self.problem.n_outputs < FEW_MULTIPLICATIONS
        block = BLOCK_ROWS if small else SMALL_BLOCK_ROWS
        return -(-n_rows // block) * block


class AskedNetwork:
    """A model's network, asked for all that it says.

    Parameters
    ----------
    model : Model
    n_samples : int
        See `AECFNetwork.forward`.
    """

    def __init__(self, model: Model, n_samples: int):
        self.network, self.n_samples, self.device = model.network, n_samples, model.device
        self.inputs = model.inputs
        self.tensors: list[Tensor] = []

    def room(self, n_rows: int) -> list[np.ndarray]:
        """Where to write the inputs of up to so many rows."""
        self.tensors = self.inputs.empty(n_rows)
        return [x.numpy() for x in self.tensors]

    def __call__(self, n_rows: int, present: np.ndarray, views: np.ndarray | None) -> dict[str, Tensor]:
        """The output for the first `n_rows`, of which fewer may have flags (n, n_modalities) and (n, n_views, ...)."""
        heard, chosen = (
            None if flags is None else padded_flags(flags[..., self.inputs.active], n_rows).to(self.device)
            for flags in (present, views)
        )
        inputs = [x[:n_rows].to(self.device) for x in self.tensors]
        return self.network(inputs, heard, views=chosen, n_samples=self.n_samples)


class AskedFolded:
    """The folded form of a model's network, asked for logits and trust.

    Parameters
    ----------
    model : Model
    network : FoldedNetwork
    """

    def __init__(self, model: Model, network: FoldedNetwork):
        self.network, self.device = network, model.device
        self.active = model.inputs.active[network.order]
        self.place = np.argsort(network.order)
        self.groups: list[Tensor] = []

    def room(self, n_rows: int) -> list[np.ndarray]:
        """Where to write the inputs of up to so many rows."""
        parts, groups = self.network.room(n_rows)
        self.groups = [torch.from_numpy(x) for x in groups]
        return parts

    def __call__(self, n_rows: int, present: np.ndarray, views: np.ndarray | None) -> dict[str, Tensor]:
        """The output for the first `n_rows`, of which fewer may have flags (n, n_modalities) and (n, n_views, ...)."""
        heard = padded_flags(present[..., self.active], n_rows, torch.float32).to(self.device)
        if views is None:
            chosen = heard[:, None]
        else:
            chosen = padded_flags(views[..., self.active], n_rows, torch.float32).to(self.device)
        logits, trust = self.network([x[:, :n_rows].to(self.device) for x in self.groups], heard, chosen)
        output = {"logits": logits.permute(2, 0, 1, 3)}
        return output if trust is None else {**output, "trust": trust[..., self.place]}


def padded_flags(flags: np.ndarray, n_rows: int, dtype: torch.dtype = torch.bool) -> Tensor:
    """Flags of shape (n, ...), with rows of False to fill the last block, shape (n_rows, ...)."""
    padded = torch.zeros(n_rows, *flags.shape[1:], dtype=dtype)
    padded[: len(flags)] = torch.from_numpy(flags)
    return padded


def _reliability_in(output):
    if "reliability" not in output:
        raise ValueError("forward of the network must return 'reliability' and 'trust', as AECFNetwork.forward does.")
    return output["reliability"]
