"""Read X, whatever its form: one numeric array a modality, and which row has which."""

from dataclasses import dataclass, replace

import numpy as np

from sklearn_aecf._data._columns import read_table
from sklearn_aecf._data._forms import form_of
from sklearn_aecf._data._groups import refuse_renamed
from sklearn_aecf._data._spec import InputSpec
from sklearn_aecf._data._values import as_encodable, checked_table, did_you_mean, observed_rows, quoted, same_rows


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
    spec : InputSpec
        What X looked like.
    """

    names: tuple
    arrays: tuple
    present: np.ndarray
    spec: InputSpec

    def __len__(self):
        return len(self.present)

    def take(self, rows):
        """The same for some rows, copied."""
        return replace(self, arrays=tuple(array[rows] for array in self.arrays), present=self.present[rows])


def split_modalities(X, modalities=None, *, spec=None, estimator="AECFClassifier", raw=frozenset(), encode=True):
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
    encode : bool, default=True
        Whether columns of text and of arrays become numbers; otherwise they are an error.

    Returns
    -------
    Modalities

    Raises
    ------
    TypeError, ValueError
        One sentence that names the modality, what was expected, what came and what to do.
    """
    parts, found = form_of(X, modalities).read(spec)
    for name in raw if spec is None else ():
        if name not in parts:
            raise ValueError(
                f"encoders names modality {name!r}, which X lacks{did_you_mean(name, parts)} "
                f"Modalities: {quoted(parts)}."
            )
    masks, fitted = {}, spec is not None
    for name, part in parts.items():
        if part is not None:
            parts[name], masks[name] = as_encodable(part, name) if name in raw else (checked_table(part, name), None)
    if spec is not None:
        in_fitted_order(parts, found.feature_names, spec.feature_names)
        parts = _matched(parts, spec, estimator)
    else:
        shapes = tuple((0,) if part is None else part.shape[1:] for part in parts.values())
        spec = replace(found, names=tuple(parts), shapes=shapes, raw=raw)
    encodings = dict(spec.encodings)
    for name, part in parts.items():
        if part is not None and name not in raw:
            parts[name], masks[name], encoding = read_table(
                part, name, spec.feature_names.get(name), encoding=encodings.get(name), encode=encode and not fitted
            )
            if encoding is not None:
                encodings[name] = encoding
    parts = same_rows(parts)
    if len(next(iter(parts.values()))) == 0:
        raise ValueError("X has 0 rows (0 sample(s)); at least one is needed.")
    present = np.column_stack([observed_rows(array, name, masks.get(name)) for name, array in parts.items()])
    return Modalities(tuple(parts), tuple(parts.values()), present, replace(spec, encodings=encodings))


def in_fitted_order(parts, features, fitted):
    """Modalities that came as DataFrames, with their columns in the order of fit."""
    for name in fitted.keys() & features.keys():
        if parts.get(name) is None or features[name] == fitted[name]:
            continue
        if sorted(features[name]) != sorted(fitted[name]):
            refuse_renamed(features[name], {name: fitted[name]})
            odd = next(feature for feature in features[name] if feature not in fitted[name])
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
