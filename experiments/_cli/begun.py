"""What a run takes over from the one that its body comes from."""

import dataclasses
from pathlib import Path

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.models import is_pretrained
from metalearn.records.workdir import read_workdir


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
