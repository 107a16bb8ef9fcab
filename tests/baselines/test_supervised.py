"""Pre-training: what its loss is made of, and how a pre-trained network classifies the base classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.base import Batch
from metalearn.baselines.supervised import pretrained
from metalearn.learners.heads import nearest_centroid
from metalearn.losses import cross_entropy, divergence
from tests.small import SIDE, tiny_network

CLASSES = 6
KEY = jax.random.key(0)
X, Y = jax.random.normal(KEY, (8, SIDE, SIDE, 1)), jnp.arange(8) % CLASSES


def test_loss_of_a_batch_with_a_teachers_logits() -> None:
    """Half the labels' cross-entropy, half the divergence from the teacher at temperature 4."""
    learner = pretrained(tiny_network("none"), nearest_centroid(), 2, CLASSES, norm="none")
    meta = learner.init(KEY, X[:1])
    teacher = jax.random.normal(jax.random.key(1), (8, CLASSES))
    logits = learner.classify(meta, X)
    alone, taught = (learner.loss(KEY, meta, batch)[0] for batch in (Batch(X, Y), Batch(X, Y, teacher)))
    np.testing.assert_allclose(alone, cross_entropy(logits, Y), rtol=1e-6)
    np.testing.assert_allclose(taught, (alone + divergence(logits, teacher, 4.0)) / 2, rtol=1e-6)


@pytest.mark.parametrize("centre", [False, True])
def test_base_classes_are_told_under_the_moments_of_the_training_split(centre: bool) -> None:
    """Of single images too; what a head at test is centred by does not matter."""
    network = tiny_network()
    learner = pretrained(network, nearest_centroid(), 2, CLASSES, centre=centre)
    meta = learner.init(KEY, X[:1])
    meta["moments"] = learner.moments(meta, X)
    z = network.apply(meta["body"], X)  # by its own moments: the same
    expected = z @ meta["classifier"]["w"] + meta["classifier"]["b"]
    np.testing.assert_allclose(learner.classify(meta, X), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(learner.classify(meta, X[:1]), expected[:1], rtol=1e-4, atol=1e-5)
