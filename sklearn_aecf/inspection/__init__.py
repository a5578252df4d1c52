"""Which modality carries a prediction, what happens when one fails, and pictures of both."""

from sklearn_aecf.inspection._drop_rate import DropRateDisplay
from sklearn_aecf.inspection._gate import GateDisplay, gate_summary
from sklearn_aecf.inspection._importance import modality_importance
from sklearn_aecf.inspection._missingness import MissingnessDisplay
from sklearn_aecf.inspection._reliability import ReliabilityDisplay
from sklearn_aecf.inspection._report import RobustnessReport, robustness_report
from sklearn_aecf.inspection._sensors import SensorDisplay
from sklearn_aecf.inspection._subsets import SubsetDisplay
from sklearn_aecf.inspection._training import TrainingDisplay

__all__ = [
    "DropRateDisplay",
    "GateDisplay",
    "MissingnessDisplay",
    "ReliabilityDisplay",
    "RobustnessReport",
    "SensorDisplay",
    "SubsetDisplay",
    "TrainingDisplay",
    "gate_summary",
    "modality_importance",
    "robustness_report",
]
