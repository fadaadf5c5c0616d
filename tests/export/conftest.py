import pytest
import torch
from mmengine.config import Config

from twins_mm.checkpoints.load_model import load_model


@pytest.fixture
def tiny_model(tiny_config):
    """Makes a tiny model of a config, whose random weights give all kinds of answers."""

    def make(name, **options):
        cfg = Config.fromfile(tiny_config(name))
        cfg.merge_from_dict(options)
        torch.manual_seed(0)
        model = load_model(cfg, None)
        with torch.no_grad():
            if hasattr(model, 'decode_head'):
                torch.nn.init.normal_(model.decode_head.conv_seg.weight)
            elif name.startswith('retinanet'):
                # Scores from 0.01 to 0.9, and boxes that overlap and reach beyond the image.
                head = model.bbox_head
                maps = head(model.extract_feat(torch.randn(1, 3, 128, 128)))
                spread(head.retina_cls, maps[0], -4, 1.5)
                spread(head.retina_reg, maps[1], 0, 1)
            else:
                spread_two_stages(model)
        return cfg, model

    return make


def spread_two_stages(model):
    """The same of proposals and boxes, and masks of many forms."""
    rpn, head = model.rpn_head, model.roi_head
    features = model.extract_feat(torch.randn(1, 3, 128, 128))
    logits, deltas = rpn(features)
    spread(rpn.rpn_cls, logits, 0, 2)
    spread(rpn.rpn_reg, deltas, 0, 0.5)
    corners = torch.rand(200, 4) * 60
    rois = torch.column_stack([torch.zeros(200), corners[:, :2], corners[:, 2:] + 64])
    logits, deltas = head.bbox_head(head.bbox_roi_extractor(features[:4], rois))
    spread(head.bbox_head.fc_cls, [logits], 0, 2)
    spread(head.bbox_head.fc_reg, [deltas], 0, 1)
    if head.with_mask:
        logits = head.mask_head(head.mask_roi_extractor(features[:4], rois))
        spread(head.mask_head.conv_logits, [logits], 0, 2)


def spread(layer, outputs, mean, std):
    """Gives a layer another bias, and a weight with which these outputs would have this std."""
    layer.weight *= std / torch.cat([output.flatten() for output in outputs]).std()
    torch.nn.init.constant_(layer.bias, mean)
