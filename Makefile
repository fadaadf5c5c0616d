# The whole setup: `make train` and `make test` install what they need, once, into a virtual
# environment of this folder. STACK=onedl takes the maintained forks, in an environment of its own.
STACK ?= openmmlab
TORCH ?= torch==2.13.0
PYTHON ?= python3
CONFIG ?= configs/retinanet_twins_svt_s_1x.py

VENV := .venv$(if $(filter onedl,$(STACK)),-onedl)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# mmcv 2.1.0 doesn't compile on Python 3.13, which would show after the rest is installed.
BEFORE := $(if $(filter onedl,$(STACK)),99,13)

.PHONY: install train test test-all lint clean

install: $(READY)

$(READY): Makefile setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, $(BEFORE)) and \
		"error: mmcv 2.1.0 needs Python 3.10 to 3.12: make PYTHON=python3.12, or STACK=onedl")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --upgrade pip
	$(BIN)/pip install "$(TORCH)" "setuptools<81" wheel ninja psutil
	$(MAKE) --no-print-directory $(STACK)
	touch $@

# mmcv has no wheel for today's torch: it is compiled, once, and pip keeps the result. A wheel that
# pip kept may be of another torch, so its operators are tried, and compiled anew if they don't load.
define mmcv
@echo "Compiling mmcv's operators: 12 minutes on two cores. pip keeps them for the next time."
$(BIN)/pip install --no-build-isolation $(1)
$(BIN)/python -c "import mmcv.ops" || $(BIN)/pip install \
	--no-build-isolation --no-cache-dir --force-reinstall --no-deps $(1)
endef

.PHONY: openmmlab onedl
openmmlab: export MMCV_WITH_OPS = 1
openmmlab:
	$(call mmcv,mmcv==2.1.0)
	$(BIN)/pip install -e ".[test]"

onedl:
	$(call mmcv,onedl-mmcv==2.3.6)
	$(BIN)/pip install --no-build-isolation onedl-mmdetection==3.5.1 onedl-mmsegmentation==1.4.2
	$(BIN)/pip install huggingface_hub safetensors onnx onnxscript onnxruntime \
		pytest pytest-xdist ruff codespell mypy
	$(BIN)/pip install --no-deps -e .

train: $(READY)
	$(BIN)/python tools/train.py $(CONFIG) --toy

# Small models on many processes: a second thread in each would only be in the others' way.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

test: $(READY)
	$(PYTEST) -m "not large"

test-all: $(READY)
	$(PYTEST)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/codespell
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-onedl work_dirs data/toy
