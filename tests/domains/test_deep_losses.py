"""The whole loss of each method that trains a body, put together by hand of its parts."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.domains.deep.adversarial import cdan, certainty, conditioned, domain_loss
from metalearn.domains.deep.confusion import class_confusion, mcc
from metalearn.domains.deep.matching import (
    covariance_distance,
    dan,
    deep_coral,
    mean_discrepancy,
)
from metalearn.domains.deep.networks import reversal_weight
from metalearn.domains.deep.registry import DEEP
from metalearn.domains.deep.shot import PSEUDO, information
from metalearn.domains.deep.types import Penalty, Seen
from metalearn.ops.classifier import classify
from metalearn.ops.losses import cross_entropy
from metalearn.types import Array, PyTree, random_key
from tests.domains.test_deep import CLASSES, SETTINGS, begun, flat, pair, seen
from tests.small import tiny_network

PARTS: dict[str, tuple[Callable[[], Penalty], Callable[[Seen], Array]]] = {
    "dan": (dan, lambda given: mean_discrepancy(given.source_z, given.target_z)),
    "deep_coral": (
        deep_coral,
        lambda given: covariance_distance(given.source_logits, given.target_logits),
    ),
    "mcc": (mcc, lambda given: class_confusion(given.target_logits)),
}


@pytest.mark.parametrize("name", PARTS)
def test_penalty_without_a_network_of_its_own_is_its_distance(name: str) -> None:
    (make, expected) = PARTS[name]
    given = seen()

    def found(z: Array, logits: Array) -> Array:
        return make().loss({}, given._replace(target_z=z, target_logits=logits))

    def by_hand(z: Array, logits: Array) -> Array:
        return expected(given._replace(target_z=z, target_logits=logits))

    at = (given.target_z, given.target_logits)
    both = [jax.value_and_grad(function, (0, 1))(*at) for function in (found, by_hand)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *both)


@pytest.mark.parametrize("by_entropy", [False, True])
def test_conditional_discriminator_learns_and_features_unlearn(by_entropy: bool) -> None:
    """Features by a gradient that is reversed; none flows through the probabilities."""
    penalty = cdan(by_entropy)
    params = penalty.init(random_key(0), 4, CLASSES)
    given = seen(0.3)
    p = [jax.nn.softmax(logits) for logits in (given.source_logits, given.target_logits)]
    weights = jnp.stack([certainty(p[0]), certainty(p[1])]) if by_entropy else None

    def by_hand(params: PyTree, source: Array, target: Array) -> Array:
        return domain_loss(params, conditioned(source, p[0]), conditioned(target, p[1]), weights)

    def found(params: PyTree, source: Array, target: Array) -> Array:
        return penalty.loss(params, given._replace(source_z=source, target_z=target))

    at = (params, given.source_z, given.target_z)
    (value, (own, *features)) = jax.value_and_grad(found, (0, 1, 2))(*at)
    (expected, (plain, *turned)) = jax.value_and_grad(by_hand, (0, 1, 2))(*at)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), own, plain)
    weight = float(reversal_weight(given.progress))
    for gradient, other in zip(features, turned, strict=True):
        np.testing.assert_allclose(gradient, -weight * other, rtol=1e-4, atol=1e-8)
    of_logits = jax.grad(lambda x: penalty.loss(params, given._replace(target_logits=x)))
    assert not np.asarray(of_logits(given.target_logits)).any()


def test_source_free_loss_is_of_the_pseudo_labels_of_the_batch() -> None:
    network = flat(tiny_network())
    trainee = DEEP["shot"].build(network, SETTINGS)
    meta = trainee.init(random_key(0), jnp.zeros((1, 8, 8, 1)), CLASSES, begun(network))
    labels = np.array([2, 0, 1, 1, 0, 2, 0, 1])  # of all of the target's images
    meta = meta | {"fixed": meta["fixed"] | {"labels": jnp.asarray(labels, jnp.float32)}}
    rows = np.array([7, 0, 3, 3, 5, 1])
    given = pair()._replace(rows=jnp.asarray(rows))
    logits = classify(
        "linear", meta["fixed"]["classifier"], network.apply(meta["body"], given.target)
    )
    expected = -SETTINGS.penalty * information(logits)
    expected += PSEUDO * cross_entropy(logits, jnp.asarray(labels[rows]))
    found = trainee.loss(random_key(1), meta, given, 0)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_fine_tuning_on_the_target_reads_its_few_labels_alone() -> None:
    network = flat(tiny_network())
    trainee = DEEP["fine_tune_target"].build(network, SETTINGS)
    meta = trainee.init(random_key(0), jnp.zeros((1, 8, 8, 1)), CLASSES, begun(network))
    given = pair()
    assert given.few is not None
    z = network.apply(meta["body"], given.few.x)
    expected = cross_entropy(classify("linear", meta["classifier"], z), given.few.y)
    np.testing.assert_allclose(trainee.loss(random_key(1), meta, given, 0)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", DEEP)
def test_statistics_are_of_the_target_where_it_is_seen(name: str) -> None:
    given = pair()
    trainee = DEEP[name].build(flat(tiny_network()), SETTINGS)
    expected = given.source.x if name == "source_only" else given.target
    assert trainee.images(given) is expected
    assert trainee.two_bodies is (name == "adda")
