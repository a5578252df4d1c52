"""Training: the skorch net, its objective, batches, callbacks, and the temperatures afterwards."""

from sklearn_aecf._training._interrupts import Interrupts, fits_repeatedly
from sklearn_aecf._training._net import AECFNet, history_columns, make_net
from sklearn_aecf._training._objective import validation_views
from sklearn_aecf._training._reliability import fit_reliability
from sklearn_aecf._training._schedule import Schedule
from sklearn_aecf._training._streams import training_rows
from sklearn_aecf._training._temperature import fit_temperature

__all__ = [
    "AECFNet",
    "Interrupts",
    "Schedule",
    "fit_reliability",
    "fit_temperature",
    "fits_repeatedly",
    "history_columns",
    "make_net",
    "training_rows",
    "validation_views",
]
