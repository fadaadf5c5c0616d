"""The operators that mmcv would compile, in plain torch, or by torchvision's kernels on CUDA.

mmcv calls the names of its compiled module, `mmcv._ext`. Our wheel adds `mmcv/_ext.py`, which
forwards to `extension`; Python prefers a compiled module where there is one. Nothing here needs
more than torch, and nothing imports `twins_mm`.
"""
