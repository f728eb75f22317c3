"""The one exception of this library that is the user's to mend.

Every message names the wrong value and the cure. The command line prints it without a traceback and exits with
status 2; in Python it is a `ValueError` like any other.
"""

_FROM_A_WORKER = "Caught UserError in DataLoader worker"


class UserError(ValueError):
    """Something handed to augwise cannot be used; the message says what, why and what to do instead."""

    def __init__(self, message: str) -> None:
        # torch raises a worker's error anew with the traceback as its message: only the last line is the user's.
        if message.startswith(_FROM_A_WORKER):
            message = message.rpartition("UserError: ")[2].rstrip()
        super().__init__(message)
