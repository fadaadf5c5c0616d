import pytest
from mmengine.config import Config

from twins_mm.config import drop_pretrained, fit_to_cpu, walk

PRETRAINED = dict(type='Pretrained', checkpoint='x.pth')


def test_walk_reaches_every_dict():
    nest = dict(a=dict(n=1), b=[dict(n=2), (dict(n=3), [dict(n=4)])], c='text')
    assert [node['n'] for node in walk(nest) if 'n' in node] == [1, 2, 3, 4]


def test_drop_pretrained_leaves_other_initialisation():
    normal = dict(type='Normal', layer='Conv2d')
    cfg = Config(dict(load_from='x.pth', model=dict(
        pretrained='torchvision://resnet50', backbone=dict(init_cfg=PRETRAINED),
        heads=[dict(init_cfg=normal), dict(init_cfg=PRETRAINED)])))
    drop_pretrained(cfg)
    assert cfg.load_from is cfg.model.pretrained is cfg.model.backbone.init_cfg is None
    assert [head.init_cfg for head in cfg.model.heads] == [normal, None]


def test_fit_to_cpu_replaces_sync_bn_and_amp():
    cfg = Config(dict(
        model=dict(heads=[dict(norm_cfg=dict(type='SyncBN', requires_grad=True))]),
        optim_wrapper=dict(type='AmpOptimWrapper', loss_scale=512., clip_grad=None)))
    notes = fit_to_cpu(cfg)
    assert cfg.model.heads[0].norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.optim_wrapper == dict(type='OptimWrapper', clip_grad=None)
    assert ['SyncBN' in note for note in notes] == [True, False]


@pytest.mark.parametrize('norm', ['BN', 'GN'])
def test_fit_to_cpu_says_nothing_where_nothing_is_done(norm):
    cfg = Config(dict(model=dict(norm_cfg=dict(type=norm))))
    assert fit_to_cpu(cfg) == []
    assert cfg.model.norm_cfg.type == norm
