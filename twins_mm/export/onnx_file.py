"""PyTorch to ONNX, in operators of the standard only."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxruntime.quantization import quantize_dynamic
from torch import nn
from torch.export import Dim

from ..errors import UserError
from ..files.atomic_write import replacing
from .roi_align import ALIGN_IN_ONNX
from .suppression import SUPPRESS_IN_ONNX

OPSET = 20
# What is written in place of our operators of torch.
TRANSLATIONS = {**SUPPRESS_IN_ONNX, **ALIGN_IN_ONNX}
# Sizes chosen so that no intermediate dimension becomes 1 and gets specialised.
TRACED_SIZE = 2, 3, 351, 543


def export(
    module: nn.Module,
    outputs: Sequence[str],
    path: Path,
    dtype: torch.dtype = torch.uint8,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a module to one file, for images `(B, 3, H, W)` of any batch and size.

    Args:
        module: Takes the images and returns a tensor or a tuple of them; in evaluation.
        outputs: Names of the tensors.
        path: The file to write.
        dtype: The type of the images.
        metadata: What the file says about itself. The exporter's own notes are left out: they name
            source files of this machine.

    Raises:
        UserError: The module needs operators that are not in the standard.
    """
    image = torch.zeros(TRACED_SIZE, dtype=dtype)
    # Otherwise torch warns that torchvision is missing, and about its own code.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)
        # What torch can't prove for every size becomes an assertion in its graph, which ONNX drops:
        # so the result has to be checked at several sizes.
        program = torch.export.export(
            module,
            (image,),
            dynamic_shapes=(dict.fromkeys((0, 2, 3), Dim.DYNAMIC),),
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=['image'],
            output_names=outputs,
            verbose=False,
            dynamic_shapes=({0: 'batch', 2: 'height', 3: 'width'},),
            opset_version=OPSET,
            custom_translation_table=TRANSLATIONS,
        )
    ClearMetadataAndDocStringPass()(exported.model)
    model = exported.model_proto
    onnx.helper.set_model_props(model, metadata or {})
    foreign = {f'{node.domain}::{node.op_type}' for node in model.graph.node if node.domain}
    if foreign or model.functions:
        raise UserError(
            f'The model needs operators that are not in the ONNX standard: {sorted(foreign)}'
        )
    with replacing(path) as partial:
        onnx.save(model, partial)


def quantize(path: Path) -> None:
    """Gives the linear layers of a file int8 weights; their inputs are quantized as they come in.

    With a scale for each output instead of one for each layer, the error is a third.
    """
    model = onnx.load(path)
    # onnxruntime transposes a Gemm's weight, and then refuses the shape that is noted for it.
    del model.graph.value_info[:]
    with replacing(path) as partial:
        quantize_dynamic(model, partial, op_types_to_quantize=['MatMul'], per_channel=True)
