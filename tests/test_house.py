"""What CONTRIBUTING.md promises about the structure of the code."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

from twins_mm.checkpoints.heads import HEADS
from twins_mm.data.data_sets import DATA_SETS
from twins_mm.tasks import TASKS
from twins_mm.tasks.base import Task
from twins_mm.toy.data import TOY_VERSIONS

REPOSITORY = Path(__file__).parent.parent
FILES = [
    path
    for path in (REPOSITORY / 'twins_mm').rglob('*.py')
    if path.name not in ('__init__.py', '__main__.py')
]


def imports_of(path):
    """The modules of the package that a file imports, anywhere in its code."""
    package = path.relative_to(REPOSITORY).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                yield '.'.join((*package[: len(package) - node.level + 1], name))


# Former modules, which warn for one release.
FORMER = {'own_data.py', 'shipped.py'}


def layout():
    """The paths of twins_mm in CONTRIBUTING.md's tree, in its order."""
    text = (REPOSITORY / 'CONTRIBUTING.md').read_text()
    tree = text.partition('\ntwins_mm/\n')[2].partition('\nconfigs/')[0]
    folder, paths = '', []
    for indent, name in re.findall(r'^( +)(\S+)', tree, re.MULTILINE):
        if name.endswith('/'):
            folder = name
        paths.append(folder + name if len(indent) == 4 else name)
    return paths


def subpackage_of(module):
    """A folder of the package, or a file outside the folders."""
    return module.split('.')[1]


def test_contributing_names_files_that_exist():
    text = (REPOSITORY / 'CONTRIBUTING.md').read_text()
    names = {
        name for name in re.findall(r'[\w/.]*\b[a-z]\w*\.py\b', text) if not name.startswith('NAME')
    }
    paths = [
        str(path)
        for folder in ('mmcv_operators', 'twins_mm', 'tools', 'tests', 'configs')
        for path in (REPOSITORY / folder).rglob('*.py')
    ]
    paths += map(str, REPOSITORY.glob('*.py'))
    missing = [name for name in names if not any(path.endswith(f'/{name}') for path in paths)]
    assert len(names) > 40 and missing == []


def test_the_layout_is_complete_and_in_the_order_of_imports():
    files = {str(path.relative_to(REPOSITORY / 'twins_mm')) for path in FILES}
    listed = {path for path in layout() if path.endswith('.py')}
    assert listed == files - FORMER, "the tree of CONTRIBUTING.md isn't the package"
    order = [path.rstrip('/') for path in layout() if '/' not in path.rstrip('/')]
    names = [name.removesuffix('.py') for name in order]
    for path in FILES:
        importer = path.relative_to(REPOSITORY / 'twins_mm').with_suffix('').parts[0]
        if importer in names:
            imported = {subpackage_of(module) for module in imports_of(path)} - {importer}
            assert imported <= {*names[: names.index(importer)]}, path


@pytest.mark.parametrize(
    'level', [lambda module: module, subpackage_of], ids=['files', 'subpackages']
)
def test_imports_go_one_way(level):
    graph = defaultdict(set)
    for path in FILES:
        importer = '.'.join(path.relative_to(REPOSITORY).with_suffix('').parts)
        graph[level(importer)] |= {level(module) for module in imports_of(path)} - {level(importer)}
    assert len(list(TopologicalSorter(graph).static_order())) > 10  # it raises CycleError


def test_a_users_own_data_needs_nothing_of_the_paper():
    importers = {
        path.relative_to(REPOSITORY).parts[1]
        for path in FILES
        if any(subpackage_of(module) == 'paper' for module in imports_of(path))
    }
    assert importers == {'paper', 'benchmark'}


