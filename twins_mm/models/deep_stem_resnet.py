"""ResNet with the stem of mmseg's segmentors; importing it imports mmseg."""

from typing import Any

from mmseg.models.backbones import ResNetV1c


class DeepStemResNet(ResNetV1c):
    """mmseg's `ResNetV1c`, which reads timm's names too, as in `resnet50c.gluon_in1k`.

    The server of mmseg's own weights, `resnet50_v1c`, is gone.
    """

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        # Not those of a stem of one convolution, whose norm would fit.
        if f'{prefix}conv1.0.weight' in state_dict:
            for theirs, ours in (('conv1.', 'stem.'), ('bn1.', 'stem.7.')):
                for name in [name for name in state_dict if name.startswith(prefix + theirs)]:
                    state_dict[prefix + ours + name.removeprefix(prefix + theirs)] = state_dict.pop(
                        name
                    )
        super()._load_from_state_dict(state_dict, prefix, *args)
