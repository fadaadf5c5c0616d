"""Lets PyPI's torchvision be imported with a torch for CPUs; Python runs this file as it starts.

That torchvision's operators need CUDA's libraries, and without the operators its Python part fails
on import. So they are declared where they don't load. A Python that never imports torchvision
doesn't import torch either.
"""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

OPERATORS = ('nms', 'qnms')
SIGNATURE = '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'


class TorchvisionOperators:
    """Finds no module, but prepares the first import of torchvision."""

    library: object  # torch forgets the operators together with it

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != 'torchvision' or not (spec := PathFinder.find_spec(name, path)):
            return
        sys.meta_path.remove(cls)
        import torch

        try:
            for library in Path(spec.origin).parent.glob('_C*.so'):
                torch.ops.load_library(str(library))
        except OSError:
            cls.library = library = torch.library.Library('torchvision', 'DEF')
            for operator in OPERATORS:
                library.define(operator + SIGNATURE)


sys.meta_path.insert(0, TorchvisionOperators)
