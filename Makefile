# `make` alone lists what there is. INSTALLER=pip installs with pip alone, instead of with uv.
.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.installed
NEXT := $(VENV)/next
TEMPLATE := {{cookiecutter.project_slug}}
PLAIN := tests "$(TEMPLATE)/offload" "$(TEMPLATE)/offload_dev" "$(TEMPLATE)/benchmarks"  # without Jinja; the bakes are checked by the tests
DEMO ?= demo
DEST ?= build
ARGS ?=
SEED ?= 1
MINUTES ?= 20
# Without what make tells a make below it: the tests call make, too.
ALONE := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL
# The longest first. Four run at a time: with three, two cores were idle for a third of the time.
ROOMS := $(wildcard tests/jobs tests/template tests/serving tests/hosts tests/fanout tests/guard tests/chaos)
export PATH := $(abspath $(BIN)):$(PATH)

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 16

# A PYTHON of another version than that of the environment would silently not be used.
ifeq ($(origin PYTHON),command line)
VERSION := -c 'import sys; print("{}.{}".format(*sys.version_info))'
ASKED := $(shell $(PYTHON) $(VERSION))
ifeq ($(ASKED),)
$(error PYTHON=$(PYTHON) does not run: name an interpreter that is installed, such as PYTHON=python3)
endif
FOUND := $(shell $(BIN)/python $(VERSION) 2>/dev/null || echo $(ASKED))
ifneq ($(ASKED),$(FOUND))
$(error $(VENV) has Python $(FOUND): delete it, or add VENV=.venv/$(ASKED) to keep both)
endif
endif

$(READY): requirements/dev.txt
	@$(PYTHON) "$(TEMPLATE)/requirements/install.py" $(VENV) requirements/dev.txt
	@touch $@

demo: $(READY)  ## Generate a service with the defaults into demo/ and start it; PORT=8100 moves it
	@if [ -d $(DEMO)/risk_desk ]; then echo "$(DEMO)/risk_desk is there already and starts as it is; delete it for a new one."; \
	else cookiecutter "$(CURDIR)" --no-input --output-dir $(DEMO) >/dev/null; fi
	@# This repository's environment holds all the demo needs: no second installation.
	@exec $(MAKE) --no-print-directory -C $(DEMO)/risk_desk dev VENV=$(abspath $(VENV)) -o $(abspath $(READY))

bake: $(READY)  ## Generate without questions: make bake DEST=dir ARGS='project_name="My Service" example=no'
	@cookiecutter "$(CURDIR)" --no-input --output-dir $(DEST) $(ARGS)

install: $(READY)  ## Install what this repository needs into .venv

test: $(READY)  ## Run every test, four suites at a time: the rooms, the bakes, and a running demo
	@# Before the suites start: one that compiles would write and rename files that another one bakes.
	@$(BIN)/python -m compileall -q $(foreach folder,offload offload_dev benchmarks,"$(TEMPLATE)/$(folder)")
	@# All of them, also where one fails: else the failures of the others are seen in the next run.
	@$(MAKE) --no-print-directory --keep-going -j4 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) postgresql $(ROOMS) stock

# A process a suite: each has Django settings of its own.
$(ROOMS): $(READY)
	$(ALONE) python tests/suite.py $@ --ignore=tests/jobs/test_postgres.py

postgresql: $(READY)  ## Run the tests of jobs that hang on rows and locks again, on PostgreSQL
	$(ALONE) pytest tests/jobs/test_postgres.py -rP

stock: $(READY)  ## Run the serving room's tests on Django's stock handler and without the fast leaf
	$(ALONE) OFFLOAD_LEAN=0 OFFLOAD_FAST=0 python tests/suite.py tests/serving

chaos: $(READY)  ## Attack a service (clients, databases, upstreams, names, logs, restarts) ten times as long as `make test` does
	CHAOS_SECONDS=10 pytest tests/chaos -s

life: $(READY)  ## Live a random life on PostgreSQL and account for every job: make life SEED=1 MINUTES=20
	LAB_SEED=$(SEED) LAB_SECONDS=$$(python -c 'print(60 * $(MINUTES))') pytest tests/jobs/test_life.py -k on_postgresql -s

soak: $(READY)  ## Load eight hosts at their limits and see that nothing grows and no job is lost: make soak MINUTES=20 (root)
	SOAK_SECONDS=$$(python -c 'print(60 * $(MINUTES))') pytest tests/hosts/test_soak.py -s

model: $(READY)  ## Explore all states of the jobs' state machine (hours); ARGS="--family plain" takes a second
	cd tests && python -m jobs.model $(ARGS)

options: $(READY)  ## Check every pair of answers to the questions, and test each kind of code (half an hour)
	OPTIONS_LONG=1 pytest tests/template/test_options.py tests/template/test_readme.py -s

assistants: $(READY)  ## Try the checks of every task for coding assistants on a right and a wrong solution
	ASSISTANTS_LONG=1 pytest tests/assistants

