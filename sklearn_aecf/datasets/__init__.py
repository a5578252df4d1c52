"""Data with several modalities: in the package, made to order, or downloaded."""

from sklearn_aecf.datasets._avmnist import fetch_avmnist
from sklearn_aecf.datasets._coco import fetch_coco
from sklearn_aecf.datasets._extrasensory import fetch_extrasensory
from sklearn_aecf.datasets._load import load_handwritten, load_heart_disease
from sklearn_aecf.datasets._make import make_multimodal_classification

__all__ = [
    "fetch_avmnist",
    "fetch_coco",
    "fetch_extrasensory",
    "load_handwritten",
    "load_heart_disease",
    "make_multimodal_classification",
]
