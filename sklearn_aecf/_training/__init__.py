"""The skorch net: objective, tensor batches, callbacks, and the passes that predict."""

from sklearn_aecf._training._batches import NetworkInputs, choose_device, seeded, suited_threads
from sklearn_aecf._training._net import AECFNet, history_columns, make_net
from sklearn_aecf._training._predict import Predictor
from sklearn_aecf._training._streams import training_rows
from sklearn_aecf._training._temperature import fit_temperature

__all__ = [
    "AECFNet",
    "NetworkInputs",
    "Predictor",
    "choose_device",
    "fit_temperature",
    "history_columns",
    "make_net",
    "seeded",
    "suited_threads",
    "training_rows",
]
