"""The released code in textbook form: it stands with the tests, so a checkout alone has it."""

from pathlib import Path
from runpy import run_path

_FOLDER = Path(__file__).parents[2] / 'tests/reference'

textbook_stvit = run_path(str(_FOLDER / 'stvit.py'))['textbook_stvit']
textbook_twins = run_path(str(_FOLDER / 'twins.py'))['textbook_twins']
