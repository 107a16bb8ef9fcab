"""A body of three stages, with weights and running statistics."""

from functools import partial

import flax.linen as nn
import jax

from metalearn.models.layers import ConvNorm, fold
from metalearn.models.staged import Staged, runner, staged_network
from metalearn.types import Body, InputSpec

INPUTS = InputSpec((8, 8), (0.5,) * 3, (0.25,) * 3)


class Pooled(nn.Module):
    """A 1x1 convolution, then the mean over places."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return ConvNorm(12, (1, 1), name="conv")(x).mean((1, 2))


def tiny_body(seed: int = 0) -> Body:
    """The body with the weights of a seed."""
    module = Staged(
        (
            ("stem", partial(ConvNorm, 4, stride=2)),
            ("stage1", partial(ConvNorm, 10, (1, 1))),
            ("final", Pooled),
        )
    )
    network = staged_network(module)
    x = jax.random.normal(jax.random.key(1), (16, *INPUTS.shape))
    params = network.init(jax.random.key(seed), x)
    moments = network.moments(params, x)
    folded = partial(fold, eps=module.eps)
    return Body(network, params, moments, INPUTS, module.names, runner(module), folded)
