"""Which data sets' classes the runs that another begins from were trained on."""

from pathlib import Path

from metalearn.config import Config
from metalearn.data import READERS
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.learners.registry import CLASSIFYING
from metalearn.records.record import STAGES, all_stages
from metalearn.records.workdir import Saved, read_workdir

CIFAR_100 = frozenset({"cifar100", "cifar_fs", "fc100"})  # the same classes
OWN = frozenset({"folder", "labelled"})  # names of whatever images a user has
FIXED = frozenset(READERS) - OWN


def check_new_to_body(config: Config, tested: Dataset) -> None:
    """See that no classifier that a run begins from was trained on the classes of the test.

    `experiments.pretrain` and `transfer` learn a data set's test classes, from half of the images
    of each, or with `--learned=valid` its validation classes.

    Args:
      config: of the run; its stages name folders.
      tested: the data set of the test.

    Raises:
      UserError: one was.
    """
    for role in STAGES:
        if folder := getattr(config, role):
            saved = read_workdir(Path(folder))
            for trained in (*(stage.config for stage in all_stages(saved.lineage)), saved.config):
                if _shows(trained, saved, tested):
                    raise UserError(
                        f"--{role}={folder}: {trained.method} was trained on {trained.dataset} "
                        f"there, and {tested.name}'s test classes are among what it learned: begin "
                        "with another run, or test on another --test_dataset"
                    )


def _shows(trained: Config, saved: Saved, tested: Dataset) -> bool:
    """Whether a training showed a data set's test classes.

    Args:
      trained: settings of the training.
      saved: the run that it led to, or is.
      tested: the data set.
    """
    if trained.method not in CLASSIFYING or not trained.steps:
        return False
    for name in (trained.dataset, trained.target):
        if name != tested.name and {name, tested.name} <= CIFAR_100:
            return True
        same = name in FIXED or (trained == saved.config and saved.images == tested.digest)
        others = trained.learned == "valid" and not tested.shared  # the validation classes
        if name == tested.name and same and not others:
            return True
    return False
