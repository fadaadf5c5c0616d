"""The exceptions for errors that a user can fix."""


class UserError(Exception):
    """Says what is wrong and what to do; tools print the message without a traceback."""


class MissingFileError(UserError, FileNotFoundError):
    """A file that isn't there, for callers that expect Python's error too."""


def describe_error(error: Exception) -> str:
    """An error in one line: a `UserError` in full, the class and first line of any other."""
    if isinstance(error, UserError):
        return ' '.join(str(error).split())
    # A KeyError's text has quotes.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    return f'{type(error).__name__}: {text}'.partition('\n')[0].removesuffix(': ')
