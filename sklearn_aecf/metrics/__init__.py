"""How good and how well calibrated predictions are, on every subset of modalities."""

from sklearn_aecf.metrics._calibration import CalibrationError, expected_calibration_error, reliability_curve
from sklearn_aecf.metrics._hiding import drop_modalities, hide
from sklearn_aecf.metrics._reports import monotonicity_report, subset_report
from sklearn_aecf.metrics._scorers import ece_scorer, missing_modality_scorer, subset_scorer, worst_subset_scorer

__all__ = [
    "CalibrationError",
    "drop_modalities",
    "ece_scorer",
    "expected_calibration_error",
    "hide",
    "missing_modality_scorer",
    "monotonicity_report",
    "reliability_curve",
    "subset_report",
    "subset_scorer",
    "worst_subset_scorer",
]
