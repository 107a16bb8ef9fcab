"""The exceptions a user is meant to read."""


class UserError(Exception):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what to do about it. Programs under
    `experiments/` print it without a traceback and exit with status 2.
    """


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; everything is saved. Programs exit with 128 plus the signal's
    number.

    Like KeyboardInterrupt no Exception: whoever mends what went wrong lets it pass.
    """

    def __init__(self, signal: int, message: str):
        super().__init__(message)
        self.signal = signal
