"""The one exception of this library that is the user's to mend.

Every message names the wrong value and the cure. The command line prints it without a traceback and exits with
status 2; in Python it is a `ValueError` like any other.
"""


class UserError(ValueError):
    """Something handed to augwise cannot be used; the message says what, why and what to do instead."""
