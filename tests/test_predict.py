import json
import os
import pickle
import re
import runpy
from contextlib import suppress

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from pycocotools.coco import COCO

from twins_mm.config import multiplies_bfloat16
from twins_mm.errors import UserError
from twins_mm.files.shipped import TOOLS

IMAGES = dict(
    mmdet='data/toy/coco/val2017', mmseg='data/toy/ADEChallengeData2016/images/validation'
)
BLUE = 200, 50, 10
each_precision = pytest.mark.parametrize(
    'flags',
    [
        pytest.param([], id='float32'),
        pytest.param(
            ['--amp'],
            id='amp',
            marks=pytest.mark.skipif(
                not torch.cuda.is_available() and not multiplies_bfloat16(),
                reason='another platform: this CPU has no mixed precision',
            ),
        ),
    ],
)


@each_precision
def test_labels_equal_those_of_the_test_tool(flags, tiny_config, save_model, run_tool, toy_folder):
    config = tiny_config('upernet_twins_svt_s_160k')
    save_model(config, toy_folder / 'model.pth')
    images = sorted((toy_folder / IMAGES['mmseg']).iterdir())[:3]
    run_tool(
        'test',
        config,
        'model.pth',
        '--toy',
        '--out',
        'theirs',
        *flags,
        '--cfg-options',
        'test_dataloader.dataset.indices=3',
    )
    output = run_tool('predict', config, 'model.pth', *images, '--toy', '--out', 'ours', *flags)
    assert '3 images, ' in output
    for image in images:
        ours, theirs = (
            cv2.imread(str(toy_folder / f'{folder}/{image.stem}.png'), cv2.IMREAD_UNCHANGED)
            for folder in ('ours/labels', 'theirs')
        )
        assert np.array_equal(ours, theirs) and len(np.unique(ours)) > 1
        picture = cv2.imread(str(toy_folder / f'ours/pictures/{image.stem}.jpg'))
        assert picture.shape == cv2.imread(str(image)).shape


@each_precision
def test_boxes_and_masks_equal_those_of_the_test_tool(
    flags, tiny_config, save_model, run_tool, toy_folder
):
    config = tiny_config('mask_rcnn_twins_pcpvt_s_3x')
    classes = tuple(f'name {number}' for number in range(80))
    save_model(config, toy_folder / 'model.pth', dict(dataset_meta=dict(classes=classes)))
    images = sorted((toy_folder / IMAGES['mmdet']).iterdir())[:3]
    few = [
        *flags,
        '--cfg-options',
        'test_dataloader.dataset.indices=3',
        'model.test_cfg.rcnn.score_thr=0.0',
        'model.test_cfg.rcnn.max_per_img=5',
    ]
    run_tool('test', config, 'model.pth', '--toy', '--out', 'theirs.pkl', *few)
    run_tool('predict', config, 'model.pth', *images, '--toy', '--out', 'ours', *few)
    coco = COCO(toy_folder / 'ours/predictions.json')
    assert [category['name'] for category in coco.loadCats(coco.getCatIds())] == list(classes)
    for image, theirs in zip(images, pickle.loads((toy_folder / 'theirs.pkl').read_bytes())):
        found = next(one for one in coco.imgs.values() if one['file_name'] == image.name)
        assert cv2.imread(str(image)).shape[:2] == (found['height'], found['width'])
        boxes = coco.loadAnns(coco.getAnnIds(imgIds=found['id']))
        theirs = theirs['pred_instances']
        assert len(boxes) == 5
        assert [box['score'] for box in boxes] == pytest.approx(theirs['scores'].tolist())
        assert [box['category_id'] - 1 for box in boxes] == theirs['labels'].tolist()
        corners = [
            [x, y, x + width, y + height] for x, y, width, height in (box['bbox'] for box in boxes)
        ]
        np.testing.assert_allclose(corners, theirs['bboxes'], atol=1e-3)
        for box, mask in zip(boxes, theirs['masks']):
            assert box['segmentation']['size'] == [found['height'], found['width']]
            assert box['segmentation']['counts'] == mask['counts'].decode()
            assert box['area'] == coco.annToMask(box).sum()


