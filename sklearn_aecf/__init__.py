"""Multimodal classification when modalities go missing, at home in scikit-learn."""

from sklearn_aecf._classifier import AECFClassifier
from sklearn_aecf._data import MultimodalData

__version__ = "0.1.0"
__all__ = ["AECFClassifier", "MultimodalData"]
