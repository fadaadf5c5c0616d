"""Whatever draws an image, its pixels are the same."""

from datetime import datetime
from pathlib import Path, PurePath

import numpy as np
import pytest
import torch

from twins_mm.cli import load_config
from twins_mm.data.survey import survey_data
from twins_mm.demo.shown_model import ShownModel
from twins_mm.files.images import read_image
from twins_mm.inference.drawing import draw, join
from twins_mm.inference.frames import Frame
from twins_mm.inference.pictures import write_image
from twins_mm.inference.predictor import Predictor
from twins_mm.report.data_page import write_data_page
from twins_mm.report.extremes import draw_extremes
from twins_mm.report.run import Run


@pytest.mark.parametrize('name', ['semantic_fpn_twins_svt_s_80k', 'retinanet_twins_svt_s_1x'])
def test_pixels_are_the_same_everywhere(name, tiny_config, save_model, toy_folder, call_tool):
    config = tiny_config(name)
    options = {'model.test_cfg.score_thr': 0.0} if 'retinanet' in name else {}
    save_model(config, toy_folder / 'iter_1.pth')
    checkpoint = torch.load(toy_folder / 'iter_1.pth')
    if options:  # so that scores are above the threshold
        checkpoint['state_dict']['bbox_head.retina_cls.bias'][:] = 0.0
        torch.save(checkpoint, toy_folder / 'iter_1.pth')
    (toy_folder / 'last_checkpoint').write_text('iter_1.pth')
    call_tool('train', config, '--help')  # makes this the current folder

    cfg = load_config(str(config), options, toy=True)
    cfg.val_dataloader.dataset.indices = 1
    predictor = Predictor(cfg, 'iter_1.pth')
    survey = survey_data(cfg, 0)[1]
    path = Path(survey.dataset.get_data_info(0)['img_path'])
    image = read_image(path)
    sample = predictor(path)
    expected = predictor.draw(path, sample)
    assert not np.array_equal(expected, image)

    # tools/predict.py
    flags = ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]
    call_tool('predict', config, 'iter_1.pth', path, '--toy', *flags * bool(options))
    assert is_same(Path('work_dirs/predictions/pictures', f'{path.stem}.jpg'), expected)
    # the page
    view = ShownModel(cfg, 'iter_1.pth').look_at(Frame(PurePath(path.name), image))
    assert np.array_equal(view.draw(0.3)[..., ::-1], expected)
    # tools/check_data.py
    write_data_page(cfg, [survey], Path('data_page'))
    dataset = survey.dataset
    ground_truth = predictor.task.list_regions(
        dataset[0]['data_samples'].get(predictor.task.ground_truth)
    )
    palette = dataset.metainfo['palette']
    labelled = draw(image, ground_truth, survey.classes, palette)
    assert is_same(Path('data_page/sample_0.jpg'), labelled)
    # tools/report.py
    if 'palette' in predictor.dataset_meta:
        meta = predictor.dataset_meta
        labelled = draw(image, ground_truth, meta['classes'], meta['palette'])
    best, worst, failures = draw_extremes(
        Run(toy_folder, 'tiny', cfg, datetime.now()), 1, Path('r')
    )
    assert failures == []
    for picture in (*best, *worst):
        assert is_same(picture.path, join(labelled, expected))
    assert best or worst


def is_same(path, picture):
    """Whether a file is what is written for a picture."""
    write_image(path.with_name('expected.jpg'), picture)
    return path.read_bytes() == path.with_name('expected.jpg').read_bytes()
