"""What a run's console leaves out; the log file has it."""

import logging

# OpenMMLab's notes to its own developers, and a line for each setting of each parameter.
_LEFT_OUT = (
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'The prefix is not set in metric class',
    'paramwise_options -- ',
    'Failed to search registry with scope',
)


def shorten_console(logger: logging.Logger) -> None:
    """Keeps messages that mean nothing to users from the console of mmengine's logger."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: not record.getMessage().startswith(_LEFT_OUT))
