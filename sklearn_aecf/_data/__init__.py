"""What the user passed as X: the container, and the reader of every form of X."""

from sklearn_aecf._data._container import MultimodalData
from sklearn_aecf._data._hide import presence, with_presence
from sklearn_aecf._data._split import (
    InputSpec,
    Modalities,
    is_plain_table,
    split_modalities,
)

__all__ = [
    "InputSpec",
    "Modalities",
    "MultimodalData",
    "is_plain_table",
    "presence",
    "split_modalities",
    "with_presence",
]
