"""A scikit-learn transformer per modality, fitted and applied where the modality is observed."""

from collections.abc import Mapping
from itertools import chain

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from sklearn_aecf._data import MultimodalData, checked_name, form_of, in_fitted_order, missing_rows, plain


class ModalityTransformer(TransformerMixin, _BaseComposition, auto_wrap_output_keys=None):
    """Transform each modality with its own scikit-learn transformer; missing rows stay missing.

    A transformer is fitted on the rows where its modality is observed and transforms those, so that PCA and the like,
    which reject NaN, need no imputation of whole modalities. The result is a `MultimodalData`.

    Parameters
    ----------
    transformers : dict
        Modality to transformer, ``"passthrough"`` or ``"drop"``. A tuple of modalities as key merges them (rows that
        have all of them count as observed). A dict as value splits or renames: ``{"image": {"colour": one, "shape":
        other}}``, ``{("image", "audio"): {"clip": "passthrough"}}``. Merged modalities without a name of their own are
        called ``"image+audio"``.
    remainder : {"passthrough", "drop"}, default="passthrough"
        What happens to modalities that are not mentioned.
    modalities : dict of str to columns, default=None
        Column groups of a DataFrame (names or patterns) or an array; text columns are welcome. Not used where X is a
        mapping.
    n_jobs : int, default=None
        Transformers that are fitted side by side, by joblib.
    max_dense_bytes : int, default=2_000_000_000
        Sparse output larger than this when dense is an error.

    Attributes
    ----------
    transformers_ : list of tuples (name, inputs, fitted transformer)
    modality_names_in_ : list of str
    modality_names_out_ : list of str

    Raises
    ------
    ValueError
        If a name is unknown, two outputs have the same name, or a transformer changes the number of rows.

    Notes
    -----
    Parameters of the transformers are reached by output name, in a grid too:
    ``{"modalitytransformer__image__n_components": [16, 64]}``.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_aecf.compose import ModalityTransformer
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(100, missing_rate=0.3, random_state=0)
    >>> reduced = ModalityTransformer({"a": PCA(4), "c": "drop"}).fit_transform(X)
    >>> reduced.names, reduced.shape
    (('a', 'b'), (100, 20))
    >>> bool((reduced.present == X.present[:, :2]).all())
    True
    """

    def __init__(
        self, transformers, *, remainder="passthrough", modalities=None, n_jobs=None, max_dense_bytes=2_000_000_000
    ):
        self.transformers = transformers
        self.remainder = remainder
        self.modalities = modalities
        self.n_jobs = n_jobs
        self.max_dense_bytes = max_dense_bytes

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    # Parameters of the transformers, as scikit-learn's ColumnTransformer gives them

    @property
    def _named_transformers(self):
        try:
            return [(name, transformer) for name, _, transformer in self._plan()]
        except (AttributeError, TypeError, ValueError):
            return []  # not a valid mapping: `fit` says so

    @_named_transformers.setter
    def _named_transformers(self, named):
        chosen = dict(named)
        replaced = {}
        for key, value in self.transformers.items():
            if isinstance(value, Mapping):
                replaced[key] = {name: chosen[name] for name in value}
            else:
                replaced[key] = chosen[_joined(key)]
        self.transformers = replaced

    def get_params(self, deep=True):
        """Parameters of this estimator and, if `deep`, of its transformers by output name."""
        return self._get_params("_named_transformers", deep=deep)

    def set_params(self, **params):
        """Set parameters, also of the transformers: ``image__n_components=16``, ``image=PCA(8)``.

        Returns
        -------
        self
        """
        self._set_params("_named_transformers", **params)
        return self

    def set_output(self, *, transform=None):
        """Choose what `transform` returns.

        Parameters
        ----------
        transform : {"default", "pandas"} or None
            A `MultimodalData`, or a DataFrame with columns of two levels. None changes nothing.

        Returns
        -------
        self
        """
        if transform not in (None, "default", "pandas"):
            raise ValueError(f"transform must be 'default', 'pandas' or None. Got {transform!r}.")
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self

    # Fitting and transforming

    def fit(self, X, y=None):
        """Fit every transformer on the rows where its modality is observed.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
        y : array-like of shape (n_rows,), default=None

        Returns
        -------
        self
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y=None):
        """Fit, and transform the same rows.

        Returns
        -------
        MultimodalData, or DataFrame after ``set_output(transform="pandas")``
        """
        data = self._read(X, fitted=False)
        plan = self._plan()
        self._check_plan(plan, data)
        self.modality_names_in_ = list(data.names)
        self._features_in = data.known_feature_names
        plan += self._remainder(plan, data)
        y = None if y is None else np.asarray(y)
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_transform_one)(name, _inputs(data, inputs), clone(transformer, safe=False), y)
            for name, inputs, transformer in plan
            if transformer != "drop"
        )
        kept = [(name, inputs) for name, inputs, transformer in plan if transformer != "drop"]
        if not kept:
            raise ValueError("Every modality is dropped; keep at least one.")
        self.transformers_ = [
            (name, inputs, transformer) for (name, inputs), (transformer, _, _) in zip(kept, results, strict=True)
        ]
        self._inputs_of = {name: {m: data.feature_names(m) for m in inputs} for name, inputs in kept}
        self._shapes = {name: part.shape[1:] for (name, _), (_, part, _) in zip(kept, results, strict=True)}
        self._widths = {name: _width(part) for (name, _), (_, part, _) in zip(kept, results, strict=True)}
        self.modality_names_out_ = [name for name, _ in kept]
        self._columns = form_of(X, self.modalities).labels()
        return self._assembled([(part, rows) for _, part, rows in results], data)

    def transform(self, X):
        """Transform rows; modalities left out of X are missing in the result.

        Returns
        -------
        MultimodalData, or DataFrame after ``set_output(transform="pandas")``
        """
        check_is_fitted(self)
        data = self._read(X)
        for name in data:
            if name not in self.modality_names_in_:
                checked_name(name, self.modality_names_in_)
        data = MultimodalData(in_fitted_order(dict(data), data.known_feature_names, self._features_in))
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(_transform_one)(name, _inputs(data, inputs), transformer, self._shapes[name])
            for name, inputs, transformer in self.transformers_
        )
        return self._assembled(results, data)

    def get_feature_names_out(self, input_features=None):
        """Names of the features of all modalities side by side: ``"image__pca0"``, ...

        Parameters
        ----------
        input_features : ignored
            There for scikit-learn.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        names = chain.from_iterable(
            (f"{name}__{feature}" for feature in self._feature_names(name, transformer))
            for name, _, transformer in self.transformers_
        )
        return np.array(list(names), dtype=object)

    def _feature_names(self, name, transformer):
        given = list(chain.from_iterable(self._inputs_of[name].values()))
        if transformer == "passthrough":
            return given
        if hasattr(transformer, "get_feature_names_out"):
            try:
                return list(map(str, transformer.get_feature_names_out(np.array(given, dtype=object))))
            except (TypeError, ValueError):
                return list(map(str, transformer.get_feature_names_out()))
        return [str(index) for index in range(self._widths[name])]

    def _assembled(self, results, data):
        arrays, feature_names = {}, {}
        for (name, _, transformer), (part, rows) in zip(self.transformers_, results, strict=True):
            arrays[name] = _spread(part, rows, len(data), name, self.max_dense_bytes)
            feature_names[name] = tuple(self._feature_names(name, transformer))
        known = {name: names for name, names in feature_names.items() if len(names) == self._widths[name]}
        container = MultimodalData(arrays, feature_names=known)
        if _get_output_config("transform", self)["dense"] == "pandas":
            return container.to_frame()
        return container

    def _plan(self):
        """Output name, inputs and transformer of each, in the order given."""
        plan = []
        for key, value in self.transformers.items():
            inputs = (key,) if isinstance(key, str) else tuple(key)
            outputs = value.items() if isinstance(value, Mapping) else [(_joined(key), value)]
            plan += [(name, inputs, transformer) for name, transformer in outputs]
        return plan

    def _check_plan(self, plan, data):
        if self.remainder not in ("passthrough", "drop"):
            raise ValueError(f"remainder must be 'passthrough' or 'drop'. Got {self.remainder!r}.")
        seen = set()
        for name, inputs, transformer in plan:
            for modality in inputs:
                checked_name(modality, data.names)
            if name in seen:
                raise ValueError(f"Two transformers give a modality {name!r}; name their outputs apart.")
            seen.add(name)
            if not (transformer in ("passthrough", "drop") or hasattr(transformer, "transform")):
                raise TypeError(
                    f"The transformer of {name!r} must have fit and transform, or be 'passthrough' or 'drop'. Got "
                    f"{transformer!r}."
                )

    def _remainder(self, plan, data):
        mentioned = {modality for _, inputs, _ in plan for modality in inputs}
        if self.remainder == "drop":
            return []
        rest = [name for name in data if name not in mentioned]
        clash = set(rest) & {name for name, _, _ in plan}
        if clash:
            raise ValueError(
                f"A transformer gives a modality {sorted(clash)[0]!r}, which X has too; name its output apart."
            )
        return [(name, (name,), "passthrough") for name in rest]

    def _read(self, X, fitted=True):
        return form_of(X, self.modalities).as_container(self._columns if fitted else None)

    def _sk_visual_block_(self):
        named = self._named_transformers
        return _visual_block()(
            "parallel",
            [transformer for _, transformer in named],
            names=[name for name, _ in named],
            name_details=[None] * len(named),
        )


