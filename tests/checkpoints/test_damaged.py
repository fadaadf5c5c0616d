"""Damaged checkpoints end in a result or in one sentence."""

from collections import Counter

import pytest
import safetensors.torch
import torch
from mmengine.config import Config
from mutants import mutate_bytes, mutate_document

from twins_mm.checkpoints.convert import TARGETS, convert
from twins_mm.checkpoints.inspect import describe_checkpoint
from twins_mm.checkpoints.load_model import load_model
from twins_mm.checkpoints.read import read_checkpoint, weights_of
from twins_mm.errors import UserError
from twins_mm.files.shipped import CONFIGS

COUNT = 150


@pytest.fixture(scope='module')
def config(make_tiny_config, tmp_path_factory):
    path = tmp_path_factory.mktemp('damaged') / 'tiny.py'
    return Config.fromfile(make_tiny_config('retinanet_twins_svt_s_1x', path))


@pytest.fixture(scope='module')
def checkpoint(config):
    names = [f'class {number}' for number in range(80)]
    return dict(
        state_dict=load_model(config, None).state_dict(),
        meta=dict(
            iter=20,
            mmengine_version='0.10.7',
            seed=0,
            cfg='model = None',
            dataset_meta=dict(CLASSES=names, PALETTE=[[0, 0, 255]] * 80),
        ),
        message_hub=dict(runtime_info=dict(iter=20, cfg='model = None'), log_scalars={}),
    )


def use(path, config):
    """Does what our tools do with a checkpoint; counts how it ends."""
    try:
        checkpoint = read_checkpoint(str(path))
    except UserError as error:
        assert path.name in str(error)
        return Counter(refused=1)
    ends = Counter(read=1)
    for work in (
        lambda: describe_checkpoint(checkpoint, CONFIGS),
        *(lambda to=to: convert(weights_of(checkpoint), to) for to in TARGETS),
        lambda: load_model(config, str(path)),
    ):
        try:
            work()
            ends['done'] += 1
        except UserError:
            ends['explained'] += 1
    return ends


@pytest.mark.parametrize('part', ['whole', 'meta'])
def test_mutated_contents_are_explained(part, config, checkpoint, tmp_path):
    ends, path = Counter(), tmp_path / 'mutant.pth'
    whole = part == 'whole'
    for mutant in mutate_document(checkpoint if whole else checkpoint['meta'], COUNT):
        torch.save(mutant if whole else dict(checkpoint, meta=mutant), path)
        ends += use(path, config)
    assert ends['read'] > 0.8 * COUNT and ends['refused'] and ends['done'] and ends['explained']


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_mutated_files_are_explained(suffix, config, checkpoint, tmp_path):
    """Both formats begin with a table of contents, and one has checksums: most are refused."""
    path = tmp_path / f'mutant{suffix}'
    if suffix == '.pth':
        torch.save(checkpoint, path)
    else:
        weights = checkpoint['state_dict']
        safetensors.torch.save_file({name: value.clone() for name, value in weights.items()}, path)
    ends = Counter()
    for mutant in mutate_bytes(path.read_bytes(), COUNT):
        path.write_bytes(mutant)
        ends += use(path, config)
    assert ends['read'] + ends['refused'] == COUNT and ends['read'] and ends['refused']
