"""What the user passed as X: the container, and the reader of every form of X."""

from sklearn_aecf._data._caller import warn_caller
from sklearn_aecf._data._container import MultimodalData
from sklearn_aecf._data._forms import form_of
from sklearn_aecf._data._groups import match_columns
from sklearn_aecf._data._split import InputSpec, Modalities, in_fitted_order, split_modalities
from sklearn_aecf._data._values import CHUNK_ROWS, checked_name, did_you_mean, missing_rows, plain, quoted

__all__ = [
    "CHUNK_ROWS",
    "InputSpec",
    "Modalities",
    "MultimodalData",
    "checked_name",
    "did_you_mean",
    "form_of",
    "in_fitted_order",
    "match_columns",
    "missing_rows",
    "plain",
    "quoted",
    "split_modalities",
    "warn_caller",
]
