from pathlib import Path

import pytest
from data.small_sets import CLASSES, make_own_sets
from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture
def own_sets(tmp_path, monkeypatch):
    """A folder with small healthy data sets, the current one."""
    monkeypatch.chdir(make_own_sets(tmp_path))
    return tmp_path


@pytest.fixture
def find_faults(own_sets):
    """Surveys the data sets in the current folder: {kind: how many} for each set by name."""
    from twins_mm.data.own_data import use_own_data
    from twins_mm.data.survey import survey_data

    def find(recipe, changes=(), **arguments):
        cfg = Config.fromfile(CONFIGS / f'{recipe}.py')
        own = (
            dict(
                classes=CLASSES,
                train=dict(ann_file='train.json'),
                val=dict(ann_file='val.json'),
                data_prefix=dict(img='photos/'),
            )
            if 'rcnn' in recipe or 'retinanet' in recipe
            else dict(
                classes=['background', *CLASSES],
                **{
                    split: dict(
                        data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'labels/{split}')
                    )
                    for split in ('train', 'val')
                },
            )
        )
        use_own_data(cfg, **{**own, 'data_root': str(own_sets), 'length': 12, **arguments})
        cfg.merge_from_dict(dict(changes))
        surveys = survey_data(cfg, workers=0)
        return {
            survey.name: {kind: count for kind, (count, _) in survey.findings.items()}
            for survey in surveys
        }, surveys

    return find
