"""A scikit-learn transformer per modality, fitted and applied where the modality is observed."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin, clone
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from sklearn_aecf._data import (
    MultimodalData,
    checked_name,
    form_of,
    in_fitted_order,
    missing_rows,
    plain,
    refuse_twins,
)


class ModalityTransformer(TransformerMixin, _BaseComposition, auto_wrap_output_keys=None):
    """Transform each modality with its own scikit-learn transformer; missing rows stay missing.

    A transformer is fitted on the rows where its modality is observed and transforms those, so that PCA and the like,
    which reject NaN, need no imputation of whole modalities. Where X is a DataFrame, or a modality of a dict is one,
    its transformer gets a DataFrame, and can choose columns by name. The result is a `MultimodalData`.

    Parameters
    ----------
    transformers : dict or transformer
        One transformer for every modality, each a copy; or modality to transformer, ``"passthrough"`` or ``"drop"``.
        A tuple of modalities as key merges them (rows that have all of them count as observed). A dict as value splits
        or renames: ``{"image": {"colour": one, "shape": other}}``, ``{("image", "audio"): {"clip": "passthrough"}}``.
        Merged modalities without a name of their own are called ``"image+audio"``.
    remainder : {"passthrough", "drop"} or transformer, default="passthrough"
        What happens to modalities that are not mentioned; a transformer is copied for each.
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
            return [(name, transformer) for name, _, transformer in self._plan(())]
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
        """Parameters of this estimator and, if `deep`, of its transformers by output name.

        Parameters
        ----------
        deep : bool, default=True
            Whether to list the parameters of the transformers, too.

        Returns
        -------
        dict
            Parameters by name.
        """
        return self._get_params("_named_transformers", deep=deep)

    def set_params(self, **params):
        """Set parameters, also of the transformers: ``image__n_components=16``, ``image=PCA(8)``.

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        self
            The estimator itself.
        """
        self._set_params("_named_transformers", **params)
        return self

    def set_output(self, *, transform=None):
        """Choose what `transform` returns.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None
            A `MultimodalData`; a DataFrame of pandas with columns of two levels, modality and feature, and the index of
            X; or one of polars with columns called ``"image__pca0"``, to be read with
            ``modalities={"image": "image__*"}``. None changes nothing.

        Returns
        -------
        self
            The estimator itself.
        """
        if transform not in (None, "default", "pandas", "polars"):
            raise ValueError(f"transform must be 'default', 'pandas', 'polars' or None. Got {transform!r}.")
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self

    # Fitting and transforming

    def fit(self, X, y=None):
        """Fit every transformer on the rows where its modality is observed.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        y : array-like of shape (n_rows,), default=None
            Handed on to the transformers.

        Returns
        -------
        self
            The estimator itself.
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y=None):
        """Fit, and transform the same rows.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.
        y : array-like of shape (n_rows,), default=None
            Handed on to the transformers.

        Returns
        -------
        MultimodalData, or DataFrame after `set_output`
            The modalities transformed.
        """
        form = form_of(X, self.modalities)
        data = form.as_container()
        form.tell_unused()
        plan = self._plan(data.names)
        self._check_plan(plan, data)
        plan += self._remainder(plan, data)
        plan = [(name, inputs, transformer) for name, inputs, transformer in plan if not _is("drop", transformer)]
        if not plan:
            raise ValueError("Every modality is dropped; keep at least one.")
        given = [_Input.at_fit(form, data, inputs, transformer) for _, inputs, transformer in plan]
        y = None if y is None else np.asarray(y)
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_transform_one)(name, part, clone(transformer, safe=False), y)
            for (name, _, transformer), part in zip(plan, given, strict=True)
        )
        self.modality_names_in_ = list(data.names)
        self._features_in, self._columns, self._unused = data.known_feature_names, form.labels(), form.unused()
        self.transformers_ = [
            (name, inputs, transformer) for (name, inputs, _), (transformer, _, _) in zip(plan, results, strict=True)
        ]
        self._frames = {name: part.like() for (name, _, _), part in zip(plan, given, strict=True)}
        self._inputs_of = {name: {m: data.feature_names(m) for m in inputs} for name, inputs, _ in plan}
        self._shapes = {name: part.shape[1:] for (name, _, _), (_, part, _) in zip(plan, results, strict=True)}
        self._widths = {name: _width(part) for (name, _, _), (_, part, _) in zip(plan, results, strict=True)}
        self.modality_names_out_ = [name for name, _, _ in plan]
        return self._assembled([(part, rows) for _, part, rows in results], data, form.index())

    def transform(self, X):
        """Transform rows; modalities left out of X are missing in the result.

        Parameters
        ----------
        X : dict, MultimodalData, array-like or DataFrame
            Rows of several modalities, in any form that `AECFClassifier.fit` takes.

        Returns
        -------
        MultimodalData, or DataFrame after `set_output`
            The modalities transformed.
        """
        check_is_fitted(self)
        form = form_of(X, self.modalities)
        data = form.as_container(self._columns, self._unused)
        for name in data:
            if name not in self.modality_names_in_:
                checked_name(name, self.modality_names_in_)
        data = MultimodalData(in_fitted_order(dict(data), data.known_feature_names, self._features_in))
        labels = (self._columns if form.by_label else self._features_in) or {}
        given = [_Input.later(form, data, inputs, labels, self._frames[name]) for name, inputs, _ in self.transformers_]
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(_transform_one)(name, part, transformer, self._shapes[name])
            for (name, _, transformer), part in zip(self.transformers_, given, strict=True)
        )
        return self._assembled(results, data, form.index())

    def get_feature_names_out(self, input_features=None):
        """Names of the features of all modalities side by side: ``"image__pca0"``, ...

        Parameters
        ----------
        input_features : ignored
            There for scikit-learn.

        Returns
        -------
        ndarray of str
            Names of the columns, those of a modality side by side.
        """
        check_is_fitted(self)
        names = chain.from_iterable(
            (f"{name}__{feature}" for feature in self._feature_names(name, transformer))
            for name, _, transformer in self.transformers_
        )
        names = list(names)
        refuse_twins(names, "The output")
        return np.array(names, dtype=object)

    def _feature_names(self, name, transformer):
        given = list(chain.from_iterable(self._inputs_of[name].values()))
        if len(set(given)) < len(given):
            given = [f"{modality}_{feature}" for modality, names in self._inputs_of[name].items() for feature in names]
        if _is("passthrough", transformer):
            return given
        if hasattr(transformer, "get_feature_names_out"):
            try:
                return list(map(str, transformer.get_feature_names_out(np.array(given, dtype=object))))
            except (TypeError, ValueError):
                return list(map(str, transformer.get_feature_names_out()))
        return [str(index) for index in range(self._widths[name])]

    def _assembled(self, results, data, index):
        arrays, feature_names = {}, {}
        for (name, _, transformer), (part, rows) in zip(self.transformers_, results, strict=True):
            arrays[name] = _spread(part, rows, len(data), name, self.max_dense_bytes)
            feature_names[name] = tuple(self._feature_names(name, transformer))
        known = {name: names for name, names in feature_names.items() if len(names) == self._widths[name]}
        container = MultimodalData(arrays, feature_names=known)
        kind = _get_output_config("transform", self)["dense"]
        if kind == "polars":
            return container._to_flat_frame()
        if kind == "pandas":
            frame = container.to_frame()
            return frame if index is None else frame.set_axis(index)
        return container

    def _plan(self, names):
        """Output name, inputs and transformer of each, in the order given."""
        if not isinstance(self.transformers, Mapping):
            if not _is_transformer(self.transformers):
                raise TypeError(
                    "transformers must be a dict of modality to transformer, or one transformer. Got "
                    f"{self.transformers!r}."
                )
            return [(name, (name,), self.transformers) for name in names]
        plan = []
        for key, value in self.transformers.items():
            inputs = key if isinstance(key, tuple) else (key,)
            if not inputs or not all(isinstance(name, str) for name in inputs):
                raise TypeError(
                    f"transformers must be a dict by modality, or by a tuple of modalities. Got key {key!r}."
                )
            outputs = value.items() if isinstance(value, Mapping) else [(_joined(key), value)]
            plan += [(name, inputs, transformer) for name, transformer in outputs]
        return plan

    def _check_plan(self, plan, data):
        if not _is_transformer(self.remainder):
            raise ValueError(f"remainder must be 'passthrough', 'drop' or a transformer. Got {self.remainder!r}.")
        seen = set()
        for name, inputs, transformer in plan:
            for modality in inputs:
                checked_name(modality, data.names)
            if name in seen:
                raise ValueError(f"Two transformers give a modality {name!r}; name their outputs apart.")
            seen.add(name)
            if not _is_transformer(transformer):
                raise TypeError(
                    f"The transformer of {name!r} must have fit and transform, or be 'passthrough' or 'drop'. Got "
                    f"{transformer!r}."
                )

    def _remainder(self, plan, data):
        mentioned = {modality for _, inputs, _ in plan for modality in inputs}
        if _is("drop", self.remainder):
            return []
        rest = [name for name in data if name not in mentioned]
        clash = set(rest) & {name for name, _, _ in plan}
        if clash:
            raise ValueError(
                f"A transformer gives a modality {sorted(clash)[0]!r}, which X has too; name its output apart."
            )
        return [(name, (name,), self.remainder) for name in rest]

    def _sk_visual_block_(self):
        named = self._named_transformers or [("every modality", self.transformers)]
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


def _is(word, transformer):
    return isinstance(transformer, str) and transformer == word


def _is_transformer(value):
    named = _is("passthrough", value) or _is("drop", value)
    return named or (hasattr(value, "transform") and not isinstance(value, type))


@dataclass
class _Input:
    """What a transformer gets.

    Attributes
    ----------
    values : ndarray, or None
        Of one modality, or of several side by side; None if X lacks one.
    rows : ndarray of bool
        Which rows have all of them.
    frame : DataFrame, or None
        The same, where X is a DataFrame or has one, or the transformer was fitted on one.
    """

    values: np.ndarray | None
    rows: np.ndarray
    frame: object = None

    @classmethod
    def of(cls, data, names):
        """Some modalities of a container."""
        if any(name not in data for name in names):
            return cls(None, np.zeros(len(data), dtype=bool))
        arrays = [data[name] for name in names]
        rows = ~np.any([missing_rows(array) for array in arrays], axis=0)
        if len(arrays) == 1:
            return cls(arrays[0], rows)
        return cls(_side_by_side([plain(array).reshape(len(array), _width(array)) for array in arrays]), rows)

    @classmethod
    def at_fit(cls, form, data, names, transformer):
        """Some modalities of X, with a DataFrame where X is one or has one."""
        given = cls.of(data, names)
        if given.values is not None and not _is("passthrough", transformer):
            given.frame = form.frame(names)
        return given

    @classmethod
    def later(cls, form, data, names, labels, like):
        """The same of further rows, with a DataFrame if there was one at fit; `labels` are those of then."""
        given = cls.of(data, names)
        if like is None or not given.rows.any():
            return given
        library, columns = like
        if all(name in labels for name in names):
            given.frame = form.frame(names, labels)
        if given.frame is None and given.values.shape[1:] == (len(columns),):
            # Categories as they stood in the DataFrame.
            table = [[getattr(value, "value", value) for value in column] for column in plain(given.values).T.tolist()]
            given.frame = library(dict(zip(columns, table, strict=True)))
        return given

    def like(self):
        """The kind of DataFrame and its columns, or None."""
        return None if self.frame is None else (type(self.frame), list(self.frame.columns))

    def chosen(self, transformer):
        """The rows that have it, as the transformer wants them."""
        if self.frame is not None and not _wants_one_column(transformer, self.values):
            return _safe_indexing(self.frame, np.flatnonzero(self.rows))
        return _as_wanted(plain(self.values)[self.rows], transformer)


def _fit_transform_one(name, given, transformer, y):
    rows = given.rows
    if _is("passthrough", transformer):
        return transformer, *_passed(given.values, rows)
    if not rows.any():
        raise ValueError(f"No row has the input of transformer {name!r}, so it cannot be fitted; drop it.")
    part = transformer.fit_transform(given.chosen(transformer), None if y is None else y[rows])
    return transformer, _checked(part, rows.sum(), name), rows


def _transform_one(name, given, transformer, shape):
    rows = given.rows
    if not rows.any():
        # Nobody has it: NaN of the fitted shape, without a copy; None where items came as objects.
        nothing = np.broadcast_to(np.nan, (len(rows), *shape)) if shape else np.full(len(rows), None, dtype=object)
        return nothing, np.ones(len(rows), dtype=bool)
    if _is("passthrough", transformer):
        part, rows = _passed(given.values, rows)
        width = int(np.prod(shape))
        if _width(part) != width:
            raise ValueError(
                f"Modality {name!r} has {_width(part)} features, but ModalityTransformer was fitted with {width}."
            )
        return part, rows
    return _checked(transformer.transform(given.chosen(transformer)), rows.sum(), name), rows


def _passed(values, rows):
    """What passes through: the modality as it is, but for text, a column, and for what lacks a part of a merger."""
    of_arrays = values.dtype.kind == "O" and values.ndim == 1 and np.ndim(values[rows][0] if rows.any() else 0) > 0
    if of_arrays or (values.ndim > 1 and np.array_equal(missing_rows(values), ~rows)):
        return values, np.ones(len(values), dtype=bool)
    return plain(values)[rows].reshape(rows.sum(), int(np.prod(values.shape[1:]))), rows


def _width(part):
    return int(np.prod(part.shape[1:]))


def _side_by_side(tables):
    try:
        return np.concatenate(tables, axis=1)
    except TypeError:  # dates beside numbers
        return np.concatenate([table.astype(object) for table in tables], axis=1)


def _first_step(transformer):
    """What gets the values first, of a pipeline; None if all of it passes them through."""
    while hasattr(transformer, "steps"):
        transformer = next((step for _, step in transformer.steps if not isinstance(step, str)), None)
    return transformer


def _wants_one_column(transformer, values):
    """Whether a transformer of text gets a single column, which it wants as 1-D."""
    first = _first_step(transformer)
    text = values.dtype.kind in "OUS" and first is not None and not get_tags(first).input_tags.two_d_array
    return text and values.ndim <= 2 and values.size == len(values)


def _as_wanted(values, transformer):
    if _wants_one_column(transformer, values):
        return values.reshape(-1)
    return values.reshape(-1, 1) if values.ndim == 1 else values


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
