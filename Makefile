# Needs Python 3.11 or later, with its venv module; everything else is installed into $(VENV).
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
PYTEST_FLAGS ?=
# processes that share the tests; three keep two cores busy, since many tests wait. 0: all in one, for a debugger
WORKERS ?= 3
OPTIONS ?=
# seconds for the long checks: first the tests marked so, then random worlds for what is left
BUDGET ?= 3600
SEEDS ?= 0-999999
# seconds for each of the four runs of the fuzzer
FUZZ ?= 60
# what to mutate: files or folders of rapid/; all modules of tests/mutation/scopes.toml by default
MUTANTS ?=
JOBS ?= 2

# the protocol core and all that needs no more than pytest and hypothesis; `make test` has a test of that
QUICK_TESTS := tests/overlay tests/detection tests/consensus tests/protocol tests/proto \
	tests/simulation/test_scenarios.py::test_10_of_100_crash_in_one_view_change \
	tests/simulation/test_scenarios.py::test_a_quarter_of_the_members_crash \
	tests/simulation/test_scenarios.py::test_half_of_20_members_crash_and_the_rest_say_so \
	tests/test_architecture.py tests/test_public_surface.py tests/test_placement.py tests/test_standing.py \
	tests/test_values.py tests/test_view.py
# less these: they need networkx or the generator of protobuf's code, or take longest, with whole clusters in them
QUICK_LEAVES := tests/overlay/test_cli.py tests/overlay/test_expander.py tests/proto/test_generated.py \
	tests/consensus/test_exhaustive.py tests/consensus/test_reduction.py \
	tests/detection/test_one_faulty_member.py tests/protocol/test_epoch_limits.py tests/protocol/test_flood.py \
	tests/protocol/test_merge.py tests/protocol/test_old_faults.py tests/protocol/test_quorum_events.py \
	tests/protocol/test_refounding.py

# what an interpreter could do otherwise: values, threads, forks and ends; of the protocol a sample is enough
OTHER_TESTS ?= tests/overlay tests/proto tests/detection/test_monitor.py tests/detection/test_cut_detector.py \
	tests/protocol/test_node.py tests/protocol/test_joining.py tests/protocol/test_gossip.py \
	tests/protocol/test_leaving.py tests/protocol/test_merge.py tests/simulation/test_world.py \
	tests/runtime/test_cluster.py tests/runtime/test_feed.py tests/runtime/test_reactor.py \
	tests/runtime/test_fork_support.py tests/runtime/test_ordinary_end.py tests/test_blocking.py tests/test_log.py \
	tests/runtime/tls tests/cli/test_certs.py tests/test_values.py tests/test_view.py

# what of the extras comes with a group of pyproject.toml
EXTRAS_bench := [cli]
EXTRAS_cli := [cli]
EXTRAS_dev := [all]
EXTRAS_fuzz := [all]
EXTRAS_mutants := [all]

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
IN_PARALLEL := -n $(WORKERS) --dist worksteal

.PHONY: help quick demo bench-smoke service-discovery datastore test verify network fuzz mutants docs package other-python compat lint types proto clean

help:
	@echo "make quick        the tests of the protocol core, in a minute or two; for a first change"
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
	@echo "make package      wheel and sdist into dist/, checked, built again, installed and tried"
	@echo "make other-python OTHER=python3.13  that package, and some tests, under another interpreter"
	@echo "make compat       the oldest dependencies, other versions of protobuf, and packages beside the library"
	@echo "make lint         ruff"
	@echo "make types        mypy, strict"
	@echo "make proto        generate descriptor and types of the messages anew"
	@echo "make clean        remove all that these have made"

quick: $(VENV)/.installed-quick
	$(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_FLAGS) $(QUICK_TESTS) $(QUICK_LEAVES:%=--ignore=%)

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
	$(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_FLAGS)

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

# what is built is built again elsewhere and compared; the wheel is tried where nothing of this directory is, and an
# extra is added to it as the error messages say
package: $(VENV)/.installed-package
	rm -rf dist build/tried
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m tests.release.archives dist
	$(PYTHON) -m venv build/tried
	build/tried/bin/python -m pip --disable-pip-version-check --quiet install dist/*.whl
	build/tried/bin/python -m pip --disable-pip-version-check --quiet install 'rapid-membership[cli]'
	cd build/tried && bin/python -P ../../tests/release/smoke.py

# the wheel that `make package` has left, and the tests of what an interpreter could do otherwise
other-python:
	$(OTHER) -m venv build/other
	build/other/bin/python -m pip --disable-pip-version-check --quiet install \
		"$$(echo dist/*.whl)[analysis,cli,tls]" hypothesis 'pytest>=8.2' 'pytest-asyncio>=1' 'pytest-timeout>=2.3' \
		'pytest-xdist>=3.6'
	cd build/other && bin/python -P ../../tests/release/smoke.py
	build/other/bin/python -m pytest --quiet $(IN_PARALLEL) $(OTHER_TESTS)
	rm -rf build/other

# in environments of their own; OPTIONS=--brief runs the tests of the runtime with the oldest alone
compat: $(VENV)/.made
	$(BIN)/python -m tests.compat $(OPTIONS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check

types: $(VENV)/.installed-dev
	$(BIN)/mypy

proto: $(VENV)/.installed-dev
	$(BIN)/python -m tests.proto.generate

clean:
	rm -rf $(VENV) build dist *.egg-info .fuzz .hypothesis .mypy_cache .pytest_cache benchmarks/peers/.build
	find . \( -name __pycache__ -o -name .ruff_cache \) -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11 or later; name one: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) comes without venv; on Debian: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# pip knows groups since 25.1; what comes with Python may be older
$(VENV)/.installed-%: $(VENV)/.made pyproject.toml
	$(PIP) install 'pip>=25.1'
	$(PIP) install --editable '.$(EXTRAS_$*)' $(if $(filter-out cli,$*),--group $*)
	@touch $@
