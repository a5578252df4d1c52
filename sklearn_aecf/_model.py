"""The fitted thing: a network, what prepares its inputs, and what calibrates its answers. It knows no y."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sklearn_aecf._data import Modalities
from sklearn_aecf._inputs import NetworkInputs
from sklearn_aecf._problem import Problem
from sklearn_aecf.calibration import SubsetTemperature
from sklearn_aecf.losses import uncertainty
from sklearn_aecf.nn._runtime import autocast, seeded

# Rows that go through the network together, at most.
MAX_ROWS = 1024

# Matrix products treat the last rows of a batch that fill no block differently, in the last digit. Whole blocks
# make a row's prediction the same bits whichever rows are beside it.
BLOCK_ROWS = 64

# Activations computed together: what a core's cache holds.
CACHED = 1_000_000


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
    encoder_width, head_width : int
        Activations a row in the encoders, and a row and view in the heads: they decide how many rows are computed
        together.
    """

    network: nn.Module
    inputs: NetworkInputs
    problem: Problem
    prior: np.ndarray
    temperature: SubsetTemperature | None = None
    device: str = "cpu"
    precision: str = "float32"
    encoder_width: int = 1024
    head_width: int = 1024

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
        present = (data.present[:, None] if views is None else views)[..., self.inputs.active]
        logits = self.logits(data, views)
        if self.temperature is not None:
            temperature = self.temperature.temperature(present.reshape(-1, present.shape[-1]))
            logits = logits / temperature.reshape(*present.shape[:2], 1)
        probability = self.problem.link(logits)
        probability[~present.any(axis=-1)] = self.prior
        return probability

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
        return self._collect(data, self._mean_logits, views)

    def _mean_logits(self, output):
        return self.problem.mean_logits(output["logits"].float(), dim=1).transpose(0, 1)

    def gate_weights(self, data: Modalities):
        """Gate weights, shape (n_rows, n_modalities); 0 in rows with nothing observed."""
        weights = np.zeros(data.present.shape)
        weights[:, self.inputs.active] = self._collect(data, lambda output: output["weights"][:, 0])
        return weights

    def fused(self, data: Modalities):
        """Fused embeddings, shape (n_rows, embed_dim); zeros in rows with nothing observed."""
        fused = self._collect(data, lambda output: output["fused"][:, 0])
        fused[~self.observed(data)] = 0
        return fused

    def uncertainty(self, data: Modalities, n_samples: int):
        """Variance of the members' probabilities, or of stochastic passes, (n_rows,); NaN where nothing is observed."""

        def spread(output):
            logits = output["samples"] if "samples" in output else output["logits"][0]
            return uncertainty(self.problem.probabilities(logits.float()))

        with seeded(0, self.device):
            found = self._collect(data, spread, n_samples=n_samples)
        found[~self.observed(data)] = np.nan
        return found

    @torch.inference_mode()
    def _collect(self, data, pick, views=None, n_samples=0):
        """What `pick` takes from the network's output, for all rows."""
        self.network.eval()
        n_together = self._rows_together(1 if views is None else views.shape[1])
        buffers = self.inputs.empty(_padded(min(n_together, len(data))))
        collected = None
        for start in range(0, len(data), n_together):
            rows = slice(start, min(start + n_together, len(data)))
            n_rows = rows.stop - rows.start
            inputs = [buffer[: _padded(n_rows)] for buffer in buffers]
            self.inputs.fill(data, rows, inputs)
            for x in inputs:
                x[n_rows:] = 0
            present = self._flags(data.present[rows], len(inputs[0]))
            chosen = None if views is None else self._flags(views[rows], len(inputs[0]))
            with autocast(self.device, self.precision):
                output = self.network([x.to(self.device) for x in inputs], present, views=chosen, n_samples=n_samples)
                found = pick(output)[:n_rows]
            if collected is None:
                collected = np.empty((len(data), *found.shape[1:]))
            collected[rows] = found.float().cpu().numpy()
        wrong = ~np.isfinite(collected).reshape(len(data), -1).all(axis=1)
        if wrong.any():
            raise ValueError(
                f"The network returns NaN or infinity for {wrong.sum()} of {len(data)} rows (first in row "
                f"{wrong.argmax()}); look at what its encoders make of the values there."
            )
        return collected

    def _rows_together(self, n_views):
        n_rows = CACHED // (self.encoder_width + n_views * self.head_width) // BLOCK_ROWS * BLOCK_ROWS
        return min(MAX_ROWS, max(BLOCK_ROWS, n_rows))

    def _flags(self, flags, n_rows):
        """Flags of the active modalities, with rows of False to fill the last block."""
        padded = torch.zeros(n_rows, *flags.shape[1:-1], len(self.inputs.active), dtype=torch.bool)
        padded[: len(flags)] = torch.from_numpy(flags[..., self.inputs.active])
        return padded.to(self.device)


def _padded(n_rows):
    return -(-n_rows // BLOCK_ROWS) * BLOCK_ROWS
