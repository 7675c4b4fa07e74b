# `make help` lists the targets. Each one installs what it needs into .venv.
PYTHON ?= python3
PROFILE ?= quick
VENV := .venv
BIN := $(VENV)/bin

.PHONY: book test reproduce bench bench-check lint format notebook sync clean help

book: $(VENV)/.book  ## run the notebooks, render _build/html [PROFILE=quick|standard|smoke|paper]
	$(BIN)/python book/build.py --profile $(PROFILE) $(if $(filter 1,$(REUSE)),--reuse)

test: $(VENV)/.test  ## run the test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

reproduce: $(VENV)/.book  ## run every notebook by its defaults (hours), keep the results, render them [REUSE=1]
	$(BIN)/python book/build.py --profile standard $(if $(filter 1,$(REUSE)),--reuse)
	$(BIN)/python book/keep.py _build/runs/standard/*/metrics.json
	$(BIN)/python book/build.py --profile standard $(if $(filter 1,$(REUSE)),--reuse)

bench: $(VENV)/.bench  ## measure views, losses and steps against other libraries [SUITES=views, KEEP=1]
	$(BIN)/python -m benchmarks $(SUITES) $(if $(filter 1,$(KEEP)),--keep)

bench-check: $(VENV)/.bench  ## measure again; fail if a ratio fell by more than 15 % [SUITES=views]
	$(BIN)/python -m benchmarks $(SUITES) --check

lint: $(VENV)/.dev  ## check format, style and types; changes nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(VENV)/.dev sync  ## format the code and sort its imports
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format
	$(BIN)/jupytext --quiet --sync book/*.ipynb

notebook: $(VENV)/.book  ## start an experiment of your own: NAME=mine [DATA=folder]
	@$(BIN)/python book/new.py "$(NAME)" --data "$(DATA)"

sync: $(VENV)/.book  ## bring into step: notebooks, their .py and parameters, the map of the code
	$(BIN)/python book/sync.py

clean:  ## remove the site and runs of minutes, list the rest [ALL=1: that too, DRY=1: only say]
	@$(PYTHON) book/clean.py $(if $(filter 1,$(ALL)),--all) $(if $(filter 1,$(DRY)),--dry)

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

$(VENV)/.book: requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))" || { \
	  echo "msr needs Python 3.10 to 3.13; give one: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	  exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.test: $(VENV)/.book
	$(BIN)/python -m pip install --quiet -e ".[test]"
	touch $@

$(VENV)/.bench: $(VENV)/.book
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	touch $@

$(VENV)/.dev: $(VENV)/.book
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@
