# Tidings: `make up` runs the server, `make test` runs every test. Both install what they need first.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
MINUTES ?= 20

.PHONY: help install install-mongodb install-test up test mutants chaos-matrix soak sessions hostile screens page-cost lint docs translations lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

install: $(VENV)/.installed-run ## make .venv with Tidings in it, nothing more

install-mongodb: $(VENV)/.installed-mongodb ## the same, with a MongoDB server to try (Linux x86-64)

install-test: $(VENV)/.installed-test

$(VENV)/.installed-%: requirements/%.txt pyproject.toml tools/install.sh
	@PYTHON="$(PYTHON)" sh tools/install.sh "$(VENV)" requirements/$*.txt
	@if [ "$*" != run ]; then touch $(VENV)/.installed-run; fi
	@touch $@

up: install ## run the server (make up ARGS="--port 9000 --data ./data")
	@exec $(BIN)/tidings up $(ARGS)

test: install-test ## run all tests
	@exec sh tools/test.sh $(BIN)/python $(ARGS)

mutants: install-test ## take each protective line out, and see a test fail (make mutants ARGS="--only begin")
	@exec $(BIN)/python -m tests.mutants $(ARGS)

soak: install-test ## people live while faults strike (make soak MINUTES=20 ARGS="--seed 1")
	@exec $(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

sessions: install-test ## session guarantees under delays (make sessions ARGS="--trials 1000")
	@exec $(BIN)/python -m tests.sessions $(ARGS)

screens: install-test ## take the pictures of docs/screens (needs Chromium)
	@exec $(BIN)/python -m tests.web.screens $(ARGS)

page-cost: install-test ## what the timeline's page costs beyond the JSON timeline (ARGS="--pairs 400")
	@exec $(BIN)/python -m tests.web.added $(ARGS)

hostile: install-test ## send a thousand hostile files (ARGS="--files 100 --seed 2")
	@exec $(BIN)/python -m tests.hostile $(ARGS)

lint: install-test ## style, types and import boundaries
	$(BIN)/ruff check src tests tools
	$(BIN)/ruff format --check src tests tools
	$(BIN)/mypy
	$(BIN)/lint-imports

chaos-matrix: install-test ## break a deletion at every point, in every way (ARGS="--fresh" begins anew)
	@exec $(BIN)/python -m tests.chaos.matrix $(ARGS)

docs: install ## write docs/map.md and docs/openapi.json from the code
	$(BIN)/tidings docs write docs

translations: install-test ## bring new sentences of the pages into their catalogues
	@exec sh tools/translations.sh $(BIN)/python

lock: ## compile requirements/*.txt again (needs uv)
	uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml requirements/build.in -o requirements/run.txt
	uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml --extra test requirements/build.in -c requirements/run.txt -o requirements/test.txt
	uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml --extra mongodb requirements/build.in -c requirements/run.txt -o requirements/mongodb.txt

clean: ## remove what make made (never your data)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
