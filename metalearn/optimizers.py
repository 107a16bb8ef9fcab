"""Outer optimisers by name."""

import jax
import optax

from metalearn.base import PyTree
from metalearn.config import Config
from metalearn.errors import UserError


def schedule(text: str, lr: float, steps: int) -> optax.Schedule:
    """Learning rate by step: `constant`, `cosine` or `linear` (to 0 at `steps`), `halve:N` (halved every N steps)."""
    name, _, argument = text.partition(":")
    if name == "constant":
        return optax.constant_schedule(lr)
    if name == "cosine":
        return optax.cosine_decay_schedule(lr, steps)
    if name == "linear":
        return optax.linear_schedule(lr, 0.0, steps)
    if name == "halve" and argument.isdecimal() and int(argument) > 0:
        return optax.exponential_decay(lr, int(argument), 0.5, staircase=True)
    raise UserError(f"unknown schedule '{text}': choose constant, cosine, linear or halve:N")


def make_optimizer(config: Config) -> optax.GradientTransformation:
    """The config's outer optimiser; weight decay is coupled (added to the gradient) and spares vectors and scalars."""
    lr = schedule(config.schedule, config.lr, config.steps)
    decay = optax.add_decayed_weights(config.weight_decay, mask=_kernels)
    if config.optimizer == "adam":
        return optax.chain(decay, optax.adam(lr))
    if config.optimizer == "sgd":
        return optax.chain(decay, optax.sgd(lr, momentum=config.momentum or None, nesterov=True))
    raise UserError(f"unknown optimizer '{config.optimizer}': choose adam or sgd")


def _kernels(params: PyTree) -> PyTree:
    return jax.tree.map(lambda p: p.ndim > 1, params)
