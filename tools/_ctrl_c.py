"""Imported first: Ctrl+C ends a tool without a traceback while its libraries are imported.

`twins_mm.cli.tool` takes over from there.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)
