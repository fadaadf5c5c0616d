"""What a wheel contains and needs, tested outside the repository."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import mmdet
import pytest

import twins_mm

REPOSITORY = Path(__file__).parent.parent
CONFIGS = REPOSITORY / 'configs'
MMDET_TRAIN = Path(mmdet.__file__).parent / '.mim/tools/train.py'


def build(kind, source, target):
    subprocess.run(
        [
            sys.executable,
            '-c',
            f'import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])',
            target,
        ],
        cwd=source,
        check=True,
    )


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    """What a source archive contains."""
    folder = tmp_path_factory.mktemp('sources')
    for name in (
        'LICENSE',
        'MANIFEST.in',
        'README.md',
        'model-index.yml',
        'pyproject.toml',
        'setup.py',
    ):
        shutil.copy(REPOSITORY / name, folder)
    for name in ('configs', 'mmcv_operators', 'tools', 'twins_mm'):
        shutil.copytree(REPOSITORY / name, folder / name)
    build('sdist', folder, folder)
    with tarfile.open(next(folder.glob('*.tar.gz'))) as archive:
        archive.extractall(folder / 'sources')
    return next((folder / 'sources').iterdir())


@pytest.fixture(scope='module')
def wheel(sources, tmp_path_factory):
    """Built from a source archive alone, as `python -m build` does."""
    folder = tmp_path_factory.mktemp('wheel')
    build('wheel', sources, folder)
    return next(folder.glob('*.whl'))


@pytest.fixture
def run_elsewhere(wheel, tmp_path):
    """Runs Python in a separate folder, with the wheel and without the repository."""
    site = tmp_path / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def run(*args):
        done = subprocess.run(
            [sys.executable, *args],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                'PYTHONPATH': str(site),
                'OMP_NUM_THREADS': '1',
                'HF_HUB_OFFLINE': '1',
                'HF_HOME': str(tmp_path / 'hf'),
            },
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert str(REPOSITORY / 'twins_mm') not in done.stdout
        assert str(CONFIGS) not in done.stdout
        return done.stdout

    return run


def test_wheel_has_configs_tools_templates_and_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    folder = 'twins_mm/.mim/'
    assert {
        name.removeprefix(folder): content
        for name, content in contents.items()
        if name.startswith(folder)
    } == {
        path.relative_to(REPOSITORY).as_posix(): path.read_bytes()
        for path in (
            REPOSITORY / 'model-index.yml',
            *CONFIGS.rglob('*.py'),
            *CONFIGS.rglob('*.yml'),
            *CONFIGS.rglob('*.md'),
            *(REPOSITORY / 'tools').glob('*.py'),
        )
    }
    assert 'twins_mm/py.typed' in contents
    templates = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / 'twins_mm').glob('*/templates/*')
    }
    assert len(templates) > 5 and templates <= contents.keys()
    assert {name.partition('/')[0].partition('-')[0] for name in contents} == {
        'mmcv',
        'mmcv_operators',
        'twins_mm',
    }
    assert [name for name in contents if name.startswith('mmcv/')] == ['mmcv/_ext.py']


@pytest.mark.parametrize('mode', [(), ('--editable',)], ids=['wheel', 'editable'])
def test_mmcv_finds_its_operators_until_we_are_uninstalled(mode, sources, tmp_path):
    """And a compiled module goes first; here it is another library's."""
    venv.create(tmp_path / 'venv')
    python = tmp_path / 'venv/bin/python'
    site, *_ = (tmp_path / 'venv').glob('lib/python*/site-packages')
    (site / 'outer.pth').write_text(sysconfig.get_path('purelib'))
    (site / 'mmcv').mkdir()
    (site / 'mmcv/__init__.py').touch()

    def pip(*args):
        subprocess.run([sys.executable, '-m', 'pip', '--python', python, *args], check=True)

    def find():
        code = 'from importlib.util import find_spec; print(find_spec("mmcv._ext"))'
        return subprocess.check_output([python, '-c', code], text=True, cwd=tmp_path)

    pip('install', '--no-deps', '--no-build-isolation', '--no-index', *mode, str(sources))
    assert f'{site}/mmcv/_ext.py' in find()
    forwarding = 'import mmcv._ext; print(mmcv._ext.nms.__module__)'
    assert (
        subprocess.check_output([python, '-c', forwarding], text=True, cwd=tmp_path)
        == 'mmcv_operators.nms\n'
    )
    compiled = site / f'mmcv/_ext{sysconfig.get_config_var("EXT_SUFFIX")}'
    compiled.symlink_to(importlib.import_module('_ctypes').__file__)
    assert str(compiled) in find()
    compiled.unlink()
    pip('uninstall', '--yes', 'twins_mm')
    assert find() == 'None\n'
    assert (site / 'mmcv/__init__.py').exists()


