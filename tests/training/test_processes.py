"""One process, two and three do the same: tools under torchrun, on a CPU."""

import json
import os
import pickle
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import nullcontext
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from twins_mm.errors import UserError
from twins_mm.training.processes import find_rank

COUNTS = 2, pytest.param(3, marks=pytest.mark.large)
SEVERAL = pytest.mark.parametrize('processes', COUNTS)
TOOLS = Path(__file__).parents[2] / 'tools'
# AdamW would hide gradients of another scale, and enlarge the rounding of those near 0.
FEW_STEPS = (
    'train_dataloader.num_workers=0 train_dataloader.persistent_workers=False param_scheduler=[] '
    'train_cfg.max_iters=10 val_dataloader.dataset.indices=1 default_hooks.checkpoint.interval=5 '
    'model.backbone.drop_path_rate=0 optim_wrapper.optimizer.type=SGD '
    'optim_wrapper.optimizer.lr=0.1 '
)
# Batch norm has the statistics of a process's images, and dropout its random numbers.
SEGMENTOR = FEW_STEPS + (
    'model.decode_head.dropout_ratio=0 model.decode_head.norm_cfg.type=GN '
    'model.decode_head.norm_cfg.num_groups=4 '
)
# Each process divides a detector's loss by the objects in its own images, so one process and two
# agree where all images have as many. Here all are the same image, never flipped.
DETECTOR = FEW_STEPS + (
    'train_dataloader.dataset.indices=1 train_dataloader.dataset.pipeline.3.prob=0.0 '
)
TRAININGS = dict(
    segmentor=SEGMENTOR,
    thrifty=SEGMENTOR + 'model.backbone.with_cp=True model.backbone.frozen_stages=1 '
    'optim_wrapper.accumulative_counts=2',
    detector=DETECTOR,
)
# No multiple of two or three processes.
SEVEN = 'test_dataloader.dataset.indices=7 test_dataloader.num_workers=0 '
TESTS = dict(
    segmentor='model.decode_head.norm_cfg.type=GN model.decode_head.norm_cfg.num_groups=4 ',
    mask_rcnn='model.test_cfg.rcnn.score_thr=0.0 model.test_cfg.rcnn.max_per_img=40 ',
)
IMAGES = dict(segmentor='ADEChallengeData2016/images/validation', mask_rcnn='coco/val2017')


def commands(processes, address):
    """What a launch of so many processes runs, one after another."""
    launcher = 'pytorch' if processes > 1 else 'none'

    def run(tool, config, *args, options=SEVEN):
        return [
            str(TOOLS / f'{tool}.py'),
            f'{config}.py',
            *args,
            '--toy',
            '--launcher',
            launcher,
            '--cfg-options',
            *options.split(),
        ]

    def train(name, batch, work_dir, *args):
        batch = f' train_dataloader.batch_size={batch // processes}'
        return run(
            'train',
            'detector' if name == 'detector' else 'segmentor',
            *args,
            '--work-dir',
            f'{processes}/{work_dir}',
            options=TRAININGS[name] + batch,
        )

    if processes < 3:
        yield from (train(name, 4, name) for name in TRAININGS)
    resume = '--resume', '1/segmentor/iter_5.pth'
    if processes == 2:
        yield train('segmentor', 4, 'resumed', *resume)
    else:
        yield train('segmentor', 3, 'smaller', *resume)
    for name, options in TESTS.items():
        weights, out = f'{address}/{name}.pth', f'{processes}/{name}'
        written = f'{out}_out.pkl' if name == 'mask_rcnn' else f'{out}_out'
        yield run(
            'test',
            name,
            weights,
            '--out',
            written,
            '--work-dir',
            f'{out}_test',
            options=SEVEN + options,
        )
        yield run(
            'predict',
            name,
            weights,
            f'images_{name}',
            '--out',
            f'{out}_predict',
            options=SEVEN + options,
        )
    if processes == 2:
        yield run('test', 'mask_rcnn', 'weights_of_RANK.pth')
    if processes == 3:
        yield run('test', 'segmentor', 'absent.pth')


class Server(ThreadingHTTPServer):
    def __init__(self, *args):
        super().__init__(*args)
        self.downloads = []


class Site(SimpleHTTPRequestHandler):
    """Serves `/N/NAME` as `NAME`, and notes in the server what was downloaded."""

    server: 'Server'

    def do_GET(self):
        self.server.downloads.append(self.path)
        time.sleep(0.5)  # so that a second process would ask too
        self.path = f'/{Path(self.path).name}'
        super().do_GET()


