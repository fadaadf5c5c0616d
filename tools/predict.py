"""Runs a model on images or a video; writes pictures, and boxes, masks or labels as files."""
import argparse
import time
import warnings
from itertools import chain
from pathlib import Path
from pkgutil import resolve_name

from mmengine.dist import gather_object, is_main_process
from rich.console import Console
from rich.progress import track

from twins_mm.cli import (
    add_launcher_argument,
    add_option_arguments,
    load_config,
    make_parser,
    tool,
)
from twins_mm.config import task_of
from twins_mm.errors import UserError
from twins_mm.inference.frames import Video, open_frames
from twins_mm.inference.outputs import write_pictures, write_video
from twins_mm.inference.predictor import build_inferencer, draw_prediction, predict
from twins_mm.training.processes import find_place, start_process_group

EXAMPLES = """examples:
  python tools/predict.py configs/mask_rcnn_twins_svt_s_3x.py CHECKPOINT photos/ --out found
  python tools/predict.py configs/upernet_twins_svt_s_160k.py CHECKPOINT 'photos/*.jpg' one.png
  python tools/predict.py configs/retinanet_twins_svt_s_1x.py CHECKPOINT street.mp4 --score-thr 0.5
  torchrun --nproc_per_node 8 tools/predict.py CONFIG CHECKPOINT photos/ --launcher pytorch
"""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, EXAMPLES)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='a file, a URL, or hf://ORG/NAME')
    parser.add_argument('images', nargs='+', metavar='IMAGE',
                        help='files, folders, globs, or one video')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/predictions'), metavar='DIR',
                        help='output folder (default: %(default)s)')
    parser.add_argument('--score-thr', type=float, default=0.3, metavar='SCORE',
                        help='draw boxes and masks with a higher score; the files contain all '
                             '(default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=1, metavar='N',
                        help='predict up to N consecutive images of the same size at once '
                             '(default: %(default)s)')
    add_option_arguments(parser, "use toy data's image scale, for a checkpoint of train.py --toy")
    add_launcher_argument(parser)
    return parser.parse_args()


@tool
def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore', module='mmseg')  # its heads warn about its own code
    if args.batch_size < 1:
        raise UserError(f'--batch-size {args.batch_size}: pass 1 or more')
    frames = open_frames(args.images, args.out)
    if isinstance(frames, Video) and args.launcher != 'none':
        raise UserError('A video is not shared between processes: drop --launcher')
    cfg = load_config(args.config, args.cfg_options, args.toy)
    start_process_group(find_place(args.launcher))
    inferencer = build_inferencer(cfg, args.checkpoint)

    pictures_path = args.out / 'pictures'
    if isinstance(frames, Video):
        pictures_path /= f'{frames.path.stem}.mp4'
        pictures = write_video(pictures_path, frames.fps)
    else:
        frames.share()
        pictures = write_pictures(pictures_path)
    task = task_of(cfg)
    predictions_path = args.out / task.output
    predictions = resolve_name(task.write)(predictions_path, inferencer)

    done, unreadable, start = [], [], time.perf_counter()
    progress = track(frames, 'Predicting', len(frames), console=Console(stderr=True),
                     disable=not is_main_process())
    with pictures as add_picture, predictions as add_prediction:
        for frame, sample in predict(inferencer, progress, args.batch_size):
            if sample is None:
                unreadable.append(frame.name)
                continue
            add_picture(frame, draw_prediction(inferencer, frame, sample, args.score_thr))
            add_prediction(frame, sample)
            done.append(frame.name)
    parts = gather_object((done, unreadable))
    if parts is None:  # the first process reports
        return
    done, unreadable = (list(chain(*names)) for names in zip(*parts))
    rate = len(done) / (time.perf_counter() - start)
    print(f'{len(done)} images, {rate:.2f} per second including reading and drawing\n'
          f'  pictures:    {pictures_path}\n  predictions: {predictions_path}')
    if unreadable:
        total = len(done) + len(unreadable)
        raise UserError(f'Could not read {len(unreadable)} of {total} images: '
                        + ', '.join(map(str, unreadable)))


if __name__ == '__main__':
    main()
