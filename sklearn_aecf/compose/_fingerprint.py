"""A digest of any object by what it is made of: weights, code and settings, not names or places in memory."""

import copyreg
import dis
import functools
import json
import site
import sys
import sysconfig
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType

import numpy as np
import torch

PLAIN = (type(None), bool, int, float, complex, str, bytes)
SCRIPTED = (torch.jit.ScriptModule, torch.jit.ScriptFunction)
DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType)


def fingerprint(value, evaluated: Iterable = ()) -> bytes:
    """Sixteen bytes that stay the same while an object would compute the same.

    Arrays and tensors count by content, functions and classes of the user by their code and what it refers to, those
    of installed packages by name and version, all other objects by what pickle would keep of them.

    Parameters
    ----------
    value : object
    evaluated : iterable of torch.nn.Module, default=()
        Modules that are set to evaluation before they are called, so that their training flags do not count.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError
        If an object holds something that cannot be read, such as an open file.
    """
    return _Fingerprints(evaluated).digest(value)


class _Fingerprints:
    """Digests of an object and of everything it refers to, each taken once."""

    def __init__(self, evaluated):
        self._known = {}
        self._evaluated = {id(part) for part in evaluated}

    def digest(self, value) -> bytes:
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        # The object is kept along: a freed one would leave its id to another. What refers to itself finds this entry.
        self._known[id(value)] = (value, b"itself")
        try:
            label, content, parts = _described(value, id(value) in self._evaluated)
        except Exception as error:
            raise TypeError(
                f"cache needs to know what the features depend on, but {_label(value)} cannot be read ({error}); leave "
                "it out of module, preprocess, pooling and load, or set cache=None."
            ) from error
        hasher = blake2b(label.encode("utf-8", "surrogatepass") + b"\0", digest_size=16)
        hasher.update(content)
        digests = [self.digest(part) for part in parts]
        for digest in sorted(digests) if isinstance(value, set | frozenset) else digests:
            hasher.update(digest)
        self._known[id(value)] = (value, hasher.digest())
        return hasher.digest()


def _label(value):
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _described(value, evaluated=False) -> tuple[str, bytes, Iterable]:
    """A label, bytes, and the objects that complete the description."""
    kind, label = type(value), _label(value)
    if kind in PLAIN:
        return label, _as_bytes(value), ()
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return f"tensor {value.dtype} {tuple(value.shape)}", array.data, ()
    if isinstance(value, np.ndarray) and not (value.dtype.hasobject or isinstance(value, np.ma.MaskedArray)):
        array = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        return f"array {value.dtype} {value.shape}", array.data, ()
    if kind in (list, tuple, set, frozenset):
        return label, b"", value
    if kind is dict:
        return label, b"", value.items()  # in their order: that of layers decides what they compute
    if isinstance(value, SCRIPTED):
        return label, value.save_to_buffer(), ()
    if isinstance(value, FunctionType | type | ModuleType):
        return _described_code(value)
    if kind is CodeType:
        return label, value.co_code, (value.co_consts, value.co_names, value.co_varnames)
    return _described_by_pickle(value, label, evaluated)


def _as_bytes(value) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else repr(value)).encode("utf-8", "surrogatepass")


def _described_code(value):
    """A function, class or module: by its code where it is the user's, else by name and version."""
    if isinstance(value, ModuleType):
        label = f"module {value.__name__} {getattr(value, '__version__', '')}"
        return label, b"" if _is_installed(value.__name__) else _source(value), ()
    label = f"{value.__module__}.{value.__qualname__}"
    # A decorated function bears the module of what it wraps and the globals of its decorator; either may be the user's.
    homes = {value.__module__} if isinstance(value, type) else {value.__module__, value.__globals__.get("__name__")}
    if all(map(_is_installed, homes)):
        package = sys.modules.get(value.__module__.partition(".")[0])
        return f"{label} {getattr(package, '__version__', '')}", b"", ()
    if isinstance(value, type):
        members = {name: _member(member) for name, member in vars(value).items()}
        kept = {name: member for name, member in members.items() if _is_behaviour(name, member)}
        return label, b"", (value.__bases__, sorted(kept.items()))
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    attributes = sorted(vars(value).items())
    return label, b"", (value.__code__, value.__defaults__, value.__kwdefaults__, cells, attributes, _used(value))


