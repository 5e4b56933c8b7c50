# Every command of the project. `make` alone lists them; each one that needs the virtual
# environment makes it first, from the hashed lock.

PYTHON ?= python3
SEEDS ?= 300
CALLS ?= 5000
KILLS ?= 100
EACH ?= 310
TEST_SECONDS ?= 1200
N ?= 20
LOAD ?= 2

BIN := .venv/bin
TYPED := callgate policy server tests $(wildcard integrations/*.py integrations/*/*.py integrations/*/*/*.py bench/*.py)
PROTOS := $(wildcard proto/callgate/v1/*.proto)
SERVICES = $(shell grep -l '^service ' $(PROTOS))
# Run by `static`, all of them, in this order.
CHECKS := format-check lint types floors house tables-check proto-lint proto-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## List the targets (this list).
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

# --- Use it ---------------------------------------------------------------------------------

.PHONY: setup run demo
setup: .venv/ready ## Make .venv from requirements.lock; every other target does so by itself.

run: .venv/ready-to-run ## Start the server on the loopback address, with its own Valkey if no Redis is set.
	@if [ -z "$$CALLGATE_SETTINGS" ]; then export CALLGATE_HTTP_LISTEN="$${CALLGATE_HTTP_LISTEN-127.0.0.1:50080}"; fi; \
	exec $(BIN)/python -m server

demo: .venv/ready-to-run ## Start everything, ask two dozen questions, use up credits, show answers and mails, stop.
	@$(BIN)/python -m integrations.demo

# --- Check it -------------------------------------------------------------------------------

.PHONY: check test test-redis7 test-sip flaky static rehearse cases numbers simulate torture soak usage-history interop
check: test static ## Run every test and every static check; to be green before a commit.

# A run that hangs is ended by a signal that makes Python tell where it hung. Two at a time, a file
# whole: most of the time tests wait for processes that start.
test: .venv/ready ## Run every test; needs nothing running and no network. ARGS="..." goes to pytest, TRANSPORT=grpcio to engines; ORDER=random shuffles.
	@TEST_TRANSPORT=$(TRANSPORT) TEST_ORDER=$(ORDER) timeout --foreground --signal=ABRT $(TEST_SECONDS) $(BIN)/python -m pytest -n 2 --dist loadfile --durations=15 --durations-min=1 --basetemp=$$(mktemp -d) $(ARGS)

static: .venv/ready ## Check format, lint, types, floors, protos and stubs; all of them, even after a failure.
	@failed=''; \
	for check in $(CHECKS); do \
	    echo "== $$check"; \
	    $(MAKE) $$check || failed="$$failed $$check"; \
	done; \
	if [ -n "$$failed" ]; then echo "static: these checks failed:$$failed" >&2; exit 1; fi; \
	echo "static: all checks passed"

test-redis7: .venv/ready ## Run what needs Redis 7.0, which it installs from Debian's packages.
	@tests/store/setup
	@$(MAKE) test ARGS='-m needs_redis $(ARGS)'

flaky: .venv/ready ## Run the tests in ARGS N=20 times beside LOAD=2 busy loops, and say which failed how often.
	@$(BIN)/python tests/flaky/flaky_command.py --runs $(N) --load $(LOAD) '$(ARGS)'

test-sip: .venv/ready ## Play calls through a real Kamailio with SIPp; installs both from Debian's packages.
	@tests/sip/setup
	@TEST_SIP=1 $(BIN)/python -m pytest tests/sip -s $(ARGS)

rehearse: .venv/ready ## Play the cases of FILES=data/cases against catalogue and directory.
	@$(BIN)/python -m server test $(FILES)

cases: .venv/ready ## Print which of the 86 decision cases are covered, and by which row.
	@$(BIN)/python tests/cases/coverage.py

numbers: .venv/ready ## Read valid numbers of every territory, EACH=310 a kind (some 335,000), and see where they lead.
	@$(BIN)/python tests/facts/numbers_command.py --each $(EACH)

simulate: .venv/ready ## Compare the ledger with its model over SEEDS=300 random histories.
	@$(BIN)/python tests/simulation/simulate.py --seeds $(SEEDS)

torture: .venv/ready ## Kill everything KILLS=100 times during CALLS=5000 calls, then count the money (SEED=n, STORE=older, cluster or sentinel).
	@$(BIN)/python tests/torture/command.py --calls $(CALLS) --kills $(KILLS) $(if $(SEED),--seed $(SEED)) $(if $(STORE),--store $(STORE))

usage-history: .venv/ready ## Play 60 days, 200 users and 100,000 calls through a real ledger; compare every sum of usage.
	@USAGE_DAYS=60 USAGE_USERS=200 USAGE_CALLS=100000 $(BIN)/python -m pytest -q tests/usage/test_sums_are_the_ledgers.py

interop: .venv/ready ## Run grpc-go's interoperability client and h2spec against both transports (needs Go).
	@$(BIN)/python tests/interop/interop_command.py

soak: .venv/ready ## Begin and end CALLS=100000 calls, looking at what server, keeper and store hold of them.
	@$(BIN)/python tests/soak/soak_command.py $(if $(filter file,$(origin CALLS)),,--calls $(CALLS))

.PHONY: $(CHECKS)
format-check: .venv/ready ## Check that the code is formatted (`make format` formats it).
	@$(BIN)/ruff format --check --diff .

lint: .venv/ready ## Run ruff's rules.
	@$(BIN)/ruff check .

types: .venv/ready ## Check the types with mypy, strictly.
	@$(BIN)/mypy $(TYPED)

floors: .venv/ready ## Check that no part leans on a part it must not know.
	@$(BIN)/lint-imports --no-logo

house: .venv/ready ## Count files, fragments and modules with one importer, and find circles.
	@$(BIN)/python tests/support/house_command.py

tables-check: .venv/ready ## Check the tables that are made from the code (`make tables` writes them).
	@$(BIN)/python docs/tables.py --check

proto-lint: .venv/ready ## Check that the protos are formatted, named and commented as they should be.
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/buf lint

proto-check: .venv/ready ## Check that the committed stubs are what the protos say.
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(MAKE) stubs INTO="$$fresh" && \
	{ diff -ru -x __pycache__ -x __init__.py "$$fresh/callgate/v1" callgate/v1 || \
	  { echo "The stubs are not what proto/ says: run 'make proto' and commit callgate/v1." >&2; exit 1; }; }

.PHONY: bench
bench: .venv/ready ## Measure everything, a few minutes; QUICK=1 takes less than one. Writes bench/results/latest.json.
	@$(BIN)/python -m bench $(if $(QUICK),--quick)

# --- Change it ------------------------------------------------------------------------------

.PHONY: tables format proto lock wheel engine-wheel clean stubs
format: .venv/ready ## Format the code and the protos, and mend what ruff can mend safely.
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@$(BIN)/buf format --write

tables: .venv/ready ## Write the tables of the docs that are made from the code.
	@$(BIN)/python docs/tables.py

proto: .venv/ready ## Make the typed Python stubs in callgate/v1 from proto/.
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(MAKE) stubs INTO="$$fresh" && \
	rm -f callgate/v1/*_pb2*.py callgate/v1/*_pb2*.pyi && \
	cp "$$fresh"/callgate/v1/* callgate/v1/

lock: .venv/ready ## Resolve pyproject.toml into requirements.lock anew, with hashes and without hosts.
	@UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile pyproject.toml --extra cli --group dev \
	    --universal --upgrade --generate-hashes --no-emit-index-url --no-header --no-annotate \
	    --quiet --output-file requirements.lock
	@sed -e 's/ *--hash.*//' -e 's/ *\\$$//' requirements.lock | grep == > .venv/versions && \
	UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile pyproject.toml --extra cli --group engine \
	    --constraint .venv/versions --universal --generate-hashes --no-emit-index-url --no-header \
	    --no-annotate --quiet --output-file packaging/requirements.lock
	@UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile pyproject.toml --extra cli --group run \
	    --constraint .venv/versions --universal --generate-hashes --no-emit-index-url --no-header \
	    --no-annotate --quiet --output-file packaging/run.lock

wheel: .venv/ready ## Build the wheel of the client alone into dist/.
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

engine-wheel: .venv/ready ## Build the wheel of the engine, with its tree, into dist/.
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./packaging/engine
	@rm -rf packaging/engine/build packaging/engine/*.egg-info
	@ls dist/callgate_engine-*.whl

clean: ## Remove .venv and all that tools leave behind, but not the data of a running engine.
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Internal: generate into the folder INTO; protos without a service get no stubs of one.
stubs: .venv/ready
	@$(BIN)/python -m grpc_tools.protoc --proto_path=proto \
	    --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	    --python_out="$(INTO)" --mypy_out=quiet:"$(INTO)" $(PROTOS)
	@$(BIN)/python -m grpc_tools.protoc --proto_path=proto \
	    --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	    --grpc_python_out="$(INTO)" --mypy_grpc_out=quiet:"$(INTO)" $(SERVICES)

# --- The virtual environment ----------------------------------------------------------------

# One .venv, filled in two steps: what running needs, in wheels alone, and what changing the code
# needs besides. Of each two stamps: the slow one follows the lock, the quick one follows the
# project's own entry points.
LINK_CLIENT = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	--no-build-isolation --editable .
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.venv/ready-to-run: .venv/locked-to-run pyproject.toml
	@$(LINK_CLIENT)
	@touch $@

.venv/ready: .venv/locked pyproject.toml
	@$(LINK_CLIENT)
	@touch .venv/locked-to-run .venv/ready-to-run $@

.venv/locked-to-run: packaging/run.lock
	@$(MAKE) python
	@echo "Making .venv from packaging/run.lock (once, less than a minute) ..."
	@$(PYTHON) -m venv .venv
	@$(INSTALL) --only-binary :all: --requirement packaging/run.lock
	@touch $@

.venv/locked: requirements.lock
	@$(MAKE) python
	@echo "Making .venv from requirements.lock (once, about a minute) ..."
	@$(PYTHON) -m venv .venv
	@$(INSTALL) --requirement requirements.lock
	@touch $@

# Internal: is there a Python that can make it?
.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "callgate needs Python 3.11 or newer as '$(PYTHON)'; elsewhere: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
