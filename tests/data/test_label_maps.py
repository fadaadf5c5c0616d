"""Every fault of label maps is named, and nothing else is."""

import cv2
import numpy as np
import pytest
from data.small_sets import HEIGHT, WIDTH, write
from PIL import Image

RECIPE = 'semantic_fpn_twins_svt_s_80k'


def edit(change, pattern='labels/*/*.png'):
    """Changes the values of all label maps."""

    def run(root):
        for path in root.glob(pattern):
            write(path, change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))

    return run


def to_palette(root):
    """As labelling tools write them: numbers in the file, colours in a viewer."""
    for path in root.glob('labels/*/*.png'):
        image = Image.fromarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)).convert('P')
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.save(path)


COLOURS = np.array([[0, 0, 0], [0, 0, 128], [0, 128, 0]], np.uint8)
ONE = 'labels/train/train_0.png'


@pytest.mark.parametrize(
    ('break_it', 'arguments', 'faults'),
    [
        (lambda root: None, {}, {}),
        (to_palette, {}, {}),
        (edit(lambda labels: COLOURS[labels], ONE), {}, dict(colours=1)),
        (edit(lambda labels: labels + 1, ONE), {}, dict(value_without_class=1)),
        (edit(lambda labels: labels + 1), dict(reduce_zero_label=True), {}),
        (lambda root: None, dict(reduce_zero_label=True), dict(never_seen=1, shifted_labels=1)),
        (edit(lambda labels: labels.astype(np.uint16) + 300, ONE), {}, dict(large_values=1)),
        (edit(lambda labels: labels[:-1], ONE), {}, dict(labels_size=1)),
        (edit(lambda labels: np.full_like(labels, 255), ONE), {}, dict(unlabelled=1)),
        (edit(lambda labels: 255 * labels.clip(0, 1)), {}, dict(only_background=1, never_seen=2)),
        (edit(lambda labels: labels.clip(0, 1)), {}, dict(never_seen=1)),
        (lambda root: (root / ONE).unlink(), {}, dict(unreadable_labels=1)),
        (
            lambda root: (root / ONE).write_bytes((root / ONE).read_bytes()[:60]),
            {},
            dict(unreadable_labels=1),
        ),
        (
            lambda root: write(
                root / 'images/train/more.png', np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            ),
            {},
            dict(unused_files=1),
        ),
        (lambda root: None, dict(img_suffix='.tif'), dict(no_images=1, unused_files=1)),
    ],
)
def test_fault_is_named(break_it, arguments, faults, own_sets, find_faults):
    break_it(own_sets)
    found, _ = find_faults(RECIPE, **arguments)
    assert found['train'] == faults


def test_data_set_and_pipeline_that_disagree_are_named(find_faults):
    found, (train, _) = find_faults(
        RECIPE, {'train_dataloader.dataset.pipeline.1': dict(reduce_zero_label=True)}
    )
    assert found['train'] == dict(unreadable_labels=6, never_seen=3)
    assert 'but when load annotation' in train.findings['unreadable_labels'][1][0].detail


def test_what_is_counted(own_sets, find_faults):
    _, (train, _) = find_faults(RECIPE)
    labels = [
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in (own_sets / 'labels/train').iterdir()
    ]
    assert train.amounts == dict(enumerate(np.bincount(np.ravel(labels)).tolist()))
    assert train.images == {0: 6, 1: 6, 2: 6}
