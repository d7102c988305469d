.DEFAULT_GOAL := help
.PHONY: help setup reproduce plan verify download weights test check lint doctor lab book bench torture dist lock notebooks expected clean FORCE

# quick: no download, two cores; overnight: real data, no GPU; paper: the papers' data and protocol
PROFILE ?= quick
# one study's name; empty: all of them
STUDY ?=
# auto, cpu, cuda or mps
DEVICE ?= auto
# a folder with data sets, searched before PRUNCAM_DATA and data/
DATA ?=
# a dask scheduler whose workers compute, tcp://host:port (docs/cluster.md); empty: this machine
CLUSTER ?=
# the data set of make download, the reference network of make weights (empty: all of them)
NAME ?=
# of make verify: one study (empty: all that are committed); a folder in which an interrupted run is
# kept, to continue; 1 to record the versions with which all holds
VERIFY ?=
KEEP ?=
RECORD ?=
# number of parallel processes of tests and type checks
JOBS ?= 2
PYTHON ?= python3

# A misspelt variable would do nothing: `make reproduce profile=paper` would run quick.
VARIABLES := PROFILE STUDY DEVICE DATA CLUSTER NAME VERIFY KEEP RECORD JOBS PYTHON
UNKNOWN := $(filter-out $(VARIABLES) SHELL VENV MAKE% PRUNCAM_% OMP_% CUDA_%, \
  $(foreach word,$(MAKEOVERRIDES),$(if $(findstring =,$(word)),$(firstword $(subst =, ,$(word))))))
ifneq ($(strip $(UNKNOWN)),)
$(error unknown variable $(firstword $(UNKNOWN)): choose among $(VARIABLES), in capitals)
endif

VENV := .venv/bin/python
# Other interpreters are tried only if the user has not named one.
CANDIDATES = "$(PYTHON)" $(if $(filter file,$(origin PYTHON)),python3.13 python3.12 python3.11 python3.14)
# --version: the uv on the path may be the shim of a version manager, which does not run.
UV = $$(if uv --version >/dev/null 2>&1; then echo uv; else echo $(VENV) -m uv; fi)
# Sets $$suits to the first Python that fits, if possible to one that can make an environment.
define FIND_PYTHON
for python in $(CANDIDATES); do \
  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null || continue; \
  suits=$$python; \
  "$$python" -c 'import ensurepip, venv' 2>/dev/null && break; \
done; \
if [ -z "$$suits" ]; then \
  echo "pruncam needs Python 3.11 to 3.14, and '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1 | tail -n 1):" \
    "install one (e.g. 'apt install python3.12 python3.12-venv') and name it: make PYTHON=python3.12" >&2; exit 1; \
fi;
endef
# If Python writes no bytecode, as in many containers, every notebook would compile all packages.
COMPILE = $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
# Tests of one file, and cells of one notebook, run in one process; tests/conftest.py orders them.
WORKERS = -n "$(JOBS)" --dist loadfile --no-loadscope-reorder
# The tests of `make check`: under a minute on two cores (but for the first run of mypy).
FAST_TESTS = $(addprefix tests/test_,$(addsuffix .py,architecture bad_input claims committed cost \
  cross_study gallery metrics noise notebooks readme rendering statistics tracing))
RUN_OPTIONS = --profile "$(PROFILE)" $(if $(STUDY),--study "$(STUDY)") --device "$(DEVICE)" $(if $(DATA),--data "$(DATA)") \
  $(if $(CLUSTER),--cluster "$(CLUSTER)")
VERIFY_OPTIONS = --profile "$(PROFILE)" $(if $(or $(VERIFY),$(STUDY)),--study "$(or $(VERIFY),$(STUDY))") \
  --device "$(DEVICE)" $(if $(DATA),--data "$(DATA)") $(if $(KEEP),--keep "$(KEEP)") $(if $(RECORD),--record)

help:  ## show this list
	@echo 'make TARGET [PROFILE=quick|overnight|paper] [STUDY=name] [DEVICE=auto|cpu|cuda|mps] [DATA=folder] [CLUSTER=tcp://host:port]'
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: .venv/.ready  ## the virtual environment in .venv, from requirements.lock (other targets do this too)
	@echo 'ready: try make reproduce, make test or make lab'

reproduce: .venv/.ready  ## every notebook, table, figure and claim of PROFILE (quick), or of one STUDY
	@$(VENV) -m pruncam reproduce $(RUN_OPTIONS)

plan: .venv/.ready  ## what make reproduce would run: steps in the cache, time here, memory, disk, missing data
	@$(VENV) -m pruncam reproduce --plan $(RUN_OPTIONS)

verify: .venv/.ready  ## committed results of PROFILE, or of VERIFY=study, run anew: does every table still hold?
	@$(VENV) -m pruncam verify $(VERIFY_OPTIONS)

download: .venv/.ready  ## fetch a data set into data/ (or DATA): NAME=mnist, fashion-mnist, cifar10, cifar100 or stl10
	@$(VENV) -m pruncam download $(if $(DATA),--data "$(DATA)") "$(NAME)"

