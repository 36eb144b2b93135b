PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test lint types imports pytest rehearse bench clean

run:  ## the whole loop on this machine
	$(PYTHON) deploy/quickstart.py $(ARGS)

test: lint types imports pytest  ## everything that must hold

$(STAMP): pyproject.toml deploy/constraints.txt deploy/quickstart.py
	$(PYTHON) deploy/quickstart.py --install-only
	$(BIN)/python -m pip install --quiet --constraint deploy/constraints.txt --editable ".[dev]"
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

pytest: $(STAMP)
	$(BIN)/pytest $(ARGS)

rehearse: $(STAMP)  ## the steps of the images, in clean environments: downloads everything again
	$(BIN)/pytest -m slow $(ARGS)

bench: $(STAMP)
	for name in $$(ls benchmarks | sed -n 's/^\([a-z].*\)\.py$$/\1/p'); do \
		$(BIN)/python -m benchmarks.$$name || exit 1; \
	done

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
