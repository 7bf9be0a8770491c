# `make demo` and `make test` need nothing but Python 3.11 or later and git; both install into .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test check lint readme recipe leaderboard bench export lock clean

demo: .venv/installed  ## the whole pipeline on synthetic pictures, in demo/
	python -m tools.demo

test: .venv/installed  ## all tests
	python -m pytest

check: .venv/installed  ## do dvc.lock and metrics/ belong to the params and the code? (no data needed; BASE=REV shows the differences)
	python -m tools.check $(if $(BASE),--base $(BASE))

lint: .venv/installed
	ruff check .
	ruff format --check .

readme: .venv/installed  ## the README's result tables, from metrics/
	python -m tools.readme

recipe: .venv/installed  ## one published system: NAME=kazemi-resnet18-whole [PROTOCOL=same|honest] [SET="train.epochs=10 model.weights=none"]
	python -m tools.recipe $(NAME) $(if $(PROTOCOL),--protocol $(PROTOCOL)) $(if $(SET),--set $(SET))

leaderboard: .venv/installed  ## metrics/leaderboard.csv, of the recipes that have been run
	dvc repro --single-item benchmarks/dvc.yaml:leaderboard

bench: .venv-bench/installed  ## speed beside other libraries, in docs/benchmarks.md [ARGS="--threads 1 --rounds 1 --size 128"]
	.venv-bench/bin/python -m benchmarks.speed $(ARGS)

export: .venv/installed  ## the trained models as one folder, export/, for `python -m stages.predict`
	python -m tools.export

lock: .venv/installed  ## requirements.lock from what is installed
	python -m tools.lock

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -r requirements.lock
	touch $@

# What the benchmark compares with stays out of .venv, whose packages are those of requirements.lock and no others.
.venv-bench/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[bench]'
	touch $@

clean:
	rm -rf demo export .scratch .pytest_cache .ruff_cache
