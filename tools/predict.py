"""Runs a model on images or a video; writes pictures, and boxes, masks or labels as files."""

import argparse
import os
import time
import warnings
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path

import _ctrl_c  # noqa: F401
from mmengine.dist import barrier, gather_object, is_main_process
from rich.console import Console
from rich.progress import track

from twins_mm.cli import (
    add_amp_argument,
    add_device_argument,
    add_launcher_argument,
    add_option_arguments,
    check_count,
    check_output,
    load_config,
    make_parser,
    tool,
)
from twins_mm.config import check_mixed_precision
from twins_mm.errors import UserError
from twins_mm.files.atomic_write import replacing
from twins_mm.inference.frames import MAX_MEGAPIXELS, Images, Video, open_frames
from twins_mm.inference.pictures import write_video
from twins_mm.inference.predictor import Predictor
from twins_mm.inference.progress import Progress, fingerprint
from twins_mm.inference.workers import Job, write_in_background
from twins_mm.tasks.base import SCORE_THRESHOLD, count_of
from twins_mm.tasks.coco import RESULTS
from twins_mm.training.locking import lock_folder
from twins_mm.training.mixed_precision import mixed_precision
from twins_mm.training.processes import find_rank, start_process_group

SKIPPED = 'skipped.txt'
EXAMPLES = """examples:
  python tools/predict.py configs/mask_rcnn_twins_svt_s_3x.py CHECKPOINT photos/ --out found
  python tools/predict.py configs/upernet_twins_svt_s_160k.py CHECKPOINT 'photos/*.jpg' one.png
  python tools/predict.py configs/retinanet_twins_svt_s_1x.py CHECKPOINT street.mp4 --score-thr 0.5
  torchrun --nproc_per_node 8 tools/predict.py CONFIG CHECKPOINT photos/ --launcher pytorch

The same command goes on with images after a stop. Results of an earlier run are kept in earlier_N.
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='a file, a URL, or hf://ORG/NAME')
    parser.add_argument(
        'images', nargs='+', metavar='IMAGE', help='files, folders, globs, or one video'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/predictions'),
        metavar='DIR',
        help='output folder (default: %(default)s)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=SCORE_THRESHOLD,
        metavar='SCORE',
        help='draw boxes and masks with a higher score; the files contain all '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        metavar='N',
        help='predict up to N consecutive images of the same size at once (default: %(default)s)',
    )
    add_amp_argument(parser, 'predict')
    add_device_argument(parser)
    parser.add_argument(
        '--no-pictures', action='store_true', help='write boxes, masks or labels only'
    )
    parser.add_argument(
        '--max-megapixels',
        type=float,
        default=MAX_MEGAPIXELS,
        metavar='N',
        help='skip images with more million pixels (default: %(default)g); for '
        'more than 1073, set OPENCV_IO_MAX_IMAGE_PIXELS too',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=_count_workers(),
        metavar='N',
        help='processes that draw and write beside the network (default: %(default)s here)',
    )
    add_option_arguments(parser, "use toy data's image scale, for a checkpoint of train.py --toy")
    add_launcher_argument(parser)
    return parser.parse_args()


@tool
def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore', module='PIL')  # about large images, which have a limit here
    check_count('--batch-size', args.batch_size)
    check_count('--workers', args.workers)
    check_output(args.out)
    if args.amp:
        check_mixed_precision()
    frames = open_frames(args.images, args.out, args.max_megapixels)
    total = len(frames)
    if isinstance(frames, Video) and args.launcher != 'none':
        raise UserError('A video is not shared between processes: drop --launcher')
    cfg = load_config(args.config, args.cfg_options, args.toy)
    decisive = {
        'config or --cfg-options': cfg.to_dict(),
        'checkpoint': fingerprint(args.checkpoint),
        'images': sorted(map(os.path.abspath, args.images)),
        '--score-thr': args.score_thr,
        '--no-pictures': args.no_pictures,
        '--amp': args.amp,
    }
    launcher = find_rank(args.launcher)
    start_process_group(launcher)
    predictor = Predictor(cfg, args.checkpoint)
    unfinished = args.out / 'unfinished'
    lock_folder(unfinished, launcher, '--out')

    task, dataset_meta = predictor.task, predictor.dataset_meta
    output = task.open_output(args.out / task.output, dataset_meta)
    pictures = args.out / 'pictures'
    job = Job(
        task,
        output,
        dataset_meta,
        not args.no_pictures,
        args.score_thr,
        None if isinstance(frames, Video) else pictures,
    )
    progress = Progress(unfinished, decisive, resume=isinstance(frames, Images))
    if is_main_process():
        if progress.done:
            print(f'Going on: {len(progress.done)} of {total} images are done.')
        elif earlier := set_aside(args.out, 'pictures', task.output, RESULTS, SKIPPED):
            print(f'Earlier results are now in {earlier}')
    barrier()
    if isinstance(frames, Images):
        frames.share()
        frames.skip(progress.done)

    skipped, start = [], time.perf_counter()

    def predict_all():
        bar = track(
            frames,
            'Predicting',
            len(frames) or None,
            console=Console(stderr=True),
            disable=not is_main_process(),
        )
        for frame, sample in predictor.predict_frames(bar, args.batch_size):
            if sample is None:
                skipped.append((str(frame.name), frame.reason))
            else:
                yield frame, sample

    with ExitStack() as stack:
        stack.enter_context(mixed_precision(predictor.model, args.amp))
        if isinstance(frames, Video) and not args.no_pictures:
            pictures /= f'{frames.path.stem}.mp4'
            add_picture = stack.enter_context(write_video(pictures, frames.fps))
        done = 0
        try:
            for line, picture in write_in_background(job, predict_all(), args.workers):
                if picture is not None:
                    add_picture(picture)
                progress.add(line)
                done += 1
        except KeyboardInterrupt:
            how = 'begins anew' if isinstance(frames, Video) else f'goes on after {done} images'
            raise KeyboardInterrupt(f'The same command {how}.') from None
    progress.close()
    parts = gather_object((done, skipped))
    if parts is None:  # the first process reports
        return
    done, skipped = sum(part[0] for part in parts), list(chain(*(part[1] for part in parts)))
    found = output.finish(progress.records(), args.score_thr)
    progress.remove()
    rate = done / (time.perf_counter() - start)
    print(f'{count_of(done, "image")}, {rate:.2f} per second including reading and drawing')
    print(found)
    if not args.no_pictures:
        print(f'  pictures:    {pictures}')
    print(f'  predictions: {output.path}')
    report_skipped(skipped, frames.others, total, args.out / SKIPPED)


def set_aside(folder: Path, *names: str) -> Path | None:
    """Moves the results of an earlier run into a new folder in theirs, which it returns."""
    results = [folder / name for name in names if (folder / name).exists()]
    if not results:
        return None
    numbers = (number for number in count(1) if not (folder / f'earlier_{number}').exists())
    earlier = folder / f'earlier_{next(numbers)}'
    earlier.mkdir()
    for path in results:
        path.rename(earlier / path.name)
    return earlier


def report_skipped(
    unread: list[tuple[str, str]], others: list[tuple[str, str]], total: int, path: Path
) -> None:
    """Writes the names of all skipped files, and names the first ones with their reasons.

    Raises:
        UserError: There are unreadable images, so that the results are incomplete.
    """
    path.unlink(missing_ok=True)
    if unread or others:
        with replacing(path) as partial:
            lines = ''.join(f'{name}: {reason}\n' for name, reason in unread + others)
            partial.write_bytes(os.fsencode(lines))
    if others:
        print(f'{len(others)} other files were not read ({path}): {_name(others)}')
    if unread:
        raise UserError(f'Could not read {len(unread)} of {total} images: {_name(unread)}')


def _name(files: list[tuple[str, str]], most: int = 10) -> str:
    names = ', '.join(f'{name} ({reason})' for name, reason in files[:most])
    return names + (f' and {len(files) - most} more' if len(files) > most else '')


def _count_workers() -> int:
    """Up to 8 workers, and a core for each process of this machine that runs a network."""
    processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    return max(1, min(8, (os.cpu_count() or 1) // processes - 1))


if __name__ == '__main__':
    main()
