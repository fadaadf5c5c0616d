"""Writes the page about a config's data, one HTML file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from ..config import resize_scale
from ..data.survey import Survey, resize_ratio
from ..files.images import read_image
from ..inference.drawing import draw
from ..inference.pictures import write_image
from ..tasks import Task, task_of
from ..tasks.base import palette_of
from ..tasks.findings import KINDS
from ..tasks.semantic_segmentation import IGNORED
from .data_plots import draw_finding, list_anchors, plot_image_sizes, plot_object_sizes
from .page import fit_page, write_page

# Pictures of each kind of finding, and samples of each data set.
_FAULTS, _SAMPLES = 2, 4


def write_data_page(cfg: Config, surveys: Sequence[Survey], out: Path) -> Path:
    """Writes data.html and its pictures into `out`; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    task = task_of(cfg)
    path = out / 'data.html'
    write_page(
        path,
        'data.html',
        title=f'Data of {Path(cfg.filename or "").stem}',
        counted=task.counted,
        has_errors=any(survey.has_errors for survey in surveys),
        some_left_out=any(survey.left_out for survey in surveys),
        overview=[_summarise(survey) for survey in surveys],
        findings=list(_list_findings(surveys, out)),
        contents=_describe([survey for survey in surveys if survey.image_sizes], cfg, task, out),
    )
    return path


def _summarise(survey: Survey) -> list[str]:
    labels = sum(0 <= label < len(survey.classes) for label in survey.amounts)
    return [
        survey.name,
        type(survey.dataset).__name__,
        f'{sum(survey.image_sizes.values()):,}',
        f'{survey.left_out:,}',
        f'{sum(survey.amounts.values()):,}',
        f'{labels} of {len(survey.classes)}',
    ]


def _list_findings(surveys: Sequence[Survey], out: Path) -> Iterator[dict[str, Any]]:
    """Yields what the page says of each kind of finding, errors first."""
    for name, kind in sorted(KINDS.items(), key=lambda item: not item[1].is_error):
        found = {
            survey.name: survey.findings[name] for survey in surveys if name in survey.findings
        }
        if not found:
            continue
        captions: dict[Path, str] = {}
        for _, findings in found.values():
            for finding in findings[:_FAULTS]:
                try:
                    figure = draw_finding(finding)
                except Exception:  # a file that can't be read may raise anything
                    continue
                picture = _save(figure, out / f'{name}_{len(captions)}.jpg')
                captions[picture] = f'{finding.path}: {finding.detail}'
        yield dict(
            kind=kind,
            counts=', '.join(f'{count:,} in {split}' for split, (count, _) in found.items()),
            rows=[
                (split, finding.path, finding.detail)
                for split, (_, findings) in found.items()
                for finding in findings
            ],
            captions=captions,
        )


def _describe(
    surveys: Sequence[Survey], cfg: Config, task: Task, out: Path
) -> dict[str, Any] | None:
    """What the page says of the images that were read; None if there are none."""
    if not surveys:
        return None
    scale = resize_scale(cfg)
    sized = [survey for survey in surveys if survey.object_sizes]
    return dict(
        class_columns=[
            'label',
            'class',
            *(f'{what}, {survey.name}' for survey in surveys for what in (task.counted, 'images')),
        ],
        classes=list(_count_classes(surveys, task)),
        scale=scale,
        ratios=[resize_ratio(size, scale) for survey in surveys for size in survey.image_sizes],
        image_sizes=_save(plot_image_sizes(surveys), out / 'image_sizes.png'),
        object_sizes=sized
        and _save(plot_object_sizes(sized, list_anchors(cfg)), out / 'object_sizes.png'),
        samples=_draw_samples(surveys, cfg, task, out),
    )


def _count_classes(surveys: Sequence[Survey], task: Task) -> Iterator[list]:
    """Yields a row for each class: how much of it each data set has, and in how many images."""
    names = dict(enumerate(surveys[0].classes))
    if any(survey.amounts[IGNORED] for survey in surveys):
        names[IGNORED] = 'not labelled'
    for label, name in names.items():
        row = [label, name]
        for survey in surveys:
            amount = survey.amounts[label]
            share = amount / max(1, sum(survey.amounts.values()))
            row.append(f'{amount:,}' if task.counted == 'objects' else f'{share:.1%}')
            row.append(f'{survey.images[label]:,}')
        yield row


def _draw_samples(surveys: Sequence[Survey], cfg: Config, task: Task, out: Path) -> dict[Path, str]:
    captions: dict[Path, str] = {}
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        for survey in surveys:
            read = Compose(survey.steps('Load', 'Pack'))  # as they are, without augmentation
            spread = np.linspace(0, len(survey.dataset) - 1, _SAMPLES).round().astype(int)
            for index in np.unique(spread).tolist():
                info = survey.dataset.get_data_info(index)
                try:
                    sample = read(info)['data_samples']
                    picture = draw(
                        read_image(info['img_path']),
                        task.list_regions(sample.get(task.ground_truth)),
                        survey.classes,
                        palette_of(survey.dataset.metainfo),
                    )
                except Exception:  # faulty ones are among the findings
                    continue
                path = out / f'sample_{len(captions)}.jpg'
                write_image(path, fit_page(picture))
                captions[path] = f'{survey.name}: {info["img_path"]}'
    return captions


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path
