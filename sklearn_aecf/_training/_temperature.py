"""The temperatures, fitted on rows that the weights never saw."""

import numpy as np

from sklearn_aecf._data import CHUNK_ROWS
from sklearn_aecf.calibration import SubsetTemperature

MAX_ROWS = 10_000


def fit_temperature(model, held_out, views, method):
    """Fit `SubsetTemperature` on held-out rows, on the views that they were validated on.

    Parameters
    ----------
    model : Model
    held_out : LabelledRows
    views : ndarray of bool, shape (n_rows, n_views, n_active)
        Subsets of the active modalities of each held-out row.
    method : {"subset", "global"}

    Returns
    -------
    SubsetTemperature or None
        Over the model's active modalities; None if no held-out row has one of them.
    """
    # A row whose modalities were all missing in training has no logits to calibrate.
    usable = np.flatnonzero(views.any(axis=(1, 2)))
    if len(usable) == 0:
        return None
    if len(usable) > MAX_ROWS:
        # As many as a handful of temperatures can make use of, drawn at random: rows may come in a periodic order.
        usable = np.sort(np.random.default_rng(0).choice(usable, MAX_ROWS, replace=False))
    held_out, views = held_out.some(usable), views[usable]
    present = np.zeros((*views.shape[:2], len(held_out.data.names)), dtype=bool)
    present[..., model.inputs.active] = views
    # A chunk of rows at a time, because `take` copies them.
    chunks = [slice(start, start + CHUNK_ROWS) for start in range(0, len(held_out), CHUNK_ROWS)]
    logits = np.concatenate(
        [model.logits(held_out.data.take(held_out.rows[chunk]), present[chunk]) for chunk in chunks]
    )
    n_rows, n_views = logits.shape[:2]
    return SubsetTemperature(method=method).fit(
        logits.reshape(n_rows * n_views, -1),
        np.repeat(model.problem.target_of(held_out.chosen_targets), n_views, axis=0),
        views.reshape(n_rows * n_views, -1),
        # The views of a row are one row's worth of evidence, not several.
        np.repeat(held_out.weight / n_views, n_views),
    )
