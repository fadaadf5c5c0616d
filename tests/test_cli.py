import errno
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import ModuleType

import mmengine.device.utils
import pytest
from mmengine.config import Config
from mmengine.device import get_device

from twins_mm.checkpoints import load_model
from twins_mm.cli import add_device_argument, check_output, load_config, prepare_run, tool
from twins_mm.errors import UserError
from twins_mm.files.shipped import CONFIGS, TOOLS, paper_name

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


@pytest.mark.parametrize(
    ('args', 'text'),
    [
        ((), '\nStopped.\n'),
        (('The same command goes on.',), '\nStopped. The same command goes on.\n'),
    ],
)
def test_ctrl_c_ends_without_a_traceback(args, text, capsys):
    @tool
    def wait():
        raise KeyboardInterrupt(*args)

    with pytest.raises((SystemExit, KeyboardInterrupt)) as caught:  # the latter would end pytest
        wait()
    assert caught.type is SystemExit and caught.value.code == 130
    assert capsys.readouterr().err == text


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        (OSError(errno.ENOSPC, 'No space left on device'), 'device: make room, then repeat the'),
        (
            OSError(errno.ENOSPC, 'No space left', 'out/a.json'),
            'error: out/a.json: No space left: m',
        ),
        (
            PermissionError(errno.EACCES, 'Permission denied', '/data'),
            'error: /data: Permission deni',
        ),
        (OSError(errno.ESTALE, 'Stale file handle'), 'error: Stale file handle'),
        (OSError(errno.EMFILE, 'Too many open files', '/x'), 'files: raise the limit by `ulimit'),
        (OSError(errno.EXDEV, 'Cross-device', 'a', None, 'b'), 'error: a -> b: Cross-device'),
        (ConnectionRefusedError(errno.ECONNREFUSED, 'Connection refused'), None),
        (OSError('a text alone'), None),
    ],
)
def test_errors_of_files_are_one_sentence(error, text):
    @tool
    def read():
        raise error

    with pytest.raises((SystemExit, OSError)) as caught:
        read()
    assert (caught.value is error) if text is None else text in caught.value.code


@pytest.mark.parametrize(
    ('out', 'is_file', 'reason'),
    [
        ('taken', False, '^--out taken.* cannot be written: .*taken is a file, not a folder'),
        (
            'taken/below/it',
            False,
            '^--out taken.* cannot be written: .*taken is a file, not a folder',
        ),
        ('taken/x.png', True, '^--out taken.* cannot be written: .*taken is a file, not a folder'),
        ('folder', True, '^folder is a folder: --out names the file'),
        ('nowhere/x', False, 'nowhere is a link that leads nowhere'),
        ('/proc/x', False, '/proc: '),
    ],
)
def test_output_that_cannot_be_written_is_refused(out, is_file, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('taken').write_text('')
    Path('folder').mkdir()
    Path('nowhere').symlink_to('gone/away')
    with pytest.raises(UserError, match=reason):
        check_output(out, is_file=is_file)


@pytest.mark.parametrize(
    ('out', 'is_file'), [('new/below', False), ('new/x.png', True), ('', False)]
)
def test_output_that_can_be_written_leaves_no_trace(out, is_file, tmp_path):
    check_output(tmp_path / out, is_file=is_file)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize('name', ['cuda:99', 'meta', 'gpu', 'cpu:x', ''])
def test_device_that_is_not_there_is_refused(name, capsys):
    parser = ArgumentParser()
    add_device_argument(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['--device', name])
    assert f'argument --device: {name} cannot be used: ' in capsys.readouterr().err


def test_device_is_that_of_the_process(monkeypatch):
    monkeypatch.setattr(mmengine.device.utils, 'DEVICE', 'cuda')
    parser = ArgumentParser()
    add_device_argument(parser)
    assert parser.parse_args([]).device is None and get_device() == 'cuda'
    assert parser.parse_args(['--device', 'cpu']).device == 'cpu' and get_device() == 'cpu'


def test_reader_that_has_seen_enough_ends_a_tool():
    code = 'from twins_mm.cli import tool; tool(lambda: print(*range(10**5)))()'
    command = f"{sys.executable} -c '{code}' | head -c 9"
    assert subprocess.run(command, shell=True, stderr=-1).stderr == b''


@pytest.mark.large
@pytest.mark.parametrize('seconds', [0.3, 1, 2, 4])
def test_ctrl_c_during_imports_is_silent(seconds, tmp_path):
    command = [sys.executable, TOOLS / 'train.py', CONFIG, '--toy']
    process = subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-2, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    assert 'Traceback' not in process.communicate()[0] and process.returncode


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
