"""Losses of methods that train a body, by closed forms; and all methods by one contract."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from metalearn.domains.deep.adversarial import (
    LARGEST,
    certainty,
    conditioned,
    dann,
    domain_loss,
)
from metalearn.domains.deep.confusion import TEMPERATURE, class_confusion
from metalearn.domains.deep.disparity import MARGIN, MOST, disagreement, mdd
from metalearn.domains.deep.matching import SCALES, covariance_distance, mean_discrepancy
from metalearn.domains.deep.networks import init_layers, layers, reversal_weight, reversed_gradient
from metalearn.domains.deep.registry import DEEP
from metalearn.domains.deep.settings import Settings
from metalearn.domains.deep.shot import information, pseudo_labels
from metalearn.domains.deep.types import Pair, Seen
from metalearn.ops.classifier import classify
from metalearn.ops.losses import cross_entropy
from metalearn.types import Array, Batch, Network, PyTree, random_key
from tests.small import tiny_network

CLASSES = 3
SETTINGS = Settings(steps=10, penalty=0.5, target_weight=2.0)


def normal(seed: int, *shape: int) -> Array:
    return jax.random.normal(random_key(seed), shape)


def seen(progress: float = 1.0) -> Seen:
    y = jnp.arange(6) % CLASSES
    logits = (normal(1, 6, CLASSES), normal(3, 6, CLASSES))
    return Seen(
        normal(0, 6, 4), logits[0], y, 1 + normal(2, 6, 4), logits[1], jnp.float32(progress)
    )


def pair(few: bool = True) -> Pair:
    y = jnp.arange(6) % CLASSES
    labelled = Batch(normal(7, 6, 8, 8, 1), y) if few else None
    return Pair(Batch(normal(5, 6, 8, 8, 1), y), normal(6, 6, 8, 8, 1), jnp.arange(6), labelled)


def flat(network: Network) -> Network:
    def apply(params: PyTree, x: Array, moments: PyTree | None = None, key: object = None) -> Array:
        return network.apply(params, x, moments).reshape(len(x), -1)

    return network._replace(apply=apply)


def begun(network: Network) -> PyTree:
    """As a training on the source alone leaves it."""
    body = network.init(random_key(9), jnp.zeros((1, 8, 8, 1)))
    return {"body": body, "classifier": {"w": normal(8, 16, CLASSES), "b": jnp.zeros(CLASSES)}}


@pytest.mark.parametrize("name", DEEP)
def test_method_follows_the_contract_and_is_pure(name: str) -> None:
    network = flat(tiny_network())
    method = DEEP[name]
    trainee = method.build(network, SETTINGS)
    start = begun(network) if method.begins else None
    meta = trainee.init(random_key(0), jnp.zeros((1, 8, 8, 1)), CLASSES, start)
    if trainee.refresh is not None:
        meta = trainee.refresh(meta, normal(1, 6, CLASSES), normal(2, 6, 16))
    if not method.trains:
        return
    step = jax.jit(jax.value_and_grad(trainee.loss, 1, has_aux=True))
    (value, info), grads = step(random_key(1), meta, pair(), jnp.int32(5))
    (again, _), _ = step(random_key(1), meta, pair(), jnp.int32(5))
    assert value == again and info["loss"] == value and np.isfinite(float(value))
    assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(grads.get("fixed", {})))
    for part, tree in grads.items():
        moved = sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(tree))
        assert np.isfinite(moved) and (moved > 0 or part == "fixed"), part


@pytest.mark.parametrize("name", [name for name in DEEP if not DEEP[name].begins])
def test_without_its_penalty_a_method_is_the_source_alone(name: str) -> None:
    network = flat(tiny_network("none"))  # statistics of both domains would change it
    (plain, other) = (
        DEEP[each].build(network, dataclasses.replace(SETTINGS, penalty=0.0))
        for each in ("source_only", name)
    )
    images = jnp.zeros((1, 8, 8, 1))
    metas = [each.init(random_key(0), images, CLASSES) for each in (plain, other)]
    losses = [
        each.loss(random_key(1), meta, pair(few=False), 3)[0]
        for each, meta in zip((plain, other), metas, strict=True)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_labels_of_the_target_weigh_what_is_asked() -> None:
    network = flat(tiny_network("none"))
    trainee = DEEP["joint"].build(network, SETTINGS)
    meta = trainee.init(random_key(0), jnp.zeros((1, 8, 8, 1)), CLASSES)
    given = pair()

    def alone(batch: Batch) -> Array:
        z = network.apply(meta["body"], batch.x)
        return cross_entropy(classify("linear", meta["classifier"], z), batch.y)

    assert given.few is not None
    expected = alone(given.source) + SETTINGS.target_weight * alone(given.few)
    np.testing.assert_allclose(trainee.loss(random_key(1), meta, given, 0)[0], expected, rtol=1e-5)


def test_gradients_turn_and_rise() -> None:
    x = normal(0, 5)
    grad = jax.grad(lambda x, w: jnp.sin(reversed_gradient(x, w)).sum())(x, jnp.float32(0.3))
    np.testing.assert_allclose(grad, -0.3 * jnp.cos(x), rtol=1e-6)
    assert float(reversal_weight(jnp.float32(0))) == 0
    np.testing.assert_allclose(
        reversal_weight(jnp.float32(0.1)), 2 / (1 + np.exp(-1)) - 1, rtol=1e-6
    )


def test_discriminator_learns_and_features_unlearn() -> None:
    """Of one loss, the discriminator's gradient is its own, that of the features its negative."""
    penalty = dann()
    params = penalty.init(random_key(4), 4, CLASSES)
    given = seen(0.2)
    weight = float(reversal_weight(given.progress))

    def told(params: PyTree, source: Array, target: Array) -> Array:
        return domain_loss(params, source, target, None)

    (own, source) = jax.grad(told, (0, 1))(params, given.source_z, given.target_z)
    adversarial = jax.grad(lambda z: penalty.loss(params, given._replace(source_z=z)))
    np.testing.assert_allclose(adversarial(given.source_z), -weight * source, rtol=1e-4, atol=1e-8)
    found = jax.grad(penalty.loss)(params, given)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found, own)


