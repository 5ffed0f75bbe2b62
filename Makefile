# What people type. Everything lands in .venv; nothing needs root.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := tests/peers/node_modules/.installed
# A file's tests stay in one process: they share brokers and servers. Four, for most of the time they wait.
PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder
PIN ?=
BENCH ?=

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Latchpin needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

# The peers are npm packages; without node their tests are skipped and say so.
$(PEERS): tests/peers/package.json
	@if command -v npm >/dev/null; then cd tests/peers && npm install --silent --no-audit --no-fund; else echo "no npm: tests of peers will be skipped"; mkdir -p node_modules; fi
	@mkdir -p $(dir $@) && touch $@

setup: $(STAMP)  ## a virtual environment with everything, in .venv

demo: $(STAMP)  ## the whole path once: a device asks for a PIN, you type it, a tool answers (PIN=auto plays you)
	@$(BIN)/latchpin demo $(if $(PIN),--pin $(PIN))

test: $(STAMP) $(PEERS)  ## every test
	$(BIN)/python -m pytest $(PARALLEL) || { [ $$? = 1 ] && echo "once more, each alone: what failed beside others" \
	  && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

check: $(STAMP)  ## lint, types and house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/pyright --project device --pythonpath $(BIN)/python --typeshedpath "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(BIN)/python -m pytest -q tests/house_rules

bench: $(STAMP)  ## what it costs: time by leg, bytes on the wire, heap and .mpy sizes, what a bridge carries
	$(BIN)/python -m tests.benchmarks $(BENCH)

bundle: $(STAMP)  ## the device's code compiled: a folder for mip and a ROMFS image, in build/bundle
	@$(BIN)/python -m boards.bundle

clean:  ## take away what make made
	rm -rf $(VENV) tests/peers/node_modules build *.egg-info

.PHONY: help setup demo test check bench bundle clean
