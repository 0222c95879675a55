# Every target installs what it needs: only Python 3.11 or newer and make are required.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run dev test check client-check fuzz statements openapi bench bench-quick mutants replicas soak build picture fix migrate lock clean

# The tests create a database unless this names one.
export TODO_TEST_DATABASE_URL

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(if $(shell $(name) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(name))))
VENV := .venv
BIN := $(VENV)/bin
GENERATORS := $(VENV)/clients/installed
OPENTELEMETRY := $(VENV)/opentelemetry/installed
NPM_TOOLS := clients/node_modules
PYTEST = $(BIN)/pytest
MEASURED_PYTEST = $(BIN)/coverage run -m pytest

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

run: $(VENV)/run ## Serve the API, on an embedded PostgreSQL unless DATABASE_URL names another
	@$(BIN)/todo serve

dev: $(VENV)/dev ## Set up the tools for working on the code
	@echo "Ready: $(BIN) has todo, pytest, ruff and mypy."

test: $(VENV)/dev ## Run the fast tests, on a real PostgreSQL
	@$(PYTEST) -n 2 -m 'not slow and not alone' $(PYTEST_ARGS)

check: $(VENV)/dev $(GENERATORS) $(NPM_TOOLS) $(OPENTELEMETRY) ## Run what CI runs: linter, formatter, security, types, all tests and their coverage
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src bench
	@$(BIN)/mypy
	@$(BIN)/coverage erase
	@$(MAKE) --no-print-directory test PYTEST='$(MEASURED_PYTEST)'
	@$(MEASURED_PYTEST) -n 3 -m 'slow and not alone' $(PYTEST_ARGS)
	@$(MEASURED_PYTEST) -m alone $(PYTEST_ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

client-check: $(VENV)/dev $(GENERATORS) $(NPM_TOOLS) $(OPENTELEMETRY) ## Generate clients, and run them, the examples and a page in a browser against the service
	@$(PYTEST) -n 2 tests/clients $(PYTEST_ARGS)

fuzz: $(VENV)/dev ## Send many more generated requests than the tests do (minutes)
	@FUZZ_EXAMPLES=100 FUZZ_SEED=$$(date +%s) $(BIN)/pytest --timeout 1300 tests/conformance/test_openapi.py

bench: $(VENV)/dev ## Measure the figures of docs/decisions.md and docs/performance.md (25 minutes; BENCH_ARGS='cpu latency')
	@$(BIN)/python -m bench $(BENCH_ARGS)

bench-quick: $(VENV)/dev ## Measure some of them, into bench-results (2 minutes)
	@$(BIN)/python -m bench --quick $(BENCH_ARGS)

statements: $(VENV)/dev ## Write every SQL statement on tasks to tests/database/statements.sql
	@$(BIN)/python -m tests.database.golden

openapi: $(VENV)/dev ## Write the OpenAPI document to docs/openapi.json
	@env -u TODO_PUBLIC_URL -u TODO_IDENTIFY_OWNER PYTHON_DOTENV_DISABLED=1 $(BIN)/todo openapi > docs/openapi.json

picture: $(VENV)/dev ## Run the README's session, and draw it in docs/session.svg
	@$(BIN)/python -m tests.picture

mutants: $(VENV)/dev ## Run mutation tests (long; MODULES=todo.api.cursors)
	@$(BIN)/python -m tests.mutants.run $(MODULES)

replicas: $(VENV)/dev ## Let copies follow the feed while many clients write (3 minutes; REPLICA_SECONDS=600)
	@REPLICA_SECONDS=$${REPLICA_SECONDS:-180} $(PYTEST) -s --timeout 0 tests/faults/test_replicas.py

soak: $(VENV)/dev ## Inject faults under load, and count what is lost (10 minutes; SOAK_ARGS, see bench/soak)
	@$(BIN)/python -m bench.soak $(SOAK_ARGS)

build: $(VENV)/dev ## Build the source distribution and the wheel into dist
	@$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist

fix: $(VENV)/dev ## Format the code and apply the linter's fixes
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

migrate: $(VENV)/run ## Migrate the database's schema to this version
	@$(BIN)/todo migrate

lock: $(VENV)/dev ## Update the requirements files to the newest versions allowed
	@for file in run embedded dev opentelemetry; do \
		$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --generate-hashes \
			--custom-compile-command 'make lock' --group build \
			$$(case $$file in embedded) echo --extra embedded ;; dev) echo --extra embedded --group dev ;; \
				opentelemetry) echo --group opentelemetry ;; esac) \
			--output-file requirements/$$file.txt; \
	done
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --custom-compile-command 'make lock' \
		--group clients --output-file requirements/clients.txt

clean: ## Remove what the other targets created
	@rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis dist soak-results bench-results \
		$(NPM_TOOLS)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is required and was not found; name one with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) does not run, or is older than Python 3.11; name another with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing: install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Creating a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run: requirements/embedded.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the dependencies"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/embedded.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/run
	@echo "Installing the development tools"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(GENERATORS): requirements/clients.txt | $(VENV)/bin/python
	@echo "Installing the generators of clients in Python"
	@$(BIN)/python -m venv $(VENV)/clients
	@$(VENV)/clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/clients.txt
	@touch $@

$(OPENTELEMETRY): requirements/opentelemetry.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing OpenTelemetry, and the service beside it"
	@$(BIN)/python -m venv $(VENV)/opentelemetry
	@$(VENV)/opentelemetry/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/opentelemetry.txt
	@$(VENV)/opentelemetry/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(NPM_TOOLS): clients/package.json clients/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "Installing the npm tools that read the API's document"; \
		npm ci --prefix clients --ignore-scripts --no-audit --no-fund --loglevel error && touch $@; \
	else \
		echo "npm was not found (Node 20.19 or newer has it): the tests that need it are skipped"; \
	fi
