# `make` sets everything up and runs the default experiment; `make test` sets up what is missing and runs every test.

PYTHON ?= python3
TORCH := torch==2.13.0
# spreads models over several GPUs; in the lock it would bring torch's own dependencies with it
ACCELERATE := accelerate==1.15.0
UV := uv==0.13.8
CORES ?= all
# an extra folder of wheels, if pip is told of one by the environment
FIND_LINKS := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS))
SNAKEMAKE := .venv/bin/snakemake --cores $(CORES)
# `--quiet all` would hide even why nothing was done
QUIET := --quiet rules host progress reason
READY := .venv/.ready

.PHONY: all run full overnight prose oracle paper paper-plan summary docs docs-results release bench test fuzz lint lock conda-lock smoke slurm clean

all: run
	@$(MAKE) --no-print-directory results/report.html summary

run: $(READY)
	$(SNAKEMAKE)

results/report.html: $(wildcard results/ladder/bounds.csv) | $(READY)
	.venv/bin/snakemake --cores 1 --report $@ $(QUIET)

summary: | $(READY)
	@.venv/bin/scalebound summary --report results/report.html

# numbers, tables and pictures of README and docs, from the tables that docs/results keeps
docs: $(READY)
	.venv/bin/python docs/making/pictures.py
	.venv/bin/python docs/making/pages.py

# the same after keeping the tables and figures of the finished runs: make docs-results RESULTS=results FAMILIES="ladder prose"
docs-results: $(READY)
	.venv/bin/python docs/making/results.py $(or $(RESULTS),results) $(FAMILIES)
	@$(MAKE) --no-print-directory docs

# the finished run as one archive, results/scalebound-FAMILIES.zip: audited, with checksums, to cite and to hand on
release: $(READY)
	$(SNAKEMAKE) release

# speed and memory on this machine, beside what they are compared with: results/bench.csv
bench: $(READY)
	.venv/bin/scalebound bench

test: $(READY)
	.venv/bin/pytest

# random models of every causal architecture of transformers through every step; another draw: SCALEBOUND_FUZZ_SEED=1 make fuzz
fuzz: $(READY)
	SCALEBOUND_FUZZ=all .venv/bin/pytest tests/unit/models/test_every_architecture.py

smoke: $(READY)
	$(SNAKEMAKE) --configfile config/smoke.yaml

# all quantizers and studies, a fifth and a sixth size, and the ladder from three seeds: a few hours of two cores
full: $(READY)
	$(SNAKEMAKE) --configfile config/full.yaml
	$(SNAKEMAKE) --configfile config/seeds.yaml

# a seventh size of 2 M parameters: two and a half hours of two cores
overnight: $(READY)
	$(SNAKEMAKE) --configfile config/full.yaml config/overnight.yaml

# a second ladder, on English documentation instead of Python sources
prose: $(READY)
	$(SNAKEMAKE) --configfile config/prose.yaml

# certificates where the truth is known: a stream drawn from the ladder's largest model
oracle: $(READY)
	$(SNAKEMAKE) --configfile config/oracle.yaml

# Pythia and the Pile from the hub; `paper-plan` says first what it will take
paper: $(READY)
	$(SNAKEMAKE) --configfile config/pythia.yaml

paper-plan: $(READY)
	$(SNAKEMAKE) --configfile config/pythia.yaml $(QUIET) -- paper_plan

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/snakefmt --check Snakefile workflow

# one lock for Linux and macOS and Python 3.11 to 3.13, with hashes and without torch (see envs/requirements.in)
lock: .venv/bin/uv
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-package torch --output-file envs/requirements.txt envs/requirements.in
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-deps \
	  --output-file envs/slurm.txt envs/slurm.in
	$(MAKE) --no-print-directory conda-lock

# the same pins for `snakemake --sdm conda`, which hands pip one file alone, and pip takes no hashes there unless all have some
conda-lock:
	printf '%s\n' 'name: scalebound' 'channels: [conda-forge]' 'dependencies:' '  - python =3.12' '  - pip' '  - pip:' \
	  '      - "$(TORCH)"' '      - "$(ACCELERATE)"' > envs/scalebound.yaml
	sed -n 's/^\([a-z0-9].*[^ ]\) *\\$$/      - "\1"/p' envs/requirements.txt >> envs/scalebound.yaml

.venv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, found " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(UV)

$(READY): envs/requirements.txt pyproject.toml | .venv/bin/uv
	.venv/bin/uv pip install --quiet --python .venv/bin/python $(FIND_LINKS) $(TORCH)
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes --requirement envs/requirements.txt
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps $(ACCELERATE)
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	touch $@

# snakemake's plugin for SLURM (docs/cluster.md)
slurm: $(READY)
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes --requirement envs/slurm.txt

clean:
	rm -rf .venv
