"""What X looked like, which later X must match."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class InputSpec:
    """What X looked like at fit, which later X must match.

    Attributes
    ----------
    names : tuple of str
    shapes : tuple of tuple of int
        Of a row of each modality, as it was given; (0,) where no row of the training data had it.
    labels : dict of str to tuple, or None
        Column labels of each modality, where X was a DataFrame.
    unused : tuple
        Labels of the columns of that DataFrame which belonged to no modality.
    features : dict of str to tuple, or None
        Names of the features of those modalities of a mapping that came as a DataFrame.
    encodings : dict of str to Encoding
        Of the modalities that hold more than numbers.
    raw : set of str
        Modalities with an encoder of their own.
    """

    names: tuple = ()
    shapes: tuple = ()
    labels: dict | None = None
    unused: tuple = ()
    features: dict | None = None
    encodings: dict = field(default_factory=dict)
    raw: frozenset = frozenset()

    @property
    def widths(self):
        """Columns of each modality, or values of a row."""
        return tuple(int(np.prod(shape)) for shape in self.shapes)

    @property
    def feature_names(self):
        """Names of the columns of the modalities of which they are known, a dict of tuples of str."""
        if self.labels is None:
            return self.features or {}
        return {
            name: tuple(str(label[-1] if isinstance(label, tuple) else label) for label in labels)
            for name, labels in self.labels.items()
        }
