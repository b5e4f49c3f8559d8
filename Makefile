# Needs Python 3.11 or later, with its venv module; everything else is installed into $(VENV).
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
PYTEST_FLAGS ?=
OPTIONS ?=
# seconds for the long checks: first the tests marked so, then random worlds for what is left
BUDGET ?= 3600
SEEDS ?= 0-999999
# seconds for each of the four runs of the fuzzer
FUZZ ?= 60
# what to mutate: files or folders of rapid/; all modules of tests/mutation/scopes.toml by default
MUTANTS ?=
JOBS ?= 2

# what an interpreter could do otherwise: values, threads, forks and ends; of the protocol a sample is enough
OTHER_TESTS ?= tests/overlay tests/proto tests/detection/test_monitor.py tests/detection/test_cut_detector.py \
	tests/protocol/test_node.py tests/protocol/test_joining.py tests/protocol/test_gossip.py \
	tests/protocol/test_leaving.py tests/protocol/test_merge.py tests/simulation/test_world.py \
	tests/runtime/test_cluster.py tests/runtime/test_feed.py tests/runtime/test_reactor.py \
	tests/runtime/test_fork_support.py tests/runtime/test_ordinary_end.py tests/test_blocking.py tests/test_log.py \
	tests/runtime/tls tests/cli/test_certs.py tests/test_values.py tests/test_view.py

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo bench-smoke service-discovery datastore test verify network fuzz mutants docs package other-python lint types proto clean

help:
	@echo "make demo         30 processes form a cluster, 5 are killed, the others agree"
	@echo "make bench-smoke  every benchmark once, in small, and a report of it"
	@echo "make service-discovery  nginx behind the views of several libraries; OPTIONS=... for it"
	@echo "make datastore    a store around a black hole, as root; OPTIONS=... for it"
	@echo "make test         the tests"
	@echo "make verify       the long checks; BUDGET=3600 seconds of them"
	@echo "make network      processes on broken networks; needs root on Linux, iproute2 and nftables"
	@echo "make fuzz         inputs that a fuzzer makes up; FUZZ=60 seconds for each of four runs"
	@echo "make mutants      small faults in the protocol core that the tests must find; MUTANTS=rapid/consensus"
	@echo "make docs         the pages of docs/, with the reference, into build/site"
	@echo "make package      wheel and sdist into dist/, checked, installed and tried"
	@echo "make other-python OTHER=python3.13  that package, and some tests, under another interpreter"
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
	$(BIN)/rapid bench run bootstrap bootstrap-cold crash idle churn --nodes 5 --runs 1 \
		--peers rapid,rapid-embedded,kinship --simulated 100 \
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

# what it learns and finds is kept in .fuzz
fuzz: $(VENV)/.installed-fuzz
	$(BIN)/python -m tests.fuzz.guided codec --seconds $(FUZZ)
	$(BIN)/python -m tests.fuzz.guided codec --drawn --seconds $(FUZZ)
	$(BIN)/python -m tests.fuzz.guided node --seconds $(FUZZ)
	$(BIN)/python -m tests.fuzz.guided node --drawn --seconds $(FUZZ)

# what survives is compared with tests/mutation/known.toml
mutants: $(VENV)/.installed-mutants
	$(BIN)/python -m tests.mutation.run --jobs $(JOBS) $(MUTANTS)

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# the wheel is tried where nothing of this directory is
package: $(VENV)/.installed-package
	rm -rf dist build/lib build/tried
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/tried
	build/tried/bin/python -m pip --disable-pip-version-check --quiet install "$$(echo dist/*.whl)[cli]"
	cd build/tried && bin/python -P ../../tests/release/smoke.py

# the wheel that `make package` has left, and the tests of what an interpreter could do otherwise
other-python:
	$(OTHER) -m venv build/other
	build/other/bin/python -m pip --disable-pip-version-check --quiet install \
		"$$(echo dist/*.whl)[analysis,cli,tls]" hypothesis 'pytest>=8.2' 'pytest-asyncio>=1' 'pytest-timeout>=2.3'
	cd build/other && bin/python -P ../../tests/release/smoke.py
	build/other/bin/python -m pytest --quiet $(OTHER_TESTS)
	rm -rf build/other

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check

types: $(VENV)/.installed-dev
	$(BIN)/mypy

proto: $(VENV)/.installed-dev
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. rapid/proto/rapid.proto

clean:
	rm -rf $(VENV) build dist *.egg-info .fuzz .hypothesis .mypy_cache .pytest_cache benchmarks/peers/.build
	find . \( -name __pycache__ -o -name .ruff_cache \) -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11 or later; name one: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) comes without venv; on Debian: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-%: $(VENV)/.made pyproject.toml
	$(PIP) install --editable '.[$*]'
	@touch $@
