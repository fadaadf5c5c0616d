import json
import pickle
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from report.work_dirs import train_line, write_start

from twins_mm.checkpoints.unpickle import WEIGHTS_ONLY
from twins_mm.config import multiplies_bfloat16
from twins_mm.errors import UserError
from twins_mm.files.shipped import list_tools

TOOLS = list(list_tools())
FEW = [
    'train_dataloader.batch_size=2',
    'val_dataloader.dataset.indices=5',
    'test_dataloader.dataset.indices=5',
    'default_hooks.logger.interval=1',
]


def functions(tool):
    """A tool's functions, by name, to call them without a process."""
    return runpy.run_path(str(Path(__file__).parent.parent / f'tools/{tool}.py'))


def scalars(folder, key='loss'):
    """Logged values of the newest training run: {iteration: value}."""
    path = max(Path(folder).glob('*/vis_data/scalars.json'))
    lines = map(json.loads, path.read_text().splitlines())
    return {line['step']: line[key] for line in lines if key in line}


@pytest.mark.parametrize('tool', TOOLS)
def test_help(tool, call_tool, monkeypatch):
    """It fits a screen."""
    monkeypatch.setenv('COLUMNS', '80')
    output = call_tool(tool, '--help')
    assert output.startswith('usage: ') and len(output.splitlines()) < 45


@pytest.mark.parametrize(
    'name',
    [  # tests of the report train the next two
        'mask_rcnn_twins_pcpvt_s_3x',
        *(
            pytest.param(name, marks=pytest.mark.large)
            for name in (
                'retinanet_twins_svt_s_1x',
                'semantic_fpn_twins_svt_s_80k',
                'upernet_twins_svt_s_160k',
                'segformer/segformer_twins_svt_s_160k_cityscapes',
            )
        ),
    ],
)
def test_trains_and_tests_on_toy_data(name, tiny_config, run_tool, toy_folder):
    config = tiny_config(name)
    output = run_tool('train', config, '--toy', '--cfg-options', *FEW, 'train_cfg.max_iters=2')
    checkpoint = re.search(r'checkpoint: (.*)', output)[1]
    assert Path(checkpoint).parent == toy_folder / 'work_dirs/tiny_toy'
    pictures = Path(re.search(r'pictures: +(.*)', output)[1])
    assert list(pictures.glob('*.png'))
    assert 'random weights' in output
    segments = name.startswith(('semantic_fpn', 'upernet', 'segformer'))
    assert ('mIoU' if segments else 'Evaluating bbox') in output
    assert ('SyncBN becomes BN' in output) == segments

    tta = [] if name.startswith('mask_rcnn') else ['--tta']
    out = toy_folder / ('labels' if segments else 'boxes.pkl')
    output = run_tool(
        'test',
        config,
        checkpoint,
        '--toy',
        '--cfg-options',
        *FEW,
        '--show-dir',
        toy_folder / 'shown',
        '--out',
        out,
        *tta,
    )
    assert ('mIoU' if segments else 'Evaluating bbox') in output
    assert len(list((toy_folder / 'shown').rglob('*.png' if segments else '*.jpg'))) == 5
    predictions = list(out.glob('*.png')) if segments else pickle.loads(out.read_bytes())
    assert len(predictions) == 5


@pytest.mark.parametrize(
    'name',
    ['mask_rcnn_twins_svt_s_1x', pytest.param('upernet_twins_svt_s_160k', marks=pytest.mark.large)],
)
def test_resumed_toy_run_repeats_the_losses(name, tiny_config, run_tool, toy_folder):
    """Despite drop path, sampled proposals, augmentation and shuffled images."""
    flags = [
        tiny_config(name),
        '--toy',
        '--cfg-options',
        *FEW,
        'train_cfg.max_iters=5',
        'default_hooks.checkpoint.interval=3',
    ]
    run_tool('train', *flags, '--work-dir', 'whole')
    run_tool('train', *flags, '--work-dir', 'resumed', '--resume', 'whole/iter_3.pth')
    whole, resumed = scalars(toy_folder / 'whole'), scalars(toy_folder / 'resumed')
    assert list(resumed) == [4, 5]
    assert resumed == pytest.approx({step: whole[step] for step in resumed}, rel=1e-6)


