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

# torch 2.1 and 2.2 were built for numpy 1 and need the `packaging` inside setuptools, gone in 70.
LIMITS := setuptools<81 $(if $(filter torch==2.1.% torch==2.2.%,$(TORCH)),setuptools<70 numpy<2)
$(READY) test-web: export PIP_CONSTRAINT = $(CURDIR)/$(VENV)/limits.txt

.PHONY: install peers train test test-large test-web test-all lint clean

install: $(READY)

# A torch for CPUs needs no torchvision, and PyPI's doesn't load beside it.
$(READY): Makefile setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14) and \
		"error: OpenMMLab needs Python 3.10 to 3.13: make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)
	printf '%s\n' $(foreach limit,$(LIMITS),'$(limit)') > $(PIP_CONSTRAINT)
	$(BIN)/pip install --upgrade pip
	$(BIN)/pip install "$(TORCH)" numpy
	if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.version.cuda)'; \
		then $(BIN)/pip install "$(TORCH)" torchvision; fi
	$(MAKE) --no-print-directory $(STACK)
	touch $@

.PHONY: openmmlab onedl
# A compiled mmcv stays: mmcv-lite would overwrite it.
openmmlab:
	$(BIN)/pip install -e ".[$(shell $(BIN)/pip show --quiet mmcv 2> /dev/null || echo lite,)test]"

# Built in isolation, where it finds no torch, onedl-mmcv has no operators; the others need torch.
onedl:
	$(BIN)/pip install setuptools wheel onedl-mmcv==2.3.6
	$(BIN)/pip install --no-build-isolation onedl-mmdetection==3.5.1 onedl-mmsegmentation==1.4.2
	$(BIN)/pip install huggingface_hub safetensors onnx onnx_ir onnxscript onnxruntime av \
		pytest pytest-xdist codespell==2.4.3 mypy==2.4.1 ruff==0.17.6
	$(BIN)/pip install --no-deps -e .

# Peers for the tests alone: PyPI's torchvision doesn't load with a torch for CPUs, and mmengine
# imports any that it finds. With other versions of torch or the forks, these tests are left out.
PEERS := $(if $(filter $(DEFAULT_TORCH)openmmlab,$(TORCH)$(STACK)),$(VENV)/peers)
PEERS_READY := $(addsuffix /.ready,$(PEERS))
peers: $(PEERS_READY)

$(PEERS_READY): $(READY)
	rm -rf $(PEERS)
	$(BIN)/pip install --no-deps --target $(PEERS) \
		torchvision==0.29.2 timm==1.0.31 mmpretrain==1.2.0 einops==0.8.2 mat4py==0.6.0 \
		model-index==0.1.11 ordered-set==4.1.0 markdown==3.11.3 \
		importlib-metadata==7.2.1 zipp==4.1.2
	touch $@

train: $(READY)
	$(BIN)/python tools/train.py $(CONFIG) --toy

# Small models in many processes: more threads per process would only slow each other down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
SUITE := $(PYTEST) --numprocesses auto --dist loadfile

# Two sessions: all other tests are of an environment without the peers.
PEER_PATH := $(CURDIR)/tests/overlay:$(abspath $(PEERS))
define pytest
$(SUITE) -m $(1)
$(if $(PEERS),PYTHONPATH=$(PEER_PATH) $(SUITE) tests/peers -m $(1))
endef

test: $(READY) $(PEERS_READY)
	$(call pytest,"not large")

test-large: $(READY) $(PEERS_READY)
	$(call pytest,large)

# The page of tools/demo.py in the Chromium of this machine.
test-web: $(READY)
	$(BIN)/pip install --quiet "gradio>=6.31,<7" playwright
	$(PYTEST) tests/web

test-all: test test-large test-web

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-* work_dirs data/toy
