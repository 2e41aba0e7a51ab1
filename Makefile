# make demo   install, get photographs, train on them
# make demo-text   the same with texts that people rated
# make test   install, then every check and every test
# make lint   the checks alone
# make bench  install, then measure against the hand-written recipe; BENCH_ARGS=--quick: 5 minutes
# make bench-serve   the server against the bare engine and a handler written by hand
# make clean  take away what these targets made (not models/ and reports/)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3.11
BENCH_ARGS ?=
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help install install-dev tools demo demo-text bench bench-serve test lint clean

help:
	@sed -n 's/^# \(make \)/\1/p' Makefile

# The virtual environment. Debian and Ubuntu keep venv's ensurepip in a package of its own.
$(BIN)/python:
	@
	if ! command -v $(PYTHON) >/dev/null; then
	    echo "$(PYTHON) is not here. Install Python 3.11, or name another: make PYTHON=python3.12 ..." >&2
	    exit 1
	fi
	if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then
	    package="python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	        echo "installing $$package"
	        apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends "$$package"
	    else
	        echo "$(PYTHON) cannot make virtual environments. Run: sudo apt-get install $$package" >&2
	        exit 1
	    fi
	fi
	$(PYTHON) -m venv $(VENV)

# What the app needs to run. The stamp makes a second call quick. Editable as a plain path: with
# setuptools' own finder, a script beside a clone imports the clone's folder for the package.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@
	$(BIN)/python -m pip install --constraint constraints.txt --config-settings editable_mode=compat --editable '.[heic,lite,serve]'
	touch $@

# What the checks and tests need as well.
$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@
	$(BIN)/python -m pip install --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev,heic,kerashub,lite,onnx,serve,text]'
	touch $@ $(VENV)/.installed

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev tools

# The tests look at pages in a browser, and run the clients of examples/.
tools:
	@
	missing=""
	for tool in chromium chromedriver curl node openssl; do
	    command -v "$$tool" >/dev/null || missing="$$missing $$tool"
	done
	if [ -z "$$missing" ]; then exit 0; fi
	if ! command -v apt-get >/dev/null; then
	    echo "The tests need$$missing: install them with this system's tools." >&2
	    exit 1
	fi
	packages="chromium chromium-driver curl nodejs openssl"
	as_root=""
	if [ "$$(id -u)" != 0 ]; then
	    if sudo --non-interactive true 2>/dev/null; then as_root="sudo"; else
	        echo "The tests need$$missing. Run: sudo apt-get install $$packages" >&2
	        exit 1
	    fi
	fi
	$$as_root apt-get update --quiet
	$$as_root apt-get install --quiet --yes --no-install-recommends $$packages

demo: install
	@
	photos="$$($(BIN)/python examples/demo_photos.py)"
	# Not quoted: the fallback set is named by several words.
	$(BIN)/tl-app train $$photos
	echo
	echo "To use tl-app in this shell:  . $(VENV)/bin/activate"

demo-text: install
	@
	table="$$($(BIN)/python examples/demo_texts.py)"
	$(BIN)/tl-app train "$$table"
	echo
	echo "To use tl-app in this shell:  . $(VENV)/bin/activate"

bench: install
	@
	$(BIN)/python -m benchmarks.bench $(BENCH_ARGS)

bench-serve: install
	@
	if ! command -v wrk >/dev/null; then
	    echo "wrk is not here. Debian and Ubuntu: sudo apt-get install wrk" >&2
	    exit 1
	fi
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --config-settings editable_mode=compat --editable '.[heic,lite,serve]' fastapi
	$(BIN)/python -m benchmarks.serving $(BENCH_ARGS)

lint: $(VENV)/.installed-dev
	@
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install-dev lint
	@
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf $(VENV) build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