def _visual_block():
    try:
        from sklearn.utils._repr_html.estimator import _VisualBlock
    except ImportError:  # before scikit-learn 1.7
        from sklearn.utils._estimator_html_repr import _VisualBlock
    return _VisualBlock


def _joined(key):
    return key if isinstance(key, str) else "+".join(key)


def _inputs(data, names):
    """Values of some modalities, side by side, and the rows that have all of them; None if X lacks one."""
    if any(name not in data for name in names):
        return None, np.zeros(len(data), dtype=bool)
    arrays = [data[name] for name in names]
    rows = ~np.any([missing_rows(array) for array in arrays], axis=0)
    if len(arrays) == 1:
        return arrays[0], rows
    return np.concatenate([plain(array).reshape(len(array), -1) for array in arrays], axis=1), rows


def _fit_transform_one(name, given, transformer, y):
    values, rows = given
    if transformer == "passthrough":
        return transformer, *_passed(values, rows)
    if not rows.any():
        raise ValueError(f"No row has the input of transformer {name!r}, so it cannot be fitted; drop it.")
    chosen = _as_wanted(plain(values)[rows], transformer)
    part = transformer.fit_transform(chosen, None if y is None else y[rows])
    return transformer, _checked(part, rows.sum(), name), rows


def _transform_one(name, given, transformer, shape):
    values, rows = given
    if not rows.any():
        # Nobody has it: NaN of the fitted shape, without a copy; None where items came as objects.
        nothing = np.broadcast_to(np.nan, (len(rows), *shape)) if shape else np.full(len(rows), None, dtype=object)
        return nothing, np.ones(len(rows), dtype=bool)
    if transformer == "passthrough":
        part, rows = _passed(values, rows)
        width = int(np.prod(shape))
        if _width(part) != width:
            raise ValueError(
                f"Modality {name!r} has {_width(part)} features, but ModalityTransformer was fitted with {width}."
            )
        return part, rows
    return _checked(transformer.transform(_as_wanted(plain(values)[rows], transformer)), rows.sum(), name), rows