@pytest.mark.skipif(
    torch.cuda.is_available() or not multiplies_bfloat16(),
    reason='another platform: its mixed precision is another, or none',
)
@pytest.mark.parametrize(
    'name',
    [
        'mask_rcnn_twins_pcpvt_s_3x',
        pytest.param('upernet_twins_svt_s_160k', marks=pytest.mark.large),
    ],
)
def test_trains_and_resumes_in_bfloat16_on_a_cpu(name, tiny_config, run_tool, toy_folder):
    flags = [
        tiny_config(name),
        '--toy',
        '--cfg-options',
        *FEW,
        'train_cfg.max_iters=4',
        'default_hooks.checkpoint.interval=3',
    ]
    run_tool('train', *flags, '--work-dir', 'long')
    run_tool('train', '--amp', *flags, '--work-dir', 'short')
    run_tool('train', '--amp', *flags, '--work-dir', 'resumed', '--resume', 'short/iter_3.pth')
    long, short, resumed = (scalars(toy_folder / name) for name in ('long', 'short', 'resumed'))
    assert short != long and short[1] == pytest.approx(long[1], rel=0.02)
    assert resumed == {4: pytest.approx(short[4], rel=1e-6)}


def test_resumed_epoch_repeats_the_losses(tiny_config, run_tool, toy_folder):
    """On data in COCO's layout, with the config's own epochs, pipeline and schedule."""
    (toy_folder / 'data/coco').symlink_to('toy/coco')
    flags = [
        tiny_config('retinanet_twins_svt_s_3x'),
        '--cfg-options',
        'train_cfg.max_epochs=2',
        'train_dataloader.dataset.indices=2',
        'val_dataloader.dataset.indices=1',
        'train_dataloader.batch_size=1',
        'train_dataloader.num_workers=1',
        'default_hooks.logger.interval=1',
    ]
    output = run_tool('train', *flags, '--work-dir', 'run')
    assert 'The batch size is 1 (1 x 1), but the learning rate is for 16' in output
    whole = scalars(toy_folder / 'run')
    (toy_folder / 'run/epoch_2.pth').unlink()
    (toy_folder / 'run/last_checkpoint').write_text(str(toy_folder / 'run/epoch_1.pth'))
    run_tool('train', *flags, '--work-dir', 'run', '--resume')
    resumed = scalars(toy_folder / 'run')
    assert max(whole) == max(resumed) == 2 * (min(resumed) - 1)
    assert resumed == pytest.approx({step: whole[step] for step in resumed}, rel=1e-6)


def test_auto_scale_lr_scales(tiny_config, run_tool, toy_folder):
    run_tool(
        'train',
        tiny_config('upernet_twins_pcpvt_s_160k'),
        '--toy',
        '--auto-scale-lr',
        '--work-dir',
        'run',
        '--cfg-options',
        *FEW,
        'train_cfg.max_iters=1',
        'optim_wrapper.accumulative_counts=6',
        'optim_wrapper.optimizer.lr=1e-3',
        'param_scheduler=[]',
    )
    assert scalars(toy_folder / 'run', 'lr') == {1: pytest.approx(1e-3 * 2 * 6 / 4)}


@pytest.mark.parametrize(
    ('counts', 'warnings'),
    [
        (
            1,
            [
                'The batch size is 4 (2 x 2), but the learning rate is for 16. '
                'Use --auto-scale-lr to scale it.'
            ],
        ),
        (
            3,
            [
                'The batch size is 12 (2 x 2 x 3 accumulated), but the learning rate is for 16. '
                'Use --auto-scale-lr to scale it.'
            ],
        ),
        (4, []),
    ],
)
def test_batch_size_that_does_not_match_the_learning_rate(counts, warnings):
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=2),
            auto_scale_lr=dict(base_batch_size=16),
            optim_wrapper=dict(accumulative_counts=counts),
        )
    )
    logged = []
    runner = SimpleNamespace(world_size=2, logger=SimpleNamespace(warning=logged.append))
    functions('train')['fit_learning_rate'](cfg, runner)
    assert logged == warnings


