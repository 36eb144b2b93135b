PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-dev
LOWEST := .venv-lowest
# In two processes, each of which runs whole files: what the tests of a file share is made once. In the order of
# tests/conftest.py, long files first.
PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder

# The environment is installed without bytecode, which is written as modules are imported: without it every process
# compiles torch anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test quick lowest lint types imports pytest rehearse gpu bench clean

run:  ## the whole loop on this machine
	$(PYTHON) deploy/quickstart.py $(ARGS)

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' Makefile

test: lint  ## everything that must hold; types are checked while tests wait for processes
	$(MAKE) --jobs 2 types imports pytest

quick: lint  ## what starts no processes
	$(BIN)/$(PYTEST) -m "not process and not slow" $(ARGS)

lowest: pyproject.toml  ## the quick tests with the lowest versions that pyproject.toml promises
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable ".[dev]"
	$(LOWEST)/bin/$(PYTEST) -m "not process and not slow" $(ARGS)

$(STAMP): pyproject.toml deploy/constraints.txt deploy/quickstart.py
	$(PYTHON) deploy/quickstart.py --install dev
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

pytest: $(STAMP)
	$(BIN)/$(PYTEST) $(ARGS)

rehearse: $(STAMP)  ## the steps of the images, in clean environments: downloads everything again
	$(BIN)/pytest -m slow $(ARGS)

gpu: $(STAMP)  ## a day with a GPU in eight minutes
	$(BIN)/python -m deploy.gpu_day $(ARGS)

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(LOWEST) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