def _source(module):
    file = getattr(module, "__file__", None)
    return Path(file).read_bytes() if file and Path(file).is_file() else b""


def _member(member):
    """The function inside a method's wrapper."""
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    if isinstance(member, functools.cached_property):
        return member.func
    return (member.fget, member.fset) if isinstance(member, property) else member


def _is_behaviour(name, member):
    if name.startswith("__"):
        return callable(member) and not isinstance(member, type)
    return name != "_abc_impl" and not isinstance(member, DESCRIPTORS)


def _used(function):
    """What the names in a function stand for: globals, imports, and of the user's modules the attributes so named."""
    codes = _codes(function.__code__)
    names = {name for code in codes for name in code.co_names}
    imported = [module for code in codes for module in _imports(code, function.__globals__)]
    used, waiting = [imported], [function.__globals__, *map(_own_namespace, imported)]
    seen = set()
    while waiting:
        namespace = waiting.pop()
        if id(namespace) in seen:
            continue
        seen.add(id(namespace))
        found = [(name, namespace[name]) for name in sorted(names & namespace.keys())]
        used.append(found)
        waiting += [_own_namespace(part) for _, part in found if isinstance(part, ModuleType)]
    return used


def _own_namespace(module):
    return {} if _is_installed(module.__name__) else vars(module)


def _codes(code):
    """A function's code and that of the functions inside it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [code, *(nested for part in inner for nested in _codes(part))]


def _imports(code, namespace):
    """The modules that a function itself imports, which it would do as soon as it is called."""
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname == "IMPORT_NAME":
            try:
                yield __import__(step.argval, namespace, None, names.argval, level.argval)
            except ImportError:  # the function may have an answer to that
                continue


def _is_installed(module_name):
    """Whether a module comes with Python or a package, so that its code changes with its version only."""
    module = sys.modules.get(module_name)
    if module is None or module_name == "__main__":
        return False
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    if places:
        return any(Path(place).is_relative_to(folder) for place in places for folder in _INSTALLED)
    package = module_name.rpartition(".")[0]  # without a file: built into its package, into Python, or made by hand
    return _is_installed(package) if package else module_name in sys.builtin_module_names


def _installed_folders():
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [Path(folder) for folder in (*folders, *site.getsitepackages(), site.getusersitepackages())]


_INSTALLED = _installed_folders()


def _described_by_pickle(value, label, evaluated):
    """What pickle would keep of an object."""
    registered = copyreg.dispatch_table.get(type(value))
    reduced = registered(value) if registered else value.__reduce_ex__(4)
    if isinstance(reduced, str):
        return f"{label} {reduced}", b"", (getattr(value, "__wrapped__", None),)  # of a function with an lru_cache
    function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    if isinstance(state, dict):
        state = _settings(value, state, evaluated)
    elif isinstance(state, bytes) and label.startswith("tokenizers."):
        state = _without_call_options(state)
    items, pairs = list(items or ()), list(pairs or ())
    return label, b"", (function, arguments, state, items, pairs)


def _settings(value, state, evaluated):
    """State without what leaves the result of a call as it is; attributes by name, as their order means nothing."""
    ignored = {"training"} if evaluated else set()
    if _is_installed(type(value).__module__):
        ignored.add("deprecation_warnings")  # Hugging Face notes there which it has given
    kept = {name: part for name, part in state.items() if name not in ignored}
    return sorted(kept.items()) if kept.keys() <= getattr(value, "__dict__", {}).keys() else kept


def _without_call_options(state):
    """A fast tokenizer remembers the padding and truncation of its last call."""
    return {name: part for name, part in json.loads(state).items() if name not in ("padding", "truncation")}
