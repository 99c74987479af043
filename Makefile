# Each target sets up what it needs: `$(READY)` costs some milliseconds where all is in place.

PY     := .venv/bin/python
READY  := $(shell deploy/setup.sh --stamp)
CONFIG ?= deploy/dlp.yaml
ARGS   ?=
C_SRC  := $(wildcard bpf/*.[ch] bench/*.c)

.DEFAULT_GOAL := help
.PHONY: help setup demo attack test run lint format bench oracle test-kernels lab-up lab-down clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Install all that the other targets need, run nothing
	@echo "setup: all is in place"

demo: $(READY) ## Stop real leaks in the lab: the main job, scenario by scenario
	@$(PY) netns-lab demo $(ARGS)

attack: $(READY) ## Attack the gateway as root in a container would, attack by attack
	@$(PY) netns-lab attack $(ARGS)

test: $(READY) ## Run every test tier (ARGS='-k name' narrows it)
	@$(PY) -m pytest $(ARGS)

run: $(READY) ## Start the gateway on this host (CONFIG=deploy/dlp.yaml)
	@.venv/bin/dlp run --config $(CONFIG) $(ARGS)

lint: $(READY) ## Check style, types, import directions and the C sources
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(if $(C_SRC),.venv/bin/clang-format --dry-run -Werror $(C_SRC))

format: $(READY) ## Rewrite sources in the project's style
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .
	@$(if $(C_SRC),.venv/bin/clang-format -i $(C_SRC))

bench: $(READY) ## Measure cost and throughput against the alternatives
	@$(PY) bench $(ARGS)

oracle: $(READY) ## Compare kernel and model on random streams (N=cases, MUTANTS=1 breaks it on purpose)
	@$(PY) -m tests.oracle $(if $(N),--cases $(N)) $(if $(MUTANTS),--mutants) $(ARGS)

test-kernels: $(READY) ## Run the kernel tests under Debian's 6.1 and 6.12 kernels in qemu
	@$(PY) -m tests.kernels $(ARGS)

lab-up: $(READY) ## Build the lab and leave it standing
	@$(PY) netns-lab up $(ARGS)

lab-down: $(READY) ## Take the lab down
	@$(PY) netns-lab down $(ARGS)

clean: ## Remove all that the targets made in this tree
	@rm -rf .venv .cache dist build bench/out
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY):
	@deploy/setup.sh
