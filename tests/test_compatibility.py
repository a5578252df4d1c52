"""Every path through scikit-learn, with every form of X that it can take."""

import pytest
from compatibility import EXPECTED, PATHS, UnavailableError, run_cell
from conftest import in_form

from sklearn_aecf.datasets import make_multimodal_classification


@pytest.fixture(scope="module")
def small():
    return make_multimodal_classification(90, n_features=[6, 4, 2], missing_rate=0.3, random_state=0)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("form", EXPECTED)
def test_cell(small, form, name):
    X, y = small
    given, groups = in_form(X, form)
    result = run_cell(name, given, y, groups, X.column_groups())
    expected = EXPECTED[form].get(name, "works")
    if isinstance(result, UnavailableError):
        pytest.skip(str(result))
    if isinstance(expected, tuple):
        assert isinstance(result, Exception), f"{name} takes {form} by now: {result}"
        assert expected[0] in str(result)
    else:
        if isinstance(result, Exception):
            raise result
        assert result == {"flattened": "works, flattened"}.get(expected, expected)


@pytest.mark.parametrize(
    ("form", "at_least", "or_flattened"), [("MultimodalData", 54, 60), ("array", 60, 60), ("pandas", 60, 60)]
)
def test_as_many_as_promised(form, at_least, or_flattened):
    other = EXPECTED[form].values()
    refused = sum(isinstance(status, tuple) for status in other)
    assert len(PATHS) - len(other) >= at_least
    assert len(PATHS) - refused >= or_flattened
