"""Errors that a user can act on: each message is one line that names the place, what was expected and what was found.

`exit_code` is what a job or the command line ends with: 2 for bad input (nothing was changed), 1 for the rest.
"""

from __future__ import annotations


class MusicrecError(Exception):
    """Any failure that musicrec explains by itself; shown as one line, without a traceback."""

    exit_code = 1


class InputError(MusicrecError):
    """A file, table or argument is not what it has to be; no table was changed.

    Parameters
    ----------
    where : the file, table, key or argument.
    expected : what should be there.
    found : what is there.
    """

    exit_code = 2

    def __init__(self, where: object, expected: str, found: str) -> None:
        self.where = str(where)
        self.expected = expected
        self.found = found
        message = f"{where}: expected {expected}, found {found}"
        # A file's name may hold bytes that are no text.
        text = message.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        super().__init__(" ".join(text.split()))


class ConfigError(InputError):
    """A key or value of the configuration is unknown or invalid."""


class TableMissingError(InputError):
    """A table is read before any job has written it."""

    def __init__(self, table: str, location: str, written_by: str) -> None:
        super().__init__(f"table {table}", f"a Delta table at {location} (run {written_by} first)", "none")


class TooLittleError(InputError):
    """There is too little for a step to work on, though nothing is wrong with it: the step is left out of the night."""


class StepsFailedError(MusicrecError):
    """Steps failed without which the night went on; the message says what was published all the same."""


class SchemaError(MusicrecError):
    """A DataFrame lacks a column that its table's schema names: a defect in a transform, not in the input."""


class NonFiniteError(MusicrecError):
    """A fit gave NaN or an infinite value."""


class LeakError(MusicrecError):
    """A listen of the test period was found among the training rows."""


class CountMismatchError(MusicrecError):
    """rows in != rows kept + duplicates + quarantined: a job lost or made rows."""


class DegenerateModelError(MusicrecError):
    """A fit gave a model whose scores cannot tell items apart; nothing of it was published.

    Parameters
    ----------
    model : its name.
    found : what its scores are like.
    settings : what it was fitted with.
    """

    def __init__(self, model: str, found: str, settings: str) -> None:
        super().__init__(f"model {model}: its scores cannot tell items apart: {found}; fitted with {settings}")
