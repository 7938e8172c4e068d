# What the project is run, tested and measured with. Everything lives in .venv; `make help` says what there is.
# What ARGUMENTS holds goes to the demo or the benchmark: make bench ARGUMENTS='--only pan'.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench soak lock clean

PYTHON := .venv/bin/python
STEP = @printf '\n\033[1m== %s\033[0m\n'

help: ## this list
	@printf 'make TARGET, where TARGET is one of\n\n'
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## system packages where allowed, .venv, everything in requirements.lock (nothing, if that is done)
	@deploy/setup/setup.sh

demo: setup ## a fractal and a tissue in the viewer; without a display a tour, demo.png and a table
	@$(PYTHON) -m octree_client.demo $(ARGUMENTS)

lint: setup ## style, types, import contracts
	$(STEP) 'ruff check: style'
	@.venv/bin/ruff check
	$(STEP) 'ruff format --check: layout'
	@.venv/bin/ruff format --check
	$(STEP) 'mypy --strict: types'
	@.venv/bin/mypy
	$(STEP) 'lint-imports: who may import whom'
	@.venv/bin/lint-imports

# Two sessions side by side: each spends half of its time waiting for processes that it has started.
WHOLES := tests/contract tests/deploy tests/system tests/client/test_window_life.py

test: lint ## lint, then all tests but the long ones
	$(STEP) 'pytest: parts; and, beside it, wholes (shown when they have ended)'
	@mkdir -p build; export OCTREE_TESTS_BESIDE=1; \
	$(PYTHON) -m pytest -q $(WHOLES) >build/wholes.txt 2>&1 & wholes=$$!; \
	trap 'kill $$wholes 2>/dev/null || true' EXIT; status=0; \
	$(PYTHON) -m pytest -q $(addprefix --ignore=,$(WHOLES)) || status=$$?; \
	wait $$wholes || status=$$?; cat build/wholes.txt; exit $$status

bench: setup ## the figures of tests/bench, as JSON and a table
	$(STEP) 'bench'
	@$(PYTHON) -m tests.bench $(ARGUMENTS)

soak: setup ## the long tests: hours of use, and a million frames of garbage
	$(STEP) 'pytest -m soak'
	@$(PYTHON) -m pytest -m soak --timeout 0
	$(STEP) 'ten minutes of random walk'
	@$(PYTHON) -m tests.bench --only walk --minutes 10 --output build/soak.json

lock: setup ## choose versions anew for what pyproject.toml asks (UPGRADE=1: the newest of everything)
	$(STEP) 'uv pip compile: requirements.lock'
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra cluster --extra test --group build \
		--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) --output-file requirements.lock pyproject.toml

clean: ## remove .venv, caches and what the demo made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-data demo.png demo.json
