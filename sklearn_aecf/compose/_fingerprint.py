"""A digest of any object by what it is made of: weights, code and settings, not names or places in memory."""

import copyreg
import json
import site
import sys
import sysconfig
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import numpy as np
import torch

# State that leaves the result of a call as it is: the mode is always evaluation, warnings are given once.
WITHOUT_EFFECT = {"training", "deprecation_warnings"}
PLAIN = (type(None), bool, int, float, complex, str, bytes)


def fingerprint(value) -> bytes:
    """Sixteen bytes that stay the same while an object would compute the same.

    Arrays and tensors count by content, functions and classes of the user by their code and what it refers to, those
    of installed packages by name and version, all other objects by what pickle would keep of them.

    Parameters
    ----------
    value : object

    Returns
    -------
    bytes

    Raises
    ------
    TypeError
        If an object holds something that cannot be read, such as an open file.
    """
    return _Fingerprints().digest(value)


class _Fingerprints:
    """Digests of an object and of everything it refers to, each taken once."""

    def __init__(self):
        self._known = {}

    def digest(self, value) -> bytes:
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        # The object is kept along: a freed one would leave its id to another. What refers to itself finds this entry.
        self._known[id(value)] = (value, b"itself")
        label, content, parts = _described(value)
        hasher = blake2b(label.encode("utf-8", "surrogatepass") + b"\0", digest_size=16)
        hasher.update(content)
        digests = [self.digest(part) for part in parts]
        for digest in sorted(digests) if isinstance(value, set | frozenset) else digests:
            hasher.update(digest)
        self._known[id(value)] = (value, hasher.digest())
        return hasher.digest()


def _described(value) -> tuple[str, bytes, Iterable]:
    """A label, bytes, and the objects that complete the description."""
    kind = type(value)
    label = f"{kind.__module__}.{kind.__qualname__}"
    if kind in PLAIN:
        return label, _as_bytes(value), ()
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return f"tensor {value.dtype} {tuple(value.shape)}", array.data, ()
    if isinstance(value, np.ndarray) and value.dtype != object:
        array = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        return f"array {value.dtype} {value.shape}", array.data, ()
    if kind in (list, tuple, set, frozenset):
        return label, b"", value
    if kind is dict:
        return label, b"", _sorted_items(value)
    if isinstance(value, FunctionType | type | ModuleType):
        return _described_code(value)
    if kind is CodeType:
        return label, value.co_code, (value.co_consts, value.co_names, value.co_varnames)
    return _described_by_pickle(value, label)


def _as_bytes(value) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else repr(value)).encode("utf-8", "surrogatepass")


def _sorted_items(mapping):
    return sorted(mapping.items(), key=lambda item: repr(item[0]))


def _described_code(value):
    """A function, class or module: by its code where it is the user's, else by name and version."""
    if isinstance(value, ModuleType):
        return f"module {value.__name__} {getattr(value, '__version__', '')}", b"", ()
    label = f"{value.__module__}.{value.__qualname__}"
    if _is_installed(value.__module__):
        package = sys.modules.get((value.__module__ or "").partition(".")[0])
        return f"{label} {getattr(package, '__version__', '')}", b"", ()
    if isinstance(value, type):
        members = {name: _member(member) for name, member in vars(value).items()}
        kept = {name: member for name, member in members.items() if _is_behaviour(name, member)}
        return label, b"", (value.__bases__, kept)
    names = _names_used(value.__code__)
    used = {name: value.__globals__[name] for name in sorted(names) if name in value.__globals__}
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    return label, b"", (value.__code__, value.__defaults__, value.__kwdefaults__, cells, used)


def _member(member):
    """The function inside a method's wrapper."""
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    return member.fget if isinstance(member, property) else member


def _is_behaviour(name, member):
    if isinstance(member, FunctionType):
        return True
    return isinstance(member, (*PLAIN, tuple, list, dict)) and not name.startswith("__")


def _names_used(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_used(constant)
    return names


def _is_installed(module_name):
    """Whether a module comes with Python or a package, so that its code changes with its version only."""
    if module_name == "__main__" or module_name not in sys.modules:
        return False
    file = getattr(sys.modules[module_name], "__file__", None)
    return file is None or any(Path(file).is_relative_to(folder) for folder in _INSTALLED)


def _installed_folders():
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [Path(folder) for folder in (*folders, *site.getsitepackages(), site.getusersitepackages())]


_INSTALLED = _installed_folders()


def _described_by_pickle(value, label):
    """What pickle would keep of an object."""
    try:
        registered = copyreg.dispatch_table.get(type(value))
        reduced = registered(value) if registered else value.__reduce_ex__(4)
    except Exception as error:
        raise TypeError(
            f"cache needs to know what the features depend on, but {label} cannot be read ({error}); leave it out of "
            "module, preprocess, pooling and load, or set cache=None."
        ) from error
    if isinstance(reduced, str):
        return f"{label} {reduced}", b"", ()
    function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    if isinstance(state, dict):
        state = {name: part for name, part in state.items() if name not in WITHOUT_EFFECT}
    elif isinstance(state, bytes) and label.startswith("tokenizers."):
        state = _without_call_options(state)
    items, pairs = list(items or ()), list(pairs or ())
    return label, b"", (function, arguments, state, items, pairs)


def _without_call_options(state):
    """A fast tokenizer remembers the padding and truncation of its last call."""
    return {name: part for name, part in json.loads(state).items() if name not in ("padding", "truncation")}
