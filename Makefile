# The whole setup: `make train` and `make test` install what they need, once, into a virtual
# environment in this folder. STACK=onedl installs the maintained forks, TORCH=torch==2.1.2 another
# torch, each in a separate environment.
STACK ?= openmmlab
DEFAULT_TORCH := torch==2.13.0
TORCH ?= $(DEFAULT_TORCH)
PYTHON ?= python3
CONFIG ?= configs/retinanet_twins_svt_s_1x.py

VENV := .venv$(if $(filter onedl,$(STACK)),-onedl)$(if \
	$(filter-out $(DEFAULT_TORCH),$(TORCH)),-$(subst ==,,$(TORCH)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# setuptools 81 lacks pkg_resources, which mmengine needs for `mmdet::` and mmcv's setup.py to run;
# torch 2.1 and 2.2 also need the `packaging` inside it, gone in 70, and were built for numpy 1.
LIMITS := $(if $(filter torch==2.1.% torch==2.2.%,$(TORCH)),setuptools<70 numpy<2,setuptools<81)
$(READY): export PIP_CONSTRAINT = $(CURDIR)/$(VENV)/limits.txt
# mmcv 2.1.0 doesn't compile on Python 3.13, which would only show after everything else.
BEFORE := $(if $(filter onedl,$(STACK)),99,13)

.PHONY: install train test test-all lint clean

install: $(READY)

$(READY): Makefile setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, $(BEFORE)) and \
		"error: mmcv 2.1.0 needs Python 3.10 to 3.12: make PYTHON=python3.12, or STACK=onedl")'
	$(PYTHON) -m venv $(VENV)
	printf '%s\n' $(foreach limit,$(LIMITS),'$(limit)') > $(PIP_CONSTRAINT)
	$(BIN)/pip install --upgrade pip
	$(BIN)/pip install "$(TORCH)" numpy setuptools wheel ninja psutil
	$(MAKE) --no-print-directory $(STACK)
	touch $@

# mmcv has no wheel for current torch, so it is compiled, once. pip keeps the result in a cache per
# torch version, because operators compiled for another torch don't load.
define mmcv
@echo "Compiling mmcv's operators: 12 minutes on two cores. pip caches the result."
$(BIN)/pip install --no-build-isolation $(1) --cache-dir "$$($(BIN)/pip cache dir)/$$( \
	$(BIN)/python -c 'import torch; print(f"torch-{torch.__version__}")')"
$(BIN)/python -c "import mmcv.ops"
endef

.PHONY: openmmlab onedl
openmmlab: export MMCV_WITH_OPS = 1
openmmlab:
	$(call mmcv,mmcv==2.1.0)
	$(BIN)/pip install -e ".[test]"

onedl:
	$(call mmcv,onedl-mmcv==2.3.6)
	$(BIN)/pip install --no-build-isolation onedl-mmdetection==3.5.1 onedl-mmsegmentation==1.4.2
	$(BIN)/pip install huggingface_hub safetensors onnx onnx_ir onnxscript onnxruntime \
		pytest pytest-xdist codespell==2.4.3 mypy==2.4.1 ruff==0.17.6
	$(BIN)/pip install --no-deps -e .

train: $(READY)
	$(BIN)/python tools/train.py $(CONFIG) --toy

# Small models in many processes: more threads per process would only slow each other down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

test: $(READY)
	$(PYTEST) -m "not large"

test-all: $(READY)
	$(PYTEST)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/codespell
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-* work_dirs data/toy
