"""Writes compiled_mmcv.npz, what a compiled mmcv returns for `cases`. Run by hand, once.

python tests/operators/make_reference.py      # with mmcv 2.1.0, not mmcv-lite
"""

import sys
from pathlib import Path

import cases
import numpy as np
from mmcv.ops import nms, roi_align

FILE = Path(__file__).with_name('compiled_mmcv.npz')

if __name__ == '__main__':
    if 'mmcv_operators' in sys.modules:
        sys.exit('error: this mmcv is not compiled')
    kept = [nms(**cases.nms_case(seed))[1].numpy() for seed in range(cases.NMS_SETS)]
    arrays = dict(
        kept=np.concatenate(kept).astype(np.uint16),
        numbers=np.array([len(indices) for indices in kept], np.uint16),
    )
    for seed in range(cases.ALIGN_CASES):
        output, grad = cases.align(roi_align, seed)
        arrays |= {f'output_{seed}': output.numpy(), f'grad_{seed}': grad.numpy()}
    arrays |= {f'extracted_{index}': tensor.numpy() for index, tensor in enumerate(cases.extract())}
    np.savez_compressed(FILE, **arrays)
    print(f'{FILE}: {FILE.stat().st_size / 1e3:.0f} kB')
