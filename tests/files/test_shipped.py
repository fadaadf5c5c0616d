"""`twins_mm::` in a checkout; for a wheel see tests/test_package.py."""

import pytest
from mmengine.config import Config

from twins_mm.files.shipped import CONFIGS


@pytest.fixture
def inherit(tmp_path):
    """Reads a config that consists of a base only."""

    def read(base):
        path = tmp_path / 'my_config.py'
        path.write_text(f'_base_ = {base!r}')
        return Config.fromfile(path)

    return read


@pytest.mark.parametrize(
    'name',
    [
        'retinanet_twins_svt_s_1x.py',
        'released/upernet_twins_svt_s_160k_released.py',
        '_base_/recipes/mask_rcnn_3x.py',
    ],
)
def test_inherited_config_equals_the_file(name, inherit):
    """mmengine's own `::` would add a scope."""
    assert inherit(f'twins_mm::{name}').to_dict() == Config.fromfile(CONFIGS / name).to_dict()


def test_inheriting_from_other_packages_still_works(inherit):
    cfg = inherit('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
    assert cfg.model._scope_ == 'mmdet'


def test_missing_config_is_reported(inherit):
    with pytest.raises(FileNotFoundError, match='configs/retinanet.py'):
        inherit('twins_mm::retinanet.py')
