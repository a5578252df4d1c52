"""Fitted parts as the head and the arrays of a file, and back."""

import math
from importlib.metadata import version

import numpy as np
import torch
from sklearn import config_context
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import check_is_fitted

from sklearn_aecf._data import InputSpec, quoted, warn_caller
from sklearn_aecf._data._columns import Encoding
from sklearn_aecf._inputs import NetworkInputs, RawInput, TableInput
from sklearn_aecf._problem import PROBLEMS
from sklearn_aecf._saved_file import CannotSaveError, damaged, packed, read_file, shortened, unpacked, write_file
from sklearn_aecf._statistics import ModalityStatistics
from sklearn_aecf._training import history_columns
from sklearn_aecf._training._own_encoders import module_of
from sklearn_aecf.calibration import SubsetTemperature
from sklearn_aecf.nn import AECFNetwork, OwnEncoder
from sklearn_aecf.nn._runtime import seeded, usual_torch

# What parts of a file that do not fit each other may raise.
_MISFITS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError)

# What is fitted


def head_of(spec, inputs, problem, temperature):
    """All that is fitted but arrays."""
    kind = next(name for name, kind in PROBLEMS.items() if isinstance(problem, kind))
    parts = [
        {"standardize": part.standardize}
        if isinstance(part, TableInput)
        else {"name": part.name, "shape": list(part.shape), "dtype": str(part.dtype).removeprefix("torch.")}
        for part in inputs.parts
    ]
    return {
        "spec": packed(spec),
        "inputs": parts,
        "problem": {"kind": kind, "classes": packed(problem.classes)},
        "temperature": None
        if temperature is None
        else {"method": temperature.method, "prior": temperature.prior, "log_scale": temperature.log_scale_},
    }


def arrays_of(inputs, prior, temperature):
    """Their arrays."""
    arrays = {"active": np.asarray(inputs.active, dtype=np.int64), "prior": np.asarray(prior, dtype=np.float64)}
    if inputs.seen is not None:
        arrays["seen"] = inputs.seen
    for i, part in enumerate(inputs.parts):
        if part.statistics is not None:
            arrays |= {
                f"mean_{i}": part.statistics.mean,
                f"scale_{i}": part.statistics.scale,
                f"gaps_{i}": np.asarray(part.statistics.gaps, dtype=np.int64),
            }
            if part.statistics.total is not None:
                arrays |= {f"total_{i}": part.statistics.total, f"variance_{i}": part.statistics.variance}
    return arrays if temperature is None else {**arrays, "absence": temperature.absence_}


def fitted_of(head, arrays):
    """Spec, inputs, problem, prior and temperature, checked against each other.

    Raises
    ------
    ValueError, KeyError, TypeError
        If something is missing or does not fit.
    """
    spec, problem = unpacked(head["spec"]), PROBLEMS[head["problem"]["kind"]](unpacked(head["problem"]["classes"]))
    _check_spec(spec)
    active, prior = arrays["active"], arrays["prior"]
    in_order = (
        active.dtype == np.int64
        and active.ndim == 1
        and (np.diff(active) > 0).all()
        and active.size == len(head["inputs"]) > 0
    )
    _require(in_order and active[0] >= 0 and active[-1] < len(spec.names), "active modalities")
    _require(problem.classes.ndim == 1 and problem.n_outputs > 1, "classes")
    _require(prior.dtype == np.float64 and problem.admits(prior), "classes and their prior")
    parts = [_part(i, part, arrays) for i, part in enumerate(head["inputs"])]
    for m, part in zip(active, parts, strict=True):
        _check_part(spec, int(m), part)
    temperature = None
    if head["temperature"] is not None:
        temperature = SubsetTemperature(method=head["temperature"]["method"], prior=head["temperature"]["prior"])
        temperature.log_scale_, temperature.absence_ = float(head["temperature"]["log_scale"]), arrays["absence"]
        absence = temperature.absence_
        # The bounds that it is fitted within.
        bounded = abs(temperature.log_scale_) <= 3 and ((absence >= 0) & (absence <= 3)).all()
        _require(bounded and absence.shape == active.shape and absence.dtype == np.float64, "temperature")
    seen = arrays.get("seen")
    _require(seen is None or (seen.dtype == bool and seen.shape == active.shape and seen.any()), "seen modalities")
    return spec, NetworkInputs(active, parts, seen), problem, prior, temperature


