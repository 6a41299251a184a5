# make install | serve | test | test-slow | check | types | bench | docs | models: each does all of its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# One BLAS thread per test process: the suite itself takes all cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

MAKEFLAGS += --no-print-directory
TYPESCRIPT := clients/js/node_modules/.stamp
.PHONY: install serve test test-slow check types bench docs models clean

# All that the tutorials need; then: . .venv/bin/activate
install: $(VENV)/.stamp-install

serve: $(VENV)/.stamp-install
	@echo "Ancestral starts at http://$(HOST):$(PORT)/ …"
	@$(BIN)/ancestral serve --models models_store --host $(HOST) --port $(PORT)

test: $(VENV)/.stamp-dev $(VENV)/.stamp-system $(TYPESCRIPT)
	@$(PYTEST) -m "not slow"

test-slow: $(VENV)/.stamp-dev $(VENV)/.stamp-system
	@$(PYTEST) -m slow

check: $(VENV)/.stamp-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@sh .ci/audit $(BIN)/pip-audit

types: $(TYPESCRIPT)
	@cd clients/js && node node_modules/typescript/bin/tsc

bench: $(VENV)/.stamp-install
	@$(BIN)/ancestral bench --models models_store

# The guide into site/, which `make serve` then shows at /docs/guide.
docs: $(VENV)/.stamp-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The guide: site/index.html"

# Train every shipped package again from its recipe (ANCESTRAL_DATA names the folder of data sets);
# a run that was broken off goes on where it stopped.
models: $(VENV)/.stamp-dev
	@for recipe in models_store/recipes/*.toml; do $(BIN)/ancestral train $$recipe || exit 1; done

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-install: pyproject.toml clients/python/pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing ancestral into $(VENV): PyTorch and what it needs, over a gigabyte; some minutes …"
	@$(PIP) -e ".[embedded]" -e "clients/python[progress,sklearn]"
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml clients/python/pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing ancestral with its test tools into $(VENV): over a gigabyte; some minutes …"
	@$(PIP) -e ".[dev]" -e "clients/python[progress,sklearn]"
	@touch $@ $(VENV)/.stamp-install

# A browser for the page's test; without one that test is skipped and says so.
$(VENV)/.stamp-system: | $(BIN)/python
	@sh .ci/system-packages chromium && touch $@ || true

# What checks the JavaScript client's types and the page's accessibility; without npm those tests are
# skipped and say so.
$(TYPESCRIPT): clients/js/package.json
	@! command -v npm >/dev/null || \
		(cd clients/js && npm install --no-save --no-package-lock --no-audit --no-fund --silent && \
		touch node_modules/.stamp) || true

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache
