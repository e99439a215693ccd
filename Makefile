# Every target first makes .venv, so that it works from a clean clone with nothing installed.
# `make` alone lists the targets.

PYTHON ?= python3
ARGS ?=

# One environment serves all targets: a run and its test then use the very same versions, and the
# tests cost a few megabytes beside torch. To train without them: pip install -c constraints.txt -e .
EXTRAS := dev,optimizers,launchers
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin

# What would slow every start down: Optuna and scikit-learn bring scipy, which torchmetrics imports
# wherever it is there.
OPTUNA := .venv-optuna
SKLEARN := build/scikit-learn

.DEFAULT_GOAL := help
.PHONY: help train test test-all test-optuna lint clean

help: ## list these targets
	@awk -v tty="$$([ -t 1 ] && echo 1)" ' \
	  BEGIN { if (tty) { on = "\033[1;36m"; dim = "\033[2m"; off = "\033[0m" } \
	          print "stepsize: which optimizer makes this model converge?\n" } \
	  /^[a-z-]+:.*## / { name = $$1; sub(/:.*/, "", name); text = $$0; sub(/.*## /, "", text); \
	          printf "  %smake %-12s%s %s\n", on, name, off, text } \
	  END { printf "\n%sThe first call makes $(VENV); the next ones install nothing.%s\n", dim, off }' \
	  $(firstword $(MAKEFILE_LIST))

train: $(READY) ## train with Adam; more with  make train ARGS="task=line optimizer.lr=1e-2"
	$(BIN)/python train.py optimizer=adam $(ARGS)

# Two workers with one thread each: more threads than cores make small tensors slower, not faster.
# The tests of a file share its sweeps, so that they stay in one worker.
PYTEST := -m pytest -n auto --maxprocesses 2 --dist loadscope

test: $(READY) ## run tests/unit and tests/runs, minutes; some:  make test ARGS="-k schedule"
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) $(ARGS)

test-all: $(READY) $(SKLEARN) ## run every test that needs no other environment, most of an hour
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) tests --ignore=tests/all/test_scikit_learn_data.py $(ARGS)
	PYTHONPATH=$(SKLEARN) $(BIN)/python -m pytest tests/all/test_scikit_learn_data.py

test-optuna: $(OPTUNA)/.ready ## run the tests of Optuna's sweeper, in .venv-optuna
	OMP_NUM_THREADS=1 $(OPTUNA)/bin/python -m pytest tests/all/test_optuna.py $(ARGS)

lint: $(READY) ## check format, rules and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean: ## remove the environment and the caches; outputs/ stays
	rm -rf $(VENV) $(OPTUNA) build dist src/*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find conf scripts src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is touched last, so that an install that was cut off is taken up again. An old pip is
# replaced: before 23.1 it needs more than pyproject.toml for an editable install.
$(OPTUNA)/.ready: EXTRAS := dev,optuna
$(READY) $(OPTUNA)/.ready: %/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c '' >/dev/null 2>&1 || { \
	  echo "make: $(PYTHON) does not run: install Python 3.10 or newer, or name one with  make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "make: $(PYTHON) is older than Python 3.10: name a newer one with  make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module: install it (on Debian and Ubuntu, the package python3-venv)" >&2; exit 1; }
	@echo "Setting up $*: once, a few minutes, most of them for PyTorch ..."
	@$(PYTHON) -m venv $*
	@$*/bin/python -m pip install --quiet --disable-pip-version-check "pip>=23.1"
	@$*/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

$(SKLEARN): constraints.txt | $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  --upgrade --target $@ scikit-learn
	@touch $@
