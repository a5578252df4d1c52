"""Transformers from X to X: one per modality, and modalities hidden on purpose."""

from sklearn_aecf.compose._dropout import ModalityDropout
from sklearn_aecf.compose._transformer import ModalityTransformer

__all__ = ["ModalityDropout", "ModalityTransformer"]
