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

    normalised: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return ConvNorm(12, (1, 1), normalised=self.normalised, name="conv")(x).mean((1, 2))


def tiny_body(seed: int = 0, normalised: bool = True) -> Body:
    """The body with the weights of a seed, with batch normalisation or without any."""
    layer = partial(ConvNorm, normalised=normalised)
    module = Staged(
        (
            ("stem", partial(layer, 4, stride=2)),
            ("stage1", partial(layer, 10, (1, 1))),
            ("final", partial(Pooled, normalised)),
        )
    )
    network = staged_network(module)
    x = jax.random.normal(jax.random.key(1), (16, *INPUTS.shape))
    params = network.init(jax.random.key(seed), x)
    moments = network.moments(params, x) or None
    folded = partial(fold, eps=module.eps)
    return Body(network, params, moments, INPUTS, module.names, runner(module), folded)
