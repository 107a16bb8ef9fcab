"""The body and the images that the flags of a classifier ask for."""

import dataclasses
from functools import partial
from pathlib import Path

from experiments._cli.define import FLAGS
from experiments._cli.lab import open_body, sized
from metalearn.classifiers.body import body_of_run, body_without_weights
from metalearn.classifiers.choice import AUTO, available, ranked
from metalearn.classifiers.source import Source
from metalearn.config import Config
from metalearn.data import load, resizes
from metalearn.data.cache import default_root, expanded
from metalearn.data.inputs import inputs_of
from metalearn.data.labels import labelled
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.learners.registry import CLASSIFYING
from metalearn.learners.supervised_recipes import usual_size
from metalearn.models import is_pretrained
from metalearn.models.zoo import make_body
from metalearn.records.divided import check_division
from metalearn.records.workdir import Saved, read_workdir
from metalearn.retest import read_trained
from metalearn.training.lab import even_devices
from metalearn.training.material import Material, gather
from metalearn.transfer.ranking import said
from metalearn.types import Body, InputSpec


def with_best_body(config: Config) -> Config:
    """The config with the best body in place of `auto`; says why it is the best.

    Each body takes images of its own size, unless --input_size is given.

    Raises:
      UserError: --init_from or --weights beside auto, no weights, or as `open_material`.
    """
    if config.backbone != AUTO:
        return config
    if config.init_from or config.weights or CLASSIFYING[config.method].random:
        raise UserError(
            "--backbone=auto chooses of the bodies whose weights are here: leave out --init_from, "
            "--weights and --strategy=scratch"
        )
    if config.labels == 1:
        raise UserError(
            "--backbone=auto compares bodies by images held out in turn, which needs two a class: "
            "give --labels=2 or more, or name a --backbone"
        )
    folder = Path(FLAGS.weights_dir) if FLAGS.weights_dir else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"--weights_dir={folder} is no folder")
    files = available(folder)

    def named(name: str) -> Config:
        size = usual_size(name) if FLAGS.input_size is None else FLAGS.input_size
        weights = str(files[name] or "")
        return dataclasses.replace(config, backbone=name, weights=weights, input_size=size)

    found = ranked(list(files), lambda name: open_material(probe(named(name)))[1])
    print(said(found))
    return named(found[0].name)


def probe(config: Config) -> Config:
    """The config as that of a probe, which trains no stage."""
    return dataclasses.replace(config, method="probe")


def open_material(config: Config, folder: str | None = None) -> tuple[Config, Material]:
    """The body and the images that the config names, and the config with its weights' digest.

    Args:
      config: settings.
      folder: with the dataset's files; None for that of --data_dir.

    Raises:
      UserError: no such dataset or body, or they do not fit.
    """
    (config, body, inputs) = _open_weights(config)
    size = config.image_size
    if inputs is not None and not size and resizes(config.dataset):
        size = max(inputs.size)
    folder = folder or FLAGS.data_dir
    dataset = load(config.dataset, folder, FLAGS.cache_dir, config.seed, size or None)
    if inputs is None:
        inputs = inputs_of(dataset)
    if body is None:
        body = body_without_weights(config, inputs)
    devices = even_devices(config.meta_batch) if FLAGS.devices is None else FLAGS.devices
    root = expanded(FLAGS.cache_dir) if FLAGS.cache_dir else default_root()
    options = (devices, FLAGS.tasks_per_device, FLAGS.stream)
    material = gather(config, dataset, body, inputs, root, options)
    if config.init_from:
        again = partial(_loaded, inputs=inputs, folder=folder)
        check_division(config, dataset, material.labelled.names, again)
    return config, material


def _loaded(saved: Saved, inputs: InputSpec | None, folder: str | None) -> Dataset:
    """The data set of an earlier run, read as for that run.

    Args:
      saved: the run.
      inputs: the images that its body takes, if that is known.
      folder: with the data set's files.

    Raises:
      UserError: its images are not there, or cannot be read.
    """
    there = saved.config
    size = there.image_size
    if inputs is not None and not size and resizes(there.dataset):
        size = max(inputs.size)
    return load(there.dataset, folder, FLAGS.cache_dir, there.seed, size or None)


def open_source(config: Config) -> Source:
    """The test images of the run that `--init_from` names, and its classifier.

    Raises:
      UserError: no such run, or one that classifies no fixed classes; or its dataset is not there,
        or is another one.
    """
    saved = read_workdir(Path(config.init_from)) if config.init_from else None
    if saved is None or saved.config.method not in CLASSIFYING:
        raise UserError(
            "--test_source tests the classes of an earlier run of experiments.pretrain or "
            "transfer: name it by --init_from, or leave this out"
        )
    there = saved.config
    trained = read_trained(Path(config.init_from))
    dataset = _loaded(saved, trained.inputs, FLAGS.source_data_dir or FLAGS.data_dir)
    if saved.images and saved.images != dataset.digest:
        raise UserError(
            f"--test_source: {config.init_from} was trained on other images of {there.dataset} "
            "than these: name their folder by --source_data_dir"
        )
    test = labelled(dataset, 0, there.learned).test
    images = getattr(dataset, test.split).images[test.rows]
    return Source(images, test.labels, trained.meta["classifier"])


def _open_weights(config: Config) -> tuple[Config, Body | None, InputSpec | None]:
    """The body with its weights, None for random ones; the images that it takes, None for any."""
    random = CLASSIFYING[config.method].random
    if random and config.init_from:
        raise UserError("--init_from: scratch begins with random weights: choose another strategy")
    _check_read(config, random)
    if config.init_from:
        body = body_of_run(config)
        return config, body, body.inputs
    if not is_pretrained(config.backbone):
        if not random:
            raise UserError(
                f"--backbone={config.backbone} has no published weights: begin with a run by "
                f"--init_from, or train it by --strategy=scratch"
            )
        return config, None, None
    if random:
        if config.initial != Config.initial:
            raise UserError(
                f"--initial={config.initial}: {config.backbone} has initial weights of its own: "
                "leave it out"
            )
        return config, None, sized(config, make_body(config.backbone).inputs)
    (config, found) = open_body(config)
    assert found is not None
    inputs = sized(config, found.inputs)
    whole = body_without_weights(config, inputs)
    return config, found._replace(network=whole.network, inputs=inputs), inputs


def _check_read(config: Config, random: bool) -> None:
    """See that flags of a pre-trained body's weights and images are read.

    Raises:
      UserError: they are not.
    """
    given = {name for name in ("weights", "input_size") if FLAGS[name].present}
    if "weights" in given and (config.init_from or random):
        what = "--init_from says" if config.init_from else "random numbers are"
        raise UserError(f"--weights: {what} what the body begins with: leave one of them out")
    if "input_size" in given and config.init_from:
        raise UserError(
            "--input_size: the body of --init_from takes images of the size that it was trained "
            "on: leave it out"
        )
    for name in sorted(given) if not is_pretrained(config.backbone) else ():
        raise UserError(
            f"--{name} is of pre-trained bodies, and {config.backbone} is none: leave it out, or "
            "choose such a --backbone"
        )
