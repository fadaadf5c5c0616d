"""What an exported file says about itself."""
import json
from pathlib import Path

from torch import nn

from .comparison import find_resize


def describe_export(model: nn.Module) -> dict[str, str]:
    """ONNX's metadata of a model: what a program that runs it has to know, as text.

    Returns:
        'config', its name; 'input', what goes in; 'classes', the JSON of their names in the order
        of labels; and where the config has them: 'resize', the JSON of the test pipeline's
        `scale` and `keep_ratio`, and 'score_threshold', below which detections are left out.
    """
    cfg = model.cfg
    entries = dict(config=Path(cfg.filename).stem,
                   input='image: uint8, (B, 3, H, W), BGR, from 64 x 64 pixels',
                   classes=json.dumps(model.dataset_meta['classes']))
    if step := find_resize(cfg):
        entries['resize'] = json.dumps(
            {key: step[key] for key in ('scale', 'keep_ratio') if key in step})
    if threshold := model.test_cfg.get('score_thr'):
        entries['score_threshold'] = str(threshold)
    return entries
