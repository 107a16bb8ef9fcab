"""The state that training begins with."""

from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

from metalearn.base import random_key
from metalearn.checkpoint import Checkpoints, shapes
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.hosts import on_all
from metalearn.lab import Lab
from metalearn.methods import Method
from metalearn.train import TrainState, start
from metalearn.workdir import read_workdir


def initial_state(config: Config, method: Method, lab: Lab, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, on every device of every process."""
    x = jnp.zeros((1, *lab.dataset.train.images.shape[1:]))
    state = start(method.train.init, optimizer, jax.random.fold_in(random_key(config.seed), 0), x)
    return on_all(state, lab.mesh)


def begin(config: Config, fresh: TrainState) -> TrainState:
    """The state that training begins with: `fresh`, or with the body of another run where the config names one.

    Raises:
      UserError: there is no such run, it is not finished, or its body is another network.
    """
    if not config.init_from:
        return fresh
    workdir = Path(config.init_from)
    trained = read_workdir(workdir).config
    with closing(Checkpoints(workdir)) as checkpoints:
        found = checkpoints.read_best(trained.steps)["body"]
    body = fresh.meta["body"]
    if shapes(found) != shapes(body):
        raise UserError(f"--init_from={workdir}: {trained.backbone} ({trained.norm}) is another body than this run's")
    leaves = [jax.device_put(x, y.sharding) for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(body), strict=True)]
    return fresh._replace(meta=fresh.meta | {"body": jax.tree.unflatten(jax.tree.structure(body), leaves)})
