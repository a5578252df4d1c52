# Everything on a machine with Python 3.11 and make: `make demo`, `make test`.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test test-all test-oldest fuzz lint docs clean

# The stamp makes a second run reuse the environment, until the dependencies change.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: .venv/.installed
	$(BIN)/python examples/start/plot_quickstart.py

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# SciPy's switch lets the tests walk scikit-learn's array API paths too.
test test-all test-oldest: export SCIPY_ARRAY_API = 1

test: lint
	$(BIN)/python -m pytest -m "not slow"

test-all: lint
	$(BIN)/python -m pytest

# Cases drawn at random; FUZZ_SEED=1 draws others.
fuzz: .venv/.installed
	FUZZ_CASES=100000 $(BIN)/python -m pytest tests/fuzz

# The lower bounds of pyproject.toml, but for torch: only its pinned build is small.
.venv-oldest/.installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e ".[test]"
	@touch $@

test-oldest: .venv-oldest/.installed
	.venv-oldest/bin/python -m pytest -m "not slow" tests

docs: .venv/.installed
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Documentation: docs/_build/html/index.html"

clean:
	rm -rf .venv .venv-oldest docs/_build docs/auto_examples docs/api/generated docs/guide/generated docs/sg_execution_times.rst