@pytest.mark.parametrize(
    ('flags', 'changes', 'message'),
    [
        (['--show-dir', 'x'], {}, 'has no default_hooks.visualization'),
        (['--out', 'x'], dict(test_evaluator=[dict(type='Mine')]), 'test_evaluator has neither'),
        (['--tta'], dict(tta_model=None), 'has no tta_model'),
    ],
)
def test_flags_that_the_config_does_not_support(flags, changes, message, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['test.py', 'config.py', 'checkpoint.pth', *flags])
    test = functions('test')
    with pytest.raises(UserError, match=message):
        test['apply_flags'](
            Config(dict(default_scope='mmseg', default_hooks={}, **changes)), test['parse_args']()
        )


LEGAL = """\
_base_ = '{config}'
custom_hooks = None
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = dict(dataset=dict(
    _delete_=True, type='RepeatDataset', times=1, dataset=_base_.test_dataloader.dataset))
test_evaluator = [_base_.test_evaluator]
"""


@pytest.mark.parametrize(
    ('name', 'data', 'lengths', 'options', 'best', 'flags'),
    [
        pytest.param(
            'retinanet_twins_svt_s_1x',
            'coco',
            [4],
            ['train_cfg.max_epochs={}', 'model.test_cfg.score_thr=0', 'model.test_cfg.nms_pre=10'],
            'best_coco_bbox_mAP_epoch_?.pth',
            ['--tta', '--out', 'out.pkl'],
            marks=pytest.mark.large,
        ),
        (
            'semantic_fpn_twins_svt_s_80k',
            'ADEChallengeData2016',
            [2, 4],
            [
                'train_cfg.max_iters={}',
                'train_cfg.val_interval=1',
                'default_hooks.checkpoint.interval=1',
            ],
            'best_mIoU_iter_?.pth',
            ['--out', 'labels'],
        ),
    ],
)
def test_recipe_on_data_elsewhere(
    name, data, lengths, options, best, flags, tiny_config, run_tool, toy_folder
):
    """Without --toy, so with the recipe's hooks; then tested with a config of unusual form."""
    config = tiny_config(name)
    data = ['--data-root', f'data/toy/{data}']
    options += [
        'train_dataloader.batch_size=1',
        'optim_wrapper.accumulative_counts=16',
        'train_dataloader.num_workers=1',
        'val_dataloader.num_workers=1',
        'train_dataloader.dataset.indices=1',
        'val_dataloader.dataset.indices=1',
    ]
    for length in lengths:
        output = run_tool(
            'train',
            config,
            *data,
            '--work-dir',
            'run',
            '--resume',
            '--cfg-options',
            *(option.format(length) for option in options),
        )
        assert 'but the learning rate is for' not in output
    checkpoints = {
        path.stem.rpartition('_')[2]: path
        for path in toy_folder.glob('run/*.pth')
        if not path.name.startswith('best')
    }
    assert set(checkpoints) == {'2', '3', '4'}
    (best,) = toy_folder.glob(f'run/{best}')
    assert re.search(r'best: +(.*)', output)[1] == str(best)
    assert f'tools/test.py {config} {best} {" ".join(data)} ' in output

    legal = toy_folder / 'legal.py'
    legal.write_text(LEGAL.format(config=config))
    output = run_tool(
        'test',
        legal,
        best,
        *data,
        *flags,
        '--cfg-options',
        'test_dataloader.dataset.dataset.indices=1',
    )
    assert '(test) [1/1]' in output
    assert (toy_folder / 'out.pkl').is_file() or len(list(toy_folder.glob('labels/*.png'))) == 1


@pytest.mark.parametrize(
    ('name', 'missing'),
    [
        ('mask_rcnn_twins_svt_b_1x', 'data/coco/annotations/instances_train2017.json'),
        ('upernet_twins_pcpvt_l_160k', 'data/ade/ADEChallengeData2016/images/training'),
        ('segformer/segformer_twins_svt_s_160k_cityscapes', 'data/cityscapes/gtFine/train'),
    ],
)
def test_missing_data_is_reported_in_one_message(name, missing, tiny_config, call_tool, tmp_path):
    output = call_tool('train', tiny_config(name), status=1)
    assert str(tmp_path / missing) in output
    assert '--toy' in output


