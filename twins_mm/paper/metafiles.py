"""The configs as OpenMMLab's `mim` and inferencers list them: a metafile a kind of model.

None has weights, because none of the configs has been trained; accuracies are named as the paper's.
"""
from collections.abc import Iterable
from pathlib import Path

import mmengine

from ..writing import replacing
from .costs import Row
from .figures import figures_of

HEADER = """\
# Written by `python tools/model_zoo.py --metafiles`. FLOPs are multiply-accumulates of layers and
# attention, counted as docs/model_zoo.md says; accuracies are the paper's.
# There are no weights: nobody has trained these configs on the full data sets here.
"""
# By the names of configs: what the models are called, and what they are trained on.
COLLECTIONS = dict(
    retinanet=('RetinaNet', 'COCO'), mask_rcnn=('Mask R-CNN', 'COCO'),
    semantic_fpn=('Semantic FPN', 'ADE20K'), upernet=('UperNet', 'ADE20K'))
# The task and the name of a metric in mmdet's and mmseg's own; True: of multi-scale testing.
METRICS = {('coco/bbox_mAP', False): ('Object Detection', 'box AP'),
           ('coco/segm_mAP', False): ('Instance Segmentation', 'mask AP'),
           ('mIoU', False): ('Semantic Segmentation', 'mIoU'),
           ('mIoU', True): ('Semantic Segmentation', 'mIoU(ms+flip)')}


def write_metafiles(rows: Iterable[Row], folder: Path) -> None:
    """Writes rows of the model zoo into a folder: those of `NAME_twins_*` into `NAME.yml`."""
    rows = list(rows)
    for name, (title, dataset) in COLLECTIONS.items():
        collection = f'{title} with Twins'
        content = dict(
            Collections=[dict(
                Name=collection,
                Metadata={'Training Data': dataset, 'Architecture': [title, 'Twins']},
                Paper=dict(URL='https://arxiv.org/abs/2104.13840',
                           Title='Twins: Revisiting the Design of Spatial Attention in Vision '
                                 'Transformers'))],
            Models=[{'Name': config, 'In Collection': collection, 'Config': f'configs/{config}.py',
                     'Metadata': _describe_costs(row), 'Results': _list_results(config, dataset)}
                    for row in rows for config in row.configs
                    if config.startswith(f'{name}_twins_')])
        with replacing(folder / f'{name}.yml') as path:
            path.write_text(HEADER + mmengine.dump(content, file_format='yaml', sort_keys=False))


def _describe_costs(row: Row) -> dict:
    height, width = row.image_size
    costs = {'Parameters': row.params, 'FLOPs': sum(row.macs),
             'Image Size of FLOPs': f'{height} x {width}',
             'Parameters in Paper (M)': row.paper.params}
    if row.paper.flops:
        costs['FLOPs in Paper (G)'] = row.paper.flops
    return costs


def _list_results(config: str, dataset: str) -> list[dict]:
    """What the paper prints of a config, for each task."""
    results: dict[str, dict] = {}
    for metric, figure in figures_of(config).items():
        if metric in METRICS:
            task, name = METRICS[metric]
            results.setdefault(task, {})[f'{name} in Paper'] = figure
    return [dict(Task=task, Dataset=dataset, Metrics=metrics) for task, metrics in results.items()]
