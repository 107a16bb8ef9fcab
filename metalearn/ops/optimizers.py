"""Outer optimisers by name."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from metalearn.errors import UserError
from metalearn.settings import LARGEST, Trained
from metalearn.types import Array, PyTree

# Parts of meta-parameters that are no weights: step sizes (Meta-SGD, MAML++), moments (Reptile)
NO_WEIGHTS = ("rates", "memory")
BY_LENGTH = ("cosine", "linear", "steps")  # schedules that depend on the length of training


def schedule(text: str, lr: float, steps: int) -> optax.Schedule:
    """Learning rate by step.

    Args:
      text: `constant`, `cosine` or `linear` (to 0 at `steps`), `cosine:P` (from 0 over a share P of
        the steps, then cosine), `halve:N` (halved every N steps), or `steps:F@P,...` (times F after
        a share P of the steps).
      lr: the highest learning rate: that of the first step, but for `cosine:P`.
      steps: outer updates of the whole training.

    Raises:
      UserError: text is none of these.
    """
    name, _, argument = text.partition(":")
    if text == "constant":
        return optax.constant_schedule(lr)
    if name == "cosine" and not argument:
        return optax.cosine_decay_schedule(lr, steps)
    if name == "cosine":
        warm = round(_share(text, argument) * steps)
        return optax.warmup_cosine_decay_schedule(0.0, lr, warm, max(steps, warm + 1))
    if text == "linear":
        return optax.linear_schedule(lr, 0.0, steps)
    if name == "halve" and argument.isdecimal() and int(argument) > 0:
        return optax.exponential_decay(lr, min(int(argument), LARGEST), 0.5, staircase=True)
    if name == "steps":
        return optax.piecewise_constant_schedule(lr, _drops(text, argument, steps))
    known = "constant, cosine, cosine:P, linear, halve:N or steps:F@P,..."
    raise UserError(f"unknown schedule '{text}': choose {known}")


def _share(text: str, argument: str) -> float:
    """A share of the steps, between 0 and 1."""
    try:
        share = float(argument)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise UserError(
            f"--schedule={text}: '{argument}' is no share between 0 and 1, as in cosine:0.1"
        )
    return share


def _drops(text: str, argument: str, steps: int) -> dict[int, float]:
    """Factors of the learning rate by the step from which they hold."""
    drops: dict[int, float] = {}
    for part in argument.split(","):
        factor, _, share = part.partition("@")
        try:
            fine = float(factor) > 0 and 0 < float(share) < 1
        except ValueError:
            fine = False
        if not fine:
            raise UserError(
                f"--schedule={text}: '{part}' is no FACTOR@SHARE, as in steps:0.1@0.6,0.1@0.8"
            )
        # Two shares may round to one step of a short training: both factors hold from there
        step = round(float(share) * steps)
        drops[step] = drops.get(step, 1.0) * float(factor)
    return drops


def make_optimizer(config: Trained) -> optax.GradientTransformation:
    """The config's outer optimiser; weight decay is coupled (added to the gradient).

    As in PyTorch's SGD and Adam: with Adam the decay is rescaled like the gradient, unlike that of
    AdamW (Loshchilov & Hutter 2019). RMSprop (Tieleman & Hinton 2012) has PyTorch's decay and eps,
    and no momentum: `momentum` is of sgd alone.

    Raises:
      UserError: an unknown optimiser, schedule or kind of decay.
    """
    lr = schedule(config.schedule, config.lr, max(config.steps, 1))  # without steps, any length
    masks = {"kernels": _kernels, "all": _weights}
    if config.decay not in masks:
        raise UserError(f"unknown decay '{config.decay}': choose {' or '.join(masks)}")
    decay = optax.add_decayed_weights(config.weight_decay, mask=masks[config.decay])
    if config.optimizer == "adam":
        return optax.chain(decay, optax.adam(lr))
    if config.optimizer == "sgd":
        # None: a momentum of zero would still keep a copy of the parameters
        return optax.chain(decay, optax.sgd(lr, config.momentum or None, config.nesterov))
    if config.optimizer == "rmsprop":
        # eps outside the root, as in PyTorch
        return optax.chain(decay, optax.rmsprop(lr, decay=0.99, eps=1e-8, eps_in_sqrt=False))
    raise UserError(f"unknown optimizer '{config.optimizer}': choose adam, sgd or rmsprop")


def _weights(params: PyTree) -> PyTree:
    """Which leaves are weights: no learned step sizes, nor what an inner optimiser remembers."""
    return _marked(params, lambda p: True, NO_WEIGHTS)


def _kernels(params: PyTree) -> PyTree:
    """Which leaves are kernels.

    Biases and the scale and shift of normalisation are spared: vectors, or rows of them where every
    inner step has its own.
    """
    return _marked(params, lambda p: p.ndim > 1, (*NO_WEIGHTS, "norms"))


def _marked(params: PyTree, chosen: Callable[[Array], bool], spared: tuple[str, ...]) -> PyTree:
    """A tree of booleans: what is chosen of the parts {name: ...} that are not spared."""

    def mark(path: tuple[Any, ...], p: Array) -> bool:
        return getattr(path[0], "key", "") not in spared and chosen(p) if path else chosen(p)

    return jax.tree_util.tree_map_with_path(mark, params)
