"""A body that is about to be trained for another domain: its batches, its running statistics."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.episodes import as_source
from metalearn.data.sampler import batch_sampler
from metalearn.data.source import Split
from metalearn.domains.deep.types import Pair, Trainee
from metalearn.evaluation.statistics import batches_of, pool_moments
from metalearn.parallel import replicate
from metalearn.training.gradient import Sample
from metalearn.training.lab import Lab
from metalearn.types import Array, Key, Network, PyTree, random_key


class Adaptation(NamedTuple):
    """A body about to be trained for another domain.

    Attributes:
      config: the settings.
      network: what is trained; its features are vectors.
      trainee: the method.
      source: its images on the devices.
      target: the same; as labels are not known, all of its training images are of one class.
      few: its labelled images; None for none.
      begun: what a training on the source alone left; None where the method begins from none.
    """

    config: Config
    network: Network
    trainee: Trainee
    source: Lab
    target: Lab
    few: Split | None
    begun: PyTree | None

    @property
    def classes(self) -> int:
        """C."""
        return len(self.source.dataset.train.counts)


def without_labels(split: Split) -> Split:
    """The split with all of its images in one class."""
    counts = np.array([len(split.images)], np.int32)
    return Split(split.images, counts, ("",))


def drawn(about: Adaptation) -> Sample:
    """`(key, (source, target, few)) -> Pair`, of as many images of each."""
    config = about.config
    augment = augmentation(config.augment)
    (of_source, of_target) = (
        batch_sampler(config.batch_size, lab.prepare, augment)
        for lab in (about.source, about.target)
    )

    def sample(key: Key, split: Any) -> Pair:
        (source, target, few) = split
        keys = jax.random.split(key, 3)
        rows = of_target.rows(keys[1], target.starts, target.counts)
        labelled = None if few is None else of_target(keys[2], few)
        return Pair(of_source(keys[0], source), of_target(keys[1], target).x, rows, labelled)

    return sample


def split_of(about: Adaptation) -> PyTree:
    """What batches are drawn from: source, target, and the target's labelled images or None."""
    mesh = about.source.mesh
    few = None if about.few is None else replicate(as_source(about.few, 1), mesh)
    return about.source.train, about.target.train, few


def first_images(about: Adaptation) -> Array:
    """An image, or the features of one, of zeros: it gives the shapes."""
    images = about.source.dataset.train.images
    shape = images.shape[1:] if images.dtype == np.float32 else about.source.inputs.shape
    return jnp.zeros((1, *shape))


def statistics(about: Adaptation, images: Callable[[Pair], Array]) -> Callable[[PyTree], PyTree]:
    """`body -> {body: moments}`, running statistics of some images of batches; {} without any.

    They are of batches as in training, augmented where these are.
    """
    sample = drawn(about)
    split = split_of(about)
    size = about.config.batch_size
    keys = jax.random.split(random_key(0), batches_of(size))

    @jax.jit
    def measured(body: PyTree, split: PyTree) -> PyTree:
        def of_batch(key: Key) -> PyTree:
            return about.network.moments(body, images(sample(key, split)))

        return pool_moments(jax.lax.map(of_batch, keys))

    x = first_images(about)
    keeps = bool(
        jax.eval_shape(
            lambda key: about.network.moments(about.network.init(key, x), x), random_key(0)
        )
    )
    return lambda body: {"body": measured(body, split)} if keeps else {}


def exporter(about: Adaptation) -> Callable[[PyTree], PyTree]:
    """`meta -> {body, classifier, moments}`, with running statistics as `running_statistics`.

    They are of those images that the method says.
    """
    of_images = statistics(about, about.trainee.images)

    def ready(meta: PyTree) -> PyTree:
        classifier = meta["classifier"] if "classifier" in meta else meta["fixed"]["classifier"]
        found = {"body": meta["body"], "classifier": classifier}
        moments = of_images(meta["body"])
        return found | ({"moments": moments} if moments else {})

    return ready


def source_side(about: Adaptation) -> Callable[[PyTree], PyTree]:
    """`ready -> ready`, as the method has the source's images go through the body.

    With running statistics of the source's images; of methods that train a body for the target
    alone, by the body that they began from.
    """
    of_source = statistics(about, lambda pair: pair.source.x)

    def ready(found: PyTree) -> PyTree:
        if about.trainee.two_bodies:
            assert about.begun is not None  # such methods begin from a training on the source
            found = found | {"body": about.begun["body"]}
        moments = of_source(found["body"])
        return found | ({"moments": moments} if moments else {})

    return ready
