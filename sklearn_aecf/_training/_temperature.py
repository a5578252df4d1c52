"""The temperatures, fitted on rows that the weights never saw."""

from dataclasses import replace

import numpy as np
import torch

from sklearn_aecf._data._values import CHUNK_ROWS
from sklearn_aecf._training._objective import evaluation_views
from sklearn_aecf.calibration import SubsetTemperature

MAX_ROWS = 10_000


def fit_temperature(predictor, held_out, class_weight, method):
    """Fit `SubsetTemperature` on held-out rows with modalities hidden at several rates.

    Parameters
    ----------
    predictor : Predictor
    held_out : LabelledRows
    class_weight : dict, "balanced" or None
    method : {"subset", "global"}

    Returns
    -------
    SubsetTemperature or None
        Over the predictor's active modalities; None if no held-out row has one of them.
    """
    held_out = _some_of(held_out)
    data, rows = held_out.data, held_out.rows
    active = predictor.inputs.active
    observed = held_out.present(active)
    views = evaluation_views(torch.from_numpy(observed)).numpy()
    # A row whose modalities were all missing in training has no logits to calibrate.
    usable = observed.any(axis=1)
    if not usable.any():
        return None
    rows, views = rows[usable], views[usable]
    present = np.zeros((*views.shape[:2], len(data.names)), dtype=bool)
    present[..., active] = views
    # A chunk of rows at a time, because `take` copies them.
    chunks = [slice(start, start + CHUNK_ROWS) for start in range(0, len(rows), CHUNK_ROWS)]
    logits = np.concatenate([predictor.logits(data.take(rows[chunk]), present[chunk]) for chunk in chunks])
    n_rows, n_views = logits.shape[:2]
    targets = held_out.targets.take(rows)
    target = targets.encoded.astype(float)
    if targets.reported is not None:
        target = np.where(targets.reported, target, np.nan)
    row_weight, _ = held_out.weights(class_weight)
    return SubsetTemperature(method=method).fit(
        logits.reshape(n_rows * n_views, -1),
        np.repeat(target, n_views, axis=0),
        views.reshape(n_rows * n_views, -1),
        # The views of a row are one row's worth of evidence, not several.
        np.repeat(row_weight[usable] / n_views, n_views),
    )


def _some_of(held_out):
    """As many rows as a handful of temperatures can make use of, drawn at random: rows may come in a periodic order."""
    if len(held_out) <= MAX_ROWS:
        return held_out
    drawn = np.random.default_rng(0).choice(len(held_out), MAX_ROWS, replace=False)
    return replace(held_out, rows=held_out.rows[np.sort(drawn)])
