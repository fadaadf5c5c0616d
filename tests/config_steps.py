"""A step of any config's model, on small images."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData

from twins_mm.config import adapt_to_cpu, count_classes, drop_pretrained

CONFIGS = Path(__file__).parent.parent / 'configs'
FILES = [path for path in sorted(CONFIGS.rglob('*.py')) if '_base_' not in path.parts]
CLASSIFIERS = [path for path in FILES if path.stem.startswith(('twins_', 'stvit_', 'swin_t_cpvt'))]
SIDE = 64
META = dict(
    img_shape=(SIDE, SIDE),
    ori_shape=(SIDE, SIDE),
    scale_factor=(1.0, 1.0),
    img_id=1,
    batch_input_shape=(SIDE, SIDE),
    pad_shape=(SIDE, SIDE),
    img_path='',
)


def name_of(path):
    return str(path.relative_to(CONFIGS).with_suffix(''))


def build(path):
    """The config in `path` and its model, adapted to small images and this machine."""
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    drop_pretrained(cfg)
    adapt_to_cpu(cfg)
    if 'drop_path_rate' in cfg.model.backbone:  # a dropped branch has no gradient
        cfg.model.backbone.drop_path_rate = 0.0
    if 'rpn_head' in cfg.model:  # large anchors reach beyond a small image
        cfg.model.train_cfg.rpn.allowed_border = -1
    if cfg.default_scope == 'mmseg':
        cfg.model.data_preprocessor.size = (SIDE, SIDE)
    torch.manual_seed(0)
    return cfg, MODELS.build(cfg.model)


def make_sample(cfg):
    if cfg.default_scope == 'mmpretrain':
        from mmpretrain.structures import DataSample

        return DataSample(metainfo=META).set_gt_label(3)
    if cfg.default_scope == 'mmseg':
        from mmseg.structures import SegDataSample

        labels = torch.randint(0, count_classes(cfg), (1, SIDE, SIDE))
        return SegDataSample(metainfo=META, gt_sem_seg=PixelData(data=labels))
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    mask[:, 8:40, 10:50] = 1
    sample = DetDataSample(metainfo=META)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 8.0, 50.0, 40.0]]),
        labels=torch.tensor([3]),
        masks=BitmapMasks(mask, SIDE, SIDE),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0))
    return sample


def make_batch(cfg):
    # Two different images: of one value twice, BatchNorm's weight has no gradient.
    images = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    return dict(inputs=list(images), data_samples=[make_sample(cfg), make_sample(cfg)])


def step_and_predict(path):
    """A training step changes every parameter that isn't frozen; returns a prediction."""
    cfg, model = build(path)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: parameter.clone() for key, parameter in model.named_parameters()}
    losses = model.train().train_step(make_batch(cfg), optimizer)
    assert all(torch.isfinite(value).all() for value in losses.values()), losses
    assert [
        key
        for key, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.equal(before[key])
    ] == []
    return cfg, model, model.eval().test_step(make_batch(cfg))[0]
