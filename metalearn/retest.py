"""A trained run, tested again: other episodes, another head, another dataset."""

from contextlib import closing
from pathlib import Path

import jax
import numpy as np

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.method import Method
from metalearn.learners.pretrained import base_classes
from metalearn.records.record import Record
from metalearn.records.seen import check_new_to_run
from metalearn.records.workdir import check_images, read_workdir
from metalearn.testing import check_settings, test_run, tested_norms, with_statistics
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.lab import Lab
from metalearn.training.loop import placed
from metalearn.training.parts import check_new_classes, check_test, make_trained
from metalearn.training.state import Run
from metalearn.training.trained import Trained
from metalearn.training.trees import shapes
from metalearn.types import random_key


def read_trained(workdir: Path) -> Trained:
    """What the finished run in a folder has trained.

    Raises:
      UserError: the folder holds no run, or the run is not finished or cannot be read.
    """
    config = read_workdir(workdir).config
    with closing(Checkpoints(workdir)) as checkpoints:
        return checkpoints.read_trained(config)


def test_again(config: Config, lab: Lab, workdir: Path, command: str) -> list[Record]:
    """Test the best checkpoint of a finished run again.

    With other test settings, by another method of its kind, or on another dataset.

    Args:
      config: the settings of the test.
      lab: the dataset to test on; where it is another than that of training, its `inputs` are those
        of the body.
      workdir: the run's folder.
      command: that makes this test.

    Raises:
      UserError: the run is not finished or cannot be read, or the settings do not fit it or the
        dataset.
    """
    run = read_workdir(workdir)
    if not config.test_dataset:
        check_images(workdir, lab.dataset.digest, lab.dataset.decoder)
        check_new_classes(config, lab.dataset, lab.dataset)
    check_new_to_run(workdir, lab.dataset)
    check_settings(config)
    check_test(config, lab, "test")
    trained = read_trained(workdir)
    classes = base_classes(trained.meta)
    method = make_trained(config, lab, classes=classes)
    own = make_trained(run.config, lab, classes=classes)
    _check_fits(config, method, run.config, own, trained, lab)
    if config.test_dataset and "moments" not in trained.meta and needs_statistics(config, method):
        raise UserError(
            f"{workdir} keeps no running statistics, as it is of an older version: train it again "
            "to test it on another dataset"
        )
    ready = placed(trained, lab)
    if not config.test_dataset:
        ready = with_statistics(run.config, own, lab, ready)
    return test_run(Run(config, workdir), method, lab, ready, f"{run.command} && {command}")


def needs_statistics(config: Config, method: Method) -> bool:
    """Whether a test of the method under its normalisations uses running statistics."""
    return any(method.test(norm).moments is not None for norm in tested_norms(config, method))


def _check_fits(
    config: Config, method: Method, trained: Config, own: Method, found: Trained, lab: Lab
) -> None:
    """Raise `UserError` unless what was trained is what the config's method trains."""
    x = np.zeros((1, *(found.inputs or lab.inputs).shape), np.float32)
    there = {k: v for k, v in found.meta.items() if k != "moments"}
    here = [jax.eval_shape(m.train.init, random_key(0), x) for m in (own, method)]
    if shapes(here[0]) != shapes(there):
        raise UserError(
            f"{trained.method} with {trained.backbone} on {trained.dataset} trains another model "
            "than that in its folder: an earlier version made it, or its files were mixed up; test "
            "it by the version that made it, or train it again in another --workdir"
        )
    if here[0] != here[1]:
        raise UserError(
            f"--method={config.method} is trained otherwise than {trained.method}: train it by "
            "itself"
        )
