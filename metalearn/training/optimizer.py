"""The optimiser of a classifier: a learning rate for every stage, none for what is fixed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metalearn.config import Config
from metalearn.ops.optimizers import make_optimizer
from metalearn.types import Array, PyTree

UNFREEZING = 0.5  # of a gradual training: the part in which one stage after the other begins


class Made(NamedTuple):
    """State of `by_stage`: updates made so far, int32."""

    updates: Array


def stage_rates(config: Config, stages: tuple[str, ...]) -> dict[str, tuple[float, int]]:
    """Of each stage, what its learning rate is multiplied by, and the step that it begins at.

    Args:
      config: with `layer_decay`, and `gradual` as its method where stages begin one by one.
      stages: that are trained, in their order.
    """
    last = len(stages) - 1
    gradual = config.method == "gradual"
    wait = UNFREEZING * config.steps / max(len(stages), 1) if gradual else 0.0
    return {
        stage: (config.layer_decay ** (last - i), round(wait * (last - i + gradual)))
        for i, stage in enumerate(stages)
    }


def by_stage(rates: Mapping[str, tuple[float, int]], head: float) -> optax.GradientTransformation:
    """Multiply updates of `{body: {stage: ...}, classifier}`, of each stage by its own factor.

    Args:
      rates: factor of each stage, and the step that it begins at: before it, the factor is 0. Parts
        of the body that are not in it have the factor 1.
      head: factor of the classifier.
    """

    def init(params: PyTree) -> Made:
        return Made(jnp.zeros((), jnp.int32))

    def scaled(tree: PyTree, factor: Array | float) -> PyTree:
        return jax.tree.map(lambda x: x * factor, tree)

    def update(updates: PyTree, state: Made, params: PyTree = None) -> tuple[PyTree, Made]:
        body = {
            name: scaled(part, rates[name][0] * (state.updates >= rates[name][1]))
            if name in rates
            else part
            for name, part in updates["body"].items()
        }
        found = updates | {"body": body, "classifier": scaled(updates["classifier"], head)}
        return found, Made(state.updates + 1)

    return optax.GradientTransformation(init, update)


def classifier_optimizer(config: Config, stages: tuple[str, ...]) -> optax.GradientTransformation:
    """The optimiser of `{body, classifier}`, and of `{fixed}` beside them, which it leaves alone.

    What is fixed has no optimiser state, and stays as it is to the bit.

    Args:
      config: the settings.
      stages: that are trained, in their order.

    Raises:
      UserError: as `make_optimizer`.
    """
    trained = optax.chain(
        make_optimizer(config), by_stage(stage_rates(config, stages), config.head_lr)
    )
    kinds: dict[Any, optax.GradientTransformation] = {
        "trained": trained,
        "fixed": optax.set_to_zero(),
    }

    def labels(meta: PyTree) -> PyTree:
        return {name: "fixed" if name == "fixed" else "trained" for name in meta}

    return optax.partition(kinds, labels)
