# Two commands matter: `make demo` and `make test`. Everything lives in .venv; repeated runs
# install nothing unless pyproject.toml changed.

PYTHON ?= python3
VENV ?= .venv
# What CI pins. Where pip finds no such build of torch: make test CONSTRAINTS=/dev/null
CONSTRAINTS ?= tests/constraints.txt
# open_clip and what it needs, put aside for its tests: this torchvision fits the torch that CI pins, but
# is built for CUDA, and among the other packages would keep transformers from being imported.
TOWERS := open_clip_torch==3.3.0 timm==1.0.31 ftfy==6.3.1 wcwidth==0.9.4 torchvision==0.28.0
# The galaxies to learn from: a votes.csv with the pictures beside it.
VOTES ?= ../shared/data/galaxies/votes.csv
RECIPE := training/astrollava_training/recipes/embedded.toml

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
STAMPS := $(VENV)/.stamps

.PHONY: help demo test lint format types arrows docs check embedded-model clean

help:
	@echo "make demo            install and describe the bundled galaxy, offline"
	@echo "make test            install what the tests need and run them (PYTEST=... adds options)"
	@echo "make lint            ruff: rules and format"
	@echo "make format          let ruff repair what it can"
	@echo "make types           mypy --strict"
	@echo "make arrows          who may import whom"
	@echo "make docs            build the documentation, warnings are errors"
	@echo "make check           all of the above"
	@echo "make embedded-model  train, export and install the embedded model again"
	@echo "make clean           remove what these rules made"

demo: $(STAMPS)/core
	$(BIN)/astrollava demo

test: $(STAMPS)/test
	$(BIN)/python -m pytest $(PYTEST)

lint: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMPS)/dev
	$(BIN)/mypy

arrows: $(STAMPS)/test
	$(BIN)/python -m pytest -q tests/test_arrows.py

docs: $(STAMPS)/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

check: lint types docs test

embedded-model: $(STAMPS)/test
	$(BIN)/astrollava-train run $(RECIPE) --data $(VOTES) --out runs/embedded
	$(BIN)/astrollava-train publish $(RECIPE) runs/embedded --data $(VOTES)
	$(BIN)/python docs/make_readme_assets.py

clean:
	rm -rf $(VENV) docs/_build dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(STAMPS)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "astrollava needs Python 3.11 or newer; '$(PYTHON)' is" \
	       "$$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/core: $(STAMPS)/python pyproject.toml
	@echo "Installing astrollava into $(VENV); the first time, pip compiles llama.cpp (minutes)."
	$(PIP) --editable .
	@touch $@

# The tests check the training code too: torch and transformers, at the versions CI pins.
$(STAMPS)/test: $(STAMPS)/core $(CONSTRAINTS)
	$(PIP) --constraint $(CONSTRAINTS) --editable '.[fetch,training,test]'
	@$(PIP) --no-deps --upgrade --target $(VENV)/towers $(TOWERS) || \
	  echo "open_clip could not be had; its tests will skip"
	@touch $@

# mypy reads the types of what the code imports, so it needs the same things installed.
$(STAMPS)/dev: $(STAMPS)/test
	$(PIP) --constraint $(CONSTRAINTS) --editable '.[fetch,training,test,dev]'
	@touch $@

$(STAMPS)/docs: $(STAMPS)/test
	$(PIP) --constraint $(CONSTRAINTS) --editable '.[fetch,training,docs]'
	@touch $@
