# Everything on a machine with Python 3.11 and make: `make demo`, `make test`.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test test-all test-oldest test-python dist fuzz lint docs clean

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
test test-all test-oldest test-python: export SCIPY_ARRAY_API = 1

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

# Another Python, with the newest packages that it takes: `make test-python PYTHON=python3.13`.
test-python:
	$(PYTHON) -m venv --clear .venv-python
	.venv-python/bin/python -m pip install --quiet --disable-pip-version-check "$$(grep ^torch== constraints.txt)" -e ".[test]"
	.venv-python/bin/python -m pytest -m "not slow" tests

# The wheel and the source archive, installed in a new environment and tried away from the sources.
dist: .venv/.installed
	rm -rf dist
	$(BIN)/python -m build > /dev/null
	$(PYTHON) -m venv --clear .venv-dist
	for archive in dist/*; do \
	  .venv-dist/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$$archive" && \
	  .venv-dist/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$archive[plot]" && \
	  (cd dist && ../.venv-dist/bin/python ../examples/start/plot_quickstart.py) || exit 1; \
	done

docs: .venv/.installed
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Documentation: docs/_build/html/index.html"

clean:
	rm -rf .venv .venv-oldest .venv-python .venv-dist dist docs/_build docs/auto_examples docs/api/generated docs/guide/generated docs/sg_execution_times.rst
