"""Half precision is a format for storing: operators compute in float32."""

import torch


def as_computed(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float32 if it is in half precision, else the tensor."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
