# Needs Python 3.11 or later, with its venv module; everything else is installed into $(VENV).
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
PYTEST_FLAGS ?=
OPTIONS ?=
# seconds for the long checks: first the tests marked so, then random worlds for what is left
BUDGET ?= 3600
SEEDS ?= 0-999999

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo bench-smoke service-discovery datastore test verify network lint types proto clean

help:
	@echo "make demo         30 processes form a cluster, 5 are killed, the others agree"
	@echo "make bench-smoke  every benchmark once, in small, and a report of it"
	@echo "make service-discovery  nginx behind the views of several libraries; OPTIONS=... for it"
	@echo "make datastore    a store around a black hole, as root; OPTIONS=... for it"
	@echo "make test         the tests"
	@echo "make verify       the long checks; BUDGET=3600 seconds of them"
	@echo "make network      processes on broken networks; needs root on Linux, iproute2 and nftables"
	@echo "make lint         ruff"
	@echo "make types        mypy, strict"
	@echo "make proto        generate the protobuf code anew"
	@echo "make clean        remove all that these have made"

demo: $(VENV)/.installed-cli
	$(BIN)/rapid demo --nodes 30 --kill 5

# small windows and one run each: it shows that the benchmarks work, its numbers mean nothing
bench-smoke: $(VENV)/.installed-bench
	mkdir -p build
	rm -f build/bench-smoke.sqlite
	$(BIN)/rapid bench run bootstrap crash idle churn --nodes 5 --runs 1 \
		--peers rapid,kinship --simulated 100 \
		--settle 0.2 --window 1 --restarts 1 --db build/bench-smoke.sqlite
	$(BIN)/rapid bench report build/bench-smoke.sqlite --out build/bench-smoke

# docs/applications.md; the figures and tables come to build/applications
service-discovery: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.applications.discovery $(OPTIONS)

datastore: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.applications.datastore $(OPTIONS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

verify: $(VENV)/.installed-dev
	began=$$(date +%s) && \
	$(BIN)/python -m pytest -m verify --timeout $(BUDGET) --session-timeout $(BUDGET) $(PYTEST_FLAGS) && \
	left=$$(( $(BUDGET) - $$(date +%s) + began )) && \
	$(BIN)/rapid simulate --seeds $(SEEDS) --jobs 2 --for $$(( left > 60 ? left : 60 ))

network: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m network $(PYTEST_FLAGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check

types: $(VENV)/.installed-dev
	$(BIN)/mypy

proto: $(VENV)/.installed-dev
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. rapid/proto/rapid.proto

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11 or later; name one: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) comes without venv; on Debian: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed-%: $(VENV)/.made pyproject.toml
	$(PIP) install --editable '.[$*]'
	@touch $@
