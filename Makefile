# `make demo` and `make test` need nothing but Python 3.11 or later and git; both install into .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
MAKEFLAGS += --check-symlink-times  # an environment's python is a link to one that is older than everything here

.PHONY: demo help test test-all check audit lint readme recipe grid leaderboard pack unpack bench torture export serve lock clean

demo: .venv/installed  ## the whole pipeline on synthetic pictures, in demo/
	python -m tools.demo

help:  ## this list
	@sed -En 's/^([a-z-]+):.*  ## (.*)/\1\t\2/p' Makefile | expand -t 13

# A file of tests stays with one process, whose fixtures its tests share.
PYTEST := python -m pytest --numprocesses logical --dist loadfile

test: .venv/installed  ## the tests of every day, in some minutes
	$(PYTEST) -m "not slow"

test-all: .venv/installed .venv/serve/installed .venv/cluster/installed  ## all tests, with whole runs, web pages, clusters and injected faults, and how much of the code they run
	$(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-fail-under=90

check: .venv/installed  ## do dvc.lock and metrics/ belong to the params and the code? (no data needed; BASE=REV shows the differences)
	python -m tools.check $(if $(BASE),--base $(BASE))

audit: .venv/installed  ## what is wrong with any folder of images: FOLDER=path [ARGS="OTHER --output DIR --move DIR"]; docs/audit.md
	python -m tools.audit "$(or $(FOLDER),$(error FOLDER is missing: make audit FOLDER=path/to/images))" $(ARGS)

lint: .venv/installed  ## ruff's checks and its format, and mypy's types
	ruff check .
	ruff format --check .
	mypy

readme: .venv/installed  ## the result tables of README.md and docs/recipes.md, from metrics/
	python -m tools.readme

recipe: .venv/installed  ## one published system: NAME=kazemi-resnet18-whole [PROTOCOL=same|honest] [SET="train.epochs=10 model.weights=none"]
	python -m leaderboard.cell $(or $(NAME),$(error NAME is missing: make recipe NAME=kazemi-resnet18-whole)) $(if $(PROTOCOL),--protocol $(PROTOCOL)) $(if $(SET),--set $(SET))

grid: .venv/cluster/installed  ## recipes side by side, on this machine's cores or GPUs or on the Ray cluster of RAY_ADDRESS: all that has no result, or [RECIPES="kazemi-resnet18-whole ours-lite0-*"] [PROTOCOL=] [SET=] [ARGS="--folds 0 1 --seeds 0 1"]
	PATH="$(CURDIR)/.venv/cluster/bin:$$PATH" python -m leaderboard.grid $(RECIPES) $(if $(PROTOCOL),--protocol $(PROTOCOL)) $(if $(SET),--set $(SET)) $(ARGS)

leaderboard: .venv/installed  ## metrics/leaderboard.csv, of the recipes that have been run
	dvc repro --single-item leaderboard/dvc.yaml:code leaderboard/dvc.yaml:leaderboard

pack: .venv/installed  ## packed.tar.bz2, to run on a machine with PyTorch, without network and DVC: all that was not run as its recipe says, or [RECIPES="kazemi-resnet18-whole default"] [PROTOCOL=] [SET=]
	python -m leaderboard.elsewhere.pack $(RECIPES) $(if $(PROTOCOL),--protocol $(PROTOCOL)) $(if $(SET),--set $(SET))

unpack: .venv/installed  ## take in what that machine computed: ARCHIVE=results.tar.gz
	python -m leaderboard.elsewhere.unpack $(or $(ARCHIVE),$(error ARCHIVE is missing: make unpack ARCHIVE=results.tar.gz))

bench: .venv/bench/installed  ## speed beside other libraries, in docs/benchmarks.md [ARGS="--threads 1 --rounds 1 --size 128"]
	.venv/bench/bin/python -m benchmarks.speed $(ARGS)

torture: .venv/torture/installed  ## inject faults into the pipeline, and what it survives in docs/reliability.md [ARGS="--only kill --tries 3"]
	.venv/torture/bin/python -m benchmarks.torture $(ARGS)

export: .venv/installed  ## the trained models as one folder, export/, for `python -m stages.predict`
	python -m tools.export

serve: .venv/serve/installed  ## a local web page that classifies pictures, with the models that `make export` packed
	.venv/serve/bin/python -m tools.serve

lock: .venv/installed .venv/serve/installed .venv/cluster/installed  ## requirements*.lock from what is installed
	python -m tools.lock

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -r requirements.lock
	touch $@

# Gradio wants an older Pillow than the pipeline, and what the benchmark compares with, the fuzzer and Ray are no part of it:
# they lie in environments in front of .venv, whose packages are those of requirements.lock and no others.
SITE := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
.venv/serve/bin/python .venv/bench/bin/python .venv/torture/bin/python .venv/cluster/bin/python: .venv/installed
	$(BIN)/python -m venv --clear $(@:/bin/python=)
	$(BIN)/python $(SITE) > "$$($@ $(SITE))/pipeline.pth"

.venv/serve/installed .venv/cluster/installed: .venv/%/installed: .venv/%/bin/python requirements-%.lock
	.venv/$*/bin/python -m pip install --quiet --upgrade-strategy only-if-needed -r requirements-$*.lock
	touch $@

.venv/bench/installed .venv/torture/installed: .venv/%/installed: .venv/%/bin/python pyproject.toml
	.venv/$*/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[$*]'
	touch $@

clean:  ## remove demo/, export/, caches, and .scratch/ with the trainings that no result holds yet
	rm -rf demo export .scratch .mypy_cache .pytest_cache .ruff_cache
