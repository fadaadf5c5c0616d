"""Classifiers with random weights: timm's, mmpretrain's and ours."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_archs import TINY_ARCHS
from torch import nn

from twins_mm.models.variants import VARIANTS

CLASSIFIER = Path(__file__).parents[2] / 'configs/_base_/models/classifier.py'


def build_peer(peer: str, variant: str) -> nn.Module:
    """The peer's ImageNet classifier of a variant such as 'svt_s'."""
    family, size, _ = VARIANTS[variant]
    if peer == 'timm':
        import timm

        return timm.create_model(f'twins_{family.config_name}_{size}')
    import mmpretrain

    (name,) = mmpretrain.list_models(f'twins-{family.config_name}-{size}*')
    # mmpretrain's default epsilon; its PCPVT config overrides it, its SVT config doesn't.
    return mmpretrain.get_model(name, pretrained=False, backbone=dict(norm_cfg=dict(eps=1e-5)))


def classifier_config(num_classes: int = 1000, eps: float = 1e-6, **backbone) -> Config:
    """The config of a classifier with our backbone, by default a tiny Twins-SVT."""
    backbone = dict(
        dict(
            type='TwinsSVT', arch=TINY_ARCHS['TwinsSVT'], norm_after_stage=False, out_indices=(3,)
        ),
        **backbone,
    )
    (width,) = MODELS.build(dict(backbone)).out_channels
    cfg = Config.fromfile(CLASSIFIER)
    cfg.default_scope = 'mmpretrain'
    cfg.merge_from_dict(
        {
            'model.backbone': backbone,
            'model.neck.in_channels': width,
            'model.neck.eps': eps,
            'model.head.in_channels': width,
            'model.head.num_classes': num_classes,
        }
    )
    return cfg


def build_classifier(**kwargs) -> nn.Module:
    """The model of `classifier_config`, with distinguishable weights."""
    cfg = classifier_config(**kwargs)
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def shapes(weights: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}
