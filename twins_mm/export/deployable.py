"""Models as they are deployed: from the image, as it is read, to the result, at any size.

Each class computes this in `forward`, in operations that can be exported. Its `expected` is what
OpenMMLab's own model computes: an export is compared with that. Detectors are in `detectors.py`.

Shapes: B images of H x W pixels.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from mmengine.structures import BaseDataElement, PixelData
from torch import nn
from torch.nn import functional as F

from ..errors import UserError


class Deployable(nn.Module):
    """Takes images `(B, 3, H, W)`, uint8, of any size from 64 x 64.

    Channels are in the order that the config's data preprocessor expects: BGR, as OpenCV reads
    files, where the pipeline begins with OpenMMLab's `LoadImageFromFile`.

    Args:
        model: A detector or a segmentor, in evaluation; it is copied.
        preprocessor: The config's `model.data_preprocessor`.
        divisor: Height and width are padded to a multiple of it, right and bottom.

    Attributes:
        model: The detector or the segmentor.
        outputs: Names and descriptions of the results, in the order of `forward`.
        differing: What differs where an export and the model do.
    """

    outputs: dict[str, str]
    differing: str

    def __init__(self, model: nn.Module, preprocessor: dict, divisor: int):
        super().__init__()
        self.model = deepcopy(model).requires_grad_(False)
        self.divisor = divisor
        self.fill = preprocessor.get('pad_value', preprocessor.get('pad_val', 0))
        self.is_flipped = any(map(preprocessor.get, ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb')))
        for name, default in (('mean', [0.0]), ('std', [1.0])):
            values = torch.tensor(preprocessor.get(name) or default)
            self.register_buffer(name, values.view(-1, 1, 1))

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """Images normalised and padded, in the precision of the model."""
        x = images.float()
        if self.is_flipped:
            x = x[:, [2, 1, 0]]
        x = (x - self.mean) / self.std
        if self.divisor > 1:
            rows, columns = (
                ((side + self.divisor - 1) // self.divisor) * self.divisor - side
                for side in x.shape[2:]
            )
            x = F.pad(x, (0, columns, 0, rows), value=self.fill)
        return x.to(next(self.model.parameters()).dtype)

    @staticmethod
    def takes(model: nn.Module) -> bool:
        """Whether this class deploys the model."""
        raise NotImplementedError

    @staticmethod
    def expected(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What OpenMMLab's own model computes, in the form of `forward`'s results."""
        raise NotImplementedError

    def fill_sample(self, sample: BaseDataElement, outputs: Sequence[torch.Tensor]) -> None:
        """Puts the results for one image into its data sample, in the size of the original."""
        raise NotImplementedError


class DeployableSegmentor(Deployable):
    """mmseg's EncoderDecoder, from the image to the class map.

    Raises:
        UserError: Images are cut into crops, or padded to a fixed size, in testing.
    """

    outputs = dict(labels='int64, (B, H, W): the class of each pixel, from 0')
    differing = 'of the pixels'

    def __init__(self, model: nn.Module, preprocessor: dict):
        from mmseg.models.utils import Upsample

        test_cfg = preprocessor.get('test_cfg') or {}
        if model.test_cfg.mode != 'whole' or test_cfg.get('size'):
            raise UserError(
                "A segmentor needs model.test_cfg.mode='whole' to be exported, without "
                'model.data_preprocessor.test_cfg.size'
            )
        super().__init__(model, preprocessor, test_cfg.get('size_divisor') or 1)
        for name, module in list(self.model.named_modules()):
            if isinstance(module, Upsample) and not module.size:
                # mmseg's computes the size with `int`, which would be a constant in the trace.
                self.model.set_submodule(
                    name, nn.Upsample(None, module.scale_factor, module.mode, module.align_corners)
                )
            elif isinstance(module, nn.AdaptiveAvgPool2d):
                self.model.set_submodule(name, _PoolByProducts(module.output_size))

    @staticmethod
    def takes(model: nn.Module) -> bool:
        from mmseg.models import EncoderDecoder

        return isinstance(model, EncoderDecoder)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        x = self.prepare(images)
        logits = self.model.encode_decode(x, [dict(img_shape=x.shape[2:])])
        logits = logits[..., :height, :width].float()
        if logits.shape[1] == 1:
            return (logits[:, 0].sigmoid() > self.model.decode_head.threshold).long()
        return logits.argmax(1)

    @staticmethod
    def expected(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor]:
        from mmseg.structures import SegDataSample

        found = model.test_step(as_batch(images, SegDataSample))
        return (torch.stack([sample.pred_sem_seg.data[0] for sample in found]).long(),)

    def fill_sample(self, sample: BaseDataElement, outputs: Sequence[torch.Tensor]) -> None:
        labels = F.interpolate(outputs[0][None, None].float(), sample.ori_shape, mode='nearest')
        sample.pred_sem_seg = PixelData(data=labels[0].long())


