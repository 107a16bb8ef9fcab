"""Flags that are given and would not be read, because another one is as it is."""

from collections.abc import Mapping
from typing import Any

from experiments._cli.define import FLAGS
from metalearn.config import Config
from metalearn.errors import UserError


def check_optimizer(given: Mapping[str, Any], config: Config) -> None:
    """See that what is given of the optimiser is read; recipes may hold more than they use.

    Args:
      given: settings by flags.
      config: all settings.

    Raises:
      UserError: momentum of another optimiser than sgd, or a kind of decay of none.
    """
    for name in ("momentum", "nesterov"):
        if given.get(name) and config.optimizer != "sgd":
            raise UserError(
                f"--{name} is of --optimizer=sgd, and this training's is {config.optimizer}: leave "
                "it out"
            )
    if given.get("decay") and not config.weight_decay:
        raise UserError(
            f"--decay={config.decay} says what --weight_decay acts on, and that is 0: give it too"
        )


def check_test_folder() -> None:
    """See that no other data set is to be tested on, where images of one are shared out.

    Raises:
      UserError: its folder is given.
    """
    if FLAGS.test_data_dir:
        raise UserError(
            "--test_data_dir is of --test_dataset, which few-shot programs have: leave it out"
        )