@pytest.fixture(scope='module')
def launch(tmp_path_factory, toy_data, make_tiny_config, save_model):
    """Runs the commands of so many processes, once; returns folder, output and downloads."""
    folder = tmp_path_factory.mktemp('processes')
    (folder / 'data').mkdir()
    (folder / 'data/toy').symlink_to(toy_data)
    for name, config in (
        ('segmentor', 'semantic_fpn_twins_svt_s_80k'),
        ('detector', 'retinanet_twins_svt_s_1x'),
        ('mask_rcnn', 'mask_rcnn_twins_svt_s_1x'),
    ):
        make_tiny_config(config, folder / f'{name}.py')
    # With one class, a few of the boxes of random weights are right.
    with (folder / 'mask_rcnn.py').open('a') as config:
        config.write(
            "model['roi_head']['bbox_head']['num_classes'] = 1\n"
            "model['roi_head']['mask_head']['num_classes'] = 1\n"
        )
    (folder / 'site').mkdir()
    save_model(folder / 'mask_rcnn.py', folder / 'site/mask_rcnn.pth')
    # Random weights would find no class that is in the images.
    (folder / 'site/segmentor.pth').symlink_to('../1/segmentor/iter_10.pth')
    for name, images in IMAGES.items():
        (folder / f'images_{name}').mkdir()
        for number, image in enumerate(sorted((toy_data / images).iterdir())[:7]):
            # Two pairs have the same name but for the suffix, so one is written as 0.png.jpg.
            suffix = '.png' if number in (1, 4) else '.jpg'
            (folder / f'images_{name}/{number - (suffix == ".png")}{suffix}').symlink_to(image)
    (folder / 'weights_of_0.pth').symlink_to('site/mask_rcnn.pth')
    (folder / 'weights_of_1.pth').write_bytes((folder / 'site/mask_rcnn.pth').read_bytes()[:999])

    server = Server(('127.0.0.1', 0), partial(Site, directory=folder / 'site'))
    Thread(target=server.serve_forever, daemon=True).start()

    @cache
    def run(processes):
        if processes > 1:
            run(1)  # its weights are loaded and resumed
        todo = folder / f'{processes}.json'
        address = f'http://127.0.0.1:{server.server_port}/{processes}'
        todo.write_text(json.dumps(list(commands(processes, address))))
        torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
        done = subprocess.run(
            [
                sys.executable,
                *(torchrun if processes > 1 else []),
                str(Path(__file__).with_name('tools_in_turn.py')),
                str(todo),
            ],
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                'OMP_NUM_THREADS': '1',
                'TORCH_HOME': str(folder / f'cache_{processes}'),
            },
        )
        return Namespace(
            folder=folder / str(processes),
            output=done.stdout,
            downloads=[path for path in server.downloads if path.startswith(f'/{processes}/')],
        )

    yield run
    server.shutdown()
    server.server_close()


def state_of(launched, run, step=10):
    return torch.load(launched.folder / f'{run}/iter_{step}.pth', weights_only=False)


def difference(ours, theirs):
    """The largest of all weights."""
    ours, theirs = (state['state_dict'] for state in (ours, theirs))
    assert ours.keys() == theirs.keys()
    return max((ours[name] - theirs[name]).abs().max().item() for name in ours)


@pytest.mark.parametrize('name', TRAININGS)
def test_two_processes_train_as_one_with_their_images(name, launch):
    """Shuffled and flipped: a sample's random numbers follow from its position in the run."""
    one, two = (state_of(launch(processes), name) for processes in (1, 2))
    # In torch 2.1, gradient accumulation rounds less alike.
    assert difference(one, two) < 1e-4
    assert difference(one, state_of(launch(1), name, step=5)) > 1e-2


@pytest.mark.parametrize(
    ('run', 'processes', 'expected', 'now', 'seen'),
    [
        ('resumed', 2, 'segmentor', '4 images (2 x 2)', 40),
        pytest.param('smaller', 3, 'smaller', '3 images (3 x 1)', 35, marks=pytest.mark.large),
    ],
)
def test_run_resumes_with_more_processes(run, processes, expected, now, seen, launch):
    """With the same images as one process sees that resumes, in batches of the same size."""
    launched = launch(processes)
    resumed = state_of(launched, run)
    assert difference(resumed, state_of(launch(1), expected)) < 1e-6
    assert resumed['meta']['images_seen'] == seen
    message = f'An iteration was 4 images (1 x 4) before, and is {now} now.'
    assert launched.output.count(message) == 1
    assert not (launched.folder / run / 'iter_5.pth').exists()


@SEVERAL
@pytest.mark.parametrize(
    ('name', 'metric'), [('segmentor', 'mIoU'), ('mask_rcnn', 'coco/bbox_mAP_50')]
)
def test_processes_score_as_one(name, metric, processes, launch):
    def read(launched):
        (path,) = launched.folder.glob(f'{name}_test/*/*.json')
        scores = json.loads(path.read_text())
        return {key: value for key, value in scores.items() if 'time' not in key}

    assert read(launch(processes)) == read(launch(1))
    assert read(launch(1))[metric] > 0 or torch.__version__ < '2.2'  # other random weights


