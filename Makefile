# make demo   a whole run in minutes, without a download: ten devices, six tasks, a small base model
# make test   the tests (not those marked slow), on all cores; pytest's summary is the last line
# make bench  the speed and memory targets, each as a ratio to something else in the same run
# make check  format, lint, types, and that imports point down
# make clean  what the others made
#
# Each makes .venv with PYTHON and installs into it once; make bench another, with the rivals in it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RIVALS := .venv-rivals
RUN ?= runs/demo

.PHONY: demo test check bench clean

demo: $(STAMP)
	$(BIN)/meshtune demo --out $(RUN)

test: $(STAMP)
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(RIVALS)/.installed
	@PYTHONPATH=src $(RIVALS)/bin/python benchmarks/bench.py

clean:
	rm -rf $(VENV) $(RIVALS) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis runs/demo
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

$(RIVALS)/.installed: benchmarks/requirements.txt
	$(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip install --quiet -r benchmarks/requirements.txt
	@touch $@
