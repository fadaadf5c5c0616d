"""Writes the page about a config's data, one HTML file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from ..config import resize_scale
from ..data.survey import Survey, resize_ratio
from ..inference.drawing import draw
from ..inference.frames import read_image
from ..inference.outputs import write_image
from ..tasks import Task, task_of
from ..tasks.findings import KINDS
from ..tasks.semantic_segmentation import IGNORED
from .data_plots import draw_finding, list_anchors, plot_image_sizes, plot_object_sizes
from .html import callout, details, heading, make_page, paragraph, pictures, table

# Pictures of each kind of finding, and samples of each data set.
_FAULTS, _SAMPLES = 2, 4
_FEW_CLASSES = 30


def write_data_page(cfg: Config, surveys: Sequence[Survey], out: Path) -> Path:
    """Writes data.html and its pictures into `out`; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    task = task_of(cfg)
    title = f'Data of {Path(cfg.filename or "").stem}'
    parts = [
        heading(1, title),
        _judge(surveys),
        table(
            ['data set', 'class', 'images', 'left out', task.counted, 'classes seen'],
            [
                [
                    survey.name,
                    type(survey.dataset).__name__,
                    f'{sum(survey.image_sizes.values()):,}',
                    f'{survey.left_out:,}',
                    f'{sum(survey.amounts.values()):,}',
                    f'{sum(0 <= label < len(survey.classes) for label in survey.amounts)} of '
                    f'{len(survey.classes)}',
                ]
                for survey in surveys
            ],
        ),
    ]
    if any(survey.left_out for survey in surveys):
        parts.append(
            paragraph(
                'Images are left out by filter_cfg: those without an object (filter_empty_gt), or '
                'smaller than min_size. Training does not read them, and neither did this check.'
            )
        )
    if findings := list(_show_findings(surveys, out)):
        parts += [heading(2, 'Findings'), *findings]
    read = [survey for survey in surveys if survey.image_sizes]
    if read:
        parts += [
            *_show_classes(read, task),
            *_show_sizes(read, cfg, out),
            *_show_samples(read, cfg, task, out),
        ]
    path = out / 'data.html'
    path.write_text(make_page(title, parts))
    return path


def _judge(surveys: Sequence[Survey]) -> str:
    kinds = {kind for survey in surveys for kind in survey.findings}
    if any(survey.has_errors for survey in surveys):
        return callout(
            'bad',
            'Fix before training',
            'Training would stop, or learn something '
            'wrong. The findings below say where, and what to do.',
        )
    if kinds:
        return callout(
            'warn',
            'Look at this before training',
            'Training will run, but see whether the findings below are what you want.',
        )
    return callout(
        'good',
        'Ready',
        'Every image and every annotation was read, and nothing is '
        'wrong with them. The samples below show whether outlines and names are right.',
    )


def _show_findings(surveys: Sequence[Survey], out: Path) -> Iterator[str]:
    for kind, row in sorted(KINDS.items(), key=lambda item: not item[1].is_error):
        having = [survey for survey in surveys if kind in survey.findings]
        if not having:
            continue
        counts = ', '.join(f'{survey.findings[kind][0]:,} in {survey.name}' for survey in having)
        yield heading(3, f'{row.title}: {counts}')
        yield callout(
            'bad' if row.is_error else 'warn', 'error' if row.is_error else 'warning', row.advice
        )
        yield table(
            ['data set', 'where', 'what'],
            [
                [survey.name, finding.path, finding.detail]
                for survey in having
                for finding in survey.findings[kind][1]
            ],
        )
        captions: dict[Path, str] = {}
        for survey in having:
            for finding in survey.findings[kind][1][:_FAULTS]:
                try:
                    figure = draw_finding(finding)
                except Exception:  # a file that can't be read may raise anything
                    continue
                captions[_save(figure, out / f'{kind}_{len(captions)}.jpg')] = (
                    f'{finding.path}: {finding.detail}'
                )
        if captions:
            yield pictures(captions)


def _show_classes(surveys: Sequence[Survey], task: Task) -> list[str]:
    names = dict(enumerate(surveys[0].classes))
    if any(survey.amounts[IGNORED] for survey in surveys):
        names[IGNORED] = 'not labelled'
    rows = [
        [
            label,
            name,
            *(
                cell
                for survey in surveys
                for cell in (_describe(survey, label, task), f'{survey.images[label]:,}')
            ),
        ]
        for label, name in names.items()
    ]
    head = [
        'label',
        'class',
        *(f'{what}, {survey.name}' for survey in surveys for what in (task.counted, 'images')),
    ]
    classes = table(head, rows)
    if len(rows) > _FEW_CLASSES:
        classes = details(f'Show all {len(rows)}', classes)
    return [heading(2, 'Classes'), classes]


def _describe(survey: Survey, label: int, task: Task) -> str:
    amount = survey.amounts[label]
    return (
        f'{amount:,}'
        if task.counted == 'objects'
        else f'{amount / max(1, sum(survey.amounts.values())):.1%}'
    )


def _show_sizes(surveys: Sequence[Survey], cfg: Config, out: Path) -> list[str]:
    scale = resize_scale(cfg)
    ratios = [resize_ratio(size, scale) for survey in surveys for size in survey.image_sizes]
    text = (
        f'The test pipeline resizes images to at most {max(scale)} x {min(scale)}: by '
        f'{min(ratios):.2f} to {max(ratios):.2f}.'
        if scale
        else ''
    )
    captions = {
        _save(
            plot_image_sizes(surveys), out / 'image_sizes.png'
        ): 'Widths and heights of images; larger dots are more images.'
    }
    with_objects = [survey for survey in surveys if survey.object_sizes]
    if with_objects:
        captions[
            _save(plot_object_sizes(with_objects, list_anchors(cfg)), out / 'object_sizes.png')
        ] = (
            'Sizes of objects as the network sees them, after resizing. Objects much smaller than '
            'the smallest anchor are hardly found: a larger short_side helps.'
        )
    return [heading(2, 'Sizes'), paragraph(text), pictures(captions)]


def _show_samples(surveys: Sequence[Survey], cfg: Config, task: Task, out: Path) -> list[str]:
    captions = {}
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        for survey in surveys:
            # Images and annotations as they are, without augmentation.
            steps = [
                step
                for step in survey.dataset.pipeline.transforms
                if type(step).__name__.startswith(('Load', 'Pack'))
            ]
            spread = np.linspace(0, len(survey.dataset) - 1, _SAMPLES).round().astype(int)
            for index in np.unique(spread).tolist():
                info = survey.dataset.get_data_info(index)
                try:
                    sample = Compose(steps)(info)['data_samples']
                    picture = draw(
                        read_image(info['img_path']),
                        task.list_regions(sample.get(task.ground_truth)),
                        survey.classes,
                        survey.dataset.metainfo['palette'],
                    )
                except Exception:  # faulty ones are among the findings
                    continue
                path = out / f'sample_{len(captions)}.jpg'
                write_image(path, picture)
                captions[path] = f'{survey.name}: {info["img_path"]}'
    return [
        heading(2, 'Samples'),
        paragraph('Are outlines and names where they should be?'),
        pictures(captions),
    ]


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path
