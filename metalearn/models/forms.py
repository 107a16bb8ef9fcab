"""Which form of a computation is traced: a CPU's own, or the one that everything else takes.

What is compiled for a CPU is cut and ordered such that XLA is fast there. For a file that other
programs run it is traced as for an accelerator, whatever this machine has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_PLAIN = ContextVar("plain", default=False)


def on_cpu() -> bool:
    """Whether what is traced is for a CPU."""
    return not _PLAIN.get() and jax.default_backend() == "cpu"


@contextmanager
def plain_forms() -> Iterator[None]:
    """What is traced within is as for an accelerator."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)
