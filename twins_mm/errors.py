"""The exceptions for errors that a user can fix."""


class UserError(Exception):
    """Says what is wrong and what to do; tools print the message without a traceback."""


class MissingFileError(UserError, FileNotFoundError):
    """A file that isn't there, for callers that expect Python's error too."""
