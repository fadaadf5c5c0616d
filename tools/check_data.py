"""Checks a config's data sets: reads every image and every annotation once.

Prints what is wrong and writes a page with pictures. Exits with status 1 if training would stop or
learn something wrong, with 0 if there are warnings at most.
"""

import argparse
import os
import sys
from pathlib import Path

import _ctrl_c  # noqa: F401

from twins_mm.cli import (
    add_data_root_argument,
    add_option_arguments,
    check_count,
    check_output,
    load_config,
    make_parser,
    tool,
)
from twins_mm.data.in_place import check_data
from twins_mm.data.survey import Survey, survey_data
from twins_mm.report.data_page import write_data_page
from twins_mm.tasks import task_of
from twins_mm.tasks.base import count_of
from twins_mm.tasks.findings import KINDS

EXAMPLES = """examples:
  python tools/check_data.py my_config.py
  python tools/check_data.py configs/mask_rcnn_twins_svt_s_1x.py --data-root /data/coco --workers 16
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='an mmdet or mmseg config, ours or your own')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='output folder; by default work_dirs/<config name>/data',
    )
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        default=len(os.sched_getaffinity(0)),
        help='how many processes read images (default: %(default)s)',
    )
    add_option_arguments(parser, 'check the toy data instead')
    add_data_root_argument(parser)
    return parser.parse_args()


def print_findings(survey: Survey, counted: str) -> None:
    images, amount = (sum(counts.values()) for counts in (survey.image_sizes, survey.amounts))
    print(
        f'\n{survey.name}: {count_of(images, "image")}, '
        f'{count_of(amount, counted.removesuffix("s"))}, '
        f'{count_of(len(survey.classes), "class")}'
        + f'; {count_of(survey.left_out, "image")} left out'
        * bool(survey.left_out)
    )
    for kind, (count, findings) in survey.findings.items():
        row = KINDS[kind]
        print(f'  {"ERROR" if row.is_error else "warning"}: {row.title}: {count:,}')
        for finding in findings[:3]:
            print(f'    {finding.path}: {finding.detail}')
        print(f'    -> {row.advice}')


@tool
def main() -> None:
    args = parse_args()
    out = args.out or Path('work_dirs', Path(args.config).stem, 'data')
    check_count('--workers', args.workers, least=0)
    check_output(out)
    cfg = load_config(args.config, args.cfg_options, args.toy, args.data_root)
    check_data(cfg, 'train', 'val', 'test')
    surveys = survey_data(cfg, args.workers)
    for survey in surveys:
        print_findings(survey, task_of(cfg).counted)
    print(f'\npage: {write_data_page(cfg, surveys, out)}')
    sys.exit(any(survey.has_errors for survey in surveys))


if __name__ == '__main__':
    main()
