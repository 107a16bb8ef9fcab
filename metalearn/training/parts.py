"""What a training is made of, and what validation and test need of it."""

from collections.abc import Callable

import jax
import numpy as np

from metalearn.config import Config
from metalearn.data.augment import THEMSELVES, Copies, augmentation
from metalearn.data.episodes import check
from metalearn.data.sampler import Sampler, batch_sampler, task_sampler, turn, turn_all
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.evaluation.episodes import draw_episodes
from metalearn.evaluation.evaluator import evaluator
from metalearn.evaluation.metrics import Result
from metalearn.evaluation.statistics import running_statistics
from metalearn.learners.method import Method, make_method
from metalearn.learners.recipes import unmirrored
from metalearn.learners.registry import GRADIENT
from metalearn.training.lab import Lab, split_source
from metalearn.types import PyTree


def training_sampler(config: Config, lab: Lab, supervised: bool) -> Sampler:
    """What draws training batches, of as many tasks as the lab's devices share out.

    Raises:
      UserError: as `batches`, or a batch cannot be shared out.
    """
    if config.meta_batch % lab.mesh.size:
        raise UserError(
            f"--meta_batch={config.meta_batch} cannot be shared out to {lab.mesh.size} devices: "
            "give a multiple, or fewer --devices"
        )
    return batches(config, lab, supervised)


def batches(config: Config, lab: Lab, supervised: bool) -> Sampler:
    """What draws batches: episodes of the training classes, or images of all of them.

    Raises:
      UserError: the dataset has too few classes or images.
    """
    augment = augmentation(config.augment)
    if supervised:
        if config.batch_size % config.meta_batch:
            raise UserError(
                f"--batch_size={config.batch_size} is no multiple of "
                f"--meta_batch={config.meta_batch}"
            )
        sample = batch_sampler(config.batch_size // config.meta_batch, lab.prepare, augment)
        return turned(sample, lab.dataset, config.all_turns) if config.rotation else sample
    shape = (config.train_ways, config.train_shots, config.train_queries)
    where = f"{lab.dataset.name}'s training split"
    check(lab.dataset.train, where, *shape, lab.dataset.rotations, lab.dataset.more_by_seed)
    if config.most_train_shots >= config.train_shots + config.train_queries:
        images = f"{config.train_shots} shots + {config.train_queries} queries"
        raise UserError(
            f"--most_train_shots={config.most_train_shots} leaves no queries of {images} in "
            "training: lower it, or raise --train_queries"
        )
    largest = int(np.max(lab.dataset.train.counts))
    return task_sampler(largest, *shape, lab.prepare, augment, config.most_train_shots)


def turned(sampler: Sampler, dataset: Dataset, all_turns: bool = False) -> Sampler:
    """The sampler of batches that are then turned, see `turn` and `turn_all`.

    Raises:
      UserError: turned images would be another class, or of another shape.
    """
    height, width = dataset.train.images.shape[1:3]
    if dataset.rotations > 1:
        raise UserError(
            f"--rotation: turned images are classes of their own in {dataset.name}; leave it out"
        )
    if height != width:
        raise UserError(
            f"--rotation turns square images, those of {dataset.name} are {height} x {width}: "
            "--image_size"
        )
    turn_batch = turn_all if all_turns else turn
    return Sampler(sampler.rows, lambda key, source: turn_batch(sampler.make(key, source)))


def support_copies(config: Config, dataset: str) -> Copies:
    """The copies of support images that heads are fitted to at test.

    They are augmented as in Tian et al. 2020's last code; digits and letters are not mirrored.

    Args:
      config: the settings.
      dataset: name of the one that is tested on.
    """
    if config.support_copies == 1:
        return THEMSELVES
    return Copies(
        config.support_copies, augmentation("crop" if unmirrored(dataset) else "crop,flip")
    )


def tasks_at_once(asked: int) -> int:
    """How many tasks a device trains on at a time (0: all of its share).

    As many as asked for, if that is not 0. Else on a CPU one: kernels of several tasks at once are
    slower there, and so are several tasks that share their kernels (`experiments.protonet` on one
    core: half the tasks a second).
    """
    one = jax.local_devices()[0].platform == "cpu"
    return asked or int(one)


def make_trained(config: Config, lab: Lab, seeds: int = 1, classes: int | None = None) -> Method:
    """The config's method, to be trained by so many seeds at once.

    Args:
      config: the settings.
      lab: the dataset.
      seeds: trained together.
      classes: that it is trained on; by default this dataset's.

    Raises:
      UserError: as `make_method`.
    """
    shared = seeds == 1 and (config.method not in GRADIENT or tasks_at_once(lab.at_once) == 1)
    return make_method(config, lab.classes if classes is None else classes, shared)


def check_test(config: Config, lab: Lab, split: str) -> None:
    """Raise `UserError` unless the split `valid` or `test` has what test episodes need."""
    name = {"valid": "validation", "test": "test"}[split]
    where = f"{lab.dataset.name}'s {name} split"
    shape = (config.ways, config.shots, config.queries)
    check(
        getattr(lab.dataset, split), where, *shape, lab.dataset.rotations, lab.dataset.more_by_seed
    )


def check_new_classes(config: Config, trained: Dataset, tested: Dataset) -> None:
    """See that training does not show the test's classes, of this dataset or of another.

    Raises:
      UserError: a class of the test split is one that is trained on.
    """
    if not config.steps:
        return
    if seen := sorted(set(trained.train.names) & set(tested.test.names)):
        raise UserError(
            f"{config.method} is tested on classes that are new to it, but {trained.name} trains "
            f"on {len(seen)} of {tested.name}'s test classes, such as {seen[0]}: test it on "
            "another with --test_dataset, or train on a dataset of other classes"
        )


def make_validate(config: Config, method: Method, lab: Lab) -> Callable[[PyTree], Result]:
    """`meta -> Result` on the validation split's episodes, under the normalisation of training.

    meta has running statistics where the method needs them.
    """
    check_test(config, lab, "valid")
    source = split_source(lab, "valid")
    learner = method.test(config.norm)
    shape = (config.ways, config.shots, config.queries)
    episodes = draw_episodes(source, config.valid_episodes, *shape, seed=config.eval_seed)
    where = (source, episodes, lab.prepare, lab.mesh)
    copies = support_copies(config, lab.dataset.name)
    return evaluator(learner, *where, block=lab.at_once or None, copies=copies)


def with_running_statistics(config: Config, method: Method, lab: Lab) -> Callable[[PyTree], PyTree]:
    """`meta -> meta` with the running statistics of training, see `running_statistics`.

    They are of the body, so that every head of the method's kind can be tested with them; where
    the method has none, or meta holds them already, it stays as it is.

    Args:
      config: of the training.
      method: that was trained.
      lab: the dataset that it was trained on.
    """
    if config.method in GRADIENT:
        return lambda meta: meta
    layers = "running" if config.norm in ("batch", "support") else config.norm
    sampler = batches(config, lab, method.supervised)
    frozen = lab.body is not None and not config.steps
    known = lab.body.moments if lab.body is not None and frozen else None
    measured = running_statistics(method.test(layers).moments, lab.train, sampler, known=known)
    return lambda meta: meta if "moments" in meta else measured(meta)
