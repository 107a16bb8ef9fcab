"""The training of a body for another domain, assembled of both domains' images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.episodes import as_source
from metalearn.data.sampler import batch_sampler
from metalearn.data.source import Split
from metalearn.domains.deep.types import Pair, Trainee
from metalearn.errors import UserError
from metalearn.evaluation.blocks import Blocks
from metalearn.evaluation.statistics import LEAST_BATCHES, LEAST_IMAGES, pool_moments
from metalearn.ops.classifier import classify
from metalearn.ops.optimizers import make_optimizer
from metalearn.parallel import replicate
from metalearn.training.assemble import Training, assembled
from metalearn.training.gradient import Sample
from metalearn.training.lab import Lab
from metalearn.training.parts import training_sampler
from metalearn.training.plan import Plan, Validate
from metalearn.training.progress import headline, place_of
from metalearn.training.state import Run
from metalearn.training.step import TrainState
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


def check_placed(about: Adaptation) -> None:
    """See that both domains' images are on the devices, one batch a step.

    Raises:
      UserError: they are not.
    """
    if about.source.streamed or about.target.streamed:
        raise UserError(
            "--stream: both domains' images are taken from the device; leave it out, or give "
            "smaller images"
        )
    if about.config.meta_batch != 1:
        raise UserError(
            f"--meta_batch={about.config.meta_batch}: a step takes one batch of both domains; "
            "leave it out, and give --batch_size"
        )


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


def statistics(about: Adaptation, images: Callable[[Pair], Array]) -> Callable[[PyTree], PyTree]:
    """`body -> {body: moments}`, running statistics of some images of batches; {} without any.

    They are of batches as in training, augmented where these are.
    """
    sample = drawn(about)
    split = split_of(about)
    size = about.config.batch_size
    keys = jax.random.split(random_key(0), max(LEAST_BATCHES, -(-LEAST_IMAGES // size)))

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


def first_images(about: Adaptation) -> Array:
    """An image, or the features of one, of zeros: it gives the shapes."""
    images = about.source.dataset.train.images
    shape = images.shape[1:] if images.dtype == np.float32 else about.source.inputs.shape
    return jnp.zeros((1, *shape))


def answering(about: Adaptation, lab: Lab) -> Blocks:
    """`(ready, images [M,...]) -> [M,D+C]`, features and logits of one domain's images."""
    prepare = lab.prepare

    def answers(ready: PyTree, x: Array) -> Array:
        known = ready["moments"]["body"] if "moments" in ready else None
        z = about.network.apply(ready["body"], prepare(x), known)
        return jnp.concatenate([z, classify("linear", ready["classifier"], z)], -1)

    return Blocks(answers, lab.mesh)


def refresher(about: Adaptation) -> Callable[[PyTree], PyTree] | None:
    """`meta -> meta` with what is recomputed of all of the target's training images."""
    refresh = about.trainee.refresh
    if refresh is None:
        return None
    export = exporter(about)
    answers = answering(about, about.target)
    images = about.target.dataset.train.images

    def refreshed(meta: PyTree) -> PyTree:
        found = answers(export(meta), images)
        (z, logits) = np.split(found, [-about.classes], 1)
        made: PyTree = refresh(meta, jnp.asarray(logits), jnp.asarray(z))
        return replicate(made, about.source.mesh)

    return refreshed


def optimizer_of(config: Config) -> optax.GradientTransformation:
    """The config's optimiser; {fixed} has none, and stays as it is.

    Raises:
      UserError: as `make_optimizer`.
    """
    kinds: dict[Any, optax.GradientTransformation] = {
        "trained": make_optimizer(config),
        "fixed": optax.set_to_zero(),
    }
    return optax.partition(
        kinds, lambda meta: {name: "fixed" if name == "fixed" else "trained" for name in meta}
    )


def adaptation_plan(about: Adaptation, validate: Validate) -> Plan:
    """The plan of the body's training.

    Args:
      about: to be trained.
      validate: `(step, ready) -> Validated`.

    Raises:
      UserError: settings that do not fit.
    """
    check_placed(about)
    config = about.config
    optimizer = optimizer_of(config)
    refresh = refresher(about)

    def initial(key: Key, x: Array) -> PyTree:
        return about.trainee.init(key, x, about.classes, about.begun)

    def fresh(run: Run) -> TrainState:
        # Copied: the state is donated to every chunk, what it begins from is to stay
        meta = jax.tree.map(
            jnp.array, jax.jit(initial)(random_key(config.seed), first_images(about))
        )
        meta = meta if refresh is None else refresh(meta)
        state = TrainState(jnp.zeros((), jnp.int32), meta, jax.jit(optimizer.init)(meta))
        return replicate(state, about.source.mesh)

    def training(run: Run) -> Training:
        sampler = training_sampler(config, about.source, True)
        parts = (initial, about.trainee.loss, optimizer, sampler, True)
        return assembled(config, about.source, *parts, (drawn(about), split_of(about)))

    def line(run: Run, step: int, over: bool) -> str:
        few = f", {config.target_labels} labels a class of it" if config.target_labels else ""
        what = f"{config.method} from {config.dataset} to {config.target}, {config.backbone}{few}"
        return headline(config, what, place_of(about.source, run.workdir), step, over)

    return Plan(
        lab=about.source,
        fresh=fresh,
        begin=lambda run, fresh: fresh,
        training=training,
        ready=lambda run: exporter(about),
        validate=lambda run: validate,
        headline=line,
        refresh=None if refresh is None else lambda run: refresh,
    )
