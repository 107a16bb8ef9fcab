"""A meta-trained run of this project as the model: what it adapts to is a person's photographs.

Photographs are kept as small images, and `Learner.adapt` is given all of them. Each photograph is
asked about alone, so no answer depends on another. Where normalisation takes the moments of images
it is given, these are the fitted photographs' (`support`), or the running statistics of training.
"""

import dataclasses
import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.config import Config
from metalearn.data.inputs import standardise
from metalearn.errors import UserError
from metalearn.learners.method import make_method
from metalearn.learners.pretrained import base_classes
from metalearn.learners.registry import GRADIENT
from metalearn.personal.model import (
    RUN,
    Arrays,
    Kept,
    Made,
    Maker,
    Model,
    flat,
    nested,
    read_inputs,
)
from metalearn.records.parse import config_from_json
from metalearn.records.record import settings
from metalearn.training.trained import Trained
from metalearn.types import Array, InputSpec, Learner, PyTree, random_key

ALONE = ("support", "running", "group", "layer", "none")  # normalisations that need no other query
TRANSDUCTIVE = ("laplacianshot", "tim", "transductive_finetune")  # answers depend on other queries
SEED = 0  # of heads that are fitted by random batches


def adapted(config: Config, trained: Trained) -> Maker:
    """What makes the model of a finished run.

    Args:
      config: its settings.
      trained: what it trained.

    Raises:
      UserError: its method only classifies many photographs at once, or it is of an older version.
    """
    if config.method in TRANSDUCTIVE:
        raise UserError(
            f"{config.method} classifies many photos at once: choose a run of another method"
        )
    if trained.inputs is None:
        raise UserError("the run is of an older version: train it again in another --workdir")
    made_of = {"config": settings(config), "inputs": trained.inputs._asdict()}
    return _maker(made_of, config, trained.inputs, flat(trained.meta))


def open_adapted(made_of: dict[str, Any], weights: Arrays) -> Maker:
    """What makes the model again of what a file holds.

    Raises:
      KeyError, TypeError, ValueError: it is not what `adapted` wrote.
      UserError: its settings are of another version.
    """
    spec = read_inputs(made_of["inputs"])
    return _maker(made_of, config_from_json(made_of["config"]), spec, weights)


def _maker(made_of: dict[str, Any], config: Config, inputs: InputSpec, weights: Arrays) -> Maker:
    def make(counts: np.ndarray) -> Made:
        if config.method in GRADIENT and len(counts) != config.ways:
            raise UserError(
                f"the run of {config.method} was trained to tell {config.ways} classes apart, and "
                f"here are {len(counts)}: give as many, or a run of another method"
            )
        why = f"{config.method} of a run on {config.dataset}: as asked for"
        return Made(_model(made_of, config, inputs, weights, make), why)

    return make


def _learner(config: Config, meta: PyTree, classes: int) -> Learner:
    """The learner for some classes, as it is used where queries come one by one.

    Raises:
      UserError: its normalisation needs several at once.
    """
    ways = config.ways if config.method in GRADIENT else classes
    chosen = dataclasses.replace(config, ways=ways, train_ways=ways)
    method = make_method(chosen, base_classes(meta))
    for norm in ALONE:
        if norm in method.norms:
            return method.test(norm)
    raise UserError(
        f"{config.method} with {config.norm} normalisation needs several photos at once: choose "
        "another run"
    )


class Programs(NamedTuple):
    """The learner's functions, compiled.

    Attributes:
      adapt: `(x [M,H,W,Ch], y [M]) -> adapted`.
      predict: `(adapted, x [Q,H,W,Ch]) -> logits [Q,N]`, each query alone.
      embed: `x [Q,H,W,Ch] -> z [Q,D]`; None where features depend on the fitted photographs.
    """

    adapt: Callable[[np.ndarray, np.ndarray], PyTree]
    predict: Callable[[PyTree, np.ndarray], Array]
    embed: Callable[[np.ndarray], Array] | None


def _programs(config: Config, meta: PyTree, inputs: InputSpec, classes: int) -> Programs:
    learner = _learner(config, meta, classes)
    prepare = standardise(inputs)

    def adapt(x: Array, y: Array) -> PyTree:
        return learner.adapt(random_key(SEED), meta, prepare(x), y)

    def predict(adapted: PyTree, x: Array) -> Array:
        def alone(image: Array) -> Array:
            return learner.predict(meta, adapted, prepare(image[None]))[0]

        return jax.lax.map(alone, x)

    def embed(x: Array) -> Array:
        assert learner.embed is not None
        return learner.embed(meta, prepare(x))

    embedded = None if learner.embed is None else jax.jit(embed)
    return Programs(jax.jit(adapt), jax.jit(predict), embedded)


def _model(
    made_of: dict[str, Any], config: Config, inputs: InputSpec, weights: Arrays, make: Maker
) -> Model:
    programs = functools.cache(partial(_programs, config, nested(weights), inputs))

    def fit(x: np.ndarray, y: np.ndarray, classes: int) -> Arrays:
        leaves = jax.tree.leaves(programs(classes).adapt(x, y.astype(np.int32)))
        there = {"photos": np.array([len(x)]), "classes": np.array([classes])}
        return there | {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}

    def logits(state: Arrays, x: np.ndarray) -> np.ndarray:
        (number, classes) = (int(state["photos"][0]), int(state["classes"][0]))
        (adapt, predict, _) = programs(classes)
        like = (jnp.zeros((number, *x.shape[1:]), jnp.uint8), jnp.zeros(number, jnp.int32))
        tree = jax.tree.structure(jax.eval_shape(adapt, *like))
        leaves = [state[f"leaf{i}"] for i in range(sum(name.startswith("leaf") for name in state))]
        found = np.asarray(predict(jax.tree.unflatten(tree, leaves), x))
        # Where a class was left out of a fixed number, the last output is of none
        return found[:, :classes]

    def vectors(state: Arrays, x: np.ndarray) -> np.ndarray:
        embed = programs(int(state["classes"][0])).embed
        return logits(state, x) if embed is None else np.asarray(embed(x))

    return Model(
        kind=RUN,
        made_of=made_of,
        weights=weights,
        body=partial(dict, weights),
        make=make,
        pixels=inputs.size[0],
        calibrated=False,
        prior=0.0,
        keep=Kept,
        ask=np.asarray,
        fit=fit,
        logits=logits,
        vectors=vectors,
    )
