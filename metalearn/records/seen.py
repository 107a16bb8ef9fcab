"""Which classes the runs that another begins from have learned."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from metalearn.config import Config
from metalearn.data import plain
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.learners.registry import CLASSIFYING
from metalearn.records.record import all_stages
from metalearn.records.workdir import Saved, read_workdir
from metalearn.settings import STAGES

CIFAR_100 = frozenset({"cifar100", "cifar_fs", "fc100"})
# Data sets of the same classes, each divided otherwise, or of other images
FAMILIES = (
    CIFAR_100,
    frozenset({"grocery", "grocery_iconic"}),
    frozenset({"mnist", "usps"}),
)
OWN = frozenset({"folder", "labelled"})  # names of whatever images a user has


def learned_by(config: Config, names: Iterable[str]) -> tuple[str, ...]:
    """The classes that a run has learned once it is trained, and those that it began with.

    Args:
      config: of the run; its stages name folders.
      names: of the classes that it is trained on.

    Raises:
      UserError: a folder that the settings name holds no run.
    """
    found = set(names) if config.steps else set()
    for role in STAGES:
        if folder := getattr(config, role):
            found |= set(read_workdir(Path(folder)).classes or ())
    return tuple(sorted(found))


def check_new_to_body(config: Config, tested: Dataset) -> None:
    """See that no run that another begins from has learned the classes of the test.

    `experiments.pretrain` and `transfer` learn a data set's test classes, from half of the images
    of each, or with `--learned=valid` its validation classes. A few-shot run learns the training
    classes, which may be the test classes of another data set, or by another seed.

    Args:
      config: of the run; its stages name folders.
      tested: the data set of the test.

    Raises:
      UserError: one has.
    """
    for role in STAGES:
        if folder := getattr(config, role):
            saved = read_workdir(Path(folder))
            if why := _learned(saved, tested):
                raise UserError(
                    f"--{role}={folder}: {why}: begin with another run, or test on another "
                    "--test_dataset"
                )


def check_new_to_run(workdir: Path, tested: Dataset) -> None:
    """See that a finished run has not learned the classes that it is to be tested on.

    Args:
      workdir: the run's folder.
      tested: the data set of the test.

    Raises:
      UserError: it has, or a run that it began from.
    """
    if why := _learned(read_workdir(workdir), tested):
        raise UserError(f"{workdir}: {why}: test it on another --test_dataset, or another run")


def _learned(saved: Saved, tested: Dataset) -> str:
    """Why classes of the test are not new to a run, in words; '' if they are."""
    if seen := sorted(set(saved.classes or ()) & set(tested.test.names)):
        return (
            f"{len(seen)} of {tested.name}'s test classes are among what it learned, such as "
            f"{seen[0]}"
        )
    for trained in _untold(saved):
        if _shows(trained, saved, tested):
            return (
                f"{trained.method} was trained on {trained.dataset} there, and {tested.name}'s "
                "test classes are among what it learned"
            )
    return ""


def _untold(saved: Saved) -> Iterator[Config]:
    """The trainings of which a folder may not say which classes they learned."""
    yield from (stage.config for stage in all_stages(saved.lineage))
    if saved.classes is None:  # a run of an older version
        yield saved.config


def _shows(trained: Config, saved: Saved, tested: Dataset) -> bool:
    """Whether a training showed a data set's test classes, by the names of the data sets.

    Args:
      trained: settings of the training.
      saved: the run that it led to, or is.
      tested: the data set.
    """
    if not trained.steps:
        return False
    for name in filter(None, (trained.dataset, trained.target)):
        if name != tested.name:
            if of_same_classes(name, tested.name):
                return True
        elif trained.method not in CLASSIFYING:
            if tested.shared:
                return True
        elif name not in OWN or (trained == saved.config and saved.images == tested.digest):
            if trained.learned != "valid" or tested.shared:  # the validation classes
                return True
    return False


def of_same_classes(one: str, other: str) -> bool:
    """Whether data sets of two names have the same classes, as far as names tell."""
    first, second = plain(one), plain(other)
    if first == second:
        return first not in OWN
    return any({first, second} <= family for family in FAMILIES)
