# Three commands: `make quickstart`, `make studies` and `make test`. All make .venv themselves; nothing else is touched.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart
NOTE ?= $(shell date +%F), $(shell sed -n '/model name/{s/.*: //p;q;}' /proc/cpuinfo)
# Two processes fill two cores; above four, tests that start processes of their own wait for each other.
PYTEST := $(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: quickstart studies test test-all check lint constraints

quickstart: $(VENV)/.installed
	$(BIN)/hormesis run examples/quickstart.yaml --out $(OUT)
	$(BIN)/hormesis show $(OUT)

# Every tiny study of examples/studies, which share what they train; the reports are kept in benchmarks/results.
studies: export NOTE := $(NOTE)
studies: $(VENV)/.installed-tune
	$(BIN)/python -m benchmarks.seed_studies --note "$$NOTE"

# Without what is marked slow (whole commands that are killed and run again), which .ci/run runs too.
test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.installed-dev
	$(PYTEST)

check: lint test-all

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The versions of tomorrow: the newest that pyproject.toml allows, in an environment of their own.
constraints:
	rm -rf $(VENV)-constraints
	PYTHON=$(PYTHON) CONSTRAINTS=/dev/null sh infra/install.sh $(VENV)-constraints dev,all
	{ sed '/^[^#]/d' infra/constraints.txt; \
	  $(VENV)-constraints/bin/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu$$//'; } > $(VENV)-constraints/new.txt
	mv $(VENV)-constraints/new.txt infra/constraints.txt

$(VENV)/.installed: pyproject.toml infra/install.sh infra/constraints.txt
	PYTHON=$(PYTHON) sh infra/install.sh $(VENV) megatron
	touch $@

$(VENV)/.installed-tune: $(VENV)/.installed
	PYTHON=$(PYTHON) sh infra/install.sh $(VENV) tune
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	PYTHON=$(PYTHON) sh infra/install.sh $(VENV) dev
	touch $@
