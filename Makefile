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
	mkdir -p demo_output
	$(BIN)/larmlreco evaluate -c fcl/demo_uboone.fcl
	for event in 5000:21:1051 5000:21:1052; do \
	  $(BIN)/larmlreco display demo_output/full.root -e $$event -o demo_output/event_$${event##*:}.html && \
	  $(BIN)/larmlreco display demo_output/full.root -e $$event -o demo_output/event_$${event##*:}.png \
	    --layers "charge,infilled,pixel,hits by clusters,voxels" || exit; \
	done
	@echo "Look at demo_output/event_1051.png, or open demo_output/event_1051.html in a browser."

test: install
	$(BIN)/python -m pytest -q

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build demo_output
