"""Passes that predict: chunks of rows through the network in reused buffers."""

from dataclasses import dataclass

import numpy as np
import torch

from sklearn_aecf._data import Modalities
from sklearn_aecf._training._batches import NetworkInputs
from sklearn_aecf._training._net import AECFNet

CHUNK_ROWS = 1024

# Matrix products treat the last rows of a batch that fill no block differently, in the last digit. Whole blocks
# make a row's prediction the same bits whichever rows are beside it.
BLOCK_ROWS = 64

# Activations computed together: what a core's cache holds.
CACHED = 1_000_000


@dataclass
class Predictor:
    """What a fitted classifier computes rows with.

    Attributes
    ----------
    net : AECFNet
    inputs : NetworkInputs
    """

    net: AECFNet
    inputs: NetworkInputs

    def logits(self, data: Modalities, present=None):
        """Logits of the members' mean probabilities.

        Parameters
        ----------
        data : Modalities
        present : ndarray of bool, shape (n_rows, n_views, n_modalities), default=None
            Subsets of each row's modalities to predict from; by default the observed set alone.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_views, n_outputs)
            Arbitrary where a row has no active modality in a view.
        """

        def step(module, embeddings, observed, rows):
            views = observed[:, None]
            if present is not None:
                views = torch.zeros(len(observed), *present.shape[1:2], observed.shape[1], dtype=torch.bool)
                views[: rows.stop - rows.start] = torch.from_numpy(present[rows][..., self.inputs.active])
                views = views.to(observed.device)
            # Activations of so many rows stay in cache; whole blocks where there is one view.
            per_row = views.shape[1] * module.n_members * module.fusion.embed_dim
            n_rows = max(1, CACHED // per_row)
            n_rows = n_rows // BLOCK_ROWS * BLOCK_ROWS or n_rows
            parts = [
                self.net.view_logits(e, v).transpose(0, 1)
                for e, v in zip(embeddings.split(n_rows), views.split(n_rows), strict=True)
            ]
            return torch.cat(parts)

        return self._collect(data, step)

    def gate_weights(self, data: Modalities):
        """Gate weights of the active modalities, shape (n_rows, n_active)."""
        return self._collect(data, lambda module, embeddings, observed, rows: module.gate(embeddings, observed)[0])

    def fused(self, data: Modalities):
        """Fused embeddings, shape (n_rows, d)."""
        return self._collect(
            data, lambda module, embeddings, observed, rows: module.fuse(embeddings, observed[:, None])[:, 0]
        )

    @torch.inference_mode()
    def _collect(self, data, step):
        module, device = self.net.module_, self.net.device
        module.eval()
        buffers = [torch.empty(_padded(min(CHUNK_ROWS, len(data))), width) for width in self.inputs.widths]
        collected = None
        for start in range(0, len(data), CHUNK_ROWS):
            rows = slice(start, min(start + CHUNK_ROWS, len(data)))
            n_rows = rows.stop - start
            observed = torch.zeros(_padded(n_rows), len(buffers), dtype=torch.bool)
            observed[:n_rows] = self.inputs.present(data, rows)
            with self.net.autocast():
                embeddings = self._embed(module, data, rows, observed.numpy(), buffers)
                result = step(module, embeddings, observed.to(device), rows)[:n_rows]
            if collected is None:
                collected = np.empty((len(data), *result.shape[1:]))
            collected[rows] = result.float().cpu().numpy()
        return collected

    def _embed(self, module, data, rows, observed, buffers):
        """Embeddings (b, m, d) of some rows; a modality is computed for the rows that have it, the others get 0."""
        parts = []
        for m, buffer in enumerate(buffers):
            having = np.flatnonzero(observed[:, m])
            x = buffer[: _padded(len(having))]
            everything = len(having) == rows.stop - rows.start
            self.inputs.one(data, m, rows if everything else rows.start + having, out=x[: len(having)])
            x[len(having) :] = 0
            part = module.embeddings.one(m, x.to(self.net.device))
            if not everything:
                kept = part[: len(having)]
                part = kept.new_zeros(len(observed), part.shape[1])
                part[torch.from_numpy(having).to(part.device)] = kept
            parts.append(part)
        return torch.stack(parts, dim=1)


def _padded(n_rows):
    return -(-n_rows // BLOCK_ROWS) * BLOCK_ROWS