class DeployableClassifier(Deployable):
    """mmpretrain's ImageClassifier, from the image to the probabilities of the classes."""

    outputs = dict(probabilities='float32, (B, classes)')
    differing = 'of the largest probability'

    def __init__(self, model: nn.Module, preprocessor: dict):
        super().__init__(model, preprocessor, preprocessor.get('pad_size_divisor', 1))

    @staticmethod
    def takes(model: nn.Module) -> bool:
        try:
            from mmpretrain.models import ImageClassifier
        except ImportError:  # an extra
            return False
        return isinstance(model, ImageClassifier)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(self.prepare(images)).float().softmax(1)

    @staticmethod
    def expected(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor]:
        from mmpretrain.structures import DataSample

        found = model.test_step(as_batch(images, DataSample))
        return (torch.stack([sample.pred_score for sample in found]),)

    def fill_sample(self, sample: BaseDataElement, outputs: Sequence[torch.Tensor]) -> None:
        sample.set_pred_score(outputs[0]).set_pred_label(outputs[0].argmax(-1, keepdim=True))


class DeployablePyramid(Deployable):
    """Backbone and neck of any of mmdet's two-stage detectors."""

    differing = 'of the largest feature'

    def __init__(self, model: nn.Module, preprocessor: dict):
        super().__init__(model, preprocessor, preprocessor.get('pad_size_divisor', 1))
        self.outputs = {
            f'stride_{stride}': f'float32, (B, {model.neck.out_channels}, H / {stride}, '
            f'W / {stride}), of the padded image'
            for stride, _ in model.rpn_head.prior_generator.strides
        }

    @staticmethod
    def takes(model: nn.Module) -> bool:
        from mmdet.models import TwoStageDetector

        return isinstance(model, TwoStageDetector) and model.with_rpn and model.with_neck

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(level.float() for level in self.model.extract_feat(self.prepare(images)))

    @staticmethod
    def expected(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        from mmdet.structures import DetDataSample

        prepared = model.data_preprocessor(as_batch(images, DetDataSample))
        return model.extract_feat(prepared['inputs'])


class _PoolByProducts(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two products: ONNX lacks it for sizes that are not fixed."""

    def __init__(self, size: int | tuple[int, int]):
        super().__init__()
        self.size = size if isinstance(size, tuple) else (size, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = (_means(*sizes).to(x) for sizes in zip(x.shape[2:], self.size))
        return rows @ x @ columns.T


def _means(length: int, bins: int) -> torch.Tensor:
    """The matrix `(bins, length)` that averages over bins, which may overlap."""
    bounds, positions = torch.arange(bins + 1)[:, None] * length, torch.arange(length)
    inside = (positions >= bounds[:-1] // bins) & (positions * bins < bounds[1:])
    return inside / inside.sum(1, keepdim=True)


def as_batch(images: torch.Tensor, sample: type) -> dict:
    """What a data loader of OpenMMLab's gives a model in testing; `sample` is its data sample."""
    size = tuple(images.shape[2:])
    meta = dict(ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0))
    return dict(inputs=list(images), data_samples=[sample(metainfo=meta) for _ in images])
