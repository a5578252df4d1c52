"""How good and how well calibrated predictions are, on every subset of modalities."""

# Where they stood before; their home is `compose`.
from sklearn_aecf.compose import drop_modalities as drop_modalities
from sklearn_aecf.compose import hide as hide
from sklearn_aecf.metrics._calibration import (
    CalibrationError,
    ReliabilityCurve,
    expected_calibration_error,
    reliability_curve,
)
from sklearn_aecf.metrics._corruption import corruption_report
from sklearn_aecf.metrics._reports import monotonicity_report, subset_report
from sklearn_aecf.metrics._scorers import (
    corrupted_modality_scorer,
    ece_scorer,
    missing_modality_scorer,
    subset_scorer,
    worst_subset_scorer,
)

__all__ = [
    "CalibrationError",
    "ReliabilityCurve",
    "corrupted_modality_scorer",
    "corruption_report",
    "ece_scorer",
    "expected_calibration_error",
    "missing_modality_scorer",
    "monotonicity_report",
    "reliability_curve",
    "subset_report",
    "subset_scorer",
    "worst_subset_scorer",
]
