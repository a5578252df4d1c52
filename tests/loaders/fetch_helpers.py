"""Where real files lie, if any, and the sentence of an error."""

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("SKLEARN_AECF_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def needs(*names):
    lacking = [name for name in names if not (REAL / name).exists()]
    return pytest.mark.skipif(bool(lacking), reason=f"{lacking} not in SKLEARN_AECF_TEST_DATA or ../shared/data")


def message(info):
    return str(info.value)
