"""What the API pages show, and names in docstrings.

Parameters and fitted attributes are literal; methods of the same class are links.
What is left between single backticks must be a public name that Sphinx finds, or the build fails.
"""

import importlib
import inspect
import re

NAME = re.compile(r"(?<![`:\w])`([A-Za-z_][\w.]*)`(?![`\w])")


def _parameters(thing):
    try:
        return set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return set()


def _owner(name):
    """The class that a dotted name is a member of, and its dotted name, or None twice."""
    module, _, rest = name.partition(".")
    parent, path = importlib.import_module(module), module
    for part in rest.split(".")[:-1]:
        path = f"{path}.{part}"
        if not hasattr(parent, part):
            importlib.import_module(path)
        parent = getattr(parent, part)
    return (parent, path) if inspect.isclass(parent) else (None, None)


def resolve_names(app, what, name, obj, options, lines):
    """Rewrite the single backticks of one docstring in place."""
    owner, path = (obj, name) if inspect.isclass(obj) else _owner(name)
    parameters = _parameters(obj) | (_parameters(owner) if owner else set())

    def replace(match):
        word = match.group(1)
        if word.startswith("sklearn_aecf."):
            return f":py:obj:`{word}`"
        if word in parameters or word.endswith("_"):
            return f"``{word}``"
        if owner is not None and not word.startswith("_") and hasattr(owner, word):
            return f":py:obj:`~{path}.{word}`" if callable(getattr(owner, word)) else f"``{word}``"
        return match.group(0)

    lines[:] = [NAME.sub(replace, line) for line in lines]


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out what scikit-learn and torch bring along: their own pages document it."""
    function = getattr(obj, "fget", None) or getattr(obj, "__func__", obj)
    module = getattr(function, "__module__", None)
    if callable(function) and module is not None and not module.startswith("sklearn_aecf"):
        return True
    return None


def setup(app):
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", resolve_names, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
