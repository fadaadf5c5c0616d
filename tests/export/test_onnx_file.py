import json
import re

import cv2
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from tiny_archs import TINY_ARCHS, tiny_arch

pytest.importorskip('torch', '2.9')

import onnx

from twins_mm import STViT, TwinsSVT
from twins_mm.checkpoints.load_model import find_dataset_meta
from twins_mm.errors import UserError
from twins_mm.export.comparison import (
    LIMITS,
    SIZES,
    OnnxModel,
    check,
    compare_detections,
    read_images,
    reference_outputs,
    stack,
)
from twins_mm.export.deployable import _PoolByProducts
from twins_mm.export.make_deployable import make_deployable
from twins_mm.export.metadata import describe_export
from twins_mm.export.onnx_file import export, quantize

DOCS = (REPOSITORY / 'docs/deploy.md').read_text()


@pytest.mark.parametrize(
    ('name', 'options', 'operators'),
    [
        pytest.param(
            'retinanet',
            {'model.bbox_head.stacked_convs': 1},
            {'NonMaxSuppression'},
            marks=pytest.mark.large,
        ),
        (
            'mask_rcnn',
            {'model.test_cfg.rpn.nms_pre': 300, 'model.test_cfg.rpn.max_per_img': 400},
            {'NonMaxSuppression', 'RoiAlign'},
        ),
    ],
)
def test_detector_of_any_size(name, options, operators, tiny_model, tmp_path, monkeypatch):
    """Windows whose mask comes and goes with the size, anchors, decoding, suppression, RoIs.

    And what a file says of itself, and the example of docs/deploy.md, because exporting it takes
    most of a minute.
    """
    cfg, model = tiny_model(
        f'{name}_twins_svt_s_1x',
        **{
            'model.backbone.window_padding': 'mask_legacy',
            'model.backbone.arch.depths': (1, 2, 1, 1),
            'test_dataloader.dataset.pipeline.1.scale': (500, 300),
            **options,
        },
    )
    model.dataset_meta = find_dataset_meta({}, cfg)
    deployable = make_deployable(model)
    path = tmp_path / f'{name}.onnx'
    outputs = list(deployable.outputs)
    export(deployable, outputs, path, metadata=describe_export(deployable))
    assert not path.with_name(f'{path.name}.partial').exists()

    rows = check(
        reference_outputs(model, deployable, read_images(), SIZES), outputs, OnnxModel(path)
    )
    assert [(row['images'], row['height x width']) for row in rows[3:]] == [
        (2, '224 x 320'),
        (1, '333 x 251'),
        (2, '333 x 251'),
    ]
    assert max(row['differing'] for row in rows) < LIMITS['float32']
    assert min(row['detections'] for row in rows) > 50

    written = onnx.load(path)
    assert [entry.domain for entry in written.opset_import] == ['']
    assert {'MatMul', *operators} < {node.op_type for node in written.graph.node}
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*written.graph.input, *written.graph.output)
    }
    assert shapes.pop('masks', None) == (['batch', 100, 28, 28] if model.with_mask else None)
    assert shapes == dict(
        image=['batch', 3, 'height', 'width'],
        boxes=['batch', 100, 4],
        scores=['batch', 100],
        labels=['batch', 100],
    )
    check_metadata(written)
    monkeypatch.chdir(tmp_path)
    check_documented_example(model, name)

    quantize(path)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert 'MatMulInteger' in kinds and 'Gemm' not in kinds
    assert [len(output) for output in OnnxModel(path)(stack(read_images(), SIZES[0]))] == [
        2 for _ in outputs
    ]


def check_metadata(written):
    about = {entry.key: entry.value for entry in written.metadata_props}
    documented = set(re.findall(r'^\| `(\w+)` \| (?!`)', DOCS, re.MULTILINE))
    assert set(about) == documented - {'crop'}  # which classifiers have
    classes = json.loads(about.pop('classes'))
    assert (len(classes), classes[0], classes[79]) == (80, 'person', 'toothbrush')
    assert about == dict(
        config='tiny',
        input='image: uint8, (B, 3, H, W), BGR, from 64 x 64 pixels',
        resize='{"scale": [500, 300], "keep_ratio": true}',
        score_threshold='0.05',
    )
    # Random bytes may look like anything.
    for tensor in written.graph.initializer:
        tensor.ClearField('raw_data')
    assert not re.findall(r'(?:/[\w.-]+){2,}|[A-Z]:\\\\|site-packages|\.py\b', str(written))


