"""The fitted model for others to run: one torch module from raw arrays to probabilities, and one ONNX file of it."""

import io
import json
import logging
import warnings
from collections.abc import Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from importlib.metadata import version
from importlib.util import find_spec
from itertools import accumulate, repeat
from pathlib import Path

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sklearn_aecf._data import did_you_mean, quoted
from sklearn_aecf._files import whole_file
from sklearn_aecf._inputs import NetworkInputs
from sklearn_aecf._model import Model, mean_logits
from sklearn_aecf._problem import PROBLEMS
from sklearn_aecf._statistics import CLIP, CLIP_UNSCALED
from sklearn_aecf.nn import OwnEncoder
from sklearn_aecf.nn._runtime import usual_torch

# What torch's exporter writes without a conversion, and every ONNX Runtime since 1.14 reads.
OPSET = 18

OUTPUTS = ("probabilities", "gate_weights", "reliability")

_TALKATIVE = (
    "torch.onnx._internal.exporter._registration",
    "torch.fx.experimental.symbolic_shapes",
    "torch.export",
    "onnxscript",
)

# What an ONNX file can hold, less some room for the graph.
MAX_BYTES = 2**31 - 2**24


class Preparation(nn.Module):
    """What `NetworkInputs` does to arrays, as a graph of tensors: NaN in all of a row's values is a missing modality.

    Parameters
    ----------
    inputs : NetworkInputs
    """

    def __init__(self, inputs: NetworkInputs):
        super().__init__()
        self.parts = nn.ModuleList(
            PreparedRaw(part) if part.statistics is None else PreparedTable(part) for part in inputs.parts
        )

    def forward(self, arrays: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Inputs of the network, and the presence (b, m) of the modalities, of arrays of shape (b, ...)."""
        # A modality of one number a row may have no second axis.
        tables = [x.flatten(1) if x.dim() > 1 else x[:, None] for x in arrays]
        missing = [x.isnan() for x in tables]
        present = torch.stack([~flags.all(dim=1) for flags in missing], dim=1)
        prepared = [
            part(x, flags, present[:, m])
            for m, (part, x, flags) in enumerate(zip(self.parts, tables, missing, strict=True))
        ]
        return prepared, present


def _shaped(values: Tensor, shape: tuple) -> Tensor:
    """Rows (b, n_values) in the shape of an input (b, ...)."""
    return values.unflatten(1, shape) if shape else values[:, 0]


class PreparedTable(nn.Module):
    """Of one modality what `prepare` does, and 0 in rows without it.

    Parameters
    ----------
    part : TableInput or RawInput
        With statistics.
    """

    mean: Tensor
    scale: Tensor
    gaps: Tensor

    def __init__(self, part):
        super().__init__()
        statistics = part.statistics
        self.shape = part.shape
        self.standardize = getattr(part, "standardize", True)
        for name, values in {"mean": statistics.mean, "scale": statistics.scale}.items():
            self.register_buffer(name, torch.from_numpy(np.array(values, dtype=np.float64)))
        self.register_buffer("gaps", torch.from_numpy(np.array(statistics.gaps, dtype=np.int64)))

    def forward(self, x: Tensor, missing: Tensor, present: Tensor) -> Tensor:
        """Float32 of shape (b, n_inputs) or that of `part`.

        Parameters
        ----------
        x : Tensor of shape (b, n_features)
        missing : bool Tensor of shape (b, n_features)
        present : bool Tensor of shape (b,)
        """
        # In float64, so a large mean under a small spread keeps its digits.
        wide = x.double()
        if self.standardize:
            values = ((wide - self.mean) / self.scale).clamp(-CLIP, CLIP).masked_fill(missing, 0)
        else:
            fill = self.mean.clamp(-CLIP_UNSCALED, CLIP_UNSCALED)
            values = torch.where(missing, fill, wide.clamp(-CLIP_UNSCALED, CLIP_UNSCALED))
        if len(self.gaps):
            values = torch.cat([values, missing[:, self.gaps].double()], dim=1)
        return _shaped(values.float().masked_fill(~present[:, None], 0), self.shape)


class PreparedRaw(nn.Module):
    """Of a modality with an encoder of its own: values as they are, in its dtype, and 0 in rows without it.

    Parameters
    ----------
    part : RawInput
    """

    def __init__(self, part):
        super().__init__()
        self.shape, self.dtype = part.shape, part.dtype

    def forward(self, x: Tensor, missing: Tensor, present: Tensor) -> Tensor:
        """See `PreparedTable.forward`."""
        return _shaped(x.masked_fill(~present[:, None], 0).to(self.dtype), self.shape)


class ModelGraph(nn.Module):
    """A fitted model from raw arrays to probabilities, gate weights and reliabilities.

    Parameters
    ----------
    model : Model
        It is copied, to CPU.
    names : sequence of str
        Modalities in fitted order.

    Attributes
    ----------
    names : tuple of str
        Modalities, in the order of the columns of weights and reliabilities.
    shapes : dict of str to tuple of int
        Of a row of each modality that the network has a part for.
    """

    def __init__(self, model: Model, names: Sequence[str]):
        super().__init__()
        self.names = tuple(names)
        inputs, self.problem = model.inputs, model.problem
        self.shapes = {
            names[m]: (len(part.statistics.mean),) if hasattr(part, "standardize") else tuple(part.shape)
            for m, part in zip(inputs.active, inputs.parts, strict=True)
        }
        self.preparation = Preparation(inputs)
        self.network = deepcopy(model.network).cpu().eval()
        self.calibration = model.calibration.float()
        # A modality that may come, but has not, is not heard.
        silent = inputs.seen is not None and not inputs.seen.all()
        self.register_buffer("seen", torch.from_numpy(inputs.seen) if silent else None)
        self.register_buffer("placement", torch.eye(len(names))[torch.from_numpy(inputs.active)])
        self.requires_grad_(False)

    def forward(self, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        """All that the model says of some rows.

        Parameters
        ----------
        arrays : dict of str to Tensor of shape (b, f_m), or (b, ...) where the modality has an encoder of its own
            Of any floating dtype. NaN in all of a row's values: the modality is missing there; in some: gaps. Not
            checked for infinities, which count as very large.

        Returns
        -------
        dict of str to Tensor
            Float32. ``probabilities`` (b, c), the class prior in rows with nothing observed; ``gate_weights`` (b, m),
            0 where missing; ``reliability`` (b, m), NaN where missing, and 1 where the model does not tell it.
            Modalities are in fitted order.

        Raises
        ------
        ValueError
            If a modality is lacking, or of another shape. Not checked in an exported graph.
        """
        if not torch.compiler.is_compiling():
            self._check(arrays)
        inputs, present = self.preparation([arrays[name] for name in self.shapes])
        if self.seen is not None:
            present = present & self.seen
        output = self.network(inputs, present)
        trust = output["trust"][:, 0] if "trust" in output else None
        probability = self.calibration(mean_logits(self.problem, output)[:, 0], present, trust)
        reliability = output["reliability"][:, 0] if "reliability" in output else torch.ones_like(probability[:, :1])
        # Modalities that were never seen in training have a column, but no part of the network.
        observed = present.float() @ self.placement > 0
        known = (reliability * present.float()) @ self.placement
        return {
            "probabilities": probability,
            "gate_weights": output["weights"][:, 0].float() @ self.placement,
            "reliability": known.masked_fill(~observed, torch.nan),
        }

    def _check(self, arrays):
        for name, shape in self.shapes.items():
            if name not in arrays:
                raise ValueError(
                    f"arrays lacks modality {name!r}{did_you_mean(name, arrays)} Give a tensor of NaN where nobody has "
                    f"it. Modalities: {quoted(self.shapes)}."
                )
            if tuple(arrays[name].shape[1:]) != shape:
                expected = ", ".join(map(str, ("n_rows", *shape)))
                raise ValueError(f"Modality {name!r} must have shape ({expected}). Got {tuple(arrays[name].shape)}.")

    def example(self) -> dict[str, Tensor]:
        """Rows to trace with."""
        # Two rows: of one, torch would take the number for a constant. Codes of 0 are in every table of embeddings.
        return {name: torch.zeros(2, *shape, dtype=self._dtype(name)) for name, shape in self.shapes.items()}

    def _dtype(self, name):
        """Float32 for pictures and the like, which are large, and float64 for what float32 would round."""
        part = self.preparation.parts[list(self.shapes).index(name)]
        return torch.float32 if getattr(part, "dtype", None) in (torch.float32, torch.uint8) else torch.float64


class ExportMixin:
    """`to_torch` and `to_onnx` of a classifier."""

    def to_torch(self):
        """The fitted model as one torch module, from raw arrays to calibrated probabilities.

        Standardising, gaps, temperature and prior are inside. The module is a copy on CPU, in evaluation mode, without
        gradients of its weights. ``torch.export.export`` takes it. It computes in float32, also where the classifier
        has ``precision="bfloat16"``, and else equals `predict_proba` to 1e-6.

        Returns
        -------
        torch.nn.Module
            Called with a dict of tensors of shape (n_rows, n_features), one per modality that training rows had, in
            which NaN marks what is missing; of a modality with an encoder of its own (n_rows, ...), integers as floats.
            Columns of text are given as indicators, see the guide. It returns a dict of float32 tensors:
            ``probabilities`` of shape (n_rows, n_classes), ``gate_weights`` and ``reliability`` of shape
            (n_rows, n_modalities), as `predict_proba`, `gate_weights` and `modality_reliability` have them.

        Examples
        --------
        >>> import torch
        >>> from sklearn_aecf import AECFClassifier
        >>> from sklearn_aecf.datasets import make_multimodal_classification
        >>> X, y = make_multimodal_classification(300, random_state=0)
        >>> clf = AECFClassifier(max_epochs=3, random_state=0).fit(X, y)
        >>> module = clf.to_torch()
        >>> found = module({name: torch.from_numpy(X[name]) for name in X})
        >>> bool(abs(found["probabilities"].numpy() - clf.predict_proba(X)).max() < 1e-6)
        True
        """
        check_is_fitted(self)
        with usual_torch():
            return ModelGraph(self._model, self.modality_names_)

    def to_onnx(self, path):
        """Write the fitted model to one ONNX file, which ONNX Runtime serves without torch or scikit-learn.

        Inputs are named as the modalities are: float64 of shape (rows, n_features), in which NaN marks what is missing,
        and float32 where a modality has an encoder of its own, but float64 where that takes integers. Outputs are those
        of `to_torch`. The number of rows is free. The opset is 18. The metadata say, as JSON, ``modalities`` and
        ``classes`` (names in the order of the outputs' columns), ``target`` (the kind), ``columns`` (what each input
        column holds, where names are known), and ``version`` (of this package).

        It takes ``pip install sklearn-aecf[onnx]``, and 10 to 20 seconds.

        Parameters
        ----------
        path : str or path-like
            An existing file is replaced, once the new one is whole.

        Raises
        ------
        ImportError
            If onnx or onnxscript is not installed, or older than torch needs.
        ValueError
            If a modality has the name of an output, the weights have more than 2 GB, or an encoder or a network of your
            own cannot be exported.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self)
        lacking = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
        if lacking:
            raise ImportError(
                f"to_onnx needs {' and '.join(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not installed; "
                "pip install 'sklearn-aecf[onnx]'."
            )
        for name in self.modality_names_:
            if name in OUTPUTS:
                raise ValueError(
                    f"Modality {name!r} has the name of an output of the ONNX model ({quoted(OUTPUTS)}); rename it."
                )
        graph = self.to_torch()
        size = sum(tensor.nbytes for tensor in graph.state_dict().values())
        if size > MAX_BYTES:
            raise ValueError(
                f"The weights have {size / 2**30:.1f} GB, but an ONNX file holds 2 GB; use to_torch and torch.export."
            )
        # A path that cannot be written to is told before the export, which takes long.
        with whole_file(Path(path)) as file:
            program = onnx_program(graph)
            name_values(program.model.graph, list(graph.shapes))
            program.model.metadata_props.update(
                {key: json.dumps(value, default=str) for key, value in self._metadata().items()}
            )
            file.write(program.model_proto.SerializeToString())

    def _metadata(self):
        """What a reader of the file has to know, for JSON."""
        kind = next(name for name, kind in PROBLEMS.items() if isinstance(self._problem, kind))
        return {
            "modalities": self.modality_names_,
            "classes": self.classes_.tolist(),
            "target": kind,
            "columns": input_columns(self._spec),
            "version": version("sklearn-aecf"),
        }