def test_unreadable_images_are_listed_and_the_others_predicted(
    tiny_config, save_model, run_tool, toy_folder
):
    config = tiny_config('retinanet_twins_svt_s_1x')
    save_model(config, toy_folder / 'model.pth')
    for name in ('a', 'b'):
        (toy_folder / 'photos' / name).mkdir(parents=True)
        cv2.imwrite(str(toy_folder / f'photos/{name}/x.jpg'), np.full((64, 64, 3), BLUE, np.uint8))
    (toy_folder / 'photos/b/page.jpg').write_text('<html>')
    (toy_folder / 'photos/p.heic').touch()
    output = run_tool(
        'predict',
        config,
        'model.pth',
        'photos',
        '--toy',
        '--out',
        'photos/out',
        '--score-thr',
        1,
        status=1,
    )
    assert '2 images, ' in output
    assert 'error: Could not read 1 of 3 images: b/page.jpg (not an image)' in output
    assert '1 other files were not read (photos/out/skipped.txt): p.heic (.heic is' in output
    assert 'Traceback' not in output
    written = (toy_folder / 'photos/out').rglob('*.*')
    assert {path.relative_to(toy_folder / 'photos/out').as_posix() for path in written} == {
        'predictions.json',
        'results.json',
        'pictures/a/x.jpg',
        'pictures/b/x.jpg',
        'skipped.txt',
    }
    assert (
        (toy_folder / 'photos/out/skipped.txt')
        .read_text()
        .startswith('b/page.jpg: not an image\np.heic: .heic is not among')
    )
    picture = cv2.imread(str(toy_folder / 'photos/out/pictures/a/x.jpg'))
    assert picture.mean((0, 1)) == pytest.approx(BLUE, abs=3)
    names = [
        category['name']
        for category in json.loads((toy_folder / 'photos/out/predictions.json').read_text())[
            'categories'
        ]
    ]
    assert names[0] == 'person'  # COCO's, from the config: the checkpoint has none


def cut_video(path):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (96, 64))
    for _ in range(6):
        writer.write(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    writer.release()
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b'idx1') // 2 + content.index(b'movi') // 2])


