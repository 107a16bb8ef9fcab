"""Relation networks: which pairs are compared, those of each query by themselves; and the loss."""

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.learners.relationnet import relation_head
from metalearn.models import make_relation
from metalearn.ops.losses import squared_error
from metalearn.types import Network

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(4, 3, 3, 2)).astype(np.float32)
Y = np.array([1, 0, 1, 0])
QUERIES = RNG.normal(size=(5, 3, 3, 2)).astype(np.float32)


def test_relation_head_compares_every_query_with_every_class() -> None:
    """A class's map is the sum of its images'; the module gets classes and queries, and shapes of
    one of each.
    """
    module = Network(
        init=lambda key, maps: [m.shape for m in maps],
        apply=lambda params, maps: maps[1].sum((1, 2, 3))[:, None] + 2 * maps[0][None, :, 0, 1, 1],
        moments=None,
    )
    made = relation_head(module)
    assert made.init(jax.random.key(0), (3, 3, 2)) == [(1, 3, 3, 2)] * 2
    head = made.head({})
    found = head.predict(head.fit(None, jnp.asarray(Z), jnp.asarray(Y), 2), jnp.asarray(QUERIES))
    expected = [[q.sum() + 2 * Z[n == Y].sum(0)[0, 1, 1] for n in range(2)] for q in QUERIES]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_classes_of_unequal_numbers_have_maps_of_one_size() -> None:
    """One image of a class given three times is that image given once."""
    head = relation_head(Network(None, lambda params, maps: maps[0], None)).head({})
    repeated = jnp.asarray(Z[[0, 1, 1, 1]])
    maps = head.fit(None, repeated, jnp.array([0, 1, 1, 1]), 2)
    np.testing.assert_allclose(maps, 2 * Z[:2], rtol=1e-5)  # two images a class in the mean


def test_relation_scores_depend_on_no_other_query() -> None:
    made = relation_head(make_relation(width=16))
    head = made.head(made.init(jax.random.key(0), (3, 3, 2)))
    predict = jax.jit(lambda y, q: head.predict(head.fit(None, jnp.asarray(Z), y, 2), q))
    scores = predict(jnp.asarray(Y), jnp.asarray(QUERIES))
    assert scores.shape == (5, 2) and float(scores.std()) > 0
    np.testing.assert_allclose(
        predict(jnp.asarray(Y), jnp.asarray(QUERIES[:1])), scores[:1], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        predict(jnp.asarray(1 - Y), jnp.asarray(QUERIES)), scores[:, ::-1], rtol=1e-4, atol=1e-5
    )


def test_squared_error_is_of_sigmoids_and_one_hot_labels() -> None:
    logits = jnp.array([[0.0, jnp.log(3.0)], [-jnp.inf, 0.0]])  # sigmoids 1/2, 3/4; 0, 1/2
    found = squared_error(logits, jnp.array([1, 0]))
    np.testing.assert_allclose(found, (0.25 + 0.0625 + 1 + 0.25) / 4, rtol=1e-6)
