import pytest
import torch
from mmengine.config import Config

from twins_mm.checkpoints.trained import load_model


@pytest.fixture
def tiny_model(tiny_config):
    """Makes a tiny model of a config, whose random weights give all kinds of answers."""
    def make(name, **options):
        cfg = Config.fromfile(tiny_config(name))
        cfg.merge_from_dict(options)
        torch.manual_seed(0)
        model = load_model(cfg, None)
        if hasattr(model, 'decode_head'):
            torch.nn.init.normal_(model.decode_head.conv_seg.weight)
        elif name.startswith('retinanet'):
            # Scores from 0.01 to 0.9, and boxes that overlap and reach beyond the image.
            head = model.bbox_head
            with torch.no_grad():
                for conv, maps, mean, std in zip(
                        (head.retina_cls, head.retina_reg),
                        head(model.extract_feat(torch.randn(1, 3, 128, 128))), (-4, 0), (1.5, 1)):
                    conv.weight *= std / torch.cat([level.flatten() for level in maps]).std()
                    torch.nn.init.constant_(conv.bias, mean)
        return cfg, model
    return make
