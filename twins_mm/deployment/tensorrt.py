"""An engine of TensorRT. Untested: no GPU was at hand where this was written."""
from importlib.util import find_spec
from pathlib import Path

import torch

from ..errors import UserError
from ..writing import replacing
from .check import time_side_by_side

INSTALL = 'TensorRT builds an engine of it on an NVIDIA GPU: pip install tensorrt'


def is_installed() -> bool:
    """TensorRT, and a GPU that torch knows."""
    return find_spec('tensorrt') is not None and torch.cuda.is_available()


def build_engine(path: Path, size: tuple[int, int], half: bool) -> Path:
    """Builds an engine beside an ONNX file, for 1 to 8 images of 64 pixels to twice `size`.

    Args:
        path: The ONNX file.
        size: Height and width that the engine is made fastest for.
        half: Lets it compute in float16 where that is faster.

    Raises:
        UserError: TensorRT can't read the file or build the engine.
    """
    import tensorrt
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(path.read_bytes()):
        raise UserError(f"TensorRT can't read {path}: {parser.get_error(0)}")
    profile = builder.create_optimization_profile()
    height, width = size
    profile.set_shape('image', (1, 3, 64, 64), (1, 3, height, width),
                      (8, 3, 2 * height, 2 * width))
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    if half:
        config.set_flag(tensorrt.BuilderFlag.FP16)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise UserError('TensorRT could not build the engine; its own messages are above')
    target = path.with_suffix('.engine')
    with replacing(target) as partial:
        partial.write_bytes(engine)
    return target


def time_engine(path: Path, images: torch.Tensor) -> float:
    """Seconds that an engine takes for a batch of images, `(B, 3, H, W)`, uint8."""
    import tensorrt
    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    context = engine.create_execution_context()
    images = images.cuda()
    context.set_input_shape('image', tuple(images.shape))
    context.set_tensor_address('image', images.data_ptr())
    results = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.OUTPUT:
            dtype = dict(FLOAT=torch.float, HALF=torch.half, INT32=torch.int32,
                         INT64=torch.int64)[engine.get_tensor_dtype(name).name]
            results.append(torch.empty(
                tuple(context.get_tensor_shape(name)), dtype=dtype, device='cuda'))
            context.set_tensor_address(name, results[-1].data_ptr())

    def step() -> None:
        context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        torch.cuda.synchronize()
    return time_side_by_side([step])[0]
