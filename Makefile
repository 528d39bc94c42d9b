# musicrec: `make nightly` runs the whole nightly on the bundled sample, `make test` proves it works.
SHELL := /bin/bash
CONFIG ?= conf/local.toml
READY := .venv/.ready
# Which tests: all but the nights that .ci/run adds.
MARKS ?= not nights
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

test: $(READY) ## run the tests, in two processes; MARKS= runs a night with each file of conf/ too
	@$(RUN) python -m pytest -n 2 --dist loadfile -m "$(MARKS)"

lint: $(READY) ## ruff, mypy --strict, the layers
	@$(RUN) ruff check . && ruff format --check . && mypy && lint-imports

# Small workloads: what each command checks (musicrec against its oracle or peers) counts here, not the ratios.
bench: $(READY) ## time and check each engine on a small workload, then the nightly on the sample and on 250,000 plays (20 minutes)
	@$(RUN) python -m benchmarks.als --users 6000 --items 4000 --nnz 200000 --rank 32 --iterations 5 --warm
	@$(RUN) python -m benchmarks.topn --users 6000 --items 8000 --nnz 200000 --rank 32 --n 50
	@$(RUN) python -m benchmarks.pca --rows 6000 --columns 2000 --nnz 150000 --components 20
	@$(RUN) python -m benchmarks.knn --users 6000 --items 4000 --nnz 200000 --k 50
	@$(RUN) python -m benchmarks.fold_in --items 20000 --requests 50
	@$(RUN) python -m benchmarks.metrics --listeners 3000 --length 100 --items 5000
	@$(RUN) python -m benchmarks.reader --sequences 200000
	@$(RUN) python -m benchmarks.csv_files --rows 20000 --repeats 1
	@$(RUN) python -m benchmarks.training --items 2000,20000 --windows 20000 --seconds 2
	@$(RUN) python -m benchmarks.nightly
	@$(RUN) python -m benchmarks.nightly --config conf/local.toml --listens 250000 --tracks 36000 --nights 1 --limit 480
	@if [ -n "$(DATA)" ]; then $(RUN) python -m benchmarks.accuracy hetrec $(DATA)/lastfm-hetrec --models als,knn,popular; \
	  else echo "accuracy: skipped; give the folder of the published data sets, make bench DATA=folder"; fi

clean: ## remove .venv, the local tables and all caches
	rm -rf .venv lakehouse spark-warehouse build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
