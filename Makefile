# `make run` and `make test` do everything, each in a virtual environment that it sets up from the locks.
PYTHON ?= python3
VENV ?= .venv
FOLLOW ?=
PROFILE ?= dbless
SECONDS ?= 3600
# A third of the suite's time is waiting for processes; each worker collects the tests for itself, some seconds.
WORKERS ?= $(shell expr $$(nproc) + 1)
DOCKER ?= docker
BIN := $(VENV)/bin
# Which Python the environment is for: another PYTHON makes a new one.
TAG := $(shell $(PYTHON) -c 'import sys; print(sys.implementation.cache_tag)' 2>/dev/null || echo none)
RUN := $(VENV)/.run-$(TAG)
DEV := $(VENV)/.dev-$(TAG)
PIP := install --quiet --disable-pip-version-check
LOCKED := $(PIP) --require-hashes --no-deps

# Where it is set, every process that a test starts compiles the whole package for itself: twice the suite's time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-newest lint types bench soak soak-cluster protobuf docs site dist lock compose-up compose-down clean

help: ## show this list
	@echo 'make TARGET [PYTHON=python3.12] [VENV=.venv]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

run: $(RUN) ## play a real Kong's recorded traffic through the sidecar to a receiver (FOLLOW=1: until Ctrl-C); seconds
	$(BIN)/kong-event-hooks demo $(if $(FOLLOW),--follow)

test: $(DEV) ## the test suite, with the locked dependencies; about three minutes on two cores
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-newest: ## the test suite with the newest release of every dependency, and which of them differ from the locks
	sh scripts/test_newest.sh "$(PYTHON)" .venv-newest

lint: $(DEV) ## ruff, as linter and as formatter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy, strict
	$(BIN)/mypy

bench: $(DEV) ## every benchmark, one after the other; several minutes
	for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python "$$each" || exit 1; done

soak: $(DEV) ## faults for an hour: every accepted event arrives (SECONDS=60: for a minute)
	$(BIN)/python benchmarks/soak.py --seconds $(SECONDS)

soak-cluster: $(DEV) ## the same with three nodes over one PostgreSQL, which needs its programs
	$(BIN)/python benchmarks/soak_cluster.py --seconds $(SECONDS)

protobuf: $(DEV) ## generate the protobuf modules from proto/
	$(BIN)/python scripts/generate_protobuf.py

docs: $(DEV) ## generate docs/settings.md, docs/sources.md, docs/log-events.md and docs/metrics.md
	$(BIN)/python -m kong_eventhooks_plugin.settings > docs/settings.md
	$(BIN)/python -m kong_eventhooks_plugin.sources.document > docs/sources.md
	$(BIN)/python -m kong_eventhooks_plugin.telemetry.log_events > docs/log-events.md
	$(BIN)/python -m kong_eventhooks_plugin.telemetry.metrics > docs/metrics.md

site: ## make the documentation's site in build/site; seconds
	sh scripts/make_venv.sh "$(PYTHON)" build/site-tools
	build/site-tools/bin/pip $(LOCKED) --requirement locks/site.txt
	NO_MKDOCS_2_WARNING=1 build/site-tools/bin/mkdocs build --config-file scripts/site/mkdocs.yml

dist: ## make a release's sdist and wheel in build/dist, and check them
	sh scripts/dist.sh "$(PYTHON)"

lock: ## resolve the dependencies anew into locks/ (UPGRADE=1: the newest of everything)
	sh scripts/lock.sh "$(PYTHON)"

compose-up: ## Kong, the sidecar and a receiver in containers (PROFILE=postgres: a database and decK; cluster: two of each); minutes
	DOCKER="$(DOCKER)" PROFILE="$(PROFILE)" sh docker/up.sh

compose-down: ## end these containers and keep their volumes
	cd docker && COMPOSE_PROFILES=dbless,postgres,cluster,tools $(DOCKER) compose down

clean: ## remove the virtual environments
	rm -rf .venv .venv-newest build

$(RUN): locks/runtime.txt locks/build.txt pyproject.toml scripts/make_venv.sh
	sh scripts/make_venv.sh "$(PYTHON)" "$(VENV)"
	$(BIN)/pip $(LOCKED) --requirement locks/build.txt --requirement locks/runtime.txt
	$(BIN)/pip $(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(DEV): locks/dev.txt pyproject.toml scripts/make_venv.sh
	sh scripts/make_venv.sh "$(PYTHON)" "$(VENV)"
	$(BIN)/pip $(LOCKED) --requirement locks/dev.txt
	$(BIN)/pip $(PIP) --no-deps --no-build-isolation --editable .
	touch $(RUN) $@
