"""Runs one of our tools by name, or any script by path, with twins_mm imported.

The prefix `twins_mm::` of an argument stands for the folder of our configs.
"""

import argparse
import runpy
import sys
from pathlib import Path

from .files.shipped import list_tools, resolve

EXAMPLES = """examples:
  python -m twins_mm train twins_mm::retinanet_twins_svt_s_1x.py --toy
  torchrun --nproc_per_node 8 -m twins_mm train my_config.py --launcher pytorch
  python -m twins_mm mmdetection/tools/train.py my_config.py
"""


def main() -> None:
    """Runs the script with the remaining arguments."""
    tools = list_tools()
    parser = argparse.ArgumentParser(
        prog='python -m twins_mm',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('tool', help=f'the path of a script, or one of {", ".join(tools)}')
    parser.add_argument('args', nargs=argparse.REMAINDER, help='arguments of the tool; try --help')
    args = parser.parse_args()
    script = tools.get(args.tool, Path(args.tool))
    if not script.is_file():
        parser.error(f'no such script: {script}; the tools are {", ".join(tools)}')
    sys.argv = [str(script), *map(resolve, args.args)]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name='__main__')


if __name__ == '__main__':
    main()
