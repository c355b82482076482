# The short doors. Each makes .venv with $(PYTHON) if there is none; PYTHON=python3.12 make demo takes another one.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST ?= pytest -n auto

.PHONY: demo test test-all lint bench soak screenshots
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	@$(BIN)/python -m demo $(ARGS)

# The pictures of the status page in docs/images, by Debian's chromium.
screenshots: $(VENV)/.dev
	$(BIN)/python -m demo.screenshots

# What needs no server and few processes; CONTRIBUTING.md says what the tiers are.
test: $(VENV)/.dev
	$(BIN)/python -m $(PYTEST) -m "not servers and not processes and not nightly"

test-all: $(VENV)/.dev
	$(BIN)/python -m $(PYTEST)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# ARGS="--only hot-path herds --quick" runs a part of it, in small; ARGS=--page writes docs/benchmarks.md anew.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

# The nightly tests, then a soak; with ARGS only the latter: make soak ARGS="--minutes 5 --seed 42 --store redis"
soak: $(VENV)/.dev
	$(if $(ARGS),,$(BIN)/python -m $(PYTEST) -m nightly)
	PYTHONPATH=tests $(BIN)/python -m fleet.soak $(ARGS)

# An empty file says that this set of packages is installed, and from which pyproject.toml.
$(VENV)/.demo: pyproject.toml $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group demo
	@touch $@

# Some packages have no wheel for a Python without a GIL.
$(VENV)/.dev: pyproject.toml $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group \
	  "$$($(BIN)/python -c 'import sys; print("dev-free-threaded" if "t" in sys.abiflags else "dev")')"
	@touch $(VENV)/.demo $@

$(VENV)/.bench: pyproject.toml $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group bench
	@touch $(VENV)/.demo $@

# pip reads dependency groups since 25.1.
$(VENV)/.pip:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "There is no $(PYTHON). Name a Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: $$($(PYTHON) --version 2>&1). wxmiddleware needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a venv. On Debian and Ubuntu install python3-venv." >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@