LOOK = """
import json, sys
from pathlib import Path
from mmengine.config import Config
from mmengine.infer import BaseInferencer

def read(text):
    path = Path('my_config.py')
    path.write_text(text)
    return Config.fromfile(path).to_dict()

documented = {'which imports': read(sys.argv[1])}
import twins_mm
from twins_mm.doctor.resources import check_weights
from twins_mm.files.shipped import CONFIGS
documented['which names'] = read(sys.argv[2])
models = {name: read(f"_base_ = 'twins_mm::{name}'")['model'] for name in (
    path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob('*_twins_*.py'))}
print(json.dumps(dict(documented=documented, models=models, weights=check_weights(),
                      listed=BaseInferencer.list_models('twins_mm'))))
"""


def test_wheel_alone_reaches_every_config(run_elsewhere):
    by_name, by_import = re.findall(
        '```python\n(_base_.*?)```', (REPOSITORY / 'docs/install.md').read_text(), re.DOTALL
    )
    found = json.loads(run_elsewhere('-c', LOOK, by_import, by_name).splitlines()[-1])
    config = found['documented']['which names']
    assert config == found['documented']['which imports']
    assert (config['model']['type'], config['train_dataloader']['batch_size']) == ('MaskRCNN', 4)
    assert found['models'].keys() == {
        path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob('*_twins_*.py')
    }
    assert not any('_scope_' in model for model in found['models'].values())
    assert sorted(found['listed']) == sorted(
        path.stem for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts
    )
    assert found['weights'][1].startswith('0 of 10 are in the cache')


def test_textbook_forms_are_in_a_checkout_alone(run_elsewhere):
    code = "from twins_mm.benchmark.peers import PEERS; print(PEERS['textbook'].is_installed)"
    assert run_elsewhere('-c', code).splitlines()[-1] == 'False'


def test_mmdets_own_train_tool_takes_configs_that_inherit_from_the_wheel(
    run_elsewhere, tiny_config, toy_folder
):
    (toy_folder / 'data/coco').symlink_to('toy/coco')
    config = tiny_config('retinanet_twins_svt_s_1x')
    config.write_text(config.read_text().replace(f'{CONFIGS}/', 'twins_mm::'))
    output = run_elsewhere(
        '-m',
        'twins_mm',
        MMDET_TRAIN,
        config,
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_dataloader.dataset.indices=2',
        'val_dataloader.dataset.indices=2',
    )
    assert 'Evaluating bbox' in output


@pytest.fixture(scope='module')
def requirements(wheel):
    """The wheel's requirements by extra; '' for those that always apply."""
    found = defaultdict(list)
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(
            next(name for name in archive.namelist() if name.endswith('/METADATA'))
        ).decode()
    for requirement, extra in re.findall(
        r"^Requires-Dist: ([^;\n]+)(?:; extra == [\"'](\w+)[\"'])?$", metadata, re.MULTILINE
    ):
        found[extra].append(requirement)
    assert sum(map(len, found.values())) == metadata.count('Requires-Dist')
    return found


# The packages whose names differ from the modules that they are imported as.
PACKAGES = dict(PIL='pillow', cv2='opencv-python', mmcv='mmcv-lite', mmseg='mmsegmentation')


def list_imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


@pytest.mark.parametrize('folder', ['twins_mm', 'tools'])
def test_what_is_imported_is_declared(folder, requirements):
    imported = {
        name.partition('.')[0]
        for path in (REPOSITORY / folder).rglob('*.py')
        for name in list_imports(path)
    } - {'twins_mm', '_ctrl_c', *sys.stdlib_module_names}
    declared = {
        re.match(r'[\w-]+', requirement)[0].replace('-', '_').lower()
        for group in requirements.values()
        for requirement in group
    }
    assert {PACKAGES.get(name, name).replace('-', '_') for name in imported} <= declared


def test_citation_has_this_version():
    citation = (REPOSITORY / 'CITATION.cff').read_text()
    assert re.search(r'^version: (.+)', citation, re.MULTILINE)[1] == twins_mm.__version__


def test_linters_have_the_same_versions_everywhere(requirements):
    hooks = (REPOSITORY / '.pre-commit-config.yaml').read_text()
    pinned = re.findall(r'additional_dependencies: \[([\w=.]+)', hooks)
    assert set(pinned) <= set(requirements['test'])
    assert set(pinned) <= set((REPOSITORY / 'Makefile').read_text().split())
    assert [name.partition('==')[0] for name in pinned] == re.findall('id: ([a-z]+)', hooks)


def test_page_is_tested_with_the_gradio_that_its_extra_installs():
    gradio = re.search("'demo': .'(gradio[^']+)'", (REPOSITORY / 'setup.py').read_text())[1]
    assert f'"{gradio}"' in (REPOSITORY / 'Makefile').read_text()


@pytest.mark.parametrize(
    ('former', 'name', 'now'),
    [
        ('twins_mm.own_data', 'use_own_data', 'twins_mm.data.own_data'),
        ('twins_mm.shipped', 'CONFIGS', 'twins_mm.files.shipped'),
    ],
)
def test_documented_imports_warn_where_they_have_moved(former, name, now):
    sys.modules.pop(former, None)
    with pytest.warns(FutureWarning, match=now):
        found = getattr(import_module(former), name)
    assert found is getattr(import_module(now), name)