def test_unavailable_weights_are_reported_in_one_message(tiny_config, run_tool, toy_folder):
    (toy_folder / 'data/coco').symlink_to('toy/coco')
    config = toy_folder / 'pretrained.py'
    config.write_text(f"""_base_ = '{tiny_config('retinanet_twins_svt_s_1x')}'
model = dict(backbone=dict(init_cfg=dict(
    _delete_=True, type='Pretrained', checkpoint='hf://timm/twins_svt_small.in1k')))""")
    output = run_tool('train', config, status=1)
    message = output[output.rindex('error: ') :]
    assert 'hf://timm/twins_svt_small.in1k could not be downloaded' in message
    assert 'init_cfg=None' in message
    assert 'Traceback' not in output


@pytest.mark.parametrize('layout', ['mmseg', pytest.param('mmpretrain', marks=pytest.mark.large)])
def test_checkpoint_in_another_layout_is_evaluated(
    layout, tiny_config, save_model, run_tool, call_tool, toy_folder
):
    config = tiny_config('semantic_fpn_twins_svt_s_80k')
    save_model(config, toy_folder / 'ours.pth')
    call_tool('convert_checkpoint', 'ours.pth', 'theirs.pth', '--to', layout)

    def evaluate(checkpoint):
        output = run_tool(
            'test', config, checkpoint, '--toy', '--out', f'{checkpoint}.d', '--cfg-options', *FEW
        )
        labels = sorted((toy_folder / f'{checkpoint}.d').glob('*.png'))
        return output, [path.read_bytes() for path in labels]

    (_, expected), (output, labels) = evaluate('ours.pth'), evaluate('theirs.pth')
    assert labels == expected != []
    assert f"{layout}'s layout" in output
    assert ("set numerics='mmseg'" in output) == (layout == 'mmseg')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('backbone', 'The checkpoint does not match this config: .* missing, such as bbox_head'),
        (
            'other classes',
            r'of different shape, such as bbox_head.retina_cls.bias, \(720,\) instead',
        ),
    ],
)
def test_heads_that_do_not_fit_are_not_evaluated(
    content, message, tiny_config, save_model, call_tool, toy_folder
):
    path = tiny_config('retinanet_twins_svt_s_1x')
    save_model(path, toy_folder / 'model.pth')
    if content == 'backbone':
        weights = torch.load(toy_folder / 'model.pth')['state_dict']
        torch.save(
            {name: value for name, value in weights.items() if 'bbox_head' not in name},
            toy_folder / 'model.pth',
        )
    classes = ['model.bbox_head.num_classes=3'] if content == 'other classes' else []
    output = call_tool(
        'test', path, 'model.pth', '--toy', '--cfg-options', *FEW, *classes, status=1
    )
    assert re.search(message, output), output


def test_weights_without_training_state_are_not_resumed(tiny_config, call_tool, toy_folder):
    torch.save(dict(state_dict={}), toy_folder / 'weights.pth')
    output = call_tool(
        'train',
        tiny_config('retinanet_twins_svt_s_1x'),
        '--toy',
        '--resume',
        'weights.pth',
        status=1,
    )
    assert 'no training state to resume' in output
    assert '--cfg-options load_from=CHECKPOINT' in output


