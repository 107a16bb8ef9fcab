"""Knowledge distillation: a finished run's logits go with the training batches.

See `learners.pretrained`.
"""

from contextlib import closing

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.method import make_method
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.gradient import Sample
from metalearn.training.lab import Lab
from metalearn.training.parts import with_running_statistics
from metalearn.training.state import Run
from metalearn.types import Batch, InputSpec, Key, PyTree


def with_teacher(config: Config, teacher: Run, lab: Lab, sample: Sample) -> tuple[Sample, PyTree]:
    """The sampler of batches that hold a teacher's logits, and what it draws them from.

    That is the training split together with the teacher's parameters: arguments of the compiled
    step, neither trained nor saved. Like any tested network, the teacher normalises as its run does
    at test, by the running statistics of its own training.

    Args:
      config: of the run that is taught.
      teacher: the finished run that teaches it.
      lab: the dataset on the devices.
      sample: `(key, source) -> batch` without logits.

    Raises:
      UserError: the split is streamed, or the teacher is not finished, knows other classes, or
        takes other images than the student.
    """
    if lab.streamed:
        raise UserError("--teacher takes its images from the device: leave --stream out")
    trained, workdir, _ = teacher
    by_seed = lab.dataset.by_seed
    classes = split(config, by_seed)
    taught_there = split(trained, by_seed)
    if taught_there != classes:
        raise UserError(
            f"--teacher={workdir} knows the classes of {taught_there}, not those of {classes}"
        )
    method = make_method(trained, len(lab.train.counts))
    classify = method.train.classify
    if classify is None:
        raise UserError(
            f"--teacher={workdir}: {trained.method} does not classify the base classes, rfs does"
        )
    with closing(Checkpoints(workdir)) as checkpoints:
        best = checkpoints.read_trained(trained)
    if best.inputs is not None and not _alike(best.inputs, lab.inputs):
        raise UserError(
            f"--teacher={workdir} takes images of {best.inputs.size[0]} pixels by the mean "
            f"{best.inputs.mean}, and is shown the student's, of {lab.inputs.size[0]} by "
            f"{lab.inputs.mean}: choose a teacher and a student that take the same images"
        )
    ready = with_running_statistics(trained, method, lab)
    meta = ready(jax.device_put(best.meta, NamedSharding(lab.mesh, P())))

    # The teacher's parameters are an argument of the step, as the images are, and not constants of
    # the program, which would be compiled in. No gradient reaches them: the loss is differentiated
    # in the student's parameters, after the batch is drawn
    def taught(key: Key, source: PyTree) -> Batch:
        images, meta = source
        batch: Batch = sample(key, images)
        return batch._replace(teacher=classify(meta, batch.x))

    return taught, (lab.train, meta)


def _alike(one: InputSpec, other: InputSpec) -> bool:
    """Whether two networks are shown the same numbers of an image."""
    return one.shape == other.shape and np.allclose(
        [one.mean, one.std], [other.mean, other.std], rtol=1e-4
    )


def split(config: Config, by_seed: bool) -> str:
    """What decides a run's classes, their images and the size of these, in words.

    Args:
      config: its settings.
      by_seed: whether a seed shares out the data set, see `metalearn.data.source.Dataset`.
    """
    size = f" at {config.image_size} pixels" if config.image_size else ""
    drawn = f", split by seed {config.seed}" if by_seed else ""
    return f"{config.dataset}{size}{drawn}"
