"""What the user passed as X: the container, and the reader of every form of X."""

from sklearn_aecf._data._container import MultimodalData
from sklearn_aecf._data._groups import match_columns
from sklearn_aecf._data._hide import permute_rows, presence, stack_rows, with_presence
from sklearn_aecf._data._split import (
    InputSpec,
    Modalities,
    in_fitted_order,
    is_plain_table,
    split_modalities,
)
from sklearn_aecf._data._values import did_you_mean, missing_rows, quoted

__all__ = [
    "InputSpec",
    "Modalities",
    "MultimodalData",
    "did_you_mean",
    "in_fitted_order",
    "is_plain_table",
    "match_columns",
    "missing_rows",
    "permute_rows",
    "presence",
    "quoted",
    "split_modalities",
    "stack_rows",
    "with_presence",
]
