"""Data with several modalities: in the package, made to order, or downloaded."""

from sklearn_aecf.datasets._load import load_handwritten, load_heart_disease
from sklearn_aecf.datasets._make import make_multimodal_classification

__all__ = ["load_handwritten", "load_heart_disease", "make_multimodal_classification"]
