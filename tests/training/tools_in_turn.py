"""Runs tools one after another in one process, whose imports take longer than all of them.

The commands are in a JSON file, a list for each; RANK in an argument becomes the process's number.
"""

import json
import os
import runpy
import sys
from pathlib import Path

for tool, *args in json.loads(Path(sys.argv[1]).read_text()):
    sys.argv = [tool, *(arg.replace('RANK', os.environ.get('RANK', '0')) for arg in args)]
    sys.path.insert(0, str(Path(tool).parent))
    runpy.run_path(tool, run_name='__main__')
