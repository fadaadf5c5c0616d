"""The exception for errors that a user can fix."""


class UserError(Exception):
    """Says what is wrong and what to do; tools print the message without a traceback."""
