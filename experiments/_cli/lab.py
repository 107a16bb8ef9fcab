"""The machine, the body and the datasets that the flags ask for."""

import dataclasses
from pathlib import Path
from textwrap import shorten

import jax
import numpy as np

from experiments._cli.define import FLAGS
from metalearn.config import Config
from metalearn.data import LARGEST_IMAGE, load, resizes
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.learners.registry import METHODS
from metalearn.models import is_pretrained
from metalearn.models.zoo import load_body
from metalearn.parallel import by_first, join
from metalearn.retest import read_trained
from metalearn.runtime import configure
from metalearn.testing import check_settings
from metalearn.training.lab import Lab, even_devices, make_lab, mesh_of
from metalearn.types import Body, InputSpec

DIGITS = 16  # of a digest of weights, in settings
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


def check_few_shot(workdir: str | Path, config: Config) -> None:
    """See that a run can be tested on episodes.

    Raises:
      UserError: it cannot.
    """
    if config.method not in METHODS:
        raise UserError(
            f"{workdir} holds a classifier of fixed classes ({config.method}), which is tested "
            "where it is trained: give the folder of a few-shot run"
        )


def open_body(config: Config) -> tuple[Config, Body | None]:
    """The pre-trained body that the config names, and the config with the digest of its weights.

    The config then names the body of the library that wrote them, by which it is made again. None
    where its backbone is none, or where another run's body is begun with.

    Raises:
      UserError: weights that are not there, damaged, or another network's; or flags of pre-trained
        bodies for one that is none.
    """
    if not is_pretrained(config.backbone):
        for name in ("weights", "input_size"):
            if getattr(config, name):
                raise UserError(
                    f"--{name} is of pre-trained bodies, and {config.backbone} is none: leave it "
                    "out, or choose such a --backbone"
                )
        return config, None
    if config.init_from:
        if config.weights:
            raise UserError(
                "--weights and --init_from both say what the body begins with: give one"
            )
        return config, None
    body = load_body(config.backbone, config.weights or None)
    digest = (body.digest or "")[:DIGITS]
    name = body.name or config.backbone
    return dataclasses.replace(config, backbone=name, weights=f"sha256:{digest}"), body


def sized(config: Config, inputs: InputSpec) -> InputSpec:
    """The images that a body takes, at --input_size.

    Raises:
      UserError: that is too large.
    """
    size = config.input_size
    if size > LARGEST_IMAGE:
        raise UserError(f"--input_size={size} is too large: at most {LARGEST_IMAGE}")
    return inputs._replace(size=(size, size)) if size else inputs


def inputs_of_body(config: Config, body: Body | None) -> InputSpec | None:
    """The images that a pre-trained body takes, at --input_size; None for those of the dataset."""
    if body is not None:
        return sized(config, body.inputs)
    if config.init_from and is_pretrained(config.backbone):
        return read_trained(Path(config.init_from)).inputs
    return None


def open_lab(config: Config, body: Body | None = None, inputs: InputSpec | None = None) -> Lab:
    """The dataset on the devices: as many as share out the tasks evenly.

    Args:
      config: the settings.
      body: a pre-trained one that they name, see `open_body`.
      inputs: the images that a trained body takes.

    Raises:
      UserError: no such dataset.
    """
    inputs = inputs or inputs_of_body(config, body)
    size = config.image_size
    # Of others the images stay as they are, which may be oblong
    squared = is_pretrained(config.backbone) and resizes(config.dataset)
    if squared and inputs is not None and not size:
        size = max(inputs.size)
    dataset = load(config.dataset, FLAGS.data_dir, FLAGS.cache_dir, config.seed, size or None)
    settings = (_devices(config), FLAGS.tasks_per_device, FLAGS.stream)
    return make_lab(dataset, *settings, inputs, body)


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


def on_devices(config: Config, lab: Lab) -> Lab:
    """The lab on as many devices as share out the tasks of another training evenly."""
    return lab._replace(mesh=mesh_of(_devices(config)))


def _devices(config: Config) -> int:
    return even_devices(config.meta_batch) if FLAGS.devices is None else FLAGS.devices


def tested_lab(config: Config, workdir: Path) -> Lab:
    """What a test of the run in a folder is made on: its own dataset, or --test_dataset.

    Raises:
      UserError: no such dataset; or the run is of an older version, or not finished.
    """
    set_up(config)
    inputs = read_trained(workdir).inputs
    if not config.test_dataset:
        return open_lab(config, inputs=inputs)
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
    """Join the other processes of a distributed run, unless an earlier one of a program has.

    Raises:
      UserError: they do not meet, or flags of distributed runs without --distributed.
    """
    alone = [name for name in HOSTS if FLAGS[name].value is not None]
    if FLAGS.distributed and not jax.distributed.is_initialized():
        join(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    if alone and not FLAGS.distributed:
        raise UserError(f"--{alone[0]} is for runs of several processes: add --distributed")
