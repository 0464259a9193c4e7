# Everything needed is python3 (3.11 to 3.13, with venv), make and git. `make` lists the targets.

PYTHON ?= python3
VENV := .venv
FUZZ_SECONDS ?= 600
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
AZURITE := tests/azurite/node_modules/.package-lock.json
PINS := requirements.txt requirements-dev.txt
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
# Three processes: two begin with the end-to-end tests, which wait much. Long suites first, so that all end together.
SUITES := $(wildcard tests/e2e tests/faults tests/integration tests/unit)
SIDE_BY_SIDE := -n 4 --dist loadscope --no-loadscope-reorder

# Each day looks elsewhere, and the name of a test says where; both processes of a run are told the same.
test: FAULT_SEED ?= $(shell date +%Y%j)
# Here each run does.
faults: FAULT_ROUNDS ?= 20
faults: FAULT_SEED ?= $(shell date +%j%H%M)

# Airflow imports thousands of modules: without bytecode on disk each process pays 5 s for it.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv azurite lint types imports test unit faults demo up down bench fuzz schema reference lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(INSTALLED) ## Create .venv and install the pinned requirements and the project

# The shell asks python3 for its version before anything is created with it.
$(INSTALLED): $(PINS) requirements.in pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1 || true); Python 3.11, 3.12 or 3.13 is needed."; \
	  echo "Name one that is installed: make $(or $(MAKECMDGOALS),venv) PYTHON=/path/to/python3.12"; \
	  exit 1; } >&2
	@echo "Installing the pinned requirements into $(VENV): a few minutes, without a word."
	@$(PYTHON) -m venv $(VENV)
	@awk '/^[^ ]/ {keep = /^uv==/} keep' requirements-dev.txt > $(VENV)/uv.txt
# Twice quiet: only errors. What else pip has to say is about this machine's own settings.
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes $(PINS:%=-r %)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
	@touch $@

azurite: ## Install Azurite, the Azure storage of the tests (needs node; without it these tests are skipped)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(AZURITE); \
	  else echo "npm was not found: the tests that need Azure storage are skipped."; fi

$(AZURITE): tests/azurite/package-lock.json
	cd $(<D) && npm ci --silent --no-audit --no-fund
	@touch $@

lint: $(INSTALLED) ## Check style and format (ruff)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED) ## Check types (mypy --strict on the core)
	$(BIN)/mypy

imports: $(INSTALLED) ## Check who imports whom (import-linter)
	PYTHONPATH=. $(BIN)/lint-imports

test: $(INSTALLED) azurite ## Run all tests: unit, integration, faults, end to end
	FAULT_SEED=$(FAULT_SEED) $(BIN)/pytest $(SIDE_BY_SIDE) $(SUITES)

unit: $(INSTALLED) ## Run the unit tests
	$(BIN)/pytest tests/unit

# FAULT_SEED=<seed> FAULT_ROUNDS=1 repeats what a test's name ends with.
faults: $(INSTALLED) ## Break network, disks, clocks and processes, each test FAULT_ROUNDS times (20)
	FAULT_ROUNDS=$(FAULT_ROUNDS) FAULT_SEED=$(FAULT_SEED) $(BIN)/pytest --timeout=1800 tests/faults tests/e2e/test_kills.py

demo: $(INSTALLED) ## Run the demo and end everything it started
	@$(BIN)/python -m demo run

up: $(INSTALLED) ## Run the demo and leave everything running
	@$(BIN)/python -m demo up

down: $(INSTALLED) ## End what `make up` left running
	@$(BIN)/python -m demo down

bench: $(INSTALLED) ## Run the benchmarks (nothing else should run meanwhile)
	$(BIN)/python -m benchmarks

# Not among the pins: atheris has wheels for Linux only, and nothing else needs it.
fuzz: $(INSTALLED) ## Fuzz the manifest readers for FUZZ_SECONDS (installs atheris; Linux)
	$(BIN)/uv pip install --quiet --python $(BIN)/python 'atheris>=3,<4'
	mkdir -p .fuzz
	$(BIN)/python tests/fuzz/fuzz_manifest.py -max_total_time=$(FUZZ_SECONDS) .fuzz tests/unit/manifest/examples

schema: $(INSTALLED) ## Write the JSON schema of integration files, for editors
	$(BIN)/python -m cloud_sync.cli integration schema include/integrations/integration.schema.json

reference: $(INSTALLED) ## Write the commands and their options into docs/cli.md
	$(BIN)/python -m cloud_sync.cli.reference docs/cli.md

lock: $(INSTALLED) ## Resolve requirements*.in into requirements*.txt (ARGS=--upgrade for new versions)
	$(COMPILE) $(ARGS) requirements.in -o requirements.txt
	$(COMPILE) $(ARGS) requirements-dev.in -o requirements-dev.txt

clean: ## Remove .venv, caches and what the demo wrote
	@[ ! -d .demo ] || $(BIN)/python -m demo down
	rm -rf $(VENV) tests/azurite/node_modules .demo .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