def _passed(values, rows):
    """What passes through: the modality as it is, but for text, a column, and for what lacks a part of a merger."""
    of_arrays = values.dtype.kind == "O" and values.ndim == 1 and np.ndim(values[rows][0] if rows.any() else 0) > 0
    if of_arrays or (values.ndim > 1 and np.array_equal(missing_rows(values), ~rows)):
        return values, np.ones(len(values), dtype=bool)
    return plain(values)[rows].reshape(rows.sum(), -1), rows


def _width(part):
    return int(np.prod(part.shape[1:]))


def _as_wanted(values, transformer):
    """Text for transformers of text: one column as 1-D."""
    while hasattr(transformer, "steps"):
        transformer = next((step for _, step in transformer.steps if not isinstance(step, str)), None)
    if transformer is None:
        return values.reshape(-1, 1) if values.ndim == 1 else values
    text = values.dtype.kind in "OUS" and not get_tags(transformer).input_tags.two_d_array
    if text and values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    return values.reshape(-1, 1) if values.ndim == 1 and not text else values


def _checked(part, n_rows, name):
    if hasattr(part, "to_numpy"):
        part = part.to_numpy()
    if not sparse.issparse(part):
        part = np.asarray(part)
    if part.ndim != 2 or part.shape[0] != n_rows:
        raise ValueError(
            f"The transformer of {name!r} must return one row for each of {n_rows} rows. Got shape {part.shape}."
        )
    return part


def _spread(part, rows, n_rows, name, max_dense_bytes):
    """The part's rows in their places among all, NaN elsewhere."""
    if sparse.issparse(part):
        needed = n_rows * part.shape[1] * part.dtype.itemsize
        if needed > max_dense_bytes:
            raise MemoryError(
                f"The output of {name!r} is sparse and would need {needed / 1e9:.1f} GB dense ({n_rows} rows x "
                f"{part.shape[1]} features; the limit is {max_dense_bytes / 1e9:.1f} GB); add TruncatedSVD behind it, "
                "lower max_features, or raise max_dense_bytes."
            )
        part = part.toarray()
    if rows.all():
        return part
    if part.dtype.kind in "biuf":
        spread = np.full((n_rows, part.shape[1]), np.nan, dtype=np.result_type(part.dtype, np.float16))
    else:
        spread = np.full((n_rows, part.shape[1]), None, dtype=object)
    spread[rows] = part
    return spread
