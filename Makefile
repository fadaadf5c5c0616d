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

# CUDA=1 compiles mmcv's operators for GPUs too, CUDA=0 for CPUs only. Unless told, an environment
# that has CUDA operators keeps them, so that a login node doesn't undo them; any other gets what
# this machine's cards need. On other cards they don't run: without a card, a list is demanded.
SPACE := $(subst ,, )
KEPT := $(if $(CUDA),,$(patsubst $(VENV)/.ready-cuda-%,%,$(firstword \
	$(wildcard $(VENV)/.ready-cuda-*))))
CARDS := $(if $(KEPT)$(filter 0,$(CUDA)),,$(shell \
	nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -x '[0-9.]*'))
CUDA ?= $(if $(KEPT)$(CARDS),1,0)
ARCHS := $(if $(filter 1,$(CUDA)),$(sort $(or \
	$(subst -, ,$(KEPT)),$(subst ;, ,$(TORCH_CUDA_ARCH_LIST)),$(CARDS))))
FOR_CUDA := $(if $(ARCHS),-cuda-$(subst $(SPACE),-,$(ARCHS)))
READY := $(VENV)/.ready$(FOR_CUDA)
ifeq ($(filter 0 1,$(CUDA)),)
$(error CUDA is 1, or 0 for CPUs only, not $(CUDA))
else ifeq ($(CUDA)$(ARCHS),1)
$(error CUDA=1, but no GPU is visible here: name the cards to compile for, \
	as TORCH_CUDA_ARCH_LIST="8.0 9.0" for A100 and H100: https://developer.nvidia.com/cuda-gpus)
endif

# setuptools 81 lacks pkg_resources, which mmengine needs for `mmdet::` and mmcv's setup.py to run;
# torch 2.1 and 2.2 also need the `packaging` inside it, gone in 70, and were built for numpy 1.
LIMITS := $(if $(filter torch==2.1.% torch==2.2.%,$(TORCH)),setuptools<70 numpy<2,setuptools<81)
$(READY) test-web: export PIP_CONSTRAINT = $(CURDIR)/$(VENV)/limits.txt
# mmcv 2.1.0 doesn't compile on Python 3.13, which would only show after everything else.
BEFORE := $(if $(filter onedl,$(STACK)),99,13)

.PHONY: install peers train test test-all test-web lint clean

install: $(READY)

$(READY): Makefile setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, $(BEFORE)) and \
		"error: mmcv 2.1.0 needs Python 3.10 to 3.12: make PYTHON=python3.12, or STACK=onedl")'
	$(PYTHON) -m venv $(VENV)
	[ -e $@ ] || $(BIN)/pip uninstall --quiet --quiet --yes mmcv onedl-mmcv
	rm -f $(VENV)/.ready*
	printf '%s\n' $(foreach limit,$(LIMITS),'$(limit)') > $(PIP_CONSTRAINT)
	$(BIN)/pip install --upgrade pip
	$(BIN)/pip install "$(TORCH)" numpy setuptools wheel ninja psutil
	$(MAKE) --no-print-directory $(STACK) CUDA=$(CUDA) TORCH_CUDA_ARCH_LIST="$(ARCHS)"
	touch $@

# mmcv has no wheel for current torch, so it is compiled, once. pip keeps the result in a cache per
# torch version and cards, because operators compiled for others don't load or don't run.
define mmcv
@echo "Compiling mmcv's operators$(if $(ARCHS), for CUDA $(TORCH_CUDA) on cards of $(ARCHS)):" \
	"$(if $(ARCHS),45 minutes,12 minutes) on two cores. pip caches the result."
$(if $(PIP_TOOLKIT),CUDA_HOME=$(PIP_TOOLKIT) )$(BIN)/pip install --no-build-isolation $(1) \
	--cache-dir "$$($(BIN)/pip cache dir)/$$( \
	$(BIN)/python -c 'import torch; print(f"torch-{torch.__version__}")')$(FOR_CUDA)"
$(BIN)/python -c "import sys; from mmcv.ops import get_compiling_cuda_version as cuda; \
	sys.exit($(CUDA) and cuda() == 'not available' and 'error: mmcv has no CUDA operators')"
endef

.PHONY: openmmlab onedl compiler
openmmlab onedl: export FORCE_CUDA = $(CUDA)
ifeq ($(CUDA),1)
openmmlab onedl: compiler
else
# mmcv compiles for any GPU that it sees.
openmmlab onedl: export CUDA_VISIBLE_DEVICES =
endif

# A toolkit in CUDA_HOME serves if it is of torch's CUDA version. Otherwise, pip brings the compiler,
# next to the headers and libraries that came with torch. For CUDA 12, pip has no nvcc: torch looks
# for one on the machine.
TORCH_CUDA = $(eval TORCH_CUDA := $(shell \
	$(BIN)/python -c 'import torch; print(torch.version.cuda)'))$(TORCH_CUDA)
OWN_TOOLKIT = $(if $(CUDA_HOME),$(findstring release $(TORCH_CUDA),$(shell \
	$(CUDA_HOME)/bin/nvcc --version)))
PIP_TOOLKIT = $(if $(ARCHS),$(if $(OWN_TOOLKIT)$(filter 12.%,$(TORCH_CUDA)),,$(abspath \
	$(wildcard $(VENV)/lib/python*/site-packages)/nvidia/cu$(basename $(TORCH_CUDA)))))
define install_toolkit
$(BIN)/pip install "cuda-toolkit[cccl,nvcc]==$(TORCH_CUDA).*"
ln -sf libcudart.so.$(basename $(TORCH_CUDA)) $(PIP_TOOLKIT)/lib/libcudart.so
endef
compiler:
	@[ "$(TORCH_CUDA)" != None ] || { echo "error: pip installed a torch without CUDA (see pip" \
		"config list). Remove $(VENV) and let pip take another, or make CUDA=0" >&2; exit 1; }
	$(if $(PIP_TOOLKIT),$(install_toolkit))

openmmlab: export MMCV_WITH_OPS = 1
openmmlab:
	$(call mmcv,mmcv==2.1.0)
	$(BIN)/pip install -e ".[test]"

onedl:
	$(call mmcv,onedl-mmcv==2.3.6)
	$(BIN)/pip install --no-build-isolation onedl-mmdetection==3.5.1 onedl-mmsegmentation==1.4.2
	$(BIN)/pip install huggingface_hub safetensors onnx onnx_ir onnxscript onnxruntime av \
		pytest pytest-xdist codespell==2.4.3 mypy==2.4.1 ruff==0.17.6
	$(BIN)/pip install --no-deps -e .

# Peers for the tests alone: PyPI's torchvision doesn't load with a torch for CPUs, and mmengine
# imports any that it finds. With other versions of torch or the forks, these tests are skipped.
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
SUITE := $(PYTEST) --numprocesses auto --dist loadfile --ignore tests/web

# Two sessions: all other tests are of an environment without the peers.
PEER_PATH := $(CURDIR)/tests/overlay$(addprefix :,$(abspath $(PEERS)))
define pytest
$(SUITE) --ignore tests/peers $(1)
PYTHONPATH=$(PEER_PATH) $(SUITE) -rs tests/peers $(1)
endef

test: $(READY) $(PEERS_READY)
	$(call pytest,-m "not large")

test-all: $(READY) $(PEERS_READY)
	$(call pytest)

# The page of tools/demo.py in the Chromium of this machine.
test-web: $(READY)
	$(BIN)/pip install --quiet "gradio>=6.31,<7" playwright
	$(PYTEST) tests/web

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/codespell
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-* work_dirs data/toy
