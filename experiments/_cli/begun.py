"""What a run takes over from the one that its body comes from."""

import dataclasses
from pathlib import Path
from typing import Any

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.registry import METHODS
from metalearn.models import is_pretrained
from metalearn.records.workdir import holds_run, read_workdir


def body_as_before(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """The network of the run that --init_from names, instead of the one of the method's recipe.

    {} where there is no such run (yet), or the method compares feature maps, which most have not.
    """
    if not given.get("init_from") or method not in METHODS or METHODS[method].maps:
        return {}
    folder = Path(given["init_from"])
    return {"backbone": read_workdir(folder).config.backbone} if holds_run(folder) else {}


def sized_as_before(config: Config) -> Config:
    """The config with the size of images that the run of --init_from has, of a pre-trained body.

    Raises:
      UserError: that holds no run, or the config has another size.
    """
    if not config.init_from or not is_pretrained(config.backbone):
        return config
    size = read_workdir(Path(config.init_from)).config.input_size
    if config.input_size not in (0, size):
        raise UserError(
            "--input_size: the body of --init_from takes images of the size that it was trained "
            "on: leave it out"
        )
    return dataclasses.replace(config, input_size=size)
