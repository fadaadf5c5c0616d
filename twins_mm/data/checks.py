"""Is the data where the config looks for it?"""
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config

from ..config import walk
from ..errors import UserError

# Of each data set: its name, its folder, and what the folder holds.
_LAYOUTS = dict(
    CocoDataset=('COCO 2017', 'data/coco', """\
annotations/instances_train2017.json, instances_val2017.json
train2017/    118,287 JPEG images
val2017/        5,000 JPEG images"""),
    ADE20KDataset=('ADE20K (scene parsing 2016)', 'data/ade/ADEChallengeData2016', """\
images/training/           20,210 JPEG images
images/validation/          2,000 JPEG images
annotations/training/      as many label PNGs
annotations/validation/    as many label PNGs"""),
)


def check_data(cfg: Config, *splits: str) -> None:
    """Looks for every folder and annotation file of the data sets of `splits` ('train', ...).

    Raises:
        UserError: Something is missing; names it, the layout that is expected, and the ways out.
    """
    data_sets = [node for split in splits for node in walk(cfg[f'{split}_dataloader'])
                 if node.get('data_root')]
    missing = {path.absolute(): data_set['type'] for data_set in data_sets
               for path in _paths(data_set) if not path.exists()}
    if not missing:
        return
    lines = ['The data is not where the config looks for it. Missing:', *_indent(missing)]
    ways_out = ['- try the config on toy data first: add --toy']
    for name, folder, content in (_LAYOUTS[kind] for kind in _LAYOUTS if kind in missing.values()):
        parent = Path(folder).parent
        lines += [f'{name} is expected in {folder}, below the current folder:']
        lines += _indent(content.splitlines())
        ways_out.insert(0, f'- link your copy:  mkdir -p {parent} && '
                           f'ln -s /path/to/{Path(folder).name} {parent}/')
    raise UserError('\n'.join([*lines, 'Ways out:', *_indent(ways_out)]))


def _paths(data_set: dict) -> list[Path]:
    """The files and folders that a data set's config names."""
    names = [data_set.get('ann_file'), *(data_set.get('data_prefix') or {}).values()]
    return [Path(data_set['data_root'], name) for name in names if name]


def _indent(lines: Iterable) -> list[str]:
    return [f'  {line}' for line in lines]