def test_domain_loss_by_hand() -> None:
    params = init_layers(random_key(0), (4, 5, 1))
    (source, target) = (normal(0, 3, 4), normal(1, 2, 4))
    p = [1 / (1 + np.exp(-np.asarray(layers(params, z))[:, 0])) for z in (source, target)]
    expected = -(np.log(p[0]).mean() + np.log(1 - p[1]).mean())
    np.testing.assert_allclose(domain_loss(params, source, target, None), expected, rtol=1e-5)
    weights = jnp.array([[1.0, 2.0], [0.5, 1.5]])
    logs = (np.log(p[0][:2]), np.log(1 - p[1]))
    weighted = domain_loss(params, source[:2], target, weights)
    parts = [np.asarray(w) * x for w, x in zip(weights, logs, strict=True)]
    np.testing.assert_allclose(weighted, -(parts[0].mean() + parts[1].mean()), rtol=1e-5)


def test_conditioned_features_have_the_products_of_both_inner_products() -> None:
    (z, p) = (normal(0, 5, 8), jax.nn.softmax(normal(1, 5, CLASSES)))
    products = (z @ z.T) * (p @ p.T)
    exact = conditioned(z, p)
    assert exact.shape == (5, 24)
    np.testing.assert_allclose(exact @ exact.T, products, rtol=1e-4, atol=1e-5)
    (z, p) = (normal(0, 5, 600), jax.nn.softmax(3 * normal(1, 5, 10)))
    assert 600 * 10 > LARGEST
    random = conditioned(z, p)
    products = (z @ z.T) * (p @ p.T)
    scale = np.diag(products).mean()
    assert float(jnp.abs(random @ random.T - products).max()) < 0.35 * scale


