# make demo, make test: everything on a fresh machine. They need Python 3.10+ and make; a C++ compiler adds speed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test lint clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools wheel torch
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[test,sim]'
	touch $@

demo: install
	$(BIN)/larmlreco run -c fcl/run_images_uboone.fcl -o demo_output/images.root

test: install
	$(BIN)/python -m pytest -q

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build demo_output
