PYTHON ?= python3
export PYTHON
BIN := .venv/bin

# Each worker has a private server of its own; one that exists already can be asked
# what it did by one worker only. Tests wait more than they work, hence two for each core.
WORKERS := $(if $(POOLED_DB_TEST_URL),0,$(shell expr 2 \* $$(nproc)))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup check format test coverage test-mysql test-cluster test-browser test-monitoring test-django test-packages mutants soak recovery cluster fleet demo siege site bench bench-overload bench-gate simulate matrix docs build clean

help:     ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 16

setup:    ## Install what is missing: system packages, then .venv
	@.ci/setup

check: setup  ## Format, lint, layers and types, as CI runs them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/lint-imports
	$(BIN)/mypy

format: setup  ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup  ## All tests, on private MariaDBs; make test ARGS="-k harness"
	$(PYTEST) $(ARGS)

coverage: setup  ## All tests, and which branches of the package they take in-process
	$(PYTEST) --cov --cov-report=term $(ARGS)

test-mysql: setup  ## All tests, on private MySQLs with TLS
	@mysqld=$$(.ci/mysql) && \
	POOLED_DB_MYSQLD=$$mysqld POOLED_DB_TEST_SERVER=mysql $(PYTEST) $(ARGS)

test-cluster:  ## Tests behind HAProxy and MySQL Router, on clusters
	@.ci/setup haproxy galera-4
	@mysqld=$$(.ci/mysql) && router=$$(.ci/mysql router) && \
	POOLED_DB_MYSQLD=$$mysqld POOLED_DB_MYSQLROUTER=$$router \
	$(BIN)/python -m pytest tests/cluster $(ARGS)

test-packages: setup  ## The tests of Django REST framework and Wagtail, on both backends
	$(BIN)/python -m tests.packages $(ARGS)

mutants: setup  ## Make small mistakes: does a test notice? ARGS="--seed 7 --sample 300"
	$(BIN)/python -m tests.mutants $(ARGS)

test-browser:  ## The dashboard in headless Chromium; pictures in tests/browser/pictures
	@.ci/setup chromium
	$(BIN)/python -m pytest tests/browser $(ARGS)

test-monitoring:  ## The documented monitoring, with Debian's Prometheus
	@.ci/setup prometheus docker-compose
	$(BIN)/python -m pytest tests/monitoring $(ARGS)

test-django: setup  ## Django's own tests, on both backends at once; ARGS=--all
	$(BIN)/python -m tests.django_suite $(ARGS)

soak: setup  ## Let everything fail at random, and audit; 7 minutes
	$(BIN)/python -m tests.soak $(ARGS)

recovery: setup  ## Measure how soon a site serves again once its server is back
	$(BIN)/python -m tests.soak.recovery

cluster:  ## Sell tickets on a Galera cluster whose nodes fail; 4 minutes
	@.ci/setup haproxy galera-4
	@mysqld=$$(.ci/mysql) && POOLED_DB_MYSQLD=$$mysqld \
	$(BIN)/python -m tests.cluster $(ARGS)

fleet: setup  ## Let 8 processes share 20 connections, and through MySQL Router
	@mysqld=$$(.ci/mysql) && router=$$(.ci/mysql router) && \
	POOLED_DB_MYSQLD=$$mysqld POOLED_DB_MYSQLROUTER=$$router \
	$(BIN)/python -m tests.cluster.fleet $(ARGS)

demo: setup  ## Open a sale to 2,000 people on three sites in turn; ARGS=hammer
	$(BIN)/python -m demo $(ARGS)

siege:    ## Put the demo sites under siege
	@.ci/setup siege
	$(BIN)/python -m demo siege $(ARGS)

site: setup  ## Serve the demo site beside its pools, with buttons for trouble
	$(BIN)/python -m demo site $(ARGS)

bench:    ## Measure what a request pays for its connection; five minutes, ARGS=--all 30
	@.ci/setup openssl
	$(BIN)/python -m benchmarks.cost $(ARGS)

bench-overload: setup  ## Measure overload, beside the peers; 23 minutes, nothing else running
	$(BIN)/python -m benchmarks.overload $(ARGS)

bench-gate: setup  ## Show that the length of the queue costs nothing
	$(BIN)/python -m benchmarks.gate

simulate: setup  ## Simulate overload past this machine, in some minutes
	$(BIN)/python -m benchmarks.simulation $(ARGS)

matrix:   ## Test with other versions and servers; ARGS="-s servers" a part
	@.ci/setup gis
	-@.ci/unstable
	$(BIN)/nox $(ARGS)

docs: setup  ## Build the documentation into build/docs; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -j auto docs build/docs

build: setup  ## Build the wheel and the sdist into dist/
	$(BIN)/python -m build $(ARGS)

clean:    ## Remove .venv and all that was built or downloaded
	rm -rf .venv .django build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
