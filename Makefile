# musicrec: `make nightly` runs the whole nightly on the bundled sample, `make test` proves it works.
SHELL := /bin/bash
CONFIG ?= conf/local.toml
READY := .venv/.ready
# JAVA_HOME is written by the set-up where Java had to be found beside the PATH.
RUN = source .venv/bin/activate && if [ -s .venv/java_home ]; then export JAVA_HOME="$$(cat .venv/java_home)"; fi &&

.DEFAULT_GOAL := help
.PHONY: help setup nightly test lint bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

setup: $(READY) ## make .venv with the pinned packages, and Java 17 where it is missing

$(READY): pyproject.toml constraints.txt conf/setup.sh conf/spark-defaults.conf
	@bash conf/setup.sh

nightly: $(READY) ## run the nightly on the bundled sample (CONFIG=conf/local.toml)
	@$(RUN) python jobs/nightly.py --config $(CONFIG)

test: $(READY) ## run the tests
	@$(RUN) python -m pytest

lint: $(READY) ## ruff, mypy --strict, the layers
	@$(RUN) ruff check . && ruff format --check . && mypy && lint-imports

bench: $(READY) ## time the nightly's stages on the bundled sample
	@$(RUN) python -m benchmarks.nightly

clean: ## remove .venv, the local tables and all caches
	rm -rf .venv lakehouse spark-warehouse build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
