# On a fresh machine each target makes its own environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench clean

demo: $(READY)
	bash examples/demo.sh $(abspath $(BIN))

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	@echo "see benchmarks/README.md for the commands; this prints mmETL's own column at 1,000 tasks"
	$(BIN)/python benchmarks/engines.py --bench $${BENCH:-../shared/bench/engines} --peers mmetl-py,mmetl --sizes 1000 --rounds 3 --work benchmarks/work

clean:
	rm -rf $(VENV) benchmarks/work

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)
