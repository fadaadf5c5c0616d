"""Where configs and tools are: next to the package in a checkout, in its `.mim` in a wheel.

Imports only the standard library, for the doctor's sake.
"""

from pathlib import Path

PREFIX = 'twins_mm::'
_PACKAGE = Path(__file__).resolve().parent
_FOLDER = _PACKAGE / '.mim' if (_PACKAGE / '.mim').is_dir() else _PACKAGE.parent
CONFIGS, TOOLS = _FOLDER / 'configs', _FOLDER / 'tools'


def resolve(path: str) -> str:
    """The path of our config for `twins_mm::NAME`; any other path unchanged."""
    return str(CONFIGS / path.removeprefix(PREFIX)) if path.startswith(PREFIX) else path
