"""CAVIA: only a few context parameters adapt.

Zintgraf, Shiarlis, Kurin, Hofmann, Whiteson. Fast Context Adaptation via Meta-Learning. ICML 2019.
In a convolutional network the context, zero before each task, scales and shifts the channels of one
layer (FiLM, Perez et al. 2018), by a learned linear map. In a network of four blocks that is the
third.

What follows a normalisation layer's own scale and shift is a scale and shift again, so the context
is written into these. As in the released code the map's output is the scale, and its biases begin
as PyTorch's do: without a context the channels are small, which the next normalisation undoes, and
so a context has a large effect from the start. Deviations: so modulated, the channels are pooled
afterwards, not before; there entries of the meta-gradient are clipped to 10, and kernels begin as
He et al. 2015 have them.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from metalearn.errors import UserError
from metalearn.learners import maml
from metalearn.learners.adapted import Adapted, logits_of, with_moments
from metalearn.learners.layers import norm_layers
from metalearn.learners.recipes import CHARACTERS, Recipe
from metalearn.ops.classifier import classify, init_classifier
from metalearn.ops.inner_loop import descend
from metalearn.ops.losses import cross_entropy, episode_loss
from metalearn.settings import setting
from metalearn.types import Array, Key, Learner, Network, PyTree


@dataclass(frozen=True)
class Settings(maml.Settings):
    """What CAVIA reads."""

    context: int = setting(100, "context parameters of CAVIA", least=1)


def modulated_layer(body: PyTree) -> str:
    """The last normalisation layer but one, in the order of names; or the only one.

    Raises:
      UserError: the network has none.
    """
    names = sorted(norm_layers(body))
    if not names:
        raise UserError(
            "CAVIA modulates a normalisation layer, and this backbone has none: choose another "
            "--backbone"
        )
    return names[-2:][0]


def modulate(body: PyTree, film: PyTree, context: Array) -> PyTree:
    """The body with the F channels of its `modulated_layer` scaled and shifted (FiLM).

    Args:
      body: parameters of the network.
      film: linear map {w [P,2F], b [2F]}; its outputs are F scales, then F shifts.
      context: [P].
    """
    name = modulated_layer(body)
    gain, offset = jnp.split(classify("linear", film, context), 2)
    # gain * (scale * x + shift) + offset is again a scale and a shift: no other layer is needed
    return body | {
        name: {"scale": gain * body[name]["scale"], "shift": gain * body[name]["shift"] + offset}
    }


def cavia(
    network: Network,
    ways: int,
    inner_lr: float = 1.0,
    inner_steps: int = 2,
    context: int = 100,
    first_order: bool = False,
    norm: str = "batch",
    initial: str = "default",
) -> Learner:
    """A learner that adapts `context` numbers to a task and trains all else to make use of them.

    Args:
      network: the body.
      ways: N, outputs of the head, which does not adapt.
      inner_lr: step size of plain gradient descent on the context.
      inner_steps: J.
      context: P, context parameters.
      first_order: drop second derivatives.
      norm, initial: see `maml`.

    Raises:
      UserError: unknown `norm`; in `init`, the network has no normalisation layer, or is in stages.
    """
    base = maml.maml(network, ways, norm=norm, initial=initial)

    def init(key: Key, x: Array) -> PyTree:
        (base_key, weights_key, biases_key) = jax.random.split(key, 3)
        meta = base.init(base_key, x)
        channels = len(meta["body"][modulated_layer(meta["body"])]["scale"])
        film = init_classifier(weights_key, "linear", context, 2 * channels)
        bound = context**-0.5
        film["b"] = jax.random.uniform(biases_key, film["b"].shape, minval=-bound, maxval=bound)
        return meta | {"film": film}

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> Adapted:
        prepared = network.prepare(support_x)

        def with_context(c: Array) -> PyTree:
            return {"body": modulate(meta["body"], meta["film"], c), "head": meta["head"]}

        def support_loss(c: Array) -> Array:
            return cross_entropy(logits_of(network, with_context(c), prepared), support_y)

        # The same start for all tasks: of a context of zeros the map gives its bias
        zero = jnp.zeros(context, meta["film"]["w"].dtype)
        found = descend(support_loss, zero, optax.sgd(inner_lr), inner_steps, first_order)
        return with_moments(network, norm, with_context(found), support_x)

    return base._replace(init=init, adapt=adapt, loss=episode_loss(adapt, base.predict))


def build(settings: Settings, network: Network, norm: str) -> Learner:
    """The learner of these settings; the body and the normalisation as in `cavia`."""
    return cavia(
        network,
        settings.ways,
        inner_lr=settings.inner_lr,
        inner_steps=settings.inner_steps,
        context=settings.context,
        first_order=settings.first_order,
        norm=norm,
        initial=settings.initial,
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Zintgraf et al. 2019 and the released code: two steps of 1.0 on 100 context parameters.

    There the rate falls by a tenth every 5,000 updates. The rest is MAML's, with 16 tasks an update
    of photographs.
    """
    published = dict(inner_lr=1.0, inner_steps=2, test_inner_steps=2, context=100)
    if dataset not in CHARACTERS:
        published |= dict(meta_batch=16)
    return maml.recipe(dataset, shots) | published