@SEVERAL
def test_processes_share_the_images(processes, launch):
    output = launch(processes).output
    share = -(-7 // processes)
    assert output.count(f'Iter(test) [{share}/{share}]') == len(TESTS)
    assert output.count('\n7 images, ') == len(TESTS)


@SEVERAL
def test_processes_find_what_one_finds(processes, launch):
    one, several = (
        pickle.loads((launch(number).folder / 'mask_rcnn_out.pkl').read_bytes())
        for number in (1, processes)
    )
    assert [image['img_id'] for image in several] == [image['img_id'] for image in one]
    for ours, theirs in zip(several, one):
        ours, theirs = ours['pred_instances'], theirs['pred_instances']
        assert ours['masks'] == theirs['masks'] != []
        assert all(ours[key].equal(theirs[key]) for key in ('bboxes', 'scores', 'labels'))


@SEVERAL
@pytest.mark.parametrize(
    ('written', 'count'),
    [('segmentor_out', 7), ('segmentor_predict', 14), ('mask_rcnn_predict', 9)],
)
def test_processes_write_the_files_of_one(written, count, processes, launch):
    def read(launched):
        folder = launched.folder / written
        return {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob('*')
            if path.is_file()
        }

    assert len(read(launch(1))) == count
    assert read(launch(processes)) == read(launch(1))


@pytest.mark.parametrize('processes', [1, *COUNTS])
def test_each_machine_downloads_once(processes, launch):
    assert sorted(launch(processes).downloads) == [
        f'/{processes}/mask_rcnn.pth',
        f'/{processes}/segmentor.pth',
    ]


@pytest.mark.parametrize(
    ('processes', 'message'),
    [
        (2, 'weights_of_1.pth'),
        pytest.param(3, 'Checkpoint not found: absent.pth', marks=pytest.mark.large),
    ],
)
def test_failure_of_one_or_all_is_one_message(processes, message, launch):
    output = launch(processes).output
    error = output.partition('\nerror: ')[2]
    assert message in error.partition('\n')[0]
    assert 'error: ' not in error and output.count('Traceback') == 1  # torchrun's own


PLACES = dict(
    pytorch=dict(RANK=9, WORLD_SIZE=16, LOCAL_RANK=1, MASTER_ADDR='node3', MASTER_PORT=24321),
    slurm=dict(
        SLURM_PROCID=9,
        SLURM_STEP_NUM_TASKS=16,
        SLURM_LOCALID=1,
        SLURM_JOB_ID=984321,
        SLURM_STEP_NODELIST='node[3-10]',
        SLURM_NTASKS=99,
    ),
    mpi=dict(
        OMPI_COMM_WORLD_RANK=9,
        OMPI_COMM_WORLD_SIZE=16,
        OMPI_COMM_WORLD_LOCAL_RANK=1,
        MASTER_ADDR='node3',
        MASTER_PORT=24321,
    ),
)


@pytest.fixture
def started_by(tmp_path, monkeypatch):
    """Sets what a launcher sets for the second process of the second machine, of eight each."""
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames node[3-10]" ] && echo node3 node4\n')
    scontrol.chmod(0o755)

    def start(launcher, **others):
        for name in PLACES['pytorch']:
            monkeypatch.setenv(name, '')  # so that it is restored
            monkeypatch.delenv(name)
        for name, value in (PLACES[launcher] | others).items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv('PATH', str(tmp_path), prepend=':')

    return start


@pytest.mark.parametrize('launcher', PLACES)
def test_every_launcher_becomes_torchrun(launcher, started_by):
    started_by(launcher)
    assert find_rank(launcher) == 'pytorch'
    assert {name: os.environ[name] for name in PLACES['pytorch']} == {
        name: str(value) for name, value in PLACES['pytorch'].items()
    }


def test_address_and_port_of_a_slurm_job_can_be_chosen(started_by):
    started_by('slurm', MASTER_ADDR='10.0.0.1', MASTER_PORT=1234)
    find_rank('slurm')
    assert (os.environ['MASTER_ADDR'], os.environ['MASTER_PORT']) == ('10.0.0.1', '1234')


@pytest.mark.parametrize(
    ('launcher', 'message'),
    [
        # In a batch script, Slurm sets SLURM_PROCID and SLURM_NTASKS before srun does.
        ('slurm', "srun, which sets 'SLURM_STEP_NUM_TASKS': srun --ntasks-per-node N python"),
        ('mpi', "mpirun, which sets 'OMPI_COMM_WORLD_RANK'"),
        ('pytorch', "torchrun, which sets 'RANK': torchrun --nproc_per_node N"),
    ],
)
def test_process_without_its_launcher_is_reported(launcher, message, monkeypatch):
    for name in set().union(*PLACES.values()) - {'SLURM_PROCID', 'SLURM_NTASKS'}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('SLURM_PROCID', '0')
    with pytest.raises(UserError, match=message):
        find_rank(launcher)


@pytest.mark.parametrize(('cards', 'enough'), [(0, True), (1, False), (2, True)])
def test_process_without_a_gpu_is_reported(cards, enough, started_by, monkeypatch):
    started_by('slurm')
    monkeypatch.setattr('torch.cuda.device_count', lambda: cards)
    with nullcontext() if enough else pytest.raises(UserError, match='sees 1. .*--gres'):
        find_rank('slurm')


def test_torchrun_without_a_launcher_is_refused(monkeypatch):
    """It would start unrelated runs in one folder."""
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'none')
    monkeypatch.setenv('WORLD_SIZE', '1')
    assert find_rank('none') == 'none'
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(UserError, match='torchrun started 2 processes, .*: add --launcher pytorch'):
        find_rank('none')
