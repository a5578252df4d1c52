"""What the user passed as X: the container, and the reader of every form of X."""

from sklearn_aecf._data._caller import warn_caller
from sklearn_aecf._data._columns import as_numbers, holds_more_than_numbers
from sklearn_aecf._data._container import MultimodalData
from sklearn_aecf._data._forms import form_of
from sklearn_aecf._data._groups import is_flat, match_columns, only_counts, refuse_twins, warn_one_table
from sklearn_aecf._data._spec import InputSpec
from sklearn_aecf._data._split import Modalities, in_fitted_order, split_modalities
from sklearn_aecf._data._stored import StoredRows
from sklearn_aecf._data._values import (
    CHUNK_ROWS,
    as_array,
    as_dense,
    checked_name,
    did_you_mean,
    flags_of,
    frame_columns,
    is_frame,
    is_missing,
    missing_rows,
    plain,
    quoted,
    select_columns,
    tensor_to_array,
)

__all__ = [
    "CHUNK_ROWS",
    "InputSpec",
    "Modalities",
    "MultimodalData",
    "StoredRows",
    "as_array",
    "as_dense",
    "as_numbers",
    "checked_name",
    "did_you_mean",
    "flags_of",
    "form_of",
    "frame_columns",
    "holds_more_than_numbers",
    "in_fitted_order",
    "is_flat",
    "is_frame",
    "is_missing",
    "match_columns",
    "missing_rows",
    "only_counts",
    "plain",
    "quoted",
    "refuse_twins",
    "select_columns",
    "split_modalities",
    "tensor_to_array",
    "warn_caller",
    "warn_one_table",
]
