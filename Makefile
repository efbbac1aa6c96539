# `make app` opens the app, `make test` passes the tests. Both set up what they need.
PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: app test test-slow test-ray demonstration example architectures sweep layers bench lint help clean
.DEFAULT_GOAL := help

help: ## Show these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 app") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/app.done: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	@touch $@

$(VENV)/test.done: requirements.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	@touch $@ $(VENV)/app.done

app: $(VENV)/app.done ## Set up and open the app (PORT= changes the port)
	$(BIN)/python -m streamlit run app.py --server.port $(PORT)

test: $(VENV)/test.done ## Set up and run lint, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

test-slow: $(VENV)/test.done ## Retrain the demonstration models, walk every goal and state (about an hour)
	$(BIN)/python -m pytest -m slow

$(VENV)/ray.done: $(VENV)/test.done
	$(BIN)/python -m pip install --disable-pip-version-check -q 'ray[data]>=2.60'
	@touch $@

test-ray: $(VENV)/ray.done ## Install Ray (400 MB) and test batches on a cluster of two nodes on this machine (two minutes)
	$(BIN)/python -m pytest -m slow -n 0 tests/test_ray.py

demonstration: $(VENV)/test.done ## Draw the sample radiographs and train the demonstration models again
	$(BIN)/python -m demonstration

example: $(VENV)/app.done ## Compute the worked example again that Start draws without loading a model
	$(BIN)/python -m demonstration.example

architectures: $(VENV)/app.done ## List the networks of torchvision and timm again that checkpoints are compared with
	$(BIN)/python -m demonstration.architectures

sweep: $(VENV)/app.done ## Explain every family of timm and torchvision once (an hour or more) and write docs/architectures.md
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m demonstration.sweep
	$(BIN)/python -m demonstration.sweep --table

layers: $(VENV)/test.done ## Measure again how well each layer of the bundled models localises (some minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m demonstration.layers

$(VENV)/bench.done: $(VENV)/test.done benchmarks/requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q -r benchmarks/requirements.txt
	@touch $@

bench: $(VENV)/bench.done ## Time everything beside other packages (CASES= names some) and write docs/benchmarks.md
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks $(CASES)

lint: $(VENV)/test.done ## Check style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## Remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
