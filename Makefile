# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# More than there are cores: most tests wait for a server or a clock.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(max(2, (os.cpu_count() or 1) * 3 // 2))')

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format bench fuzz image docs clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Keylease needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

venv: $(STAMP) ## create the virtual environment from the lock file

demo: $(STAMP) ## run the main job end to end on an embedded OpenBao and print what happened
	$(BIN)/python -m demo

lint: $(STAMP) ## format check, lint, types, import contracts, workflows
	$(BIN)/python tools/lint.py

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(STAMP) ## everything: lint, then every test against the real components
	$(BIN)/python tools/system_packages.py
	$(BIN)/python tools/lint.py
	$(BIN)/pytest -n $(WORKERS)

bench: $(STAMP) ## measure beside peers (PEER_CMD, PEER_AWS_CMD='node …/dist/index.js' add some)
	$(BIN)/python -m bench
	$(BIN)/python -m bench.masking
	$(BIN)/python -m bench.sync
	$(BIN)/python -m bench.audit

image: $(STAMP) ## build the action's container image and report its size
	$(BIN)/python tools/image.py

FUZZ_SECONDS ?= 60
fuzz: $(STAMP) ## fuzz the masker, coverage-guided, for FUZZ_SECONDS (60)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/fuzz.lock
	$(BIN)/python -m tests.fuzz.redactor -max_total_time=$(FUZZ_SECONDS)

docs: $(STAMP) ## regenerate what in the docs is generated (help texts, schema, exit codes)
	$(BIN)/python tools/docs.py

clean: ## remove what the targets made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache dist build
