"""What an exported file says about itself."""

import json
from pathlib import Path

from ..config import find_step, pipeline_of
from .deployable import Deployable


def describe_export(deployable: Deployable) -> dict[str, str]:
    """ONNX's metadata of a model: what a program that runs it has to know, as text.

    Returns:
        'config', its name; 'input', what goes in; 'classes', the JSON of their names in the order
        of labels; 'resize', if the config has it, the JSON of the test pipeline's `scale` and
        `keep_ratio`; of classifiers 'crop', the side of the square in the middle that they see; and
        of detectors 'score_threshold', below which detections are left out.
    """
    model = deployable.model
    cfg = model.cfg
    entries = dict(
        config=Path(cfg.filename).stem,
        input='image: uint8, (B, 3, H, W), BGR, from 64 x 64 pixels',
        classes=json.dumps(model.dataset_meta['classes']),
    )
    pipeline = pipeline_of(cfg, 'test')
    if step := find_step(pipeline, 'Crop'):
        entries['crop'] = str(step['crop_size'])
    if step := find_step(pipeline, 'Resize'):
        entries['resize'] = json.dumps(
            {key: step[key] for key in ('scale', 'keep_ratio') if key in step}
        )
    if 'scores' in deployable.outputs:
        test_cfg = model.test_cfg.get('rcnn', model.test_cfg)
        entries['score_threshold'] = str(test_cfg.get('score_thr', 0))
    return entries
