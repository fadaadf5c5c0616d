"""Damaged configs end in a run or in one sentence."""

import re
from collections import Counter

import pytest
from mmengine.config import Config
from mutants import mutate_document
from test_tools import functions

from twins_mm.cli import load_config, tool

OPTIONS = {f'{split}_dataloader.num_workers': 0 for split in ('train', 'val', 'test')}
OPTIONS |= {f'{split}_dataloader.persistent_workers': False for split in ('train', 'val', 'test')}


def build(runner):
    """What training builds before its first step."""
    return runner.train_loop, runner.val_loop, runner.build_optim_wrapper(runner.cfg.optim_wrapper)


@pytest.mark.parametrize(('recipe', 'count'), [('retinanet_twins_svt_s_1x', 25)])
def test_mutated_configs_are_explained(
    recipe, count, make_tiny_config, toy_folder, monkeypatch, capsys
):
    monkeypatch.chdir(toy_folder)
    # What takes long and has nothing to do with the matter.
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda code, **_: (code, False))
    monkeypatch.setattr('mmengine.runner.Runner.train', build)
    train = functions('train')['main']
    tiny = make_tiny_config(recipe, toy_folder / 'tiny.py')
    cfg = load_config(str(tiny), OPTIONS, toy=True)
    ends = Counter()
    for number, mutant in enumerate(mutate_document(cfg.to_dict(), count)):
        path = toy_folder / f'{number}.py'
        Config(mutant).dump(path)
        monkeypatch.setattr('sys.argv', ['train.py', str(path), '--work-dir', f'runs/{number}'])
        try:
            train()
            ends['started'] += 1
        except SystemExit as end:
            assert str(end.code).startswith('\nerror: '), end.code
            ends['parsed' if 'NameError' not in end.code else 'refused'] += 1
    assert ends['started'] + ends['parsed'] > 0.8 * count and ends['parsed'] and ends['started']


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('model = dict(', r"SyntaxError: '\(' was never closed .*line 1"),
        ('model = nothing', r"NameError: name 'nothing' is not defined \(.*bad.py, line 1\)"),
        ("_base_ = 'gone.py'", 'gone.py: No such file'),
        ('\udcff = 1', 'UnicodeDecodeError'),
    ],
)
def test_config_that_python_refuses_is_explained(text, reason, tmp_path):
    (tmp_path / 'bad.py').write_text(text, errors='surrogateescape')
    with pytest.raises(SystemExit) as caught:
        tool(lambda: load_config(str(tmp_path / 'bad.py')))()
    assert re.search(f'^\nerror: .*{reason}', caught.value.code), caught.value.code


def test_fault_of_a_step_keeps_its_traceback():
    def build_targets():
        raise ValueError('of a loss')

    with pytest.raises(ValueError, match='of a loss'):
        tool(build_targets)()
