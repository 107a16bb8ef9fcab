"""The one exception a user is meant to read."""


class UserError(Exception):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what to do about it. Programs under
    `experiments/` print it without a traceback and exit with status 2.
    """
