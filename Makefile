# On a fresh machine, `make test` and `make demo` need Python 3.11 and make, and install everything else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
# Number of clusters that the end-to-end tests use in parallel; 0: one cluster, and one process that runs all tests.
E2E_WORKERS ?= 3
# Releases that pytest-kind downloads if Docker runs and they aren't in the path; its own defaults are too old for us.
export KIND_VERSION ?= v0.33.0
export KUBECTL_VERSION ?= v1.36.3

# Part of the fault campaign to run: CASE, as printed by a failure, or ARGS such as --group=leaders (see --help).
CASE ?=
ARGS ?=

.PHONY: help setup lint unit golden e2e test demo cluster cluster-down bench chaos chaos-cluster openclaw-releases crds lock

help:
	@echo "make demo          the whole setup from nothing: cluster, operator, LiteLLM, agent, one turn of OpenClaw"
	@echo "make test          all tests: lint, types, unit tests, and end-to-end tests on a real cluster"
	@echo "make unit          tests that need no cluster"
	@echo "make cluster       a cluster with the operator installed; make cluster-down deletes it"
	@echo "make bench         figures and ratios; N=200 ONLY=converge,rotate for a short run (see docs/benchmarks.md)"
	@echo "make chaos         the fault campaign: each fault at each call (hours; ARGS=--sample=100 draws some)"
	@echo "make chaos-cluster outages, an hour of events, every odd value on a cluster (K=outages selects some; part of make chaos)"
	@echo "make openclaw-releases   real OpenClaw releases validate the configuration rendered for them (slow, needs npm)"
	@echo "make crds          generate crds/ from the models"
	@echo "make golden        write tests/unit/golden again: every object rendered for ten cases"
	@echo "make lock          update the pinned dependencies"

setup: $(VENV)/.done

$(VENV)/.done: requirements-dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q $(UV)
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --require-hashes -r requirements-dev.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps -e .
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup
	$(BIN)/python -m pytest tests/unit -q

e2e: setup
	$(BIN)/python images/build
	$(BIN)/python -m pytest tests/localkube -v --durations=5
	$(BIN)/python -m pytest tests/e2e -v --durations=15 -n $(E2E_WORKERS) --dist loadfile --no-loadscope-reorder

test: lint unit e2e

demo: setup
	$(BIN)/python -m dev.demo

cluster: setup
	$(BIN)/python -m dev.cluster up

cluster-down: setup
	$(BIN)/python -m dev.cluster down

openclaw-releases: setup
	$(BIN)/python -m dev.openclaw_releases

bench: setup
	$(BIN)/python -m dev.bench $(if $(N),--n $(N)) $(if $(ONLY),--only $(ONLY)) $(BENCH)

chaos: setup
	$(BIN)/python -m tests.chaos $(if $(CASE),--case "$(CASE)") $(ARGS)
	$(if $(CASE)$(ARGS),,$(MAKE) chaos-cluster)

chaos-cluster: setup
	$(BIN)/python images/build
	$(BIN)/python -m pytest tests/e2e -m chaos -v -s -n 0 $(if $(K),-k "$(K)")

golden: setup
	$(BIN)/python -m tests.unit.golden

crds: setup
	$(BIN)/litclaw crds --output crds

lock: setup
	for set in requirements requirements-dev; do \
	  $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 $$set.in -o $$set.lock; \
	done
