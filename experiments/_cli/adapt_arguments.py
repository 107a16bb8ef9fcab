"""Flags of a comparison of domain adaptation, and what they ask for."""

from pathlib import Path
from typing import Any

from experiments._cli.define import FLAGS, define_choice, define_flag
from experiments._cli.flags import (
    MOST_SEEDS,
    adapting_config,
    body_of_earlier,
    check_of,
    classifier_config,
    define,
    settings_given,
)
from experiments._cli.places import check_run_folder
from experiments._cli.unread import check_optimizer
from metalearn.config import Config
from metalearn.data import NAMES
from metalearn.domains.classifiers import CLASSIFIERS, NEAREST
from metalearn.domains.deep.registry import ALL as OF_BODIES
from metalearn.domains.deep.registry import DEEP, methods_of
from metalearn.domains.registry import METHODS, NONE
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.records.domain_pictures import KINDS, PCA
from metalearn.records.domains_store import comparison_workdir, trained_workdir
from metalearn.records.names import body_of

ALL = "all"
BODY = "body"
PIXELS = "pixels"
# Settings that pixels have a use for
OF_PIXELS = ("seed", "image_size")
# Settings that methods read which adapt features, beside those of a probe
OF_BOTH = ("target", "target_labels")
# Flags of methods that adapt features
OF_FEATURES = ("features", "pixels", "classifier", "images", "grid")


def define_adapt() -> None:
    """Define the flags."""
    define(None)
    names = ", ".join(NAMES)
    define_flag("source", None, f"data set whose labels are known: {names}")
    define_flag("target_data_dir", None, "folder with the files of --target [--data_dir]")
    define_choice(
        "features",
        PIXELS,
        (PIXELS, BODY),
        "what is adapted: grey pixels, each image of length one, or features of --backbone or "
        "--init_from",
    )
    define_flag("pixels", 16, "height and width for --features=pixels", int, lower_bound=1)
    define_flag(
        "methods",
        ["recentre", "z_score", "coral"],
        f"comma-separated: how features are adapted, {', '.join(METHODS)}, or all of these; or how "
        f"a body is trained, {', '.join(DEEP)}, or trained for all of these, those that "
        "learn from labels of the target with --target_labels alone; with "
        f"--classifier={NEAREST}, all leaves out weights of images",
        list,
    )
    define_choice("classifier", NEAREST, CLASSIFIERS, "what is fitted to the adapted features")
    define_flag(
        "images",
        1000,
        "training images of each domain in a draw, where there are more; 0 for all",
        lower_bound=0,
    )
    define_flag("grid", False, "try a few settings of each method, for validators to choose of")
    define_flag("draws", 3, "seeds, from --seed on", int, lower_bound=1, upper_bound=MOST_SEEDS)
    define_choice(
        "picture", PCA, (*KINDS, NONE), "how both domains' features of the first draw are drawn"
    )


def config_given() -> Config:
    """The settings of the body and of the source's images.

    Raises:
      UserError: no domains, or a flag that is not read.
    """
    given = settings_given()
    _check_domains(given)
    given = {name: value for name, value in given.items() if name not in OF_BOTH}
    for name in ("labels", "probe"):
        if name in given:
            other = {"labels": "images", "probe": "classifier"}[name]
            raise UserError(f"--{name} is not of domain adaptation: give --{other}")
    check_of(given, "probe")
    _check_features(given)
    begun = body_of_earlier(given["init_from"]) if given.get("init_from") else None
    return classifier_config("probe", given | {"dataset": FLAGS.source}, begun)


def trained_config_given(method: str) -> Config:
    """The settings of a body that is trained by a method, in the first draw.

    Raises:
      UserError: no domains, or a flag that is not read.
    """
    given = settings_given()
    _check_domains(given)
    for name in OF_FEATURES:
        if FLAGS[name].present:
            raise UserError(
                f"--{name} is of methods that adapt features, and {method} trains a body: leave it "
                "out"
            )
    if "init_from" in given:
        raise UserError(
            "--init_from: methods that begin from a training on the source begin from source_only "
            "of the same seed, which is made first; leave it out"
        )
    check_of(given, method)
    _check_one_device()
    config = adapting_config(method, given, FLAGS.source)
    check_optimizer(given, config)
    return config


