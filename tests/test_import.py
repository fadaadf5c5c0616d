"""`import twins_mm` changes nothing for other people's models in the process."""

import subprocess
import sys

CODE = """
import os, signal, sys, warnings
import mmdet.apis, mmseg.apis, torch
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.fileio.backends.registry_utils import backends, prefix_to_backends
from mmengine.registry import Registry
from mmengine.runner import CheckpointLoader

for library in (mmdet, mmseg):
    library.registry.MODELS.get('ResNet')  # imports all of its modules
WATCHED = {name: module for name, module in sys.modules.items() if name in ('builtins', 'torch')
           or name.split('.')[0] in ('mmengine', 'mmcv', 'mmdet', 'mmseg')
           or name.startswith(('torch.serialization', 'torch.nn', 'torch.hub'))}
OWNERS = WATCHED | {f'{kind.__module__}.{kind.__qualname__}': kind for module in WATCHED.values()
                    for kind in vars(module).values() if isinstance(kind, type)}
REGISTRIES = {f'{name}.{key}': value for name, module in WATCHED.items()
              for key, value in vars(module).items() if isinstance(value, Registry)}


def look():
    tables = {name: vars(owner) for name, owner in OWNERS.items()}
    tables |= {name: registry.module_dict for name, registry in REGISTRIES.items()}
    tables |= dict(
        schemes=CheckpointLoader._schemes, backends=backends, prefixes=prefix_to_backends,
        packages=MODULE2PACKAGE, finders=dict(enumerate(sys.meta_path)),
        filters=dict(enumerate(warnings.filters)), variables=dict(os.environ),
        signals={number: signal.getsignal(number) for number in signal.valid_signals()})
    return {(name, key): value for name, table in tables.items() for key, value in table.items()}


list_types = getattr(torch.serialization, 'get_safe_globals', list)  # from torch 2.4 on
before, types = look(), set(list_types())
import twins_mm
after = look()
print([name for name in before if name not in after or not (
    before[name] is after[name] or isinstance(before[name], str) and before[name] == after[name])])
print([name for name in after if name not in before
       and not getattr(after[name], '__module__', '').startswith('twins_mm')])
print(types <= set(list_types()))
"""
# mmengine has no place for prefixes in `_base_`; and it sorts its schemes into a new dict.
REPLACED = [
    ('mmengine.config.config.Config', '_get_cfg_path'),
    ('mmengine.runner.checkpoint.CheckpointLoader', '_schemes'),
]
ADDED = [('packages', 'twins_mm')]


def test_import_adds_names_and_replaces_nothing():
    output = subprocess.check_output([sys.executable, '-W', 'ignore', '-c', CODE], text=True)
    assert output.splitlines()[-3:] == [str(REPLACED), str(ADDED), 'True']