def check_documented_example(model, name):
    """Its boxes and masks are those of mmdet's own pipeline, in pixels of the photo."""
    from mmdet.apis import inference_detector

    boxes_code, masks_code = re.findall(r'```python\n(.*?)```', DOCS, re.DOTALL)
    code = boxes_code.replace('mask_rcnn', name) + masks_code * model.with_mask
    photo = cv2.resize(read_images()[0], (451, 617))
    cv2.imwrite('street.png', photo)
    found = {}
    exec(code.replace('.jpg', '.png'), found)
    assert not any('torch' in line for line in code.splitlines())
    sample = inference_detector(model, 'street.png').pred_instances
    expected = dict(boxes=sample.bboxes, scores=sample.scores, labels=sample.labels)
    actual = {name: torch.from_numpy(np.array(found[name])) for name in expected}
    figures = compare_detections([expected], [actual])
    assert figures['detections'] > 100
    assert figures['differing'] < LIMITS['float32']
    assert expected['boxes'][:, 2].max() > 0.8 * 451
    assert found['classes'][found['label']] in model.dataset_meta['classes']
    if model.with_mask:
        drawn = (cv2.imread('masks.png') != photo).any(2)
        inside = sample.masks.any(0).numpy()
        assert 0.05 < inside.mean() < 0.95
        assert (drawn != inside).mean() < 0.01


class Pools(torch.nn.Module):
    def forward(self, images):
        return tuple(_PoolByProducts(bins)(images) for bins in (1, 2, 3, 6))


def test_pooling_of_any_size(tmp_path):
    export(Pools(), ['a', 'b', 'c', 'd'], tmp_path / 'pools.onnx', torch.float)
    pools = OnnxModel(tmp_path / 'pools.onnx')
    for size in (1, 7), (6, 5), (13, 16):
        x = torch.rand(2, 3, *size)
        for bins, pooled in zip((1, 2, 3, 6), pools(x)):
            torch.testing.assert_close(pooled, torch.nn.functional.adaptive_avg_pool2d(x, bins))


@pytest.mark.parametrize(
    'sub_sampling',
    ['separable_convolution', pytest.param('average_pooling', marks=pytest.mark.large)],
)
def test_other_patterns_and_sub_samplings_of_any_size(sub_sampling, tmp_path):
    torch.manual_seed(0)
    backbone = TwinsSVT(dict(tiny_arch('GLG'), depths=(1, 1, 1)), sub_sampling=sub_sampling).eval()
    export(backbone, ['a', 'b', 'c'], tmp_path / 'backbone.onnx', torch.float)
    exported = OnnxModel(tmp_path / 'backbone.onnx')
    for size in (224, 224), (131, 250):
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            for level, expected in zip(exported(images), backbone(images)):
                torch.testing.assert_close(level, expected, atol=1e-5, rtol=1e-4)


class Custom(torch.nn.Module):
    def forward(self, images):
        return torch.onnx.ops.symbolic(
            'elsewhere::Strange', [images], {}, dtype=torch.float, shape=images.shape
        )


@pytest.mark.large  # half a minute: shapes with cells are long expressions
def test_super_tokens_of_any_size(tmp_path):
    """Cells that fit the map and cells that don't, in one graph."""
    torch.manual_seed(0)
    arch = {name: values[1:3] for name, values in TINY_ARCHS['STViT'].items()}
    model = STViT(dict(arch, depths=(1, 1))).eval()
    export(model, ['a', 'b'], tmp_path / 'stvit.onnx', torch.float)
    exported = OnnxModel(tmp_path / 'stvit.onnx')
    for size in (64, 96), (70, 100), (131, 65):
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            for level, expected in zip(exported(images), model(images), strict=True):
                torch.testing.assert_close(level, expected, atol=1e-4, rtol=1e-4)


def test_operators_that_are_not_in_the_standard_are_refused(tmp_path):
    with pytest.raises(UserError, match='elsewhere::Strange'):
        export(Custom(), ['result'], tmp_path / 'model.onnx')
    assert not list(tmp_path.iterdir())
