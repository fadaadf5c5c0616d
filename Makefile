# The whole setup: `make train` and `make test` install what they need, once, into a virtual
# environment of this folder. STACK=onedl takes the maintained forks, in an environment of its own.
STACK ?= openmmlab
TORCH ?= torch==2.13.0
PYTHON ?= python3
CONFIG ?= configs/retinanet_twins_svt_s_1x.py

VENV := .venv$(if $(filter onedl,$(STACK)),-onedl)
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: install train test test-all lint clean

install: $(READY)

$(READY): Makefile setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --upgrade pip
	$(BIN)/pip install "$(TORCH)" "setuptools<81" wheel ninja psutil
	$(MAKE) --no-print-directory $(STACK)
	touch $@

# mmcv 2.1.0 has no wheel for today's torch. A wheel in pip's cache may be of another torch's, so
# its operators are tried, and compiled anew where they don't load.
.PHONY: openmmlab onedl
openmmlab:
	@echo "mmcv's operators are compiled now: 12 minutes on two cores. pip keeps the result."
	MMCV_WITH_OPS=1 $(BIN)/pip install --no-build-isolation mmcv==2.1.0
	$(BIN)/python -c "import mmcv.ops" || MMCV_WITH_OPS=1 $(BIN)/pip install \
		--no-build-isolation --no-cache-dir --force-reinstall --no-deps mmcv==2.1.0
	$(BIN)/pip install -e ".[test]"

train: $(READY)
	$(BIN)/python tools/train.py $(CONFIG) --toy

test: $(READY)
	$(BIN)/python -m pytest -m "not large"

test-all: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/codespell

clean:
	rm -rf .venv .venv-onedl work_dirs data/toy
