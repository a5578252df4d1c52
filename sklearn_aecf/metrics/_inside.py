"""The classifier inside a pipeline or a search, and the column groups that it reads X with."""

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from sklearn_aecf._data import form_of
from sklearn_aecf.compose import ModalityTransformer

# Transformers that treat each column by itself and leave NaN where it is.
COLUMN_BY_COLUMN = (MaxAbsScaler, MinMaxScaler, PowerTransformer, QuantileTransformer, RobustScaler, StandardScaler)


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


def unwrapped(estimator, X):
    """The classifier inside and X as it sees it, so that X is transformed once and not once a subset.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search
    X : dict, MultimodalData, array-like or DataFrame

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
    alike = all(_looks_at_one_modality(step) for _, step in inside.steps[:-1])
    return innermost(inside, X) if alike else (estimator, X)


def _looks_at_one_modality(step):
    """Whether hiding a modality before a transformer is the same as behind it, as its kind alone can tell."""
    if isinstance(step, ModalityTransformer):
        return all(inputs == (name,) for name, inputs, _ in step.transformers_)
    return step in (None, "passthrough") or type(step) in COLUMN_BY_COLUMN
