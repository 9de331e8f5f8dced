# Everything is installed into .venv from pyproject.toml with the tested versions of constraints.txt.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup repro base release adopt test lint format types serve ui dashboard

VENV := .venv
READY := $(VENV)/.ready
# The newest tested Python first; any other one from 3.11 on will do.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
# DVC runs each stage as `python -m pipelines.<stage>`: that must be this environment's Python.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Create .venv and install the project into it

$(READY): pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "make: expected Python 3.11 or newer; found none: install it, or run make PYTHON=/path/to/python" >&2; exit 1; }
	[ -x $(VENV)/bin/python ] || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

repro: $(READY)  ## Run the whole pipeline on the profile in params.yaml
	dvc repro

# The released Coarse-net is trained in two parts: profile base, and from there on profile full.
BASE := weights/base/coarse/model.json

$(BASE): | $(READY)
	bmenet profile base
	dvc repro train_coarse
	mkdir -p weights/base && cp -r weights/field weights/coarse weights/base/

base: $(BASE)  ## Train the Coarse-net that the profile full goes on from

release: $(BASE)  ## Train and evaluate the profile full, and write bmenet/release/weights; hours, goes on after a stop
	bmenet profile full
	dvc repro
	bmenet release

adopt: $(READY)  ## Keep the outputs after a refactoring, if `smoke` gives the same bytes: make adopt FROM=<commit before it>
	.ci/adopt $(FROM)

test: lint types  ## Check style and types, run the tests
	pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)  ## Check style with ruff
	ruff check .
	ruff format --check .

types: $(READY)  ## Check types with mypy
	mypy

format: $(READY)  ## Let ruff format and fix the code
	ruff check --fix .
	ruff format .

serve: $(READY)  ## Serve the champion of the registry on http://127.0.0.1:5001
	MLFLOW_DISABLE_TELEMETRY=true bmenet serve

# The address asks for MLflow's page of trainings; without it a browser that is new to MLflow opens one about language models.
ui: $(READY)  ## Start MLflow's page on http://127.0.0.1:5000
	@echo 'open http://127.0.0.1:5000/#/experiments/1?workflowType=machine_learning'
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
	mlflow ui --host 127.0.0.1 --port 5000 --workers 1 --backend-store-uri sqlite:///mlflow/mlflow.db

dashboard: $(READY)  ## Open the studies of `bmenet tune` on http://127.0.0.1:8080 (BMENET_STUDIES: a database)
	optuna-dashboard --host 127.0.0.1 --port 8080 $${BMENET_STUDIES:-sqlite:///data/tune/studies.db}
