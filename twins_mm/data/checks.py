"""Is the data where the config looks for it?"""
from pathlib import Path

from mmengine.config import Config

from ..config import walk
from ..errors import UserError

_LAYOUTS = {
    'mmdet': ('COCO 2017', """\
data/coco/
  annotations/instances_train2017.json, instances_val2017.json
  train2017/*.jpg    118,287 images
  val2017/*.jpg        5,000 images"""),
    'mmseg': ('ADE20K (scene parsing challenge 2016)', """\
data/ade/ADEChallengeData2016/
  images/training/*.jpg         20,210 images
  images/validation/*.jpg        2,000 images
  annotations/training/*.png
  annotations/validation/*.png"""),
}


def check_data(cfg: Config, *splits: str) -> None:
    """Looks for every folder and annotation file of the data sets of `splits` ('train', ...).

    Raises:
        UserError: Something is missing; names it, the layout that is expected, and the ways out.
    """
    missing = [path for split in splits for node in walk(cfg[f'{split}_dataloader'])
               if node.get('data_root') for path in _paths(node) if not path.exists()]
    if missing:
        name, layout = _LAYOUTS.get(cfg.get('default_scope'), ('the data set', ''))
        lines = '\n'.join(f'  {path.absolute()}' for path in dict.fromkeys(missing))
        layout = '\n'.join(f'  {line}' for line in layout.splitlines())
        raise UserError(
            f'The data is not where the config looks for it. Missing:\n{lines}\n'
            f'The layout of {name}, from the folder that you start in:\n{layout}\n'
            'Ways out:\n'
            '  - link your copy there, e.g.  ln -s /path/to/coco data/coco\n'
            '  - try the config on toy data first: add --toy')


def _paths(dataset: dict) -> list[Path]:
    """The files and folders that a data set's config names."""
    names = [dataset.get('ann_file'), *(dataset.get('data_prefix') or {}).values()]
    return [Path(dataset['data_root'], name) for name in names if name]