def test_video(tiny_config, save_model, run_tool, call_tool, toy_folder):
    config = tiny_config('semantic_fpn_twins_svt_s_80k')
    save_model(config, toy_folder / 'model.pth')
    writer = cv2.VideoWriter(
        str(toy_folder / 'clip.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 5, (96, 64)
    )
    for shade in range(5):
        writer.write(np.full((64, 96, 3), 50 * shade, np.uint8))
    writer.release()
    output = run_tool(
        'predict', config, 'model.pth', 'clip.avi', '--toy', '--out', 'out', '--batch-size', 3
    )
    assert 'pictures:    out/pictures/clip.mp4' in output
    assert (
        cv2.VideoCapture(str(toy_folder / 'out/pictures/clip.mp4')).get(cv2.CAP_PROP_FRAME_COUNT)
        == 5
    )
    assert len(list((toy_folder / 'out/labels/clip').iterdir())) == 5
    assert not (toy_folder / 'out/unfinished').exists()
    cut_video(toy_folder / 'cut.avi')
    output = call_tool('predict', config, 'model.pth', 'cut.avi', '--toy', '--out', 'cut', status=1)
    assert re.search(r'cut.avi \(damaged or truncated: it ends after [1-4] of 6 frames\)', output)
    assert (toy_folder / 'cut/pictures/cut.mp4').is_file()
    output = call_tool(
        'predict', config, 'model.pth', 'clip.avi', '--launcher', 'pytorch', status=1
    )
    assert 'A video is not shared between processes: drop --launcher' in output


KILLER = """
import os, signal
from mmengine.model import BaseModel

if 'KILL_AT' in os.environ:
    predict, images = BaseModel.test_step, []

    def test_step(self, data):
        images.append(data)
        if len(images) == int(os.environ['KILL_AT']):
            os.kill(os.getpid(), signal.SIGKILL)
        return predict(self, data)

    BaseModel.test_step = test_step
"""


@pytest.mark.parametrize(
    'name',
    [
        'mask_rcnn_twins_pcpvt_s_1x',
        pytest.param('semantic_fpn_twins_svt_s_80k', marks=pytest.mark.large),
    ],
)
def test_run_goes_on_after_a_kill(
    name, tiny_config, save_model, run_tool, call_tool, toy_folder, monkeypatch
):
    config = tiny_config(name)
    (toy_folder / 'killer.py').write_text(KILLER)
    monkeypatch.setenv('PYTHONPATH', str(toy_folder), prepend=os.pathsep)
    monkeypatch.syspath_prepend(toy_folder)
    with config.open('a') as file:
        file.write("custom_imports = dict(imports=['twins_mm', 'killer'])\n")
    save_model(config, toy_folder / 'model.pth')
    photos = toy_folder / 'photos'
    photos.mkdir()
    library = 'mmdet' if name.startswith('mask') else 'mmseg'
    for number, image in enumerate(sorted((toy_folder / IMAGES[library]).iterdir())[:7]):
        # An image's other suffix is part of its picture's name, also after the stop.
        (photos / f'{number // 2}.{("jpg", "png")[number % 2]}').symlink_to(image)
    run = ('predict', config, 'model.pth', 'photos', '--toy', '--workers', 1, '--out')
    few = (
        ('--cfg-options', 'model.test_cfg.rcnn.score_thr=0.0', 'model.test_cfg.rcnn.max_per_img=5')
        if library == 'mmdet'
        else ()
    )

    def read(folder):
        return {
            path.relative_to(toy_folder / folder): path.read_bytes()
            for path in (toy_folder / folder).rglob('*.*')
        }

    with monkeypatch.context() as context:
        context.setenv('KILL_AT', '5')
        run_tool(*run, 'stopped', *few, status=-9)
    assert not (toy_folder / 'stopped/predictions.json').exists()
    before = {path: path.stat().st_mtime_ns for path in (toy_folder / 'stopped').rglob('*.jpg')}
    output = call_tool(*run, 'stopped', '--score-thr', 0.9, *few, status=1)
    assert 'unfinished run with other arguments (--score-thr)' in output
    output = call_tool(*run, 'stopped', *few)
    assert 'Going on: 3 of 7 images are done.' in output and '\n4 images, ' in output
    call_tool(*run, 'unbroken', *few)
    assert read('stopped') == read('unbroken') and len(read('unbroken')) == (
        9 if library == 'mmdet' else 14
    )
    if library == 'mmdet':
        found = json.loads((toy_folder / 'stopped/predictions.json').read_text())
        assert len(found['annotations']) == 35
    same = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert len(same) == 3
    output = call_tool(*run, 'unbroken', '--no-pictures', *few)
    assert '7 images, ' in output and 'Earlier results are now in unbroken/earlier_1' in output
    call_tool(*run, 'without', '--no-pictures', *few)
    assert read('without') == {
        path: content for path, content in read('unbroken').items() if path.parts[0] != 'earlier_1'
    }
    assert read('unbroken/earlier_1') == read('stopped')


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['none.pth', 'x.png'], 'Checkpoint not found: none.pth'),
        (
            ['backbone.pth', 'x.png'],
            'The checkpoint does not match this config: .* missing, such as',
        ),
        (['backbone.pth', 'x.png', '--batch-size', '0'], '--batch-size 0: pass 1 or more'),
        (['backbone.pth', 'x.png', '--workers', '0'], '--workers 0: pass 1 or more'),
    ],
)
def test_errors_are_reported_and_nothing_is_written(
    args, message, tiny_config, save_model, call_tool, tmp_path
):
    config = tiny_config('retinanet_twins_svt_s_1x')
    save_model(config, tmp_path / 'backbone.pth')
    weights = torch.load(tmp_path / 'backbone.pth')['state_dict']
    torch.save(
        {name: value for name, value in weights.items() if name.startswith('backbone.')},
        tmp_path / 'backbone.pth',
    )
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((64, 64, 3), np.uint8))
    output = call_tool('predict', config, *args, '--out', 'out', status=1)
    assert re.search(message, output), output
    assert not (tmp_path / 'out').exists()


