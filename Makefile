# make book [PROFILE=quick|standard|smoke|paper]   execute the notebooks, render the site into _build/html
# make test                                         the test suite
# make sync                                         bring book/*.ipynb and book/*.py into step after an edit
PYTHON ?= python3
PROFILE ?= quick
VENV := .venv
BIN := $(VENV)/bin

.PHONY: book test sync clean

book: $(VENV)/.book
	$(BIN)/python book/build.py --profile $(PROFILE)

test: $(VENV)/.test
	$(BIN)/python -m pytest

sync: $(VENV)/.book
	$(BIN)/jupytext --sync book/*.py

$(VENV)/.book: requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))" || { echo "msr needs Python 3.10 to 3.13; give one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.test: $(VENV)/.book
	$(BIN)/python -m pip install --quiet -e ".[test]"
	touch $@

clean:
	rm -rf _build
