# Every target first makes the virtual environment .venv from requirements.lock, where it is missing or out of date.
PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
VENV := .venv
RUN := $(VENV)/bin/python
LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed
TESTED := dist/tested
PYTEST := $(RUN) -m pytest
SPREAD := -n auto --maxprocesses=4 --dist=worksteal --durations=30 --durations-min=5
SOAK := tests/test_soak.py tests/test_soak_commands.py tests/test_machine_faults.py tests/cluster/test_killed_runs.py
# Where it is set, every process that a test starts would compile the package again.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(RUN) -m pip --disable-pip-version-check --quiet --quiet

.PHONY: demo check test soak fuzz lint coverage docs wheel clean

demo: $(INSTALLED)
	@$(RUN) -m smooth_recs demo

# For daily work: of the sources, and without what takes long or several processes.
check: lint
	@echo 'pytest under tf_keras, but for what is slow'
	@TF_USE_LEGACY_KERAS=1 $(PYTEST) -q $(SPREAD) -m 'not slow'

# Against the installed wheel, in a copy of the repository without the sources of the package. The closing line is that
# of the whole suite: what runs in both generations of Keras runs under Keras 3 first.
test: export SMOOTH_RECS_SOURCES := $(CURDIR)
test: export SMOOTH_RECS_DATA ?= $(abspath ../shared/data)
test: lint wheel
	@$(RUN) .ci/installed_wheel.py dist/*.whl
	@echo 'pytest under Keras 3'
	@cd $(TESTED) && TF_USE_LEGACY_KERAS=0 $(PYTEST) $(SPREAD)
	@echo 'pytest under tf_keras'
	@cd $(TESTED) && TF_USE_LEGACY_KERAS=1 $(PYTEST) $(SPREAD)

# Kills of single runs, sweeps, exports and clusters, full disks and a clock that jumps (docs/reliability.md).
soak: export SMOOTH_RECS_KILLS ?= 20
soak: $(INSTALLED)
	@TF_USE_LEGACY_KERAS=1 $(PYTEST) -s $(SOAK)

# Random inputs for an hour; where a test is to go on for minutes, no timeout ends it.
fuzz: export SMOOTH_RECS_FUZZ_MINUTES ?= 12
fuzz: $(INSTALLED)
	@TF_USE_LEGACY_KERAS=1 $(PYTEST) -s -o timeout=0 tests/data/test_fuzzed_files.py tests/test_fuzzed_configurations.py

lint: $(INSTALLED)
	@echo 'ruff and mypy'
	@$(RUN) -m ruff check --quiet
	@$(RUN) -m ruff format --check --quiet
	@$(RUN) -m mypy --no-error-summary

# Of the sources, in both generations together; what must be reached is in pyproject.toml.
coverage: $(INSTALLED)
	@TF_USE_LEGACY_KERAS=0 $(PYTEST) $(SPREAD) --cov --cov-report= --cov-fail-under=0
	@TF_USE_LEGACY_KERAS=1 $(PYTEST) $(SPREAD) --cov --cov-append --cov-report=term-missing:skip-covered

# README and docs as a site, with the reference of every public name; links that lead nowhere are errors.
docs: $(INSTALLED)
	@$(RUN) docs/make_site.py

# Without what an earlier build left: setuptools would pack modules that have gone since.
wheel: $(INSTALLED)
	@rm -rf dist/*.whl dist/build
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf $(VENV) dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo 'smooth_recs needs Python 3.11 to 3.13: name one with make PYTHON=...' >&2; exit 2; }
	@echo 'Installing requirements.lock into $(VENV) (once, a few minutes)'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install -r requirements.lock
	@touch $@

$(INSTALLED): $(LOCKED) setup.py pyproject.toml smooth_recs/version.py
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
