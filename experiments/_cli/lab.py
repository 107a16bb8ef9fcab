"""The machine and the datasets that the flags ask for."""

from pathlib import Path
from textwrap import shorten

import jax
import numpy as np

from experiments._cli.define import FLAGS
from metalearn.config import Config
from metalearn.data import load, resizes
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.parallel import by_first, join
from metalearn.retest import read_trained
from metalearn.runtime import configure
from metalearn.testing import check_settings
from metalearn.training.lab import Lab, even_devices, make_lab
from metalearn.types import InputSpec

HOSTS = ("coordinator", "num_processes", "process_id")


def set_up(config: Config) -> None:
    """Set the machine up for the config.

    Raises:
      UserError: a setting that cannot be right, as far as is known without the dataset.
    """
    config.check()
    meet()
    configure(config.meta_batch, config.precision)
    check_jax()
    check_settings(config)
    if FLAGS.test_data_dir and not config.test_dataset:
        raise UserError("--test_data_dir is of --test_dataset: give that too")
    if FLAGS.record:
        by_first(lambda: check_writable(Path(FLAGS.results_dir)))


def open_lab(config: Config) -> Lab:
    """The dataset on the devices: as many as share out the tasks evenly.

    Raises:
      UserError: no such dataset.
    """
    dataset = load(
        config.dataset, FLAGS.data_dir, FLAGS.cache_dir, config.seed, config.image_size or None
    )
    return make_lab(dataset, _devices(config), FLAGS.tasks_per_device, FLAGS.stream)


def open_test_lab(config: Config, inputs: InputSpec) -> Lab:
    """The dataset of --test_dataset on the devices, for a body that takes these inputs.

    Raises:
      UserError: no such dataset, or its images do not fit.
    """
    name = config.test_dataset
    folder = FLAGS.test_data_dir or FLAGS.data_dir
    size = max(inputs.size) if resizes(name) else None
    dataset = load(name, folder, FLAGS.cache_dir, config.seed, size)
    lab = make_lab(dataset, _devices(config), FLAGS.tasks_per_device, FLAGS.stream, inputs)
    jax.eval_shape(lab.prepare, np.zeros((1, *dataset.test.images.shape[1:]), np.uint8))
    return lab


def _devices(config: Config) -> int:
    return even_devices(config.meta_batch) if FLAGS.devices is None else FLAGS.devices


def tested_lab(config: Config, workdir: Path) -> Lab:
    """What a test of the run in a folder is made on: its own dataset, or --test_dataset.

    Raises:
      UserError: no such dataset; or the run is of an older version, or not finished.
    """
    set_up(config)
    if not config.test_dataset:
        return open_lab(config)
    inputs = read_trained(workdir).inputs
    if inputs is None:
        raise UserError(
            f"{workdir} does not say which images its body takes, as it is of an older version: "
            "train it again to test it on another dataset"
        )
    return open_test_lab(config, inputs)


def check_jax() -> None:
    """See that JAX is set to compute in float32, on devices that are there.

    Raises:
      UserError: it is not.
    """
    if jax.config.values["jax_enable_x64"]:
        raise UserError("JAX_ENABLE_X64: runs are in float32, as their records say: unset it")
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter where no plugin is installed
        asked = jax.config.values["jax_platforms"]
        why = shorten(str(error), 120) or "it is not installed"
        raise UserError(
            f"JAX finds no device of JAX_PLATFORMS={asked} ({why}): unset that, or install what is "
            "needed for such a device"
        ) from error


def meet() -> None:
    """Join the other processes of a distributed run.

    Raises:
      UserError: they do not meet, or flags of distributed runs without --distributed.
    """
    alone = [name for name in HOSTS if FLAGS[name].value is not None]
    if FLAGS.distributed:
        join(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    elif alone:
        raise UserError(f"--{alone[0]} is for runs of several processes: add --distributed")
