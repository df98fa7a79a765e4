"""The exit statuses of the commands, and the error that a user sees instead of a traceback."""

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """Exit statuses, the same for all commands."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CLUSTER = 3
    INTERRUPTED = 130


EXIT_STATUSES: Final = (
    "Exit status: 0 all is well, 1 something is wrong or isn't ready, 2 the command or its input is invalid, "
    "3 the cluster can't be reached or refuses the request."
)
"""For the help texts."""


class CommandError(Exception):
    """Ends a command with a message.

    Args:
        message: the problem and where it is.
        remedy: the user's next step; empty: none.
        status: the exit status.
    """

    def __init__(self, message: str, remedy: str = "", status: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.status = status
