"""Read X, whatever its form: one numeric array a modality, and which row has which."""

from dataclasses import dataclass

import numpy as np

from sklearn_aecf._data._forms import form_of
from sklearn_aecf._data._values import as_encodable, as_table, did_you_mean, observed_rows, quoted, same_rows


@dataclass(frozen=True)
class InputSpec:
    """What X looked like at fit, which later X must match.

    Attributes
    ----------
    names : tuple of str
    shapes : tuple of tuple of int
        Of a row of each modality; (0,) where no row of the training data had it.
    labels : dict of str to tuple, or None
        Column labels of each modality, where X was a DataFrame.
    features : dict of str to tuple, or None
        Names of the features of those modalities of a mapping that came as a DataFrame.
    """

    names: tuple
    shapes: tuple
    labels: dict | None = None
    features: dict | None = None

    @property
    def widths(self):
        """Features of each modality."""
        return tuple(int(np.prod(shape)) for shape in self.shapes)


@dataclass(frozen=True)
class Modalities:
    """X, read: views of the caller's arrays wherever that is possible.

    Attributes
    ----------
    names : tuple of str
    arrays : tuple of ndarray, real dtype
        Of shape (n_rows, n_features_m), or (n_rows, ...) where the modality has an encoder of its own. A modality that
        nobody has is an array without features.
    present : ndarray of bool, shape (n_rows, n_modalities)
    labels, features : dict of str to tuple, or None
        As in `InputSpec`.
    """

    names: tuple
    arrays: tuple
    present: np.ndarray
    labels: dict | None = None
    features: dict | None = None

    def __len__(self):
        return len(self.present)

    @property
    def widths(self):
        """Features of each modality."""
        return self.spec.widths

    def take(self, rows):
        """The same for some rows, copied."""
        return Modalities(self.names, tuple(array[rows] for array in self.arrays), self.present[rows], self.labels)

    @property
    def spec(self):
        """What later X must match."""
        return InputSpec(self.names, tuple(array.shape[1:] for array in self.arrays), self.labels, self.features)


def split_modalities(X, modalities=None, *, spec=None, estimator="AECFClassifier", raw=frozenset()):
    """Read X into one numeric array per modality, and find what is missing.

    Parameters
    ----------
    X : dict, MultimodalData, SliceDict, array-like or DataFrame
        A modality is missing in a row where all its values are NaN; for a mapping also where its entry is None and,
        given `spec`, where it is left out.
    modalities : dict of str to columns, default=None
        Column groups of an array or DataFrame. None is one modality ``"X"``, except for a DataFrame whose columns
        have two levels: these are grouped by the first.
    spec : InputSpec, default=None
        What X was at fit: names, widths and column labels to match.
    estimator : str
        Who asks, for messages.
    raw : set of str
        Modalities that may have any shape behind the first axis: they have an encoder of their own.

    Returns
    -------
    Modalities

    Raises
    ------
    TypeError, ValueError
        One sentence that names the modality, what was expected, what came and what to do.
    """
    parts, labels, features = form_of(X, modalities).read(spec)
    for name in raw if spec is None else ():
        if name not in parts:
            raise ValueError(
                f"encoders names modality {name!r}, which X lacks{did_you_mean(name, parts)} "
                f"Modalities: {quoted(parts)}."
            )
    arrays, masks = {}, {}
    for name, part in parts.items():
        read = as_encodable if name in raw else as_table
        arrays[name], masks[name] = (None, None) if part is None else read(part, name)
    if spec is not None:
        arrays = _matched(arrays, spec, estimator)
        arrays = in_fitted_order(arrays, features or {}, spec.features or {})
    arrays = same_rows(arrays)
    if len(next(iter(arrays.values()))) == 0:
        raise ValueError("X has 0 rows (0 sample(s)); at least one is needed.")
    present = np.column_stack([observed_rows(array, name, masks.get(name)) for name, array in arrays.items()])
    return Modalities(tuple(arrays), tuple(arrays.values()), present, labels, features)


def in_fitted_order(parts, features, fitted):
    """Modalities that came as DataFrames, with their columns in the order of fit."""
    for name in fitted.keys() & features.keys():
        if parts.get(name) is None or features[name] == fitted[name]:
            continue
        if sorted(features[name]) != sorted(fitted[name]):
            odd = next((f for f in features[name] if f not in fitted[name]), features[name][0])
            raise ValueError(
                f"Modality {name!r} has a feature {odd!r} that it lacked at fit"
                f"{did_you_mean(odd, fitted[name])} Fitted features: {quoted(fitted[name][:8])}."
            )
        parts[name] = parts[name][:, [features[name].index(feature) for feature in fitted[name]]]
    return parts


def _matched(parts, spec, estimator):
    """The parts in fitted order; modalities left out are missing, unknown ones an error."""
    for name, array in parts.items():
        if name not in spec.names:
            raise ValueError(
                f"X has unknown modality {name!r}{did_you_mean(name, spec.names)} "
                f"Fitted modalities: {quoted(sorted(spec.names))}."
            )
        expected = spec.shapes[spec.names.index(name)]
        found = (0,) if array is None else array.shape[1:]
        if 0 in found or 0 in expected or found == expected:
            continue
        if len(found) == len(expected) == 1:
            raise ValueError(
                f"Modality {name!r} has {found[0]} features, but {estimator} was fitted with {expected[0]}."
            )
        raise ValueError(f"Modality {name!r} has rows of shape {found}, but {estimator} was fitted with {expected}.")
    return {name: parts.get(name) for name in spec.names}
