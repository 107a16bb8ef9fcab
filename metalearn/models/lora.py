"""tmp"""

from typing import Any


def init_adapters(key: Any, params: Any, rank: int) -> Any:
    raise NotImplementedError


def adapted(a: Any, b: Any) -> Any:
    raise NotImplementedError
