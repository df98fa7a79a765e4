# `make test` and `make demo` on a fresh machine need Python 3.11 and make; everything else is installed here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
# How many clusters the end-to-end tests use at a time; 0: one, and the tests one after the other in one process.
E2E_WORKERS ?= 3
# What pytest-kind downloads where Docker runs and they aren't in the path; its own defaults are too old for us.
export KIND_VERSION ?= v0.33.0
export KUBECTL_VERSION ?= v1.36.3

# What of the fault campaign runs: CASE, as a failure names it, or ARGS such as --group=leaders (--help says more).
CASE ?=
ARGS ?=

.PHONY: help setup lint unit e2e test demo cluster cluster-down bench chaos chaos-cluster openclaw-releases crds lock

help:
	@echo "make demo          the main job from nothing: cluster, operator, LiteLLM, agent, a turn of OpenClaw"
	@echo "make test          every test: lint, types, unit tests, and the same story on a real cluster"
	@echo "make unit          what needs no cluster"
	@echo "make cluster       a cluster with the operator in it; make cluster-down deletes it"
	@echo "make bench         figures and ratios; N=200 ONLY=converge,rotate for a short run (see docs/benchmarks.md)"
	@echo "make chaos         the fault campaign: each fault at each call (hours; ARGS=--sample=100 draws some)"
	@echo "make chaos-cluster outages, an hour of events, every odd value on a cluster (K=outages: some; part of make chaos)"
	@echo "make openclaw-releases   whether real OpenClaw releases accept what is rendered for them (slow, needs npm)"
	@echo "make crds          write crds/ anew from the models"
	@echo "make lock          pin the dependencies anew"

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

crds: setup
	$(BIN)/litclaw crds --output crds

lock: setup
	for set in requirements requirements-dev; do \
	  $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 $$set.in -o $$set.lock; \
	done
