.DEFAULT_GOAL := help
.PHONY: help setup reproduce download test lint doctor lab bench lock notebooks expected clean FORCE

# quick: no data to download, two cores; laptop: real data, no GPU; paper: the papers' data and protocol
PROFILE ?= quick
# one study's name; empty: all of them
STUDY ?=
# auto, cpu, cuda or mps
DEVICE ?= auto
# a folder with data sets, looked into before PRUNCAM_DATA and data/
DATA ?=
# of make download
NAME ?=
# how many test processes run side by side
JOBS ?= 2
PYTHON ?= python3

VENV := .venv/bin/python
# Other interpreters are tried only where the user has not named one.
CANDIDATES = "$(PYTHON)" $(if $(filter file,$(origin PYTHON)),python3.13 python3.12 python3.11)
# --version: a uv that is found is not yet a uv that runs (shims of version managers).
UV = $$(if uv --version >/dev/null 2>&1; then echo uv; else echo $(VENV) -m uv; fi)
# Where Python must not keep what it compiles, as in many containers, every notebook would compile all packages anew.
COMPILED = $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
# Tests of one file, and cells of one notebook, stay together.
WORKERS = -n "$(JOBS)" --dist loadfile
RUN_OPTIONS = --profile "$(PROFILE)" $(if $(STUDY),--study "$(STUDY)") --device "$(DEVICE)" $(if $(DATA),--data "$(DATA)")

help:  ## show this list
	@echo 'make TARGET [PROFILE=quick|laptop|paper] [STUDY=name] [DEVICE=auto|cpu|cuda|mps] [DATA=folder]'
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: .venv/.ready  ## the virtual environment in .venv, from requirements.lock (other targets do this by themselves)
	@echo 'ready: try make reproduce, make test or make lab'

reproduce: .venv/.ready  ## every notebook, table, figure and claim of PROFILE (quick), or of one STUDY
	@$(VENV) -m pruncam reproduce $(RUN_OPTIONS)

download: .venv/.ready  ## fetch a data set into data/ (or DATA): NAME=mnist, fashion-mnist, cifar10, cifar100 or stl10
	@$(VENV) -m pruncam download $(if $(DATA),--data "$(DATA)") "$(NAME)"

# A fresh cache, or a run would be compared with itself; figures of their own, or a test would overwrite results.
test: lint  ## lint, unit tests, doctests, and the committed notebooks run anew (nbval)
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	export PRUNCAM_CACHE="$$scratch/cache" PRUNCAM_FIGURES="$$scratch/figures" IPYTHONDIR="$$scratch/ipython"; \
	$(VENV) -m pytest $(WORKERS) --nbval-lax --nbval-current-env --nbval-cell-timeout 300 tests pruncam notebooks/*.ipynb

lint: .venv/.ready  ## ruff: rules and formatting
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .

doctor: .venv/.ready  ## what is here, what is missing, and how to cure it
	@$(VENV) -m pruncam doctor

lab: .venv/.ready  ## JupyterLab, opened on the first notebook
	@$(VENV) -m jupyterlab notebooks/00_start_here.ipynb

bench: .venv/.ready  ## our speed against the reference libraries, side by side
	@$(VENV) -m benchmarks

notebooks: .venv/.ready  ## run the notebooks and worked solutions again and refresh the committed ones
	@$(VENV) -m pruncam notebooks

expected: .venv/.ready  ## write the quick profile's reference tables in tests/expected anew
	@$(VENV) -m pruncam expected

lock: .venv/pyvenv.cfg  ## resolve pyproject.toml into requirements.lock (delete that file first to take the newest of all)
	@$(UV) pip compile -q --universal --python $(VENV) --python-version 3.11 --all-extras --generate-hashes \
	  --no-header --no-annotate pyproject.toml -o requirements.lock

clean:  ## remove runs, build, data/cache, figures/quick and tool caches; .venv, data and results stay
	rm -rf runs build dist data/cache figures/quick .pytest_cache .ruff_cache .hypothesis
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

# The environment is made anew where its interpreter has gone or it was left half made, and set up again where the
# folder was moved or copied: the installed package points to the folder it was set up in, which the stamp records.
ifneq ($(shell $(VENV) -c 'import pip; print("runs")' 2>/dev/null),runs)
.venv/pyvenv.cfg: FORCE
endif
ifneq ($(shell cat .venv/.ready 2>/dev/null),$(CURDIR))
.venv/.ready: FORCE
endif

.venv/pyvenv.cfg:
	@for python in $(CANDIDATES); do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || continue; \
	  suits=$$python; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null && break; \
	done; \
	if [ -z "$$suits" ]; then \
	  echo "pruncam needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1 | tail -n 1):" \
	    "install one (e.g. 'apt install python3.12 python3.12-venv') and name it: make PYTHON=python3.12" >&2; exit 1; \
	fi; \
	version=$$("$$suits" -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
	if ! "$$suits" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "'$$suits' has no venv module: install it, e.g. 'apt install python3-venv' (or $$version-venv)" >&2; exit 1; \
	fi; \
	echo "setting up .venv with $$version: the first time, some 6 GB are fetched"; \
	"$$suits" -m venv --clear .venv || { rm -rf .venv; exit 1; }
	@uv --version >/dev/null 2>&1 || $(VENV) -m pip install -q --disable-pip-version-check uv \
	  || echo "uv could not be installed: going on with pip, which takes some minutes more"

.venv/.ready: .venv/pyvenv.cfg requirements.lock pyproject.toml
	@set -e; quiet=$$([ -t 2 ] || echo -q); if $(UV) --version >/dev/null 2>&1; then \
	  $(UV) pip sync $$quiet $(COMPILED) --python $(VENV) --require-hashes requirements.lock; \
	  $(UV) pip install -q --python $(VENV) --no-deps -e .; \
	else \
	  $(VENV) -m pip install $$quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	  $(VENV) -m pip install -q --disable-pip-version-check --no-deps -e .; \
	fi
	@printf '%s\n' "$(CURDIR)" > .venv/.ready
