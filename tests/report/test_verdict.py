import math
from pathlib import Path

import pytest
from mmengine.config import Config
from report.work_dirs import train_line, write_start

from twins_mm.paper.official_logs import LOGS
from twins_mm.paper.references import find_reference
from twins_mm.report.nearest_recipe import expected_lr
from twins_mm.report.run import read_run
from twins_mm.report.run_plots import plot_run
from twins_mm.report.verdict import judge

CONFIGS = Path(__file__).parents[2] / 'configs'


OWN_DATA = {'model.decode_head.num_classes': 2, 'model.auxiliary_head.num_classes': 2}


def make_run(folder, name='upernet_twins_svt_s_160k', iterations=2000, loss=None, lr=1.0, **kwargs):
    """A run with `loss` at each iteration, by default the authors', and `lr` times the recipe's."""
    config = CONFIGS / f'{name}.py'
    steps = range(50, iterations + 1, 50)
    rates = expected_lr(Config.fromfile(config), iterations, 7330)
    loss = loss or (lambda step: LOGS['svt_s'].loss_at([step])[0])
    return write_start(
        folder,
        config,
        [train_line(step, loss(step), lr * rates[step - 1], epoch=1) for step in steps],
        **kwargs,
    )


def verdict_of(folder):
    run = read_run(folder)
    return judge(run, find_reference(run, CONFIGS))


def add_validations(folder, *mious):
    with next(folder.glob('*/vis_data/scalars.json')).open('a') as file:
        for number, miou in enumerate(mious, 1):
            file.write(f'{{"mIoU": {miou}, "step": {16_000 * number}}}\n')


@pytest.mark.parametrize(
    ('factor', 'state', 'words'),
    [
        (1.05, 'on track', 'On track: at iteration 2,000 the loss is 5% above theirs'),
        (1.2, 'behind', 'Behind: at iteration 2,000 the loss is 20% above theirs'),
        (0.8, 'on track', 'Ahead of the authors: at iteration 2,000 the loss is 20% below theirs'),
    ],
)
def test_loss_decides_while_there_is_no_validation(factor, state, words, tmp_path):
    make_run(tmp_path, loss=lambda step: factor * LOGS['svt_s'].loss_at([step])[0])
    verdict = verdict_of(tmp_path)
    assert (verdict.state, verdict.sentence[: len(words)]) == (state, words)
    assert 'between five points of their log, so only accurate to 13%' in verdict.sentence
    assert 'no mIoU to compare with yet' in verdict.sentence
    assert {point.iteration: point.difference for point in verdict.comparisons} == pytest.approx(
        {50: factor - 1, 1500: factor - 1, 2000: factor - 1}
    )


@pytest.mark.parametrize(
    ('mious', 'state', 'words'),
    [
        (
            (39.0, 41.15),
            'on track',
            'On track: at iteration 32,000 mIoU is 41.15, 0.90 below the '
            "authors' 42.05 at the same point (up to 1.3 may be chance)",
        ),
        ((39.7, 40.0), 'behind', 'Behind: at iteration 32,000 mIoU is 40.00, 2.05 below'),
        ((30.0, 44.0), 'on track', 'Ahead of the authors: at iteration 32,000 mIoU is 44.00, 1.95'),
    ],
)
def test_newest_validation_decides(mious, state, words, tmp_path):
    make_run(tmp_path, iterations=32_050)
    add_validations(tmp_path, *mious)
    verdict = verdict_of(tmp_path)
    assert (verdict.state, verdict.sentence[: len(words)]) == (state, words)
    assert 'the loss is 0%' in verdict.sentence
    assert [point.difference for point in verdict.comparisons if point.what == 'mIoU'] == (
        pytest.approx([mious[0] - 39.71, mious[1] - 42.05])
    )


def test_single_losses_are_noise(tmp_path):
    """Alternating 30% up and down doesn't change the average."""
    make_run(
        tmp_path,
        loss=lambda step: LOGS['svt_s'].loss_at([step])[0] * 1.3 ** (1 if step % 100 else -1),
    )
    loss = verdict_of(tmp_path).comparisons[-1]
    assert loss.difference == pytest.approx(0, abs=1e-3)


