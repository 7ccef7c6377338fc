# Two commands do everything: `make run` and `make test`. Both set up their own virtual environment.
PYTHON ?= python3
VENV ?= .venv
FOLLOW ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test lint types bench protobuf docs clean

run: $(STAMP)
	$(BIN)/kong-event-hooks demo $(if $(FOLLOW),--follow)

test: $(STAMP)
	$(BIN)/pytest -n auto

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,bench]'
	for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python "$$each" || exit 1; done

protobuf: $(STAMP)
	$(BIN)/python scripts/generate_protobuf.py

docs: $(STAMP)
	$(BIN)/python -m kong_eventhooks_plugin.settings > docs/settings.md
	$(BIN)/python -m kong_eventhooks_plugin.sources.document > docs/sources.md

$(STAMP): pyproject.toml scripts/make_venv.sh
	sh scripts/make_venv.sh "$(PYTHON)" "$(VENV)"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $(STAMP)

clean:
	rm -rf $(VENV)