def _part(i, part, arrays):
    statistics = None
    if f"mean_{i}" in arrays:
        mean, scale, gaps = arrays[f"mean_{i}"], arrays[f"scale_{i}"], arrays[f"gaps_{i}"]
        fitting = mean.ndim == 1 and mean.shape == scale.shape and mean.dtype == scale.dtype == np.float64
        fitting = fitting and np.isfinite(mean).all() and (scale > 0).all()
        inside = gaps.ndim == 1 and gaps.dtype == np.int64 and ((gaps >= 0) & (gaps < len(mean))).all()
        _require(fitting and np.isfinite(scale).all() and inside, f"statistics {i}")
        counted = [arrays.get(f"total_{i}"), arrays.get(f"variance_{i}")]
        known = [array for array in counted if array is not None]
        sound = all(array.shape == mean.shape and np.isfinite(array).all() and (array >= 0).all() for array in known)
        _require(len(known) in (0, 2) and sound, f"statistics {i}")
        statistics = ModalityStatistics(mean, scale, gaps, *counted)
    if "standardize" in part:
        _require(statistics is not None and isinstance(part["standardize"], bool), f"input {i}")
        return TableInput(statistics, part["standardize"])
    dtype = {"float32": torch.float32, "int64": torch.int64, "uint8": torch.uint8}[part["dtype"]]
    return RawInput(str(part["name"]), tuple(map(int, part["shape"])), dtype, statistics)


def _check_spec(spec):
    """What X looked like must be complete, or prediction would stumble over it."""
    _require(isinstance(spec, InputSpec), "inputs")
    names, shapes = spec.names, spec.shapes
    _require(isinstance(names, tuple) and all(isinstance(name, str) for name in names), "names")
    _require(len(names) == len(set(names)) > 0, "names")
    _require(isinstance(shapes, tuple) and len(shapes) == len(names) and all(map(_is_shape, shapes)), "shapes")
    _require(isinstance(spec.raw, frozenset) and spec.raw <= set(names), "encoders")
    _require(isinstance(spec.encodings, dict) and spec.encodings.keys() <= set(names), "categories")
    for name, encoding in spec.encodings.items():
        fitting = isinstance(encoding, Encoding) and isinstance(encoding.columns, tuple)
        _require(fitting and all(map(_is_column_kind, encoding.columns)), "categories")
        _require(name not in spec.raw and shapes[names.index(name)] == (len(encoding.columns),), "categories")
    for named in (spec.labels, spec.features):
        if named is None:
            continue
        _require(isinstance(named, dict) and all(isinstance(labels, tuple) for labels in named.values()), "columns")
        known = tuple(named) == names if named is spec.labels else named.keys() <= set(names)
        widths = {name: shapes[names.index(name)] for name in named.keys() - spec.raw} if known else {}
        _require(known and all((len(named[name]),) == width for name, width in widths.items()), "columns")
    _require(isinstance(spec.unused, tuple), "columns")
    labels = _all_labels(spec)
    _require(all(map(_is_label, [*labels, *spec.unused])) and len(set(labels)) == len(labels), "columns")
    _require(not set(labels) & set(spec.unused), "columns")


def _all_labels(spec):
    return [label for group in (spec.labels or {}).values() for label in group]


def _is_label(label):
    """Whether something names a column; of several levels by a tuple."""
    if isinstance(label, tuple):
        return len(label) > 0 and all(map(_is_label, label))
    return label is None or isinstance(label, str | int | float)


