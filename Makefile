# make serve   run the service (needs Python 3.11+, sets up .venv by itself)
# make test    run every test
# make check   formatting, lint and types
# make train   train the default pair, resuming where it stopped; WORKERS=12 on a GPU whose machine has as many cores
# make train-smoke  train the reference pair on rendered data in small, judge and serve it (minutes)
# make benchmark  print the latency table
# make fuzz    100,000 broken pictures against the decoders (minutes)
# make soak    half an hour of mixed load: does the service grow?
# make docker-smoke  build the image, run it with Docker Compose and try it (needs a Docker engine)
PYTHON ?= python3
WORKERS ?= 0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DELETE_ON_ERROR:  # of an environment that could not be made whole, for want of python3-venv say, nothing is taken for done
.PHONY: serve test check format train train-smoke benchmark fuzz soak docker-smoke clean

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.installed-service: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml clients/python/pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[dev]" --editable "clients/python[video]"
	@touch $@ $(VENV)/.installed-service

serve: $(VENV)/.installed-service
	$(BIN)/python -m service

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file clients/python/pyproject.toml

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# glibc would give large blocks back to the kernel at every step and pay for them again.
train: export MALLOC_TRIM_THRESHOLD_ = 8000000000
train: export MALLOC_MMAP_THRESHOLD_ = 8000000000
train: export MALLOC_TOP_PAD_ = 500000000
train: $(VENV)/.installed-dev
	$(BIN)/python -m training train training/recipes/default-pose.toml --workers $(WORKERS) --resume
	$(BIN)/python -m training train training/recipes/default-detector.toml --workers $(WORKERS) --resume

train-smoke: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow tests/training
	$(BIN)/python -m tests.training.smoke

benchmark: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/request.py

fuzz: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/fuzz_images.py

soak: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/soak.py

docker-smoke:
	$(PYTHON) docker/smoke.py

clean:
	rm -rf $(VENV)
