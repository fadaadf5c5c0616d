"""The tasks, one row each: what depends on whether a model detects, segments or classifies.

Classes and functions are named 'module:name', for `pkgutil.resolve_name`: the table imports
nothing, and a library is only imported when one of its models runs.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Task(NamedTuple):
    """What models are trained for.

    Attributes:
        scope: The `default_scope` of its configs, and the name of its library.
        models: What its models are called.
        data_set: The row in `data_sets.DATA_SETS` whose stand-in is toy data, unless the config
            trains on another row's.
        own_data: The class that reads a user's own data, and its arguments where the user sets
            none.
        watch: Looks at what a data set leaves out while it reads its annotations.
        check: Looks at an image's annotations for faults.
        judge: Looks at all annotations of a data set together.
        counted: What there is of a class: 'objects', 'pixels' or 'labels'.
        load: The pipeline step that loads ground truth; empty if the data set has it.
        pack: The last pipeline step.
        toy: Batch size and iterations of toy training.
        tta_ratios: Scales of test-time augmentation on toy data, relative to its own scale.
        evaluator: The metric on toy data.
        metrics: For each metric's name in logs, its usual name and what it measures.
        chance: Points by which metrics of two runs of a recipe may differ at one iteration.
        hook: Draws validation images.
        visualizer: Default settings of the config's visualizer for predictions.
        show_dir: The config key for the folder of a test's pictures.
        dump: The metric that keeps a test's predictions in a .pkl file; '' where the config's
            metric writes label PNGs.
        inferencer: OpenMMLab's class, or one of ours derived from it.
        output: The file or folder of predictions, written by `write`, an `outputs.Output`.
        truth: The fields of a data sample with its ground truth and its prediction.
        regions: Splits either of them into the regions to draw.
        has_scores: Whether predicted regions have scores, so that some can be left out.
        score: Rates a predicted sample from 0 to 1, as `how_scored` explains.
        deployables: What can be exported, in the order in which it is tried.
        toy_side: The longer side of toy images, in pixels.
        draw: The hook's argument that makes it draw.
        install: The command that installs the library, where it is an extra.
    """

    scope: str
    models: str
    data_set: str
    own_data: dict
    watch: str
    check: str
    judge: str
    counted: str
    load: dict
    pack: str
    toy: tuple[int, int]
    tta_ratios: tuple[float, ...]
    evaluator: dict
    metrics: Mapping[str, tuple[str, str]]
    chance: float
    hook: str
    visualizer: dict
    show_dir: str
    dump: str
    inferencer: str
    output: str
    write: str
    truth: tuple[str, str]
    regions: str
    has_scores: bool
    score: str
    how_scored: str
    deployables: tuple[str, ...]
    toy_side: int = 128
    draw: str = 'draw'
    install: str = ''


_DETECTION = Task(
    scope='mmdet',
    models='detectors',
    data_set='coco',
    own_data=dict(type='CocoDataset', data_prefix=dict(img='')),
    watch='twins_mm.data.objects:watch_objects',
    check='twins_mm.data.objects:check_boxes',
    judge='twins_mm.data.objects:judge_objects',
    counted='objects',
    load=dict(type='LoadAnnotations', with_bbox=True),
    pack='PackDetInputs',
    toy=(8, 250),
    tta_ratios=(1.0,),
    evaluator=dict(type='CocoMetric', metric=['bbox']),
    metrics={'coco/bbox_mAP': ('box AP', 'Object Detection')},
    # mmdet's maintainers see up to 0.3 (open-mmlab/mmdetection issues 3496 and 3624), detectron2's
    # users up to 0.5 with RetinaNet (facebookresearch/detectron2 issue 457).
    chance=0.5,
    hook='DetVisualizationHook',
    visualizer={},
    show_dir='default_hooks.visualization.test_out_dir',
    dump='mmdet.evaluation:DumpDetResults',
    inferencer='mmdet.apis:DetInferencer',
    output='predictions.json',
    write='twins_mm.inference.outputs:CocoFile',
    truth=('gt_instances', 'pred_instances'),
    regions='twins_mm.report.drawing:list_objects',
    has_scores=True,
    score='twins_mm.report.scores:score_boxes',
    how_scored='Boxes with a score of 0.3 or more count. The score of an image is F1: twice the '
    'correct boxes (right class, IoU of at least 0.5) over the sum of predicted and '
    'ground-truth boxes. Images without objects are left out.',
    deployables=(
        'twins_mm.export.detectors:DeployableRetinaNet',
        'twins_mm.export.detectors:DeployableTwoStage',
        'twins_mm.export.deployable:DeployablePyramid',
    ),
)

TASKS = dict(
    detection=_DETECTION,
    # Few images: Mask R-CNN's heads process 512 boxes per image.
    instance_segmentation=_DETECTION._replace(
        check='twins_mm.data.objects:check_masks',
        load=dict(_DETECTION.load, with_mask=True),
        toy=(2, 150),
        evaluator=dict(type='CocoMetric', metric=['bbox', 'segm']),
        metrics={**_DETECTION.metrics, 'coco/segm_mAP': ('mask AP', 'Instance Segmentation')},
    ),
    semantic_segmentation=Task(
        scope='mmseg',
        models='segmentors',
        data_set='ade20k',
        own_data=dict(type='BaseSegDataset', reduce_zero_label=False),
        watch='twins_mm.data.label_maps:watch_labels',
        check='twins_mm.data.label_maps:check_labels',
        judge='twins_mm.data.label_maps:judge_labels',
        counted='pixels',
        load=dict(type='LoadAnnotations'),
        pack='PackSegInputs',
        toy=(4, 300),
        tta_ratios=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
        metrics={'mIoU': ('mIoU', 'Semantic Segmentation')},
        # More in 1 of 20 cases: from how validations in the authors' logs vary around the mean of
        # their neighbours. Lasting effects of a seed are not in it.
        chance=1.3,
        hook='SegVisualizationHook',
        visualizer=dict(alpha=0.5),  # else the image is hardly visible
        show_dir='visualizer.save_dir',
        dump='',
        inferencer='twins_mm.inference.segmentor_inferencer:SegmentorInferencer',
        output='labels',
        write='twins_mm.inference.outputs:LabelFolder',
        truth=('gt_sem_seg', 'pred_sem_seg'),
        regions='twins_mm.report.drawing:list_classes',
        has_scores=False,
        score='twins_mm.report.scores:score_labels',
        how_scored="An image's score is its own mIoU, over the classes in its ground truth. Images "
        'of one class are left out: any model gets those right.',
        deployables=('twins_mm.export.deployable:DeployableSegmentor',),
    ),
    classification=Task(
        scope='mmpretrain',
        models='classifiers',
        data_set='imagenet',
        own_data=dict(type='CustomDataset'),
        watch='contextlib:nullcontext',
        check='twins_mm.data.class_labels:check_class',
        judge='twins_mm.data.class_labels:judge_classes',
        counted='labels',
        load={},
        pack='PackInputs',
        toy=(16, 600),
        toy_side=64,
        tta_ratios=(1.0,),
        evaluator=dict(type='Accuracy', topk=(1, 5)),
        metrics={'accuracy/top1': ('top-1', 'Image Classification')},
        # More in 1 of 20 cases, by the standard deviation of 0.1 over 100 seeds in ResNet strikes
        # back (arXiv 2110.00476).
        chance=0.3,
        hook='VisualizationHook',
        draw='enable',
        visualizer={},
        show_dir='default_hooks.visualization.out_dir',
        dump='mmengine.evaluator:DumpResults',
        inferencer='twins_mm.inference.classifying:ClassifierInferencer',
        output='predictions.json',
        write='twins_mm.inference.classifying:ClassFile',
        truth=('gt_label', 'pred_score'),
        regions='twins_mm.report.drawing:list_labels',
        has_scores=False,
        score='twins_mm.report.scores:score_class',
        how_scored='The score of an image is the probability that the model gives its class.',
        deployables=('twins_mm.export.deployable:DeployableClassifier',),
        install='pip install -e .[imagenet]',
    ),
)
