# Everything here starts from nothing: .venv is made with the first Python >= 3.11 that runs, and made again only when pyproject.toml changed.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
TOOLS := $(wildcard tools/*.sh)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help demo test test-cluster test-frameworks pictures coverage check format bench fuzz wheel clean

help:  ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

$(VENV)/.demo: pyproject.toml tools/make_venv.sh
	@tools/make_venv.sh $@ sklearn

$(VENV)/.dev: pyproject.toml tools/make_venv.sh
	@tools/make_venv.sh $@ dev,sklearn,postgres,env,server && touch $(VENV)/.demo

$(VENV)/.frameworks: $(VENV)/.dev tests/frameworks/requirements.txt
	@tools/make_venv.sh $@ dev -r tests/frameworks/requirements.txt

demo: $(VENV)/.demo  ## Train, evaluate and package a model of who will default, from nothing
	@fairway run examples/default_risk/pipeline.py
	@echo "go on with: . $(VENV)/bin/activate"

test: $(VENV)/.dev  ## All tests but those of heavy libraries
	@$(PYTEST) tests --ignore=tests/frameworks $(ARGS)

test-cluster: $(VENV)/.dev  ## Tests on a real cluster: KUBECONFIG says which, FAIRWAY_TEST_IMAGE names an image with Python
	@$(PYTEST) tests/cluster -m cluster $(ARGS)

test-frameworks: $(VENV)/.frameworks  ## Tests with torch, xgboost, polars, R, package indexes, …
	@Rscript -e 'library(future)' 2>/dev/null || tools/apt_install.sh r-base-core r-cran-future
	@command -v mpirun >/dev/null || tools/apt_install.sh openmpi-bin
	@command -v java >/dev/null || tools/apt_install.sh default-jre-headless
	@$(PYTEST) tests/frameworks $(ARGS)

pictures: $(VENV)/.dev  ## Draw the pictures of the README anew: dashboard, report of data
	@$(PYTEST) tests/pages/test_picture.py && cp build/screenshots/dashboard-*.png build/screenshots/data-report.png docs/images/

coverage: $(VENV)/.dev  ## Branch coverage; the pure rooms must have all of it
	@tools/coverage.sh

check: $(VENV)/.dev  ## Style, types, layers, sizes; in under a minute
	@ruff check --quiet . && ruff format --quiet --check --diff .
	@$(PY) tools/check_sizes.py
	@lint-imports > $(VENV)/layers.txt 2>&1 || { cat $(VENV)/layers.txt; exit 1; }
	@pyright > $(VENV)/types.txt 2>&1 || { cat $(VENV)/types.txt; exit 1; }
	@echo "check: style, sizes, layers and types are in order"

format: $(VENV)/.dev  ## Bring the code into the common form
	@ruff check --quiet --fix . ; ruff format --quiet .

bench: $(VENV)/.dev  ## Measure against the bars, peers beside us where they are installed
	@$(PY) -m benchmarks $(ARGS)

fuzz: $(VENV)/.dev  ## Fuzz the parsers of data: FUZZ_SECONDS for each target (60), ARGS names some
	@PYTHONPATH=. $(VENV)/bin/python -m tests.data.fuzz $(ARGS)

wheel: $(VENV)/.dev  ## Build dist/fairway-*.whl
	@rm -rf dist && $(PY) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## Remove what was built
	@rm -rf .venv dist build .coverage .coverage.* .pytest_cache .hypothesis .ruff_cache
