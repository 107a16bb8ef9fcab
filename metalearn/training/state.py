"""A run, and the state that its training begins with."""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.method import layers_of
from metalearn.parallel import replicate
from metalearn.runtime import quick_jit
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.lab import Lab
from metalearn.training.step import TrainState, start
from metalearn.training.trees import shapes
from metalearn.types import Body, PyTree, random_key


class Run(NamedTuple):
    """A run.

    Attributes:
      config: its settings.
      workdir: the folder that is its alone.
      earlier: the finished runs that it begins from, by the setting that names their folder.
    """

    config: Config
    workdir: Path
    earlier: Mapping[str, "Run"] = MappingProxyType({})


def initial_state(
    config: Config,
    init: Callable[..., PyTree],
    lab: Lab,
    optimizer: optax.GradientTransformation,
) -> TrainState:
    """The state before the first step, on every device of every process.

    Args:
      config: the settings.
      init: `(key, x) -> meta`, of what is trained.
      lab: the dataset on the devices.
      optimizer: the outer optimiser.
    """
    x = jnp.zeros((1, *lab.inputs.shape))
    # One program: operation by operation, a body's layers are a hundred, each compiled
    fresh = quick_jit(partial(start, init, optimizer))
    state = fresh(jax.random.fold_in(random_key(config.seed), 0), x)
    return replicate(state, lab.mesh)


def begin(run: Run, fresh: TrainState, pretrained: Body | None = None) -> TrainState:
    """The state that training begins with: `fresh`, or with the body of an earlier run.

    Args:
      run: that begins.
      fresh: its state with random weights.
      pretrained: a body to begin with, unless the run names an earlier one.

    Raises:
      UserError: the earlier run is not finished, or its body is another network or not whole.
    """
    if "init_from" not in run.earlier:
        return fresh if pretrained is None else _with_body(fresh, pretrained.params)
    trained, workdir, _ = run.earlier["init_from"]
    check_whole_body(workdir, trained, run.config)
    with closing(Checkpoints(workdir)) as checkpoints:
        found = checkpoints.read_trained(trained).meta["body"]
    alike = layers_of(trained.norm) == layers_of(run.config.norm)
    # Group and layer normalisation have parameters of the same shapes as batch normalisation
    if not alike or shapes(found) != shapes(fresh.meta["body"]):
        norm = "" if alike else trained.norm
        raise UserError(
            f"--init_from={workdir}: {trained.backbone} ({trained.norm}) is another body than this "
            f"run's, {run.config.backbone} ({run.config.norm}): give --backbone={trained.backbone}"
            f"{norm and f' --norm={norm}'}"
        )
    return _with_body(fresh, found)


def check_whole_body(workdir: Path, there: Config, here: Config) -> None:
    """See that a body is handed over whole: MAML++ keeps its normalisation layers apart.

    Args:
      workdir: folder of the earlier run.
      there: its settings.
      here: those of the run that begins from it.

    Raises:
      UserError: it is not.
    """
    apart = [c for c in (there, here) if c.method == "maml++" and layers_of(c.norm) != "none"]
    if apart:
        raise UserError(
            f"--init_from={workdir}: MAML++ learns scales and shifts of normalisation layers for "
            "every inner step, so that no other training can begin from its body, nor its from "
            "another's: begin with another run, or leave this out"
        )


def _with_body(fresh: TrainState, found: PyTree) -> TrainState:
    """The state with these weights of the body, placed as its own were."""
    body = fresh.meta["body"]
    leaves = [
        jax.device_put(x, y.sharding)
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(body), strict=True)
    ]
    return fresh._replace(
        meta=fresh.meta | {"body": jax.tree.unflatten(jax.tree.structure(body), leaves)}
    )
