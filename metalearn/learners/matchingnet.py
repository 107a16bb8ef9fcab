"""Matching networks.

Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra. Matching Networks for One Shot Learning.
NeurIPS 2016.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from metalearn.learners import embedding
from metalearn.learners.recipes import CHARACTERS, PHOTOGRAPHS, PLAIN, Recipe
from metalearn.ops.losses import cosine
from metalearn.settings import Scaled, setting
from metalearn.types import Array, Head, Key, Learner, Network, PyTree, TrainedHead


@dataclass(frozen=True)
class Settings(embedding.Settings, Scaled):
    """What matching networks read."""

    contextual: bool = setting(
        False, "matchingnet embeds images in the context of the support set, by LSTMs"
    )


def attention(scale: float = 1.0) -> Head:
    """Support labels weighted by a softmax over cosine similarities (section 2.1.1).

    Logits are the logarithms of the classes' summed weights, up to a constant. scale multiplies the
    similarities: 1 in the paper, 100 in Chen et al. 2019.
    """

    def fit(key: Key, z: Array, y: Array, ways: int) -> tuple[Array, Array]:
        return z, jax.nn.one_hot(y, ways, dtype=z.dtype)

    def predict(fitted: tuple[Array, Array], z: Array) -> Array:
        support, member = fitted
        similarity = scale * cosine(z, support)
        return jax.nn.logsumexp(similarity[:, :, None], axis=1, b=member)

    return Head(fit, predict)


def full_context(scale: float = 1.0, steps: int = 5) -> TrainedHead:
    """Attention on embeddings that see the whole support set (section 2.1.2 and appendix A).

    Support features are read in random order by an LSTM in either direction, whose outputs are
    added to them. A query feature is refined by an LSTM that reads the support features by
    attention, `steps` times, from an output of 0 (Chen et al. 2019's released code: from the
    feature itself, as often as there are support images). As there, the prediction depends on the
    order of the support set; here that is the head's own draw.
    """
    plain = attention(scale)

    def init(key: Key, shape: tuple[int, ...]) -> PyTree:
        (size,) = shape
        inputs = {"forward": 2 * size, "backward": 2 * size, "read": 3 * size}
        keys = jax.random.split(key, len(inputs))
        draw = jax.nn.initializers.lecun_normal()
        return {
            name: {"w": draw(k, (rows, 4 * size)), "b": jnp.zeros(4 * size)}
            for k, (name, rows) in zip(keys, inputs.items(), strict=True)
        }

    def head(params: PyTree) -> Head:
        def fit(key: Key, z: Array, y: Array, ways: int) -> tuple[Array, Array]:
            order = jax.random.permutation(key, len(z))
            z, y = z[order], y[order]
            forward = _sequence(params["forward"], z)
            return plain.fit(
                key, z + forward + _sequence(params["backward"], z[::-1])[::-1], y, ways
            )

        def predict(fitted: tuple[Array, Array], z: Array) -> Array:
            support, _ = fitted

            def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
                h, cell = state
                read = jax.nn.softmax(h @ support.T) @ support
                out, cell = _lstm(params["read"], jnp.concatenate([z, h, read], -1), cell)
                return (out + z, cell), None

            (h, _), _ = jax.lax.scan(step, (jnp.zeros_like(z), jnp.zeros_like(z)), length=steps)
            return plain.predict(fitted, h)

        return Head(fit, predict)

    return TrainedHead(init, head)


def _lstm(params: PyTree, x: Array, cell: Array) -> tuple[Array, Array]:
    """Output and cell [..., D] of an LSTM at the joined inputs x.

    Hochreiter & Schmidhuber 1997, with forget gates.
    """
    # A forget gate begins open (bias 1), or the first rows would be forgotten
    write, keep, new, out = jnp.split(x @ params["w"] + params["b"], 4, -1)
    cell = jax.nn.sigmoid(keep + 1) * cell + jax.nn.sigmoid(write) * jnp.tanh(new)
    return jax.nn.sigmoid(out) * jnp.tanh(cell), cell


def _sequence(params: PyTree, z: Array) -> Array:
    """Outputs [S,D] of an LSTM that reads z [S,D] row by row."""

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        h, cell = _lstm(params, jnp.concatenate([x, state[0]]), state[1])
        return (h, cell), h

    return jax.lax.scan(step, (jnp.zeros_like(z[0]), jnp.zeros_like(z[0])), z)[1]


def matchingnet(
    network: Network, ways: int, scale: float = 1.0, contextual: bool = False, norm: str = "running"
) -> Learner:
    """Train the body through attention over the support set.

    Args:
      network: the body.
      ways: N of the episodes.
      scale: multiplies the cosine similarities.
      contextual: embed every image in the context of the whole support set, by LSTMs.
      norm: see `embedding`.
    """
    head = full_context(scale) if contextual else attention(scale)
    return embedding.embedding(network, head, ways, norm)


def build(settings: Settings, network: Network, ways: int, norm: str) -> Learner:
    """The learner of these settings.

    Args:
      settings: those of the method.
      network, ways, norm: see `matchingnet`.
    """
    return matchingnet(
        network, ways, scale=settings.scale, contextual=settings.contextual, norm=norm
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Vinyals et al. 2016 trained by episodes like those of the test; the rest is ours.

    Chen et al. 2019's released code has full-context embeddings, rectifies cosines, multiplies them
    by 100, and keeps every probability above 1e-6; without that floor 100 is too much (see
    RESULTS.md for 20).
    """
    ours = PHOTOGRAPHS | dict(train_queries=15, scale=20.0, steps=40_000)
    return ours | PLAIN if dataset in CHARACTERS else ours
