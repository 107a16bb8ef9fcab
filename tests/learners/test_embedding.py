"""Features centred by means from elsewhere, and heads with parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.base import Head, TrainedHead
from metalearn.data.episodes import batch_sampler
from metalearn.evaluate import moments_measurer
from metalearn.learners.embedding import centred, embedding
from metalearn.learners.heads import nearest_centroid
from tests.small import SIDE, easy_task, noise_source, prepare, quick_jit, tiny_network

WAYS = 3
TASK = easy_task(jax.random.key(0), WAYS, 2, 2, noise=1.0)
X = jnp.zeros((1, SIDE, SIDE, 1))


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_centred(norm: str) -> None:
    network = tiny_network(norm)
    params = quick_jit(network.init)(jax.random.key(0), X)
    here, there = TASK.query_x, TASK.support_x
    z = network.apply(params, here)
    np.testing.assert_allclose(centred(network).apply(params, here), z - z.mean(0), atol=1e-5)
    moments = centred(network).moments(params, there)
    expected = network.apply(params, here, network.moments(params, there)) - network.apply(params, there).mean(0)
    np.testing.assert_allclose(centred(network).apply(params, here, moments), expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["running", "group"])
def test_the_centre_is_that_of_the_training_split(norm: str) -> None:
    """Whatever the layers: features of its images have a mean of nearly zero, those of others do not."""
    layers = norm if norm == "group" else "batch"
    learner = embedding(tiny_network(layers), nearest_centroid(normalise=True), WAYS, norm, centre=True)
    source = noise_source((150, 150))
    meta = learner.init(jax.random.key(0), X)
    meta = moments_measurer(learner, source, batch_sampler(64, prepare))(meta)
    z, elsewhere = (
        learner.embed(meta, prepare(source.images)),
        learner.embed(meta, prepare(source.images.at[:, :4].set(0))),
    )
    assert jnp.abs(z.mean(0)).max() < 0.05 * z.std()
    assert jnp.abs(elsewhere.mean(0)).max() > 0.2 * elsewhere.std()


def test_parameters_of_a_head_are_trained_and_used() -> None:
    """Logits are scaled by one, which is trained along with the body."""
    plain = nearest_centroid()
    made = TrainedHead(
        init=lambda key, shape: {"scale": jnp.float32(shape[0])},
        head=lambda params: Head(plain.fit, lambda means, z: params["scale"] * plain.predict(means, z)),
    )
    learner = embedding(tiny_network("none"), made, WAYS, "none")
    meta = learner.init(jax.random.key(0), X)
    assert float(meta["head"]["scale"]) == learner.embed(meta, X).shape[-1]
    adapted = learner.adapt(None, meta, TASK.support_x, TASK.support_y)
    twice = meta | {"head": {"scale": 2 * meta["head"]["scale"]}}
    found = [learner.predict(m, adapted, TASK.query_x) for m in (meta, twice)]
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5)
    slope = jax.grad(lambda m: learner.loss(jax.random.key(0), m, TASK)[0])(meta)
    assert float(jnp.abs(slope["head"]["scale"])) > 0
