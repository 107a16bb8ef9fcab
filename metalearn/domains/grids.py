"""Settings of methods among which a validator chooses; the first of each are the defaults."""

from typing import Any

Settings = dict[str, Any]
DEFAULTS: Settings = {}
GRIDS: dict[str, tuple[Settings, ...]] = {
    "coral": (DEFAULTS, {"regularisation": 0.01}, {"regularisation": 0.1}),
    "tca": (DEFAULTS, {"dimensions": 30}, {"kernel": "rbf"}),
    "subspace": (DEFAULTS, {"dimensions": 5}, {"dimensions": 20}),
    "transport": (DEFAULTS, {"entropy": 0.1}, {"by_class": 0.1}),
    "kmm": (DEFAULTS, {"width": 0.5}, {"width": 2.0}),
}


def settings_of(method: str, grid: bool) -> tuple[Settings, ...]:
    """The settings of a method that are tried: the defaults alone, or the grid's, if it has one."""
    return GRIDS.get(method, (DEFAULTS,)) if grid else (DEFAULTS,)


def said(settings: Settings) -> str:
    """`regularisation 0.1`; `defaults` where none is given."""
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "defaults"
