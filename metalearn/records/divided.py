"""Whether the runs that a classifier begins from were trained on images that it is tested on."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from metalearn.config import Config
from metalearn.data import plain
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.records.seen import CIFAR_100, OWN
from metalearn.records.workdir import Saved, holds_run, read_workdir

BETWEEN = "+"  # the digests of two data sets
POOLED = ("cifar_fs", "fc100")  # of training and test images of their source
Again = Callable[[Saved], Dataset]  # the data set of a run's settings, of the images that are here


def check_division(
    config: Config, dataset: Dataset, names: tuple[str, ...], load_again: Again
) -> None:
    """See that no run that `--init_from` names was trained on images that are tested here.

    Of the same classes, another seed, size or way of reading divides the images otherwise. Of a
    user's own folders the name tells nothing: then the run's data set is loaded again, to see
    whether it was of these images.

    Args:
      config: of the classifier.
      dataset: of its images.
      names: of its classes.
      load_again: loads the data set of an earlier run.

    Raises:
      UserError: one may have been.
    """
    for saved in _trainings(Path(config.init_from)):
        if not saved.images or dataset.digest in saved.images.split(BETWEEN):  # divided as here
            continue
        known = names if saved.classes is None else saved.classes
        common = sorted(set(known) & set(names))
        there = saved.config
        sources = [name for name in (there.dataset, there.target) if _one_source(name, dataset)]
        if not common or not sources:
            continue
        if dataset.name in OWN and not _same_images(saved, load_again):
            print(_perhaps(config, common[0]), file=sys.stderr)
            continue
        raise UserError(
            f"--init_from={config.init_from}: {there.method} was trained on images of "
            f"{sources[0]} by --seed={there.seed}, which are divided otherwise here, so that it "
            f"has seen some of the test images, such as of {common[0]}: give --seed={there.seed}, "
            "the same --dataset and --image_size, and --seeds=1, or begin with another run"
        )


def _trainings(folder: Path) -> Iterator[Saved]:
    """The run in a folder and those that it began from, as far as their folders are there."""
    saved = read_workdir(folder)
    if saved.config.steps:
        yield saved
    before = saved.config.init_from
    if before and holds_run(Path(before)):
        yield from _trainings(Path(before))


def _one_source(name: str, dataset: Dataset) -> bool:
    """Whether the training images of a data set may be test images of another, by their names."""
    first, second = plain(name), plain(dataset.name)
    same = first == second or {first, second} <= CIFAR_100 or {first, second} <= OWN
    if dataset.shared and not dataset.by_seed:  # the test images are as published
        return same and (name in POOLED or name.startswith("tfds:"))
    return same


def _same_images(saved: Saved, load_again: Again) -> bool:
    try:
        return load_again(saved).digest in saved.images.split(BETWEEN)
    except UserError:  # the images here cannot be read as that data set
        return False


def _perhaps(config: Config, name: str) -> str:
    return (
        f"note: --init_from={config.init_from} was trained on other images of the same classes, "
        f"such as {name}: if some of these are among them, it may have seen test images"
    )