libraries:  ## Hold the linter's table of libraries against their newest releases, in an environment of its own
	@$(PYTHON) -m venv build/libraries
	@grep -v '^#' tests/guard/libraries.txt | while read -r name; do \
	  build/libraries/bin/pip install --quiet --disable-pip-version-check --only-binary :all: "$$name" || echo "left out: $$name"; \
	done
	build/libraries/bin/python tests/guard/libraries.py

public: $(READY)  ## Grade the public projects of tests/guard/public/graded.json: make public DEST=folder SEED=1
	python tests/guard/public.py $(DEST) --fetch --seed $(SEED) --sheets $(DEST)

test-next: $(NEXT)/.installed  ## Test the rooms on the newest Django, uvicorn, asgiref, aiohttp; needs Python 3.12
	@$(NEXT)/bin/python -m pip --version >/dev/null 2>&1 || $(NEXT)/bin/python -m ensurepip >/dev/null
	@# At each run, since the registries get new releases without a change here.
	$(NEXT)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade $(NEWEST)
	@$(NEXT)/bin/python -m pip list 2>/dev/null | grep -iE "^($(subst $() ,|,$(NEWEST:[binary]=))) "
	PATH="$(abspath $(NEXT)/bin):$$PATH" OFFLOAD_LEAN=1 pytest tests/serving
	PATH="$(abspath $(NEXT)/bin):$$PATH" OFFLOAD_LEAN=0 pytest tests/serving
	PATH="$(abspath $(NEXT)/bin):$$PATH" pytest tests/fanout
	PATH="$(abspath $(NEXT)/bin):$$PATH" pytest tests/jobs --ignore=tests/jobs/test_postgres.py
	PATH="$(abspath $(NEXT)/bin):$$PATH" pytest tests/guard

# What serving and fan-out use that is not public, or that the next version of Django brings along.
NEWEST := asgiref django uvicorn uvloop httptools django-ninja pydantic psycopg[binary] aiohttp httpx aiolimiter

# The locked requirements, in an environment of its own.
$(NEXT)/.installed: requirements/dev.txt
	@for python in $(PYTHON) python3.14 python3.13 python3.12; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then found=$$(command -v $$python); break; fi; \
	done; \
	[ -n "$$found" ] || { echo "The newest Django needs Python 3.12 or newer: make test-next PYTHON=/path/to/python3.12"; exit 1; }; \
	"$$found" "$(TEMPLATE)/requirements/install.py" $(NEXT) requirements/dev.txt
	@touch $@

renew: $(READY)  ## Renew the document of the API, the pages for assistants and the tables that the code gives
	python -m tests.template.renew

peers: $(READY)  ## Measure this service beside startproject, FastAPI, Starlette and other queues (needs wrk)
	python tests/peers/serving.py
	python tests/peers/fanout.py
	python tests/peers/submit.py
	python tests/peers/jobs.py --short

hosts: $(READY)  ## Cut off, kill and restart eight hosts (network namespaces) under a service, and count executions (root)
	pytest tests/hosts $(ARGS)

image: $(READY)  ## Build the image of a generated service with buildah, and run each service of compose.yaml (root, Debian)
	pytest tests/image $(ARGS)

proof: $(READY)  ## Run the benchmark and the peers, and write them into docs/proof.md (ten quiet minutes, needs wrk)
	@rm -rf build/proof && mkdir -p build/proof
	cookiecutter "$(CURDIR)" --no-input --output-dir build/proof >/dev/null
	cd build/proof/risk_desk && python -m benchmarks --out ..
	for peer in serving fanout submit; do python tests/peers/$$peer.py --json build/proof/$$peer.json || echo "a bound is broken"; done
	python tests/peers/proof.py build/proof

check: $(READY)  ## Look for faults in this repository, change nothing
	ruff check $(PLAIN)
	ruff format --check $(PLAIN)

fix: $(READY)  ## Repair what can be repaired
	ruff format --quiet $(PLAIN)
	ruff check --fix $(PLAIN)
	ruff format $(PLAIN)

lock: $(READY)  ## Renew all locked requirements to the newest that fit, and test them
	@command -v uv >/dev/null || pip install --quiet uv
	cd '$(TEMPLATE)/requirements' && for name in base dev contract audit tracing image; do $(COMPILE) $$name.in -o $$name.txt || exit 1; done
	@# What base.txt lacks where a service has WebSockets: the hook puts both together.
	cd '$(TEMPLATE)/requirements' && $(COMPILE) --no-deps websockets.in -o websockets.txt
	cd requirements && $(COMPILE) dev.in -o dev.txt && $(COMPILE) kubernetes.in -o kubernetes.txt
	$(MAKE) test

COMPILE := uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header --python-version 3.11

.PHONY: help install demo bake test postgresql stock chaos life soak model options assistants libraries public test-next renew peers hosts image proof check fix lock $(ROOMS)
