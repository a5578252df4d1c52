"""The torch layers on their own: put `AECFFusion` between any frozen backbones and a head.

Layers hold weights and know nothing of the estimator. Axes are `b` rows, `v` views (subsets of a row's modalities),
`m` modalities, `k` members, `d` embedding, `c` classes or labels. ``present`` is True where observed.
"""

from sklearn_aecf.nn._dropout import Dropout
from sklearn_aecf.nn._encoders import ModalityEmbeddings, OwnEncoder
from sklearn_aecf.nn._fusion import AECFFusion, ModalityGate
from sklearn_aecf.nn._heads import MemberHeads
from sklearn_aecf.nn._network import AECFNetwork
from sklearn_aecf.nn._reliability import ModalityReliability

__all__ = [
    "AECFFusion",
    "AECFNetwork",
    "Dropout",
    "MemberHeads",
    "ModalityEmbeddings",
    "ModalityGate",
    "ModalityReliability",
    "OwnEncoder",
]
