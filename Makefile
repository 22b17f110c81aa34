# Two commands for a newcomer: `make demo` and `make test`. Both set everything up first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test check bench lock clean

setup: $(STAMP)

# uv comes from PATH where it is there, else pip puts it into the environment itself.
$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "venv failed: install python3-venv (Debian), then run make again"; exit 1; }
	command -v uv >/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check uv
	UV=$$(command -v uv || echo $(BIN)/uv); \
	  $$UV pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
	  $$UV pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: setup
	$(BIN)/retrieval demo --dir demo-corpus

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# CORPUS=~/clips measures on your own collection.
CORPUS ?= $(firstword $(wildcard demo-corpus/corpus-*))
bench: setup
	test -n "$(CORPUS)" || { echo "run make demo first, or give CORPUS=~/clips"; exit 2; }
	$(BIN)/python benchmarks/build.py $(CORPUS)
	$(BIN)/python benchmarks/build.py --memory 500 5000

lock: setup
	UV=$$(command -v uv || echo $(BIN)/uv); $$UV pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --all-extras --constraint constraints.txt pyproject.toml -o requirements.lock

clean:
	rm -rf demo-corpus build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