def test_sure_images_weigh_more() -> None:
    p = jnp.array([[1.0, 0.0], [0.5, 0.5]])
    expected = np.array([2.0, 1 + 0.5])
    np.testing.assert_allclose(certainty(p), expected / expected.mean(), rtol=1e-6)


def test_mean_discrepancy_by_loops_and_its_mean_of_equal_domains() -> None:
    (x, y) = (np.asarray(normal(0, 4, 3)), np.asarray(2 + normal(1, 5, 3)))
    both = np.concatenate([x, y])
    distances = np.square(both[:, None] - both).sum(-1)
    scale = distances.sum() / (9 * 8)

    def kernel(i: int, j: int) -> float:
        return sum(np.exp(-distances[i, j] / (2 * 2.0**k * scale)) for k in SCALES)

    within = np.mean([kernel(i, j) for i in range(4) for j in range(4) if i != j])
    within += np.mean([kernel(i, j) for i in range(4, 9) for j in range(4, 9) if i != j])
    across = np.mean([kernel(i, j) for i in range(4) for j in range(4, 9)])
    np.testing.assert_allclose(mean_discrepancy(x, y), within - 2 * across, rtol=1e-5)
    draws = jax.vmap(lambda z: mean_discrepancy(z[:8], z[8:]))(normal(2, 300, 16, 3))
    assert abs(float(draws.mean())) < 3 * float(draws.std()) / 300**0.5


def test_covariance_distance_by_numpy() -> None:
    (x, y) = (normal(0, 9, 4), 3 * normal(1, 7, 4))
    difference = np.cov(x, rowvar=False) - np.cov(y, rowvar=False)
    expected = np.square(difference).sum() / (4 * 16)
    np.testing.assert_allclose(covariance_distance(x, y), expected, rtol=1e-4)
    np.testing.assert_allclose(covariance_distance(x, x + 5), 0, atol=1e-6)


def test_class_confusion_by_loops_and_of_sure_predictions() -> None:
    logits = np.asarray(normal(0, 7, CLASSES))
    p = softmax(logits / TEMPERATURE, 1)
    entropy = -(p * np.log(p)).sum(1)
    w = 1 + np.exp(-entropy)
    w = 7 * w / w.sum()
    c = sum(w[i] * np.outer(p[i], p[i]) for i in range(7))
    c = c / c.sum(1, keepdims=True)
    expected = (c.sum() - np.trace(c)) / CLASSES
    np.testing.assert_allclose(class_confusion(jnp.asarray(logits)), expected, rtol=1e-5)
    sure = 100 * jax.nn.one_hot(jnp.arange(6) % CLASSES, CLASSES)
    assert float(class_confusion(sure)) < 1e-6


def test_disagreement_is_finite_where_both_agree() -> None:
    logits = normal(0, 6, CLASSES)
    labels = jnp.arange(6) % CLASSES
    p = np.take_along_axis(softmax(np.asarray(logits), 1), np.asarray(labels)[:, None], 1)
    np.testing.assert_allclose(disagreement(logits, labels), -np.log(1 - p).mean(), rtol=1e-5)
    sure = 200 * jax.nn.one_hot(labels, CLASSES)
    (value, grad) = jax.value_and_grad(disagreement)(sure, labels)
    np.testing.assert_allclose(value, 200 - np.log(2), rtol=1e-4)
    assert np.isfinite(np.asarray(grad)).all()


def test_second_classifier_and_body_pull_apart() -> None:
    penalty = mdd()
    params = penalty.init(random_key(0), 4, CLASSES)
    given = seen()

    def plain(params: PyTree, source: Array, target: Array) -> Array:
        agreed = cross_entropy(classify("linear", params, source), given.source_logits.argmax(-1))
        apart = disagreement(classify("linear", params, target), given.target_logits.argmax(-1))
        return MARGIN * agreed + apart

    (own, of_target) = jax.grad(plain, (0, 2))(params, given.source_z, given.target_z)
    found = jax.grad(penalty.loss)(params, given)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found, own)
    grad = jax.grad(lambda z: penalty.loss(params, given._replace(target_z=z)))(given.target_z)
    weight = MOST * float(reversal_weight(given.progress))
    np.testing.assert_allclose(grad, -weight * of_target, rtol=1e-4, atol=1e-8)


