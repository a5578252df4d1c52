"""Multimodal classification when modalities go missing, at home in scikit-learn."""

from sklearn_aecf._classifier import AECFClassifier
from sklearn_aecf._data import MultimodalData
from sklearn_aecf._in_batches import predict_in_batches

__version__ = "0.1.0"
__all__ = ["AECFClassifier", "MultimodalData", "predict_in_batches"]
