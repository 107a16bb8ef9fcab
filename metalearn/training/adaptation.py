"""The training of a body for another domain, assembled of both domains' images."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.evaluation.blocks import Blocks
from metalearn.ops.classifier import classify
from metalearn.ops.optimizers import make_optimizer
from metalearn.parallel import replicate
from metalearn.runtime import quick_jit
from metalearn.training.assemble import Training, assembled
from metalearn.training.domain_batches import (
    Adaptation,
    drawn,
    exporter,
    first_images,
    split_of,
)
from metalearn.training.lab import Lab
from metalearn.training.parts import training_sampler
from metalearn.training.plan import Plan, Validate
from metalearn.training.progress import headline, place_of
from metalearn.training.state import Run
from metalearn.training.step import TrainState
from metalearn.types import Array, Key, PyTree, random_key


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
            jnp.array, quick_jit(initial)(random_key(config.seed), first_images(about))
        )
        meta = meta if refresh is None else refresh(meta)
        state = TrainState(jnp.zeros((), jnp.int32), meta, quick_jit(optimizer.init)(meta))
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
