"""Where configs and tools are: next to the package in a checkout, in its `.mim` in a wheel.

It can be imported where nothing but Python works, for the doctor's sake.
"""

from pathlib import Path

PREFIX = 'twins_mm::'
_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDER = _PACKAGE / '.mim' if (_PACKAGE / '.mim').is_dir() else _PACKAGE.parent
CONFIGS, TOOLS = _FOLDER / 'configs', _FOLDER / 'tools'
# Where configs to train are, the papers' recipes first.
FOLDERS = ('', 'stvit', 'segformer', 'imagenet', 'ablations', 'baselines', 'released')
_RELEASED = '_released'


def list_configs(configs: Path = CONFIGS, pattern: str = '*') -> list[Path]:
    """The files whose names match, without their suffix; no two have the same name."""
    return [path for folder in FOLDERS for path in sorted((configs / folder).glob(f'{pattern}.py'))]


def list_tools() -> dict[str, Path]:
    """Our command lines, by name; files whose names begin with an underscore are none."""
    return {path.stem: path for path in sorted(TOOLS.glob('[!_]*.py'))}


def is_released(name: str) -> bool:
    """Whether a config has the values of the authors' released code, in `released/`."""
    return name.endswith(_RELEASED)


def paper_name(name: str) -> str:
    """The name of the paper's recipe that a config is, or that the released code differs from."""
    return name.removesuffix(_RELEASED)


def resolve(path: str) -> str:
    """The path of our config for `twins_mm::NAME`; any other path unchanged."""
    return str(CONFIGS / path.removeprefix(PREFIX)) if path.startswith(PREFIX) else path


def resolve_bases() -> None:
    """Makes `_base_ = 'twins_mm::...'` work in any mmengine config; the package's import calls it.

    mmengine's own lookup misses packages that are installed as editable, and it builds inherited
    modules in the scope `twins_mm`, where no mmdet or mmseg module is registered. Without a scope,
    they are built in the config's own, like those of a base file next to it.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    find_base = Config._get_cfg_path

    def find_base_or_ours(path: str, config: str) -> tuple[str, str | None]:
        return (resolve(path), None) if path.startswith(PREFIX) else find_base(path, config)

    Config._get_cfg_path = staticmethod(find_base_or_ours)
    MODULE2PACKAGE['twins_mm'] = 'twins_mm'  # for `list_models('twins_mm')` of the inferencers