def test_different_batch_size_is_reported(tmp_path):
    make_run(
        tmp_path, 'upernet_twins_pcpvt_s_160k', loss=lambda step: LOGS['pcpvt_s'].loss_at([step])[0]
    )
    verdict = verdict_of(tmp_path)
    assert "The authors' batch size was 32, this run's is 16." in verdict.sentence
    assert all(check.good for check in verdict.checks)


@pytest.mark.parametrize(
    ('kwargs', 'text'),
    [
        (
            dict(lr=2.0),
            "The learning rate deviates from the recipe's at iteration 50: 3.92e-06 instead "
            'of 1.96e-06.',
        ),
        (
            dict(processes=1),
            "The batch size is 2 (1 x 2), the recipe's is 16; the learning rate is not "
            'scaled (--auto-scale-lr).',
        ),
        (dict(loss=lambda step: step), 'it does not fall.'),
    ],
)
def test_failed_checks(kwargs, text, tmp_path):
    make_run(tmp_path, **kwargs)
    (failed,) = [check for check in verdict_of(tmp_path).checks if check.good is False]
    assert failed.text.endswith(text)


def test_scaled_learning_rate_follows_the_recipe(tmp_path):
    make_run(tmp_path, lr=1 / 8, processes=1, **{'auto_scale_lr.enable': True})
    assert all(check.good for check in verdict_of(tmp_path).checks)


@pytest.mark.parametrize(('scales', 'peak'), [(True, 6e-5 / 8), (False, 6e-5)])
def test_plotted_and_checked_recipe_are_the_same(scales, peak, tmp_path):
    make_run(tmp_path, processes=1, **{'auto_scale_lr.enable': scales})
    run = read_run(tmp_path)
    figure, _ = plot_run(run, find_reference(run, CONFIGS))['learning_rate']
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == 'the recipe']
    assert max(line.get_ydata()) == pytest.approx(peak, rel=0.02)


@pytest.mark.parametrize('name', ['upernet_twins_svt_s_160k', 'retinanet_twins_svt_s_1x'])
def test_loss_that_is_nan(name, tmp_path):
    make_run(tmp_path, name, loss=lambda step: math.nan if step == 150 else 1.0)
    verdict = verdict_of(tmp_path)
    assert verdict.state == 'broken'
    assert verdict.sentence == 'Broken: The loss is nan at iteration 150.'


@pytest.mark.parametrize(
    ('kwargs', 'state', 'words'),
    [
        (dict(), 'unknown', 'No problems found. The authors published no log of this recipe'),
        (dict(lr=3.0), 'suspect', 'Something is off: The learning rate deviates'),
    ],
)
def test_without_a_log_of_the_authors(kwargs, state, words, tmp_path):
    make_run(tmp_path, 'retinanet_twins_svt_s_1x', loss=lambda step: 1 / step, **kwargs)
    verdict = verdict_of(tmp_path)
    assert (verdict.state, verdict.sentence[: len(words)]) == (state, words)


@pytest.mark.parametrize(
    ('box', 'mask', 'state', 'head'),
    [
        (
            43.0,
            40.5,
            'on track',
            "On track: finished, box AP is 43.0, 0.4 below the paper's 43.4, mask "
            "AP is 40.5, 0.2 above the paper's 40.3 (up to 0.5 may be chance).",
        ),
        (29.9, 27.0, 'behind', 'Behind: finished, box AP is 29.9, 13.5 below'),
        (43.4, 39.7, 'behind', 'Behind: finished, '),
        (44.0, 40.4, 'on track', 'On track: finished, '),
        (44.0, 40.9, 'on track', 'Ahead of the paper: finished, '),
    ],
)
def test_finished_without_a_log(box, mask, state, head, tmp_path):
    write_start(
        tmp_path,
        CONFIGS / 'mask_rcnn_twins_svt_s_1x.py',
        [
            train_line(7300, 0.5, 2e-4),
            train_line(87_950, 0.4, 2e-6),
            {'coco/bbox_mAP': box / 100, 'coco/segm_mAP': mask / 100, 'step': 12},
        ],
    )
    verdict = verdict_of(tmp_path)
    assert (verdict.state, verdict.sentence[: len(head)]) == (state, head)