@pytest.fixture
def detect(tiny_config, save_model, call_tool, tmp_path):
    """Runs a tiny detector on images of any sizes, by name, into the folder `out`.

    Returns what the tool printed and the names of the images in predictions.json.
    """
    config = tiny_config('retinanet_twins_svt_s_1x')
    save_model(config, tmp_path / 'model.pth')

    def run(status=0, **sizes):
        for name, size in sizes.items():
            cv2.imwrite(str(tmp_path / f'{name}.png'), np.full((*size, 3), 128, np.uint8))
        output = call_tool(
            'predict',
            config,
            'model.pth',
            *(f'{name}.png' for name in sizes),
            '--out',
            'out',
            '--workers',
            1,
            '--cfg-options',
            'test_dataloader.dataset.pipeline.1.scale=(96,64)',
            status=status,
        )
        written = tmp_path / 'out/predictions.json'
        images = json.loads(written.read_text())['images'] if written.exists() else []
        return output, [image['file_name'] for image in images]

    return run


def test_odd_image_is_named_and_the_others_predicted(detect, tmp_path):
    output, found = detect(status=1, a=(64, 64), long=(1, 3000), z=(64, 64))
    assert found == ['a.png', 'z.png']
    assert 'long.png (' in output
    assert (tmp_path / 'out/skipped.txt').read_text().startswith('long.png: ')


def test_pictures_are_of_the_images_that_the_file_names(detect, tmp_path):
    """Whether the second run is refused or begins anew."""
    detect(a=(64, 64))
    _, found = detect(status=None, b=(64, 64))
    pictures = (tmp_path / 'out/pictures').iterdir()
    assert sorted(path.stem for path in pictures) == [name.partition('.')[0] for name in found]


def test_objects_are_counted_at_the_end(detect):
    output, _ = detect(a=(64, 64), b=(64, 64))
    assert re.search(r'\b\d+ objects in 2 images', output)


def test_interrupted_run_says_how_to_go_on(detect, tmp_path, monkeypatch):
    predict, images = BaseModel.test_step, []

    def interrupt(self, data):
        images.append(data)
        if len(images) == 4:
            raise KeyboardInterrupt
        return predict(self, data)

    monkeypatch.setattr(BaseModel, 'test_step', interrupt)
    output = ''
    with suppress(KeyboardInterrupt):  # it would end pytest
        output, _ = detect(status=None, **dict.fromkeys('abcd', (64, 64)))
    assert (tmp_path / 'out/unfinished').is_dir()
    assert 'same command goes on' in output


@pytest.mark.parametrize('kind', ['unread', 'others'])
def test_any_file_name_can_be_listed(kind, tmp_path):
    report_skipped = runpy.run_path(str(TOOLS / 'predict.py'))['report_skipped']
    files = dict(unread=[('x.jpg', 'not an image')], others=[])
    files[kind] = [(os.fsdecode(b'\xff.jpg'), 'not an image')]
    with pytest.raises(UserError, match='Could not read 1 of 2 images'):
        report_skipped(**files, total=2, path=tmp_path / 'skipped.txt')
    assert '.jpg: not an image' in (tmp_path / 'skipped.txt').read_text(errors='replace')
