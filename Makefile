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

.DEFAULT_GOAL := help
.PHONY: help train test lint clean

help: ## list these targets
	@awk -v tty="$$([ -t 1 ] && echo 1)" ' \
	  BEGIN { if (tty) { on = "\033[1;36m"; dim = "\033[2m"; off = "\033[0m" } \
	          print "stepsize: which optimizer makes this model converge?\n" } \
	  /^[a-z]+:.*## / { name = $$1; sub(/:.*/, "", name); text = $$0; sub(/.*## /, "", text); \
	          printf "  %smake %-7s%s %s\n", on, name, off, text } \
	  END { printf "\n%sThe first call makes $(VENV); the next ones install nothing.%s\n", dim, off }' \
	  $(firstword $(MAKEFILE_LIST))

train: $(READY) ## train with Adam; more with  make train ARGS="task=line optimizer.lr=1e-2"
	$(BIN)/python train.py optimizer=adam $(ARGS)

# Two workers with one thread each: more threads than cores make small tensors slower, not faster.
test: $(READY) ## run the tests; some of them with  make test ARGS="-k schedule"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 2 $(ARGS)

lint: $(READY) ## check format, rules and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean: ## remove the environment and the caches; outputs/ stays
	rm -rf $(VENV) build dist src/*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find conf scripts src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is touched last, so that an install that was cut off is taken up again. An old pip is
# replaced: before 23.1 it needs more than pyproject.toml for an editable install.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c '' >/dev/null 2>&1 || { \
	  echo "make: $(PYTHON) does not run: install Python 3.10 or newer, or name one with  make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "make: $(PYTHON) is older than Python 3.10: name a newer one with  make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module: install it (on Debian and Ubuntu, the package python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV): once, a few minutes, most of them for PyTorch ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=23.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@
