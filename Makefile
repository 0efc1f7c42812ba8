# Two commands do all the set-up, on any machine that has Python 3.11 or newer and make:
#
#     make run       installs into .venv and serves the Hello World page at http://127.0.0.1:8000/
#     make test      installs into .venv and runs every test
#
# `make help` lists the rest. Variables: PYTHON (the interpreter), VENV (the environment), APP and ARGS (what to run).

VENV ?= .venv
BIN = $(VENV)/bin
WORKERS ?= auto
OTHER_PYTHONS ?= 3.12 3.13

.DEFAULT_GOAL = help
.PHONY: help run test coverage test-others test-all install-others lint format types docs check fuzz stress clean
.PHONY: bench bench-profile bench-report bench-all bench-micro

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed-run  ## serve the Hello World page; APP=apps.hello:app serves another, ARGS='--threads 4' adds options
	@$(BIN)/wsgiserver $(APP) $(ARGS)

test: $(VENV)/.installed-test  ## run every test, in parallel; ARGS='-k head' chooses
	@$(BIN)/python -m pytest -n $(WORKERS) $(COVERAGE) $(SCOPE) $(ARGS)

coverage: test  ## the same, and tell which lines and branches no test reached; it takes twice as long
coverage: COVERAGE = --cov --cov-branch --cov-report=term:skip-covered

test-all: test test-others  ## the same, then with every other Python that this machine has

test-others:  ## every test of Python code with the other Pythons, each in its own environment (OTHER_PYTHONS, 3.12 and 3.13)
	$(call with_others,test)

install-others:  ## make the environments of the other Pythons, and run nothing
	$(call with_others,build/venv-$$version/.installed-test)

# Makes a target with each of the other Pythons. The tests do without the model of the baton, which is no Python, and
# without the search through all orders of its steps on stage, which need not be made again.
define with_others
@for version in $(OTHER_PYTHONS); do \
    found=; \
    for python in python$$version "$$HOME"/.pyenv/versions/$$version.*/bin/python; do \
        if "$$python" -c 'import venv, ensurepip' 2>/dev/null; then found=$$python; break; fi; \
    done; \
    if [ -z "$$found" ]; then echo "Python $$version: not on this machine, skipped"; continue; fi; \
    echo "Python $$version: $$found"; \
    $(MAKE) --no-print-directory $(1) VENV=build/venv-$$version PYTHON="$$found" \
        SCOPE='--ignore=tests/test_model.py -k "not every_order_near"' || exit 1; \
done
endef

lint: $(VENV)/.installed-dev  ## ruff: the rules, and the layout
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev  ## ruff: lay the code out, and mend what can be mended by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.installed-dev  ## mypy --strict
	@$(BIN)/mypy --strict

docs: $(VENV)/.installed-dev  ## build the documentation into docs/_build/html; a warning is an error
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

check: lint types docs test  ## everything that must hold before a commit

fuzz: $(VENV)/.installed-test  ## feed the reader with made-up bytes; SECONDS=600
	@$(BIN)/python tests/test_reader_properties.py $(or $(SECONDS),600)

stress: $(VENV)/.installed-test  ## random exchanges of every kind, each answer checked; SECONDS=600
	@$(BIN)/python tests/stress.py $(or $(SECONDS),600)

bench: $(VENV)/.installed-bench  ## compare with other servers (needs wrk); ARGS='--scenarios hello,flask --rounds 3'
	@$(BIN)/python -m tests.bench $(ARGS)

bench-profile: $(VENV)/.installed-bench  ## take one request apart: time by modules, system calls (needs wrk and strace)
	@$(BIN)/python -m tests.bench profile $(ARGS)

bench-report: $(VENV)/.installed-bench  ## write the last comparison and profile into the documentation
	@$(BIN)/python -m tests.bench report $(ARGS)

bench-all: $(VENV)/.installed-bench  ## all three with every scenario and server, in about an hour; ARGS='--rounds 20'
	@$(BIN)/python -m tests.bench $(ARGS)
	@$(BIN)/python -m tests.bench profile
	@$(BIN)/python -m tests.bench report

bench-micro: $(VENV)/.installed-test  ## time the path of a request inside one process
	@$(BIN)/python -m tests.bench.micro

clean:  ## remove the environments and everything that was made
	rm -rf .venv build dist docs/_build htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made once. What is installed into it is noted in a stamp file, and is installed anew only when
# pyproject.toml has changed since. The target is pip, because a venv that could not be finished has a python, but no pip.
CANDIDATES = $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)

$(BIN)/pip:
	@found=; \
	for python in $(CANDIDATES); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "wsgiserver needs Python 3.11 or newer. Tried:" >&2; \
	    for python in $(CANDIDATES); do \
	        echo "    $$python: $$($$python --version 2>/dev/null || echo not found)" >&2; \
	    done; \
	    echo "Install a newer one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version)"; \
	$$found -m venv $(VENV)

$(VENV)/.installed-run: extras =
$(VENV)/.installed-test: extras = [test]
$(VENV)/.installed-dev: extras = [dev]
$(VENV)/.installed-bench: extras = [test,bench]
$(VENV)/.installed-%: pyproject.toml | $(BIN)/pip
	@echo "Installing wsgiserver$(extras) into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(extras)'
	@touch $@
