"""Exceptions whose messages are for the user."""


class UserError(Exception):
    """An error that the user can correct.

    The message is one line that says what is wrong, where, and what to do about it. Programs under
    `experiments/` print it without a traceback and exit with status 2.
    """


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived, and everything is saved.

    Programs exit with 128 plus the signal's number. Like KeyboardInterrupt it is no `Exception`, so
    that code that recovers from errors does not catch it.
    """

    def __init__(self, signal: int, message: str):
        super().__init__(message)
        self.signal = signal