def _check_one_device() -> None:
    """See that what is asked for is what a step is made of: one batch, on one device.

    Raises:
      UserError: it is not.
    """
    for name in ("devices", "meta_batch"):
        if FLAGS[name].value not in (None, 1):
            raise UserError(
                f"--{name}={FLAGS[name].value}: a step takes one batch of both domains, on one "
                "device: leave it out"
            )
    for name in ("stream", "tasks_per_device"):
        if FLAGS[name].value:
            raise UserError(f"--{name}: both domains' images lie on the device: leave it out")


def trains_bodies() -> bool:
    """Whether the methods that are asked for train a body.

    Raises:
      UserError: there is no such one; some do, and some adapt features.
    """
    if FLAGS.methods == [OF_BODIES]:
        return True
    if not FLAGS.methods:
        raise UserError("--methods names none: give some")
    for name in FLAGS.methods:
        if name not in (*METHODS, *DEEP) and FLAGS.methods != [ALL]:
            known = f"{', '.join(METHODS)}; or {', '.join(DEEP)}; or all, or trained, alone"
            raise UserError(f"no method '{name}': choose of {known}")
    deep = [name for name in FLAGS.methods if name in DEEP]
    other = [name for name in FLAGS.methods if name not in DEEP]
    if deep and other:
        raise UserError(
            f"--methods: {deep[0]} trains a body, and {other[0]} does not: compare them with their "
            "own kind, by two commands"
        )
    return bool(deep)


def bodies_given() -> list[str]:
    """The methods that are asked for which train a body, the source alone first."""
    return methods_of(FLAGS.methods, bool(FLAGS.target_labels))


def _check_domains(given: dict[str, Any]) -> None:
    for name in ("source", "target"):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing: give a data set, one of {', '.join(NAMES)}")
    if FLAGS.test_data_dir or "test_dataset" in given:
        raise UserError("the other domain is --target, its folder --target_data_dir: give these")
    if FLAGS.distributed:
        raise UserError("--distributed: this is made by one process; leave it out")


def _check_features(given: dict[str, Any]) -> None:
    if FLAGS.features == BODY and FLAGS["pixels"].present:
        raise UserError("--pixels is of --features=pixels: leave it out, or give --input_size")
    other = [name for name in given if name not in OF_PIXELS]
    if FLAGS.features == PIXELS and other:
        raise UserError(f"--{other[0]} is of --features=body: give that, or leave it out")


def methods_given() -> list[str]:
    """The methods that are asked for, the source alone first.

    `all` is those that the classifier takes notice of.

    Raises:
      UserError: it takes no notice of one that is asked for.
    """
    blind = FLAGS.classifier == NEAREST
    if FLAGS.methods == [ALL]:
        return [name for name in METHODS if not (blind and METHODS[name].weighs)]
    for name in FLAGS.methods:
        if blind and METHODS[name].weighs:
            others = ", ".join(kind for kind in CLASSIFIERS if kind != NEAREST)
            raise UserError(
                f"{name} gives images weights, of which --classifier={NEAREST} takes no notice: "
                f"give one of {others}"
            )
    return list(dict.fromkeys([NONE, *FLAGS.methods]))


def pixels_given() -> int:
    """The side of the pixels that are features; 0 for features of a body."""
    return FLAGS.pixels if FLAGS.features == PIXELS else 0


def checked_workdir(config: Config) -> Path:
    """The folder of the comparison, in which checkpoints can be kept.

    Raises:
      UserError: they cannot, or records cannot be written where --record asks for them.
    """
    if FLAGS.record:
        check_writable(Path(FLAGS.results_dir))
    workdir = _workdir_of(config)
    check_run_folder(workdir)
    return workdir


def _workdir_of(config: Config) -> Path:
    if FLAGS.workdir:
        return Path(FLAGS.workdir)
    if trains_bodies():
        return trained_workdir(config)
    features = f"pixels{FLAGS.pixels}" if FLAGS.features == PIXELS else body_of(config)
    return comparison_workdir(FLAGS.source, FLAGS.target, features)
