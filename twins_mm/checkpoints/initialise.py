"""How our backbones start from a file."""

from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS

from ..models.backbone import Backbone
from ..models.published_weights import weights_under
from .fit import fit_backbone
from .read import read_checkpoint, weights_of


@WEIGHT_INITIALIZERS.register_module()
class PretrainedBackbone(PretrainedInit):
    """Does for our backbones what mmengine's `Pretrained`, with its arguments, does for others.

    It reads every published layout and format, and refuses weights that don't fit.
    """

    def __call__(self, module: Backbone) -> None:
        print_log(f'load model from: {self.checkpoint}', logger='current')
        prefix = f'{self.prefix.rstrip(".")}.' if self.prefix else ''
        weights = weights_under(
            prefix, weights_of(read_checkpoint(self.checkpoint, self.map_location))
        )
        module.load_state_dict(fit_backbone(weights, module))
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
