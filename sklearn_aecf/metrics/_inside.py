"""The classifier inside a pipeline or a search, and the column groups that it reads X with."""

import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_aecf._data import form_of
from sklearn_aecf.compose import ModalityTransformer

# Rows on which a pipeline's transformers are tried with modalities hidden.
N_TRIED = 32


def modalities_of(estimator, X, modalities=None):
    """Column groups that were given, or those that the estimator, or one inside it, reads X with."""
    if modalities is not None:
        return modalities
    owner = _owner_of_groups(estimator)
    # Positions mean the columns of the frame that was fitted, whose order this one need not have.
    labels = getattr(getattr(owner, "_spec", None), "labels", None)
    if labels is not None and form_of(X).by_label:
        return {name: list(columns) for name, columns in labels.items()}
    return getattr(owner, "modalities", None)


def _owner_of_groups(estimator):
    if getattr(estimator, "modalities", None) is not None:
        return estimator
    inner = [step for _, step in reversed(estimator.steps)] if hasattr(estimator, "steps") else []
    inner += [getattr(estimator, name, None) for name in ("best_estimator_", "estimator_", "estimator")]
    found = (_owner_of_groups(each) for each in inner if each is not None and not isinstance(each, str))
    return next((owner for owner in found if owner is not None), None)


def innermost(estimator, X):
    """The last step of a pipeline, or of the best one of a search, and X as that step sees it."""
    inside = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(inside, Pipeline):
        return inside, X
    return inside.steps[-1][1], inside[:-1].transform(X) if len(inside.steps) > 1 else X


def unwrapped(estimator, X, modalities=None):
    """The classifier inside and X as it sees it, so that X is transformed once and not once a subset.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search
    X : dict, MultimodalData, array-like or DataFrame
    modalities : dict of str to columns, default=None

    Returns
    -------
    estimator
        What is inside, or what was given where hiding modalities before the transformers and after is not the same.
    X
        Transformed, or as given.
    """
    inside = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(inside, Pipeline) or not hasattr(inside.steps[-1][1], "predict_proba_subsets"):
        return (inside if hasattr(inside, "predict_proba_subsets") else estimator), X
    transformers, last = inside[:-1], inside.steps[-1][1]
    if len(transformers) == 0:
        return last, X
    transformed = transformers.transform(X)
    groups = modalities_of(inside, X, modalities)
    if _commute(transformers, form_of(X, groups), form_of(transformed, getattr(last, "modalities", None))):
        return last, transformed
    return estimator, X


def _commute(transformers, before, after):
    """Whether hiding a modality before transformers is the same as after them: each looks at one modality at a time."""
    try:
        names, present = before.presence()
        names_after, present_after = after.presence()
    except ValueError:
        return False  # one table: nothing to hide by name
    if tuple(names) != tuple(names_after) or not np.array_equal(present, present_after):
        return False
    if all(isinstance(step, ModalityTransformer) or step in (None, "passthrough") for _, step in transformers.steps):
        return True
    chosen = np.flatnonzero(present.any(axis=1))[:N_TRIED]
    few = type(before)(before.rows(chosen), before.modalities)
    few_after = type(after)(after.rows(chosen), after.modalities)
    for m in range(len(names)):
        keep = np.ones((len(chosen), len(names)), dtype=bool)
        keep[:, m] = False
        one, other = transformers.transform(few.with_presence(keep)), few_after.with_presence(keep)
        if not np.array_equal(np.asarray(one, dtype=float), np.asarray(other, dtype=float), equal_nan=True):
            return False
    return True
