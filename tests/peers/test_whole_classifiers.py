"""Classifiers of every layout in mmpretrain's `ImageClassifier`, by every way of loading."""

import copy

import pytest
import torch
from checkpoints.classifiers import stvit_file
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader, load_checkpoint
from peers.models import build_classifier, classifier_config
from reference.stvit import textbook_stvit
from safetensors.torch import save_file
from tiny_archs import TINY_ARCHS
from torch.nn import functional as F

from twins_mm import TwinsSVT
from twins_mm.checkpoints import convert, load_model, read_checkpoint, use_safe_loaders
from twins_mm.checkpoints.fit import fit_model
from twins_mm.checkpoints.load_model import find_dataset_meta
from twins_mm.checkpoints.read import weights_of
from twins_mm.errors import UserError
from twins_mm.files.shipped import CONFIGS
from twins_mm.training.checkpoint_fit import CheckpointFitHook

SOURCES = dict(
    ours=lambda weights: dict(state_dict=weights, meta=dict(epoch=300)),
    authors=lambda weights: dict(model=convert(weights, 'twins_mm')),
    timm=lambda weights: convert(weights, 'timm'),
    mmpretrain=lambda weights: dict(state_dict=convert(weights, 'mmpretrain')),
    mmseg=lambda weights: convert(weights, 'mmseg'),
    wrapped=lambda weights: {f'module.{name}': value for name, value in weights.items()},
)


@pytest.fixture(autouse=True)
def loaders_of_the_tools(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', CheckpointLoader._schemes.copy())
    use_safe_loaders()


def by_load_from(path):
    model = build_classifier()
    load_checkpoint(model, path)
    return model


def by_strict_loading(path):
    model = build_classifier()
    load_checkpoint(model, path, strict=True)
    return model


def by_copy(path):
    """As of an EMA's model."""
    model = copy.deepcopy(build_classifier())
    load_checkpoint(model, path, strict=True)
    return model


def by_init_cfg(path):
    cfg = classifier_config()
    cfg.model.init_cfg = dict(type='Pretrained', checkpoint=path)
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def by_load_model(path):
    cfg = classifier_config()
    cfg.test_dataloader = dict(dataset=dict(type='ImageNet', data_root='none', split='val'))
    model = load_model(cfg, path)
    assert model.dataset_meta['classes'][0] == 'tench, Tinca tinca'
    assert len(model.dataset_meta['classes']) == 1000
    return model


@pytest.mark.parametrize(
    'load', [by_load_from, by_strict_loading, by_copy, by_init_cfg, by_load_model]
)
@pytest.mark.parametrize('source', SOURCES)
def test_classifier_loads_whole(source, load, tmp_path):
    weights = build_classifier().state_dict()
    torch.save(SOURCES[source](weights), tmp_path / 'model.pth')
    loaded = load(str(tmp_path / 'model.pth')).state_dict()
    assert loaded.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(loaded[name], value), name


@pytest.mark.parametrize('source', SOURCES)
def test_tools_accept_it(source, tmp_path):
    """As tools/test.py checks what it has loaded."""
    model = build_classifier()
    checkpoint = SOURCES[source](model.state_dict())
    torch.save(checkpoint, tmp_path / 'model.pth')
    fit_model(weights_of(read_checkpoint(str(tmp_path / 'model.pth'))), model, heads=True)


def test_classifier_loads_from_the_hub(tmp_path, monkeypatch):
    weights = build_classifier().state_dict()
    save_file(convert(weights, 'timm'), tmp_path / 'model.safetensors')
    monkeypatch.setattr(
        'huggingface_hub.hf_hub_download', lambda *_, **__: str(tmp_path / 'model.safetensors')
    )
    loaded = by_load_from('hf://timm/twins_svt_small.in1k').state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


@pytest.mark.parametrize('source', SOURCES)
def test_head_of_other_classes_is_refused_or_left_out(source, tmp_path):
    weights = build_classifier().state_dict()
    torch.save(SOURCES[source](weights), tmp_path / 'model.pth')
    with pytest.raises(
        UserError,
        match=(
            r"head is for 1000 classes, the config's for 10: .*model.head.num_classes=1000; or "
            'train, with load_from=FILE, which leaves such a head out'
        ),
    ):
        load_model(classifier_config(num_classes=10), str(tmp_path / 'model.pth'))
    model = build_classifier(num_classes=10)
    before = copy.deepcopy(model.head.state_dict())
    load_checkpoint(model, str(tmp_path / 'model.pth'))
    for name, value in model.state_dict().items():
        expected = before[name[5:]] if name.startswith('head.') else weights[name]
        assert torch.equal(value, expected), name


def test_backbone_alone_is_refused():
    with pytest.raises(UserError, match="no weights for the model's backbone"):
        fit_model(TwinsSVT(TINY_ARCHS['TwinsSVT']).state_dict(), build_classifier())


def test_part_is_loaded_if_not_strict():
    weights, model = build_classifier().state_dict(), build_classifier()
    del weights['neck.norm.bias']
    done = model.load_state_dict(weights, strict=False)
    assert (done.missing_keys, done.unexpected_keys) == (['neck.norm.bias'], [])


def test_detectors_file_is_refused_by_the_tools():
    """Its backbone would load, and the head stay random."""
    model = build_classifier()
    weights = {f'backbone.{name}': value for name, value in model.backbone.state_dict().items()}
    with pytest.raises(UserError, match='4 missing, such as head.fc.bias'):
        CheckpointFitHook(heads=True).after_load_checkpoint(
            type('Runner', (), dict(_resume=False, model=model)),
            dict(state_dict=weights | {'bbox_head.x': torch.rand(1)}),
        )


def test_classes_come_from_the_data_set():
    cfg = classifier_config(num_classes=3)
    cfg.test_dataloader = dict(dataset=dict(type='ImageNet', split='val'))
    init_default_scope('mmpretrain')
    with pytest.raises(UserError, match='The model has 3 classes'):
        find_dataset_meta({}, cfg)


def test_published_stvit_has_its_own_logits(tmp_path):
    """Backbone, projection and head from one file, against the textbook form."""
    file = {name: value * 0.1 for name, value in stvit_file().items()} | {
        'norm.running_var': torch.rand(16) + 0.5,
        'norm.num_batches_tracked': torch.tensor(1),
    }
    torch.save(dict(model=file), tmp_path / 'stvit.pth')
    cfg = Config.fromfile(CONFIGS / 'imagenet/stvit_s.py')
    cfg.model.backbone.arch = TINY_ARCHS['STViT']
    cfg.model.neck.update(in_channels=32, out_channels=16)
    cfg.model.head.update(in_channels=16, num_classes=10)
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model).eval()
    load_checkpoint(model, str(tmp_path / 'stvit.pth'), strict=True)

    plain = textbook_stvit(TINY_ARCHS['STViT']).eval()
    plain.load_state_dict(
        {name: value for name, value in file.items() if 'fold' not in name}, strict=False
    )
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        x = F.conv2d(plain(images)[-1], file['proj.weight'], file['proj.bias'])
        x = F.batch_norm(
            x,
            file['norm.running_mean'],
            file['norm.running_var'],
            file['norm.weight'],
            file['norm.bias'],
        )
        x = (x * x.sigmoid()).mean((2, 3))
        torch.testing.assert_close(model(images), x @ file['head.weight'].T + file['head.bias'])
