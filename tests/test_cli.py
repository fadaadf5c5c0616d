import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest
from mmengine.config import Config

from twins_mm.checkpoints import load_model
from twins_mm.cli import load_config, prepare_run, tool
from twins_mm.errors import UserError
from twins_mm.files.shipped import CONFIGS, paper_name

CONFIG = str(Path(__file__).parent.parent / 'configs/retinanet_twins_svt_s_1x.py')


def test_user_option_overrides_data_root():
    cfg = load_config(CONFIG, {'val_dataloader.dataset.data_root': '/other'}, data_root='/mnt/coco')
    assert [cfg[f'{split}_dataloader'].dataset.data_root for split in ('train', 'val', 'test')] == [
        '/mnt/coco',
        '/other',
        '/mnt/coco',
    ]
    assert cfg.test_evaluator.ann_file == '/mnt/coco/annotations/instances_val2017.json'


def test_toy_and_data_root_exclude_each_other():
    with pytest.raises(UserError, match='--toy uses its own data: drop either --data-root'):
        load_config(CONFIG, toy=True, data_root='/mnt/coco')


def test_empty_data_root_is_not_ignored():
    assert load_config(CONFIG, data_root='').train_dataloader.dataset.data_root == ''


def test_missing_mmpretrain_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmpretrain', None)  # cannot be imported
    config = tmp_path / 'classifier.py'
    config.write_text("default_scope = 'mmpretrain'; model = dict(type='ImageClassifier')")
    for load in (load_config, lambda path: load_model(Config.fromfile(path), None)):
        with pytest.raises(UserError, match='Classifiers need mmpretrain.*pip install'):
            load(str(config))


@pytest.mark.parametrize(('rank', 'waits'), [(None, []), ('0', [0]), ('1', [10])])
def test_first_process_reports_what_all_have(rank, waits, monkeypatch):
    waited = []
    monkeypatch.setattr('time.sleep', waited.append)
    for name in ('RANK', 'LOCAL_RANK'):
        monkeypatch.setenv(name, rank) if rank else monkeypatch.delenv(name, raising=False)

    @tool
    def fail():
        raise UserError('no data')

    with pytest.raises(SystemExit, match='error: no data'):
        fail()
    assert waited == waits


def test_tool_needs_its_data_loader():
    args = Namespace(
        config=CONFIG,
        cfg_options=dict(test_dataloader=None),
        toy=False,
        data_root=None,
        local_rank=0,
        launcher='none',
        work_dir=None,
    )
    assert prepare_run(args, 'train').train_dataloader
    with pytest.raises(UserError, match='has no test_dataloader'):
        prepare_run(args, 'test')


@pytest.mark.xfail(strict=True, reason='B2: the extra leaves torchvision out, which nobody says')
def test_mmpretrain_without_torchvision_is_told(tmp_path, monkeypatch):
    """Only mmpretrain's data sets import it."""
    mmpretrain = ModuleType('mmpretrain')
    mmpretrain.__path__ = [str(tmp_path)]
    (tmp_path / 'datasets.py').write_text('import torchvision')
    monkeypatch.setitem(sys.modules, 'mmpretrain', mmpretrain)
    monkeypatch.setitem(sys.modules, 'torchvision', None)  # cannot be imported
    (tmp_path / 'classifier.py').write_text("default_scope = 'mmpretrain'")
    with pytest.raises(UserError, match='torchvision'):
        load_config(str(tmp_path / 'classifier.py'))


@pytest.mark.xfail(strict=True, reason='B5: Ctrl+C prints a traceback')
def test_ctrl_c_ends_without_a_traceback():
    @tool
    def wait():
        raise KeyboardInterrupt

    with pytest.raises((SystemExit, KeyboardInterrupt)) as caught:  # the latter would end pytest
        wait()
    assert caught.type is SystemExit


def test_released_recipe_has_a_folder_of_its_own():
    """`--resume` would go on with the other run."""
    released = [*(CONFIGS / 'released').glob('retinanet_*.py')]
    folders = [
        prepare_run(
            Namespace(
                config=str(path),
                cfg_options={},
                toy=False,
                data_root=None,
                local_rank=0,
                launcher='none',
                work_dir=None,
            ),
            'train',
        ).work_dir
        for path in [*released, *(CONFIGS / f'{paper_name(path.stem)}.py' for path in released)]
    ]
    assert len(set(folders)) == len(folders) == 10
