"""Warnings that point at the caller's line, however many of our functions and decorators lie between."""

import sys
import warnings
from pathlib import Path

import joblib
import sklearn

_OURS = tuple(f"{Path(module).parent}/" for module in (Path(__file__).parent, sklearn.__file__, joblib.__file__))


def warn_caller(message):
    """Warn with the first line that is neither ours, scikit-learn's nor joblib's."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
