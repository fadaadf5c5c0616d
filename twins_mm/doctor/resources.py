"""Checks data, weights and disk space."""

import re
import shutil
from pathlib import Path

from ..data.data_sets import DATA_SETS
from ..files.shipped import CONFIGS
from .fixes import find_fix, install
from .probe import Broken, Finding, probe

_WEIGHTS_FILE = 'model.safetensors'
_TIMEOUT_S = 5
# One checkpoint of a large model with its optimizer state takes more than 1 GB.
_ENOUGH_GB = 20

_DECODE = """
import sys, cv2
broken = [path for path in sys.argv[1:] if cv2.imread(path, cv2.IMREAD_UNCHANGED) is None]
print(broken[0] if broken else '')
"""


def check_data_set(name: str) -> Finding:
    """Whether a data set is where the configs expect it, complete and readable."""
    data = DATA_SETS[name]
    root = data.folder
    prepare = f'python -m twins_mm prepare_data {name} --archives DIR'
    if root.is_symlink() and not root.exists():
        return Finding('wrong', f'{root.absolute()} leads to {root.readlink()}, which is not there')
    if not root.is_dir():
        return Finding('info', f'not in {root.absolute()}; needed to train on it', prepare)
    faults = data.find_faults(root)
    if faults:
        return Finding('wrong', f'{root.resolve()}: {"; ".join(faults)}', prepare)
    samples = [
        str(next(root.glob(pattern)))
        for archive in data.archives
        for pattern in archive.contents
        if not pattern.endswith('.json')
    ]
    try:
        broken = probe(_DECODE, *samples)
    except Broken as error:
        return Finding(
            'warning',
            f'complete in {root.resolve()}; images not checked: {error}',
            find_fix(error, ''),
        )
    if broken:
        return Finding('wrong', f'{broken} is damaged', f'rm {broken} && {prepare}')
    return Finding('ok', f'complete in {root.resolve()}')


def check_weights() -> Finding:
    """Whether the ImageNet weights that the configs start from are cached or available."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    backbones = CONFIGS / '_base_/backbones'
    names = sorted(
        set(
            re.findall("hf://(.+?)'", ''.join(path.read_text() for path in backbones.glob('*.py')))
        ),
        key=lambda name: ('twins' not in name, name),
    )
    if not names:
        return Finding('wrong', f'{backbones} names no weights', install('twins_mm'))
    absent = [
        name for name in names if not isinstance(try_to_load_from_cache(name, _WEIGHTS_FILE), str)
    ]
    cached = f'{len(names) - len(absent)} of {len(names)} are in the cache'
    if not absent:
        return Finding('ok', cached)
    url = hf_hub_url(absent[0], _WEIGHTS_FILE)
    try:
        get_hf_file_metadata(url, timeout=_TIMEOUT_S)
    except Exception as error:
        reason = f'{type(error).__name__}: {error}'.splitlines()[0]
        return Finding(
            'warning',
            f'{cached}, and the hub is unreachable ({reason})',
            f'download those that you need elsewhere, such as {url}, and train with '
            '--cfg-options model.backbone.init_cfg.checkpoint=FILE',
        )
    return Finding('ok', f'{cached}; the hub has the others')


def check_disk() -> Finding:
    """Whether the current folder has enough space for a run's checkpoints."""
    free_gb = shutil.disk_usage('.').free / 1e9
    message = f'{free_gb:.0f} GB free in {Path.cwd()}'
    if free_gb < _ENOUGH_GB:
        return Finding(
            'warning',
            f'{message}; the checkpoints of a run may take {_ENOUGH_GB} GB',
            'train with --work-dir DIR, on another disk',
        )
    return Finding('ok', message)
