"""Warnings that point at the caller's line, however many of our functions and decorators lie between."""

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

_OURS = tuple(f"{Path(find_spec(name).origin).parent}/" for name in ("sklearn_aecf", "sklearn", "joblib", "skorch"))


def warn_caller(message):
    """Warn with the first line that is neither ours nor scikit-learn's, joblib's or skorch's."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
