from pathlib import Path

import pytest
from report.work_dirs import train_line, write_start, write_test

from twins_mm.errors import UserError
from twins_mm.report.run import find_runs, read_run

CONFIGS = Path(__file__).parents[2] / 'configs'
UPERNET = CONFIGS / 'upernet_twins_svt_s_160k.py'
RETINANET = CONFIGS / 'retinanet_twins_svt_s_1x.py'


def lines(steps, loss=1.0):
    return [train_line(step, loss, 6e-5) for step in steps]


def test_resumed_run_counts_as_one(tmp_path):
    """Records after the checkpoint that was resumed are dropped."""
    broken = [*lines([15950, 16000]), dict(mIoU=39.0, step=16000), *lines([16050, 16100, 16150])]
    write_start(tmp_path, UPERNET, broken)
    write_start(tmp_path, UPERNET, lines([16050, 16100], loss=0.5), start='20261120_110000')
    run = read_run(tmp_path)
    assert [(line['step'], line['loss']) for line in run.training] == [
        (15950, 1.0),
        (16000, 1.0),
        (16050, 0.5),
        (16100, 0.5),
    ]
    assert run.validation == [dict(mIoU=39.0, step=16000)]
    assert (run.iteration, run.iterations, run.is_finished) == (16100, 160_000, False)


def test_restarted_run_replaces_the_old_one(tmp_path):
    write_start(tmp_path, UPERNET, [*lines([50, 100]), dict(mIoU=1.0, step=100)])
    write_start(tmp_path, UPERNET, lines([50]), start='20261120_110000')
    run = read_run(tmp_path)
    assert (run.iteration, run.validation) == (50, [])


@pytest.mark.parametrize(('iteration', 'finished'), [(87_950, True), (87_900, False)])
def test_epochs(iteration, finished, tmp_path):
    """12 x 7330 = 87,960 iterations; every 50th of an epoch is logged."""
    write_start(
        tmp_path,
        RETINANET,
        [
            train_line(iteration, 1.0, 1e-6, epoch=12),
            {'coco/bbox_mAP': 0.43, 'step': 11},
            {'coco/bbox_mAP': 0.431, 'coco/bbox_mAP_s': -1.0, 'step': 12},
        ],
    )
    run = read_run(tmp_path)
    assert run.iterations == 87_960
    assert run.is_finished == finished
    assert run.validation[-1] == {'coco/bbox_mAP': pytest.approx(43.1), 'step': 12}


def test_environment_and_batch(tmp_path):
    run = read_run(write_start(tmp_path, UPERNET, lines([50]), processes=4))
    assert run.environment == {
        'sys.platform': 'linux',
        'Python': '3.11.7 (main) [GCC 12.2.0]',
        'GPU 0,1': 'A card',
        'PyTorch': '2.13.0',
        'OpenCV': '4.11.0',
        'seed': '0',
        'Distributed training': 'True',
        'GPU number': '4',
    }
    assert (run.processes, run.batch) == (4, 8)
    assert not run.is_toy


def test_batch_counts_accumulated_gradients(tmp_path):
    run = read_run(
        write_start(
            tmp_path, UPERNET, lines([50]), processes=1, **{'optim_wrapper.accumulative_counts': 8}
        )
    )
    assert (run.accumulation, run.batch) == (8, 16)


def test_incomplete_last_line_is_skipped(tmp_path):
    write_start(tmp_path, UPERNET, lines([50]))
    with (tmp_path / '20261120_100000/vis_data/scalars.json').open('a') as file:
        file.write('{"lr": 6e-')
    assert read_run(tmp_path).iteration == 50


def test_evaluations_are_not_training(tmp_path):
    write_start(tmp_path, UPERNET, lines([50]), **{'train_dataloader.batch_size': 5})
    write_test(tmp_path, UPERNET, dict(mIoU=46.3, data_time=0.1), 'x/iter_160000.pth', tta=False)
    write_test(tmp_path, UPERNET, dict(mIoU=47.3), 'x/iter_160000.pth', True, '20261122_100000')
    run = read_run(tmp_path)
    assert [(test.tta, test.metrics['mIoU']) for test in run.evaluations] == [
        (False, 46.3),
        (True, 47.3),
    ]
    assert run.cfg.train_dataloader.batch_size == 5
    assert run.iteration == 50


def test_checkpoint_of_a_moved_folder(tmp_path):
    write_start(tmp_path, UPERNET, lines([50]))
    assert read_run(tmp_path).checkpoint is None
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_50.pth')
    assert read_run(tmp_path).checkpoint is None
    (tmp_path / 'iter_50.pth').touch()
    assert read_run(tmp_path).checkpoint == tmp_path / 'iter_50.pth'


def test_runs_are_found_at_any_depth(tmp_path):
    for name in ('a', 'b/c'):
        write_start(tmp_path / name, UPERNET, lines([50]))
    assert [run.folder for run in find_runs(tmp_path)] == [tmp_path / 'a', tmp_path / 'b/c']


@pytest.mark.parametrize('read', [read_run, lambda folder: list(find_runs(folder / 'none'))])
def test_folder_without_a_run_is_reported(read, tmp_path):
    with pytest.raises(UserError, match='no'):
        read(tmp_path)