def test_finished_with_a_fault(tmp_path):
    """The results decide, and the fault may explain them."""
    write_start(
        tmp_path,
        CONFIGS / 'semantic_fpn_twins_svt_s_80k.py',
        [
            train_line(50, 0.5, 9.994542e-5),
            train_line(80_000, 0.4, 1.003827e-6),
            dict(mIoU=40.2, step=80_000),
        ],
        processes=1,
    )
    verdict = verdict_of(tmp_path)
    assert verdict.state == 'behind'
    assert verdict.sentence == (
        "Behind: finished, mIoU is 40.2, 3.0 below the paper's 43.2 (up to 1.3 may be chance). The "
        "batch size is 4 (1 x 4), the recipe's is 16; the learning rate is not scaled "
        '(--auto-scale-lr).'
    )


def test_other_classes_are_not_compared_with_the_paper(tmp_path):
    make_run(tmp_path, loss=lambda step: 1 / step, lr=3.0, **OWN_DATA)
    add_validations(tmp_path, 20.0)
    verdict = verdict_of(tmp_path)
    assert (verdict.state, verdict.comparisons, len(verdict.checks)) == ('unknown', [], 1)
    assert 'no such model with these classes' in verdict.sentence


def test_accumulated_iterations_count_as_one(tmp_path):
    """On one GPU, 8 iterations of 2 images equal one of the authors'; the schedule is 8x longer."""
    config = CONFIGS / 'upernet_twins_svt_s_160k.py'
    stretched = {
        'optim_wrapper.accumulative_counts': 8,
        'train_cfg.max_iters': 1_280_000,
        'param_scheduler.0.end': 12_008,
        'param_scheduler.1.end': 1_280_008,
    }
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(stretched)
    rates = expected_lr(cfg, 128_000, None)
    write_start(
        tmp_path,
        config,
        [
            *(
                train_line(step, LOGS['svt_s'].loss_at([step / 8])[0], rates[step - 1])
                for step in range(50, 128_001, 50)
            ),
            dict(mIoU=39.71, step=128_000),
        ],
        processes=1,
        **stretched,
    )
    verdict = verdict_of(tmp_path)
    assert verdict.sentence.startswith(
        "On track: at iteration 16,000 mIoU is 39.71, 0.00 below the authors' 39.71"
    )
    assert [point.difference for point in verdict.comparisons] == pytest.approx(
        [0] * len(verdict.comparisons), abs=1e-3
    )
    assert verdict.checks[1].text == (
        'The batch size is 16 (1 x 2 x 8 accumulated), as in the recipe.'
    )
    assert all(check.good for check in verdict.checks)


def test_warm_up_is_too_early_to_judge(tmp_path):
    """The authors' log has no points between its first two, and the loss may fall late."""
    make_run(tmp_path, iterations=1450, loss=lambda step: 5.7 - step / 1000)
    verdict = verdict_of(tmp_path)
    assert verdict.state == 'unknown'
    assert verdict.sentence.startswith('Too early to tell')
    (point,) = verdict.comparisons
    assert (point.iteration, point.difference) == (50, pytest.approx(5.65 / 5.71903 - 1))


def test_toy_run_is_not_compared(tmp_path):
    make_run(tmp_path, **{'train_dataloader.dataset.data_root': 'data/toy/ADEChallengeData2016'})
    verdict = verdict_of(tmp_path)
    assert verdict.state == 'toy'
    assert verdict.sentence.startswith('A toy run')
    assert verdict.comparisons == []


def test_before_the_first_line(tmp_path):
    write_start(tmp_path, CONFIGS / 'upernet_twins_svt_s_160k.py', [])
    assert verdict_of(tmp_path).sentence == 'No training has been logged yet.'