def _is_shape(shape):
    return isinstance(shape, tuple) and all(type(size) is int and 0 <= size < 2**40 for size in shape)


def _is_column_kind(kind):
    if isinstance(kind, tuple):
        return all(isinstance(category, str) for category in kind) and len(set(kind)) == len(kind)
    return kind is None or (type(kind) is int and 0 <= kind < 2**40)


def _check_part(spec, m, part):
    """An input of the network must be made of what its modality looked like."""
    name, shape = spec.names[m], spec.shapes[m]
    n_values = None if part.statistics is None else len(part.statistics.mean)
    if isinstance(part, RawInput):
        _require(name in spec.raw and (part.name, part.shape) == (name, shape), "encoders")
        _require(n_values in (None, math.prod(shape)), f"statistics of {name!r}")
    else:
        width = spec.encodings[name].width if name in spec.encodings else math.prod(shape)
        _require(name not in spec.raw and n_values == width, f"statistics of {name!r}")


def _require(condition, what):
    if not condition:
        raise ValueError(f"its {what} do not fit")


class SavingMixin:
    """`save` and `load` of a classifier."""

    def save(self, path):
        """Write the fitted model to one file that is safe to open.

        The file is a zip of JSON and safetensors: opening it runs nothing, and it holds no training row and no state of
        the optimizer. Every later version of this package reads it.

        Parameters
        ----------
        path : str or path-like
            An existing file is replaced, once the new one is whole.

        Raises
        ------
        TypeError
            If classes or names are of a type that JSON has no words for, or `path` is no path.
        OSError
            If the file cannot be written.

        Warns
        -----
        UserWarning
            If a parameter that matters in training alone cannot be saved, such as callbacks.
        """
        check_is_fitted(self)
        params, lost = self.get_params(deep=False), []
        params["modalities"] = _plain_groups(self.modalities)
        for name in ("encoders", "network"):
            del params[name]
        for name in list(params):
            try:
                packed(params[name])
            except CannotSaveError:
                if name == "modalities":
                    raise
                lost.append(name)
                del params[name]
        module = self.net_.module_
        # Of the net: parameters may have been set since.
        params |= {"precision": self.net_.precision, "dropout": self.net_.module__dropout}
        network = {name: getattr(self.net_, f"module__{name}") for name in ("embed_dim", "hidden_dim", "n_members")}
        own = self.net_.module is not AECFNetwork
        network |= {"type": type(module).__name__, "own": own, "widths": _encoder_widths(self.net_.module__encoders)}
        fitted = {"n_features_in_": self.n_features_in_, "best_epoch_": self.best_epoch_}
        if hasattr(self, "_weight_exponent"):
            fitted["weight_exponent"] = self._weight_exponent
        if hasattr(self, "feature_names_in_"):
            fitted["feature_names_in_"] = self.feature_names_in_.tolist()
        if hasattr(self, "_metadata_request"):
            fitted["requests"] = _requests_of(self)
        fitted["output"] = getattr(self, "_sklearn_output_config", {}).get("transform")
        numeric = {k: v for k, v in self.history_.items() if v.ndim == 1 and v.dtype.kind in "biuf" and v.itemsize <= 8}
        write_file(
            path,
            {
                "version": version("sklearn-aecf"),
                "params": packed(params),
                "network": packed(network),
                "fitted": packed(fitted),
                **head_of(self._spec, self._inputs, self._problem, self.temperature_),
            },
            {
                **arrays_of(self._inputs, self.class_prior_, self.temperature_),
                **({"prior_weight": self._prior_weight} if hasattr(self, "_prior_weight") else {}),
                **{f"history.{name}": column for name, column in numeric.items()},
                **{f"network.{name}": tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()},
            },
        )
        if lost:
            warn_caller(f"{quoted(lost)} are not in the file; the loaded model predicts without, and has the defaults.")

    @classmethod
    def load(cls, path, *, encoders=None, network=None, device=None):
        """A fitted model from a file that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file that `save` wrote.
        encoders : dict of str to torch module or callable, default=None
            The modules of the modalities with an encoder of their own; the file has their weights.
        network : type or callable, default=None
            The class of the network, where it was one of your own.
        device : str, default=None
            Where to predict; by default as the parameter says that was saved.

        Returns
        -------
        AECFClassifier

        Raises
        ------
        ValueError
            If the file is damaged, of a later version, or needs an encoder or a network that is not given.
        TypeError
            If `path` is no path.

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from sklearn_aecf import AECFClassifier
        >>> from sklearn_aecf.datasets import make_multimodal_classification
        >>> X, y = make_multimodal_classification(300, random_state=0)
        >>> clf = AECFClassifier(max_epochs=3, random_state=0).fit(X, y)
        >>> with TemporaryDirectory() as folder:
        ...     clf.save(Path(folder) / "model.aecf")
        ...     loaded = AECFClassifier.load(Path(folder) / "model.aecf")
        >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
        True
        """
        head, arrays = read_file(path)
        try:
            params, stored = unpacked(head["params"]), unpacked(head["network"])
            lacking = sorted({part["name"] for part in head["inputs"] if "name" in part} - set(encoders or ()))
            own_network = bool(stored["own"])
        except _MISFITS as error:
            raise damaged(path, repr(error)) from error
        if lacking:
            raise ValueError(
                f"{path} has the weights of the encoder of modality {lacking[0]!r}, but not the module; give "
                f"encoders={{{lacking[0]!r}: module}}."
            )
        if own_network and network is None:
            raise ValueError(f"{path} was saved with network={stored['type']}; give this class as network.")
        try:
            clf = cls(**params, encoders=encoders, network=network)
            clf._validate_params()
            clf._restore(head, arrays, stored)
            made = type(clf.net_.module_).__name__
            _require(made == stored["type"], f"network {made} and that of the file, {stored['type']},")
        except _MISFITS as error:
            raise ValueError(f"{path} holds a model whose parts do not fit together: {shortened(error)}.") from error
        return clf.to_device(clf.device if device is None else device)

    def _restore(self, head, arrays, stored):
        """Be as after the fit that was saved."""
        self._spec, self._inputs, self._problem, self.class_prior_, self.temperature_ = fitted_of(head, arrays)
        self.embed_dim, self.hidden_dim, self.n_members = (stored[k] for k in ("embed_dim", "hidden_dim", "n_members"))
        weights = {k.removeprefix("network."): v for k, v in arrays.items() if k.startswith("network.")}
        if self.network is None:
            self._check_sizes(weights)
        with usual_torch(), seeded(0, "cpu"):
            made = {
                int(m): OwnEncoder(module_of(self.encoders[name], name), width, self.embed_dim, name)
                for m, (name, width) in stored["widths"].items()
            }
            self.net_ = self._make_net(made, None, self._schedule(1), "cpu")
            self.net_.initialize()
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        self.net_.module_.load_state_dict(tensors)
        state = self.net_.module_.state_dict()
        _require(all(tensors[name].dtype == state[name].dtype for name in tensors), "dtypes of the network")
        if not all(weight.isfinite().all() for weight in self.net_.module_.parameters()):
            raise ValueError("its weights are not all finite")
        self._check_reliability()
        _require(all(v.ndim == 1 for k, v in arrays.items() if k.startswith("history.")), "history")
        columns = {k.removeprefix("history."): v for k, v in arrays.items() if k.startswith("history.")}
        for row in zip(*columns.values(), strict=True):
            values = (value.item() for value in row)
            self.net_.history.append({"batches": [], **dict(zip(columns, values, strict=True))})
        self.history_ = history_columns(self.net_)
        self.n_iter_ = len(self.net_.history)
        self._adopt(self._spec, self._problem)
        fitted = unpacked(head["fitted"])
        self.n_features_in_, self.best_epoch_ = int(fitted["n_features_in_"]), int(fitted["best_epoch_"])
        _require(self._spec.raw or self.n_features_in_ == sum(self._spec.widths), "numbers of features")
        _require(1 <= self.best_epoch_ <= self.n_iter_, "epochs")
        if "weight_exponent" in fitted:
            # What `partial_fit` goes on from.
            self._weight_exponent, self._prior_weight = int(fitted["weight_exponent"]), arrays["prior_weight"]
            added = self._prior_weight
            _require(
                added.shape == self.class_prior_.shape and np.isfinite(added).all() and (added >= 0).all(), "prior"
            )
        if "feature_names_in_" in fitted:
            _require(fitted["feature_names_in_"] == _all_labels(self._spec), "names of features")
            self.feature_names_in_ = np.asarray(fitted["feature_names_in_"], dtype=object)
        _require(fitted.get("output") in (None, "default", "pandas", "polars"), "output")
        self.set_output(transform=fitted.get("output"))
        with config_context(enable_metadata_routing=True):
            for method, requests in fitted.get("requests", {}).items():
                {"fit": self.set_fit_request, "score": self.set_score_request}[method](**requests)

    def _check_reliability(self):
        """A reliability has whatever sizes its arrays have: one row must go through, and come out as numbers."""
        reliability = getattr(self.net_.module_, "reliability", None)
        if reliability is None:
            return
        n_active = len(self._inputs.active)
        everything = torch.ones(1, n_active, dtype=torch.bool)
        _require(reliability.widths == [part.n_values for part in self._inputs.parts], "reliability")
        floats = [x for x in reliability.state_dict().values() if x.is_floating_point()]
        _require(all(x.dtype == torch.float32 and not x.isnan().any() for x in floats), "reliability")
        with usual_torch(), torch.no_grad():
            rows = [x.zero_() for x in self._inputs.empty(1)]
            found = reliability(rows, torch.zeros(1, n_active, self.embed_dim), everything, everything[:, None])
        _require(all(x.shape == (1, 1, n_active) and x.isfinite().all() for x in found), "reliability")
        _require((reliability.floor > 0).all(), "reliability")

    def _check_sizes(self, weights):
        """Sizes that the head announces must be those of the weights, before memory is taken for them."""
        n_active, n_members = len(self._inputs.active), self.n_members
        sizes = (self.embed_dim, self.hidden_dim, n_members)
        _require(all(type(size) is int and size > 0 for size in sizes), "sizes of the network")
        found = weights["fusion.gate.from_embeddings"].shape[:2], weights["heads.weight"].shape
        expected = (n_active, self.embed_dim), (n_members, self.embed_dim, self._problem.n_outputs)
        _require(found == expected, "sizes of the network")
        if any(isinstance(part, TableInput) for part in self._inputs.parts):
            _require(weights["encoders.embeddings.norm_weight"].shape[2] == self.hidden_dim, "sizes of the network")


def _requests_of(classifier):
    """Metadata that `fit` and `score` ask for, by method, where somebody said so."""
    routing = get_routing_for_object(classifier)
    requests = {method: getattr(routing, method).requests for method in ("fit", "score")}
    return {
        method: {name: request for name, request in asked.items() if request is not None}
        for method, asked in requests.items()
    }


def _plain_groups(groups):
    """Column groups with pandas' and numpy's sequences as lists."""
    if groups is None:
        return None
    return {name: group.tolist() if hasattr(group, "tolist") else group for name, group in groups.items()}


def _encoder_widths(encoders):
    """Name and output width of each encoder of the user's, by position."""
    widths = {}
    for m, encoder in encoders.items():
        adapted = isinstance(encoder.adapter, torch.nn.Linear)
        widths[str(m)] = [encoder.name, encoder.adapter.in_features if adapted else encoder.embed_dim]
    return widths