def input_columns(spec):
    """What each column of a modality's array holds, where that is known.

    Parameters
    ----------
    spec : InputSpec

    Returns
    -------
    dict of str to list of str
        ``"age"`` for a number, ``"sex=male"`` for the indicator of a category, ``"vector[3]"`` for a value in a cell.
    """
    columns = {name: list(names) for name, names in spec.feature_names.items()}
    for name, encoding in spec.encodings.items():
        labels = columns.get(name) or [str(i) for i in range(len(encoding.columns))]
        kinds = zip(labels, encoding.columns, strict=True)
        columns[name] = [text for label, kind in kinds for text in _columns_of(label, kind)]
    return columns


def _columns_of(label, kind):
    if kind is None:
        return [label]
    if isinstance(kind, tuple):
        return [f"{label}={category}" for category in (kind[1:] if len(kind) == 2 else kind)]
    return [f"{label}[{i}]" for i in range(kind)]


def onnx_program(graph):
    """The ONNX program of a `ModelGraph`.

    Parameters
    ----------
    graph : ModelGraph

    Returns
    -------
    torch.onnx.ONNXProgram

    Raises
    ------
    ImportError
        If onnxscript is older than torch needs.
    ValueError
        If it cannot be exported; the sentence names the encoder that is to blame, if one is.
    """
    rows = torch.export.Dim("rows")
    example = graph.example()
    with usual_torch(), torch.no_grad(), quiet():
        try:
            return _exported(graph, (example,), ({name: {0: rows} for name in example},))
        except Exception as error:
            if isinstance(_cause(error), ImportError):
                raise ImportError(
                    f"onnxscript {version('onnxscript')} does not fit torch {torch.__version__} ({_short(error)}); pip "
                    "install --upgrade onnxscript."
                ) from error
            raise ValueError(f"{_culprit(graph, example, error)}; {_REMEDY}.") from error