weights: .venv/.ready  ## train the reference networks in pruncam/weights again, or one: NAME=cifar10
	@$(VENV) -m pruncam weights --device "$(DEVICE)" $(if $(DATA),--data "$(DATA)") $(if $(NAME),"$(NAME)")

# A fresh cache, or a run would be compared with itself; a fresh figures folder, or a test would
# overwrite results. Without bytecode, every kernel and child process would compile the package.
SCRATCH = set -e; unset PYTHONDONTWRITEBYTECODE; scratch=$$(mktemp -d); \
  trap 'rm -rf "$$scratch"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
  export PRUNCAM_CACHE="$$scratch/cache" PRUNCAM_FIGURES="$$scratch/figures" IPYTHONDIR="$$scratch/ipython";

test: lint  ## lint, unit tests, doctests, and the committed notebooks re-run (nbval)
	@$(SCRATCH) $(VENV) -m pytest $(WORKERS) --nbval-lax --nbval-current-env --nbval-cell-timeout 300 \
	  tests pruncam notebooks/*.ipynb

check: lint  ## lint and the fast tests, in about a minute: before every commit
	@$(SCRATCH) $(VENV) -m pytest -q $(WORKERS) $(FAST_TESTS)

lint: .venv/.ready  ## ruff (rules and formatting) and mypy (types)
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m mypy -n "$(JOBS)"

# Before .venv is set up, by Python alone: a newcomer asks whether it could be.
doctor:  ## check this machine: what is missing, and how to fix it
	@if [ "$$(cat .venv/.ready 2>/dev/null)" = "$(CURDIR)" ]; then suits=$(VENV); else $(FIND_PYTHON) fi; \
	"$$suits" -m pruncam doctor

lab: .venv/.ready  ## JupyterLab in this folder, opened on the first notebook
	@$(VENV) -m jupyterlab --ServerApp.root_dir="$(CURDIR)" \
	  --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

book: .venv/.ready  ## the book in runs/book: notebooks as executed, gallery, mathematics, reference; to read offline
	@$(VENV) -m sphinx -q -W --keep-going -c docs -d runs/book/.doctrees . runs/book
	@echo 'the book is runs/book/index.html'

bench: .venv/.ready  ## our speed beside the reference libraries
	@$(VENV) -m benchmarks

torture: .venv/.ready  ## what pruncam survives, in minutes: kills, crowds, damage, full disks, bad calls
	@$(VENV) -m benchmarks.torture

notebooks: .venv/.ready  ## re-run the committed notebooks and solutions and save them
	@$(VENV) -m pruncam notebooks

expected: .venv/.ready  ## rewrite the quick profile's expected tables in tests/expected
	@$(VENV) -m pruncam expected

dist: .venv/.ready  ## the wheel and the sdist of the package, in dist
	@$(VENV) -m hatchling build -d dist

lock: .venv/pyvenv.cfg  ## resolve pyproject.toml into requirements.lock (delete it first for the newest versions)
	@$(UV) pip compile -q --universal --python $(VENV) --python-version 3.11 --all-extras --generate-hashes \
	  --no-header --no-annotate pyproject.toml -o requirements.lock

clean:  ## remove runs, build, data/cache, figures/quick and tool caches; .venv, data and results stay
	rm -rf runs build dist data/cache figures/quick .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

# The environment is rebuilt if its interpreter is gone or it is incomplete. It is set up again if
# the folder was moved or copied: the installed package refers to the folder in the stamp.
ifneq ($(shell $(VENV) -c 'import pip; print("runs")' 2>/dev/null),runs)
.venv/pyvenv.cfg: FORCE
endif
ifneq ($(shell cat .venv/.ready 2>/dev/null),$(CURDIR))
.venv/.ready: FORCE
endif

.venv/pyvenv.cfg:
	@$(FIND_PYTHON) \
	version=$$("$$suits" -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
	if ! "$$suits" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "'$$suits' has no venv module: install it, e.g. 'apt install python3-venv' (or $$version-venv)" >&2; exit 1; \
	fi; \
	echo "setting up .venv with $$version: the first time, about 6 GB are downloaded"; \
	"$$suits" -m venv --clear .venv || { rm -rf .venv; exit 1; }
	@uv --version >/dev/null 2>&1 || $(VENV) -m pip install -q --disable-pip-version-check uv \
	  || echo "uv could not be installed: continuing with pip, which takes some minutes longer"

.venv/.ready: .venv/pyvenv.cfg requirements.lock pyproject.toml
	@set -e; quiet=$$([ -t 2 ] || echo -q); if $(UV) --version >/dev/null 2>&1; then \
	  $(UV) pip sync $$quiet $(COMPILE) --python $(VENV) --require-hashes requirements.lock; \
	  $(UV) pip install -q --python $(VENV) --no-deps -e .; \
	else \
	  $(VENV) -m pip install $$quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	  $(VENV) -m pip install -q --disable-pip-version-check --no-deps -e .; \
	fi
	@printf '%s\n' "$(CURDIR)" > .venv/.ready
