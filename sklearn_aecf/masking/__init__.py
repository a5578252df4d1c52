"""What is hidden, and what is taken for broken, in training: strategies with scikit-learn parameters."""

from sklearn_aecf.masking._corruption import Corruption, RandomCorruption
from sklearn_aecf.masking._hiding import (
    EntropyMasking,
    Masking,
    RegretMasking,
    UniformMasking,
    all_subsets,
    draw_subsets,
    row_rates,
)

__all__ = [
    "Corruption",
    "EntropyMasking",
    "Masking",
    "RandomCorruption",
    "RegretMasking",
    "UniformMasking",
    "all_subsets",
    "draw_subsets",
    "row_rates",
]