def _exported(module, args, shapes):
    program = torch.export.export(module, args, dynamic_shapes=shapes, strict=False)
    return torch.onnx.export(program, dynamic_shapes=shapes, opset_version=OPSET, external_data=False, verbose=False)


_REMEDY = "its forward must not branch on values, and must use operations that ONNX has"


def _culprit(graph, example, error):
    """Whose forward cannot be exported, and why."""
    inputs, present = graph.preparation(list(example.values()))
    encoders = {part.name: part for part in graph.network.modules() if isinstance(part, OwnEncoder)}
    rows = torch.export.Dim("rows")
    for m, (name, x) in enumerate(zip(graph.shapes, inputs, strict=True)):
        if name in encoders:
            try:
                _exported(encoders[name], (x, present[:, m]), ({0: rows}, {0: rows}))
            except Exception as own:
                kind = type(encoders[name].encoder).__name__
                return f"The encoder of modality {name!r} ({kind}) cannot be exported: {_short(own)}"
    return f"The network ({type(graph.network).__name__}) cannot be exported: {_short(error)}"


def _cause(error):
    """What the exporter's errors are wrapped around."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _short(error):
    """The first line of the cause."""
    error = _cause(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0].rstrip(".")[:200]


@contextmanager
def quiet():
    """Without what torch's exporter says to its developers: warnings, logs and, where it fails, the whole graph."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def name_values(graph, names):
    """Call inputs and outputs of a graph as the modalities are called, and what it computes differently.

    Parameters
    ----------
    graph : onnx_ir.Graph
    names : list of str
        Of the inputs.
    """
    outside = [*zip(graph.inputs, names, strict=True), *zip(graph.outputs, OUTPUTS, strict=True)]
    ours = {id(value) for value, _ in outside}
    inner = [value for node in graph for value in node.outputs if id(value) not in ours]
    inner += graph.initializers.values()
    taken = {*names, *OUTPUTS}
    for i, value in enumerate(inner):
        if value.name in taken:
            value.name = next(name for name in _fresh(value.name, i) if name not in taken)
    for value, name in outside:
        value.name = name


def _fresh(name, i):
    """Names that nothing else in a graph is given, the `i`-th value of which needs one."""
    return (f"{name}/inner{suffix}{i}" for suffix in accumulate(repeat("_")))
