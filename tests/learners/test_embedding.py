"""Features centred by means from elsewhere, and heads with parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.data.sampler import batch_sampler
from metalearn.evaluation.statistics import running_statistics
from metalearn.learners.embedding import embedding, with_centre
from metalearn.learners.heads import nearest_centroid
from metalearn.learners.protonet import protonet
from metalearn.types import Array, Head, Key, PyTree, Task, TrainedHead
from tests.small import SIDE, easy_task, noise_source, prepare, quick_jit, tiny_network

WAYS = 3
TASK = easy_task(jax.random.key(0), WAYS, 2, 2, noise=1.0)
X = jnp.zeros((1, SIDE, SIDE, 1))


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_centred_network_subtracts_the_mean_feature(norm: str) -> None:
    network = tiny_network(norm)
    params = quick_jit(network.init)(jax.random.key(0), X)
    here, there = TASK.query_x, TASK.support_x
    z = network.apply(params, here)
    np.testing.assert_allclose(with_centre(network).apply(params, here), z - z.mean(0), atol=1e-5)
    moments = with_centre(network).moments(params, there)
    expected = network.apply(params, here, network.moments(params, there)) - network.apply(
        params, there
    ).mean(0)
    np.testing.assert_allclose(
        with_centre(network).apply(params, here, moments), expected, atol=1e-5
    )


@pytest.mark.parametrize("norm", ["running", "group"])
def test_centred_features_use_the_mean_of_the_training_split(
    norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the layers: features of its images have a mean of nearly zero, those of others do
    not.
    """
    monkeypatch.setattr("metalearn.evaluation.statistics.LEAST_IMAGES", 4096)
    layers = norm if norm == "group" else "batch"
    learner = embedding(
        tiny_network(layers), nearest_centroid(normalise=True), WAYS, norm, centre=True
    )
    source = noise_source((150, 150))
    meta = learner.init(jax.random.key(0), X)
    meta = running_statistics(learner.moments, source, batch_sampler(64, prepare))(meta)
    z, elsewhere = (
        learner.embed(meta, prepare(source.images)),
        learner.embed(meta, prepare(source.images.at[:, :4].set(0))),
    )
    assert jnp.abs(z.mean(0)).max() < 0.05 * z.std()
    assert jnp.abs(elsewhere.mean(0)).max() > 0.2 * elsewhere.std()


def test_embedding_trains_the_parameters_of_a_head() -> None:
    """Logits are scaled by one, which is trained along with the body."""
    plain = nearest_centroid()
    made = TrainedHead(
        init=lambda key, shape: {"scale": jnp.float32(shape[0])},
        head=lambda params: Head(
            plain.fit, lambda means, z: params["scale"] * plain.predict(means, z)
        ),
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


@pytest.mark.parametrize("shots", [1, 3])
def test_loss_of_drawn_shots_is_that_of_an_episode_of_these_shots(shots: int) -> None:
    """As an episode that has so many support images a class from the start."""
    learner = protonet(tiny_network("group"), WAYS, norm="group")
    meta = learner.init(jax.random.key(0), X)
    task = TASK  # two support images and two queries of each class
    images = [part.reshape(WAYS, 2, *part.shape[1:]) for part in (task.support_x, task.query_x)]
    by_class = jnp.concatenate(images, axis=1)
    labels = jnp.broadcast_to(jnp.arange(WAYS)[:, None], (WAYS, 4))
    parts = []
    for part in (slice(None, shots), slice(shots, None)):
        parts += [by_class[:, part].reshape(-1, SIDE, SIDE, 1), labels[:, part].reshape(-1)]
    expected = learner.loss(jax.random.key(1), meta, Task(*parts))
    found = learner.loss(jax.random.key(1), meta, task._replace(shots=jnp.int32(shots)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), found, expected)


def test_protonet_with_a_learned_scale_divides_distances_by_the_number_of_features() -> None:
    learner = protonet(tiny_network("group"), WAYS, scale=3.0, norm="group", learned_scale=True)
    plain = protonet(tiny_network("group"), WAYS, norm="group")
    meta = learner.init(jax.random.key(0), X)
    features = learner.embed(meta, X).shape[-1]
    found, expected = (
        made.predict(meta, made.adapt(None, meta, TASK.support_x, TASK.support_y), TASK.query_x)
        for made in (learner, plain)
    )
    np.testing.assert_allclose(found, 3 / features * expected, rtol=1e-5)
    slope = jax.grad(lambda m: learner.loss(jax.random.key(0), m, TASK)[0])(meta)
    assert float(jnp.abs(slope["head"]["scale"])) > 0


@pytest.mark.parametrize("norm", ["running", "batch", "support"])
def test_dropout_is_on_in_training_under_every_normalisation(norm: str) -> None:
    """Each set is dropped from by a key of its own; at test nothing is."""
    seen: list[tuple[int, bool]] = []
    plain = tiny_network()

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        seen.append((len(x), key is not None))
        return plain.apply(params, x, moments)

    learner = embedding(plain._replace(apply=apply), nearest_centroid(), WAYS, norm)
    meta = {"body": plain.init(jax.random.key(0), X)}
    learner.loss(jax.random.key(1), meta, TASK)
    dropped = [images for images, keyed in seen if keyed]
    (support, query) = (len(TASK.support_x), len(TASK.query_x))
    assert dropped == ([support + query] if norm == "running" else [support, query])
    if norm != "running":
        seen.clear()
        adapted = learner.adapt(jax.random.key(1), meta, TASK.support_x, TASK.support_y)
        learner.predict(meta, adapted, TASK.query_x)
        assert seen and not any(keyed for _, keyed in seen)
