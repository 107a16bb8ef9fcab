"""Class lists of the published splits; each JSON file cites its source."""

import json
from importlib import resources
from typing import Any

SPLITS = ("train", "valid", "test")


def load_split(name: str) -> dict[str, Any]:
    """The class lists `{'train': ..., 'valid': ..., 'test': ...}` of `splits/NAME.json`.

    Each is a list of class names, or for omniglot `{alphabet: [character number, ...]}`.
    """
    content = json.loads(resources.files(__package__).joinpath(f"{name}.json").read_text("utf-8"))
    return {split: content[split] for split in SPLITS}