class Malicious:
    """Runs a command when unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


@pytest.mark.skipif(
    not WEIGHTS_ONLY, reason='another version of a library: torch before 2.6 checks nothing'
)
@pytest.mark.parametrize('flags', [['test'], ['train', '--resume']])
def test_checkpoint_that_runs_code_is_refused(flags, tiny_config, call_tool, toy_folder):
    tool, *resume = flags
    trace = toy_folder / 'trace'
    torch.save(dict(state_dict={}, meta=Malicious(f'touch {trace}')), toy_folder / 'bad.pth')
    output = call_tool(
        tool,
        tiny_config('retinanet_twins_svt_s_1x'),
        *resume,
        toy_folder / 'bad.pth',
        '--toy',
        status=1,
    )
    assert 'bad.pth was refused, and none of its code was run' in output
    assert not trace.exists()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['train', 'none.py'], 'Config not found: none.py'),
        (['test', '{config}', 'none.pth', '--toy'], 'Checkpoint not found: none.pth'),
        (['test', '{config}', '{config}', '--toy', '--out', 'x.json'], 'go into a .pkl file'),
    ],
)
def test_bad_flags_are_reported_in_one_message(args, message, tiny_config, call_tool, toy_folder):
    config = tiny_config('retinanet_twins_svt_s_1x')
    tool, *args = (arg.format(config=config) for arg in args)
    output = call_tool(tool, *args, status=1)
    assert message in output


@pytest.mark.skipif(
    torch.cuda.is_available(), reason='another platform: on a GPU, --amp is float16'
)
@pytest.mark.parametrize(
    'args',
    [
        ['train', '{config}', '--toy'],
        ['test', '{config}', '{config}', '--toy'],
        ['predict', '{config}', '{config}', 'data/toy/coco/val2017', '--toy'],
    ],
)
def test_amp_is_refused_by_a_cpu_without_bfloat16(
    args, tiny_config, call_tool, toy_folder, monkeypatch
):
    monkeypatch.setattr('twins_mm.config.multiplies_bfloat16', lambda: False)
    config = tiny_config('retinanet_twins_svt_s_1x')
    tool, *args = (arg.format(config=config) for arg in args)
    assert '--amp needs a GPU, or a CPU that multiplies bfloat16' in call_tool(
        tool, *args, '--amp', status=1
    )


def test_benchmark(run_tool, tmp_path):
    output = run_tool(
        'benchmark',
        'backbones',
        '--preset',
        'paper',
        '--variants',
        'svt_s',
        '--modes',
        'inference',
        '--peers',
        'twins_mm',
        'textbook',
        '--rounds',
        3,
        '--out',
        'out',
    )
    assert '**svt_s, inference, 8 x 224 x 224, float32**' in output
    assert re.search(r'\| textbook +\| +\d+ \| ', output)
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'results.json',
        'results.md',
        'ratios.png',
    }


@pytest.mark.parametrize(
    ('args', 'out'),
    [
        (['predict', '{config}', 'model.pth', 'x.png'], 'taken'),
        (['report', 'run', '--images', '0'], 'taken'),
        (['visualize', '{config}', 'model.pth', 'x.png'], 'taken/new.png'),
    ],
)
def test_out_that_cannot_be_written_is_reported(
    args, out, tiny_config, save_model, call_tool, tmp_path
):
    config = tiny_config('retinanet_twins_svt_s_1x')
    save_model(config, tmp_path / 'model.pth')
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((64, 64, 3), np.uint8))
    write_start(tmp_path / 'run', config, [train_line(50, 5.7, 1e-6)])
    (tmp_path / 'taken').write_text('a file')
    tool, *args = (arg.format(config=config) for arg in args)
    output = call_tool(tool, *args, '--out', out, status=1)
    assert f'error: --out {out}' in output
    assert 'Predicting' not in output


@pytest.mark.parametrize(
    'tool',
    TOOLS,
)
def test_errors_of_each_tool_are_one_message(tool):
    """`cli.tool` wraps its main function."""
    assert hasattr(functions(tool)['main'], '__wrapped__')


@pytest.mark.parametrize(
    'tool', ['train', 'test', 'predict', 'visualize', 'demo', 'report', 'reproduce']
)
def test_device_can_be_chosen(tool, call_tool):
    assert '--device' in call_tool(tool, '--help')


@pytest.mark.parametrize('command', ['', 'backbones', 'throughput', 'model', 'deploy'])
def test_help_of_benchmark_has_no_wall_of_names(command, call_tool):
    """It fits a screen."""
    lines = call_tool('benchmark', *command.split(), '--help').splitlines()
    assert len(lines) < 45 and max(map(len, lines)) < 200


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        ((), 'required: COMMAND'),
        (('model', 'config.py', '--preset', 'det'), 'unrecognized arguments: --preset det'),
        (('throughput', '--rows', 'Swin-T', '--rounds', 2), 'fewer than 3 cannot show noise'),
    ],
)
def test_commands_of_benchmark_refuse_what_they_do_not_use(args, message, call_tool):
    assert message in call_tool('benchmark', *args, status=None)
