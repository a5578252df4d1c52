"""Transformers from X to X: one per modality, frozen encoders of raw data, modalities hidden or broken on purpose."""

from sklearn_aecf.compose._corrupting import corrupt_modalities
from sklearn_aecf.compose._dropout import ModalityDropout
from sklearn_aecf.compose._encoder import FrozenEncoder
from sklearn_aecf.compose._hiding import drop_modalities, hide
from sklearn_aecf.compose._transformer import ModalityTransformer

__all__ = ["FrozenEncoder", "ModalityDropout", "ModalityTransformer", "corrupt_modalities", "drop_modalities", "hide"]