def test_adda_trains_the_discriminator_and_the_body_by_losses_of_their_own() -> None:
    network = flat(tiny_network())
    trainee = DEEP["adda"].build(network, SETTINGS)
    meta = trainee.init(random_key(0), jnp.zeros((1, 8, 8, 1)), CLASSES, begun(network))
    given = pair()
    grads = jax.grad(trainee.loss, 1, has_aux=True)(random_key(1), meta, given, 0)[0]
    source = network.apply(meta["fixed"]["source"], given.source.x)
    target = network.apply(meta["body"], given.target)
    own = jax.grad(domain_loss)(meta["own"], source, target, None)

    def mistaken(body: PyTree) -> Array:
        odds = layers(meta["own"], network.apply(body, given.target))
        return -SETTINGS.penalty * jax.nn.log_sigmoid(odds).mean()

    body = jax.grad(mistaken)(meta["body"])

    def same(a: Array, b: Array) -> None:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    jax.tree.map(same, grads["own"], own)
    jax.tree.map(same, grads["body"], body)


def test_information_of_sure_and_of_unsure_predictions() -> None:
    sure = 100 * jax.nn.one_hot(jnp.arange(6) % CLASSES, CLASSES)
    np.testing.assert_allclose(information(sure), np.log(CLASSES), rtol=1e-5)
    np.testing.assert_allclose(information(jnp.zeros((6, CLASSES))), 0, atol=1e-6)
    one = 100 * jax.nn.one_hot(jnp.zeros(6, int), CLASSES)
    np.testing.assert_allclose(information(one), 0, atol=1e-6)


def test_pseudo_labels_by_loops() -> None:
    z = np.asarray(normal(0, 20, 4)) + 3 * np.eye(CLASSES, 4)[np.arange(20) % CLASSES]
    logits = np.asarray(normal(1, 20, 4)) + 2 * np.eye(4)[np.arange(20) % CLASSES]
    logits[:, 3] = -9  # a class that nothing is predicted to be
    features = np.concatenate([z, np.ones((20, 1))], 1)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    shares = softmax(logits, 1)
    for _ in range(2):
        centroids = (shares.T @ features) / (shares.sum(0)[:, None] + 1e-8)
        lengths = np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-9)
        cosines = features @ (centroids / lengths).T
        cosines[:, 3] = -np.inf
        labels = cosines.argmax(1)
        shares = np.eye(4)[labels]
    np.testing.assert_array_equal(pseudo_labels(jnp.asarray(logits), jnp.asarray(z)), labels)


def test_gradients_by_differences() -> None:
    """Of losses through which all of the gradient flows."""
    other = 2 * normal(1, 6, CLASSES)
    (x, direction, eps) = (normal(0, 6, CLASSES), normal(2, 6, CLASSES), 1e-2)

    def distance(x: Array) -> Array:
        return covariance_distance(x, other)

    for loss in (distance, information):
        numeric = (loss(x + eps * direction) - loss(x - eps * direction)) / (2 * eps)
        exact = (jax.grad(loss)(x) * direction).sum()
        np.testing.assert_allclose(exact, numeric, rtol=1e-2)


def test_a_step_along_the_gradient_makes_domains_more_alike() -> None:
    x = normal(0, 6, CLASSES)

    def discrepancy(x: Array) -> Array:
        return mean_discrepancy(x, 2 + normal(1, 6, CLASSES))

    for loss in (discrepancy, class_confusion):
        assert float(loss(x - 0.05 * jax.grad(loss)(x))) < float(loss(x))