def test_no_two_public_things_of_a_subpackage_have_the_same_name():
    homes = defaultdict(set)
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            targets = getattr(node, 'targets', [getattr(node, 'target', None)])
            for name in [
                getattr(node, 'name', None),
                *(getattr(target, 'id', None) for target in targets),
            ]:
                if name and not name.startswith('_'):
                    homes[path.parent.name, name].add(path.name)
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_networks_need_torch_and_mmengine_alone():
    """They import none of OpenMMLab's other libraries, nor the hub's, nor safetensors."""
    others = (
        'mmcv',
        'mmdet',
        'mmseg',
        'mmpretrain',
        'timm',
        'safetensors',
        'huggingface_hub',
        'pycocotools',
        'onnx',
    )
    code = f"""
import sys
sys.modules.update(dict.fromkeys({others}))  # cannot be imported
import torch
from twins_mm.models import TwinsSVT
print(len(TwinsSVT('small')(torch.rand(1, 3, 64, 64))))
"""
    done = subprocess.run(
        [sys.executable, '-c', code], text=True, capture_output=True, cwd=REPOSITORY
    )
    assert (done.stdout, done.returncode) == ('4\n', 0), done.stderr


def test_only_the_page_imports_gradio():
    importing = {
        path.stem
        for path in [*FILES, *(REPOSITORY / 'tools').glob('*.py')]
        if re.search(r'^ *(import|from) (gradio|starlette)', path.read_text(), re.M)
    }
    assert importing == {'browser_page'}


def test_no_test_library_and_no_stack_frames_in_production():
    """Behaviour never depends on who calls, and nothing is patched that isn't ours."""
    pattern = r'^ *(import|from) unittest\b|currentframe|_getframe|inspect\.stack'
    using = [
        path.name
        for folder in ('twins_mm', 'tools', 'mmcv_operators')
        for path in (REPOSITORY / folder).rglob('*.py')
        if re.search(pattern, path.read_text(), re.MULTILINE)
    ]
    assert using == []


def test_rows_know_each_other():
    """The data set that needs an extra is looked at where it is installed, in tests/peers."""
    for task in TASKS.values():
        assert {name for name in Task.__annotations__ if not hasattr(task, name)} == set(), (
            task.name
        )
    assert {task.toy_data for task in TASKS.values()} <= TOY_VERSIONS.keys() <= DATA_SETS.keys()
    for name, data in DATA_SETS.items():
        if not find_spec(data.dataset.partition('.')[0]):
            continue
        assert len(data.classes) == data.num_classes
        if name in TOY_VERSIONS:
            assert set(TOY_VERSIONS[name].classes) < set(data.classes)
        assert (REPOSITORY / f'configs/{data.example}.py').is_file()
    for head in HEADS:
        assert head.task in TASKS and set(head.data_sets) <= set(DATA_SETS)
        assert list((REPOSITORY / 'configs').rglob(f'{head.recipe}_*.py'))


def test_only_the_task_table_asks_which_library_it_is():
    asking = {
        path.stem
        for folder in ('twins_mm', 'tools')
        for path in (REPOSITORY / folder).rglob('*.py')
        if re.search(r'scope\S* (==|!=|in) (?!self\.scope)', path.read_text())
    }
    assert asking == set()


def test_git_ignores_downloaded_checkpoints():
    """At the root alone: the folders of code are called so, too."""
    assert '/checkpoints/' in (REPOSITORY / '.gitignore').read_text().splitlines()


def test_skip_for_another_reason_fails(tmp_path):
    """A test's or a module's; the fourth is the third, as pytest words it."""
    skips = (
        "skip('needs a GPU')",
        "skip('another platform: x')",
        "skip('another version of a library: x')",
        "importorskip('torch', '99')",
        "skip('x')",
        "importorskip('absent')",
    )
    (tmp_path / 'test_each.py').write_text(
        'import pytest\n'
        + ''.join(f'def test_{number}(): pytest.{skip}\n' for number, skip in enumerate(skips))
    )
    (tmp_path / 'test_module.py').write_text("import pytest\npytest.importorskip('absent')")
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '-p',
            'conftest',
            '--continue-on-collection-errors',
            '--rootdir',
            tmp_path,
            tmp_path,
        ],
        cwd=REPOSITORY / 'tests',
        text=True,
        capture_output=True,
    )
    assert re.findall(r'^(?:FAILED|ERROR) \S*/(\S+)', done.stdout, re.MULTILINE) == [
        'test_each.py::test_4',
        'test_each.py::test_5',
        'test_module.py',
    ], done.stdout
    assert done.returncode == 1
