# Two commands: `make quickstart` and `make test`. Both make .venv themselves; nothing else is touched.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart

.PHONY: quickstart test check lint clean-venv

quickstart: $(VENV)/.installed
	$(BIN)/hormesis run examples/quickstart.yaml --out $(OUT)
	$(BIN)/hormesis show $(OUT)

test: $(VENV)/.installed-dev
	$(BIN)/pytest

check: lint test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.installed: pyproject.toml infra/install.sh
	PYTHON=$(PYTHON) sh infra/install.sh $(VENV) megatron,detoxify
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
