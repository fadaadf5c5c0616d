"""The one exception for what a user can fix."""


class UserError(Exception):
    """Says in one message what was wrong and what to do; tools print it without a traceback."""
