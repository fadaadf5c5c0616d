"""`twins_mm::` in a checkout; tests/test_package.py has it in a wheel."""
import pytest
from mmengine.config import Config

from twins_mm.shipped import CONFIGS


@pytest.fixture
def inherit(tmp_path):
    """Reads a config that has nothing but a base."""
    def read(base):
        path = tmp_path / 'my_config.py'
        path.write_text(f'_base_ = {base!r}')
        return Config.fromfile(path)
    return read


@pytest.mark.parametrize('name', [
    'retinanet_twins_svt_s_1x.py', 'released/upernet_twins_svt_s_160k.py',
    '_base_/recipes/mask_rcnn_3x.py'])
def test_what_is_inherited_is_what_the_file_has(name, inherit):
    """The scope of mmengine's own `::` would be the one thing more."""
    assert inherit(f'twins_mm::{name}').to_dict() == Config.fromfile(CONFIGS / name).to_dict()


def test_other_packages_are_inherited_from_as_before(inherit):
    cfg = inherit('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
    assert cfg.model._scope_ == 'mmdet'


def test_config_that_does_not_exist_is_told(inherit):
    with pytest.raises(FileNotFoundError, match='configs/retinanet.py'):
        inherit('twins_mm::retinanet.py')
