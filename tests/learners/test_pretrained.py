"""Pre-training: what its loss is made of, and how a pre-trained network classifies the base
classes.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.data.sampler import turn, turn_all
from metalearn.errors import UserError
from metalearn.learners.heads import nearest_centroid
from metalearn.learners.pretrained import pretrained
from metalearn.ops.classifier import init_classifier
from metalearn.ops.losses import cross_entropy, divergence
from metalearn.training.parts import turned
from metalearn.types import Batch
from tests.small import SIDE, tiny_network

CLASSES = 6
KEY = jax.random.key(0)
X, Y = jax.random.normal(KEY, (8, SIDE, SIDE, 1)), jnp.arange(8) % CLASSES


def test_pretraining_loss_with_a_teacher_is_half_distillation() -> None:
    """Half the labels' cross-entropy, half the divergence from the teacher at temperature 4."""
    learner = pretrained(tiny_network("none"), nearest_centroid(), 2, CLASSES, norm="none")
    meta = learner.init(KEY, X[:1])
    teacher = jax.random.normal(jax.random.key(1), (8, CLASSES))
    logits = learner.classify(meta, X)
    alone, taught = (
        learner.loss(KEY, meta, batch)[0] for batch in (Batch(X, Y), Batch(X, Y, teacher))
    )
    np.testing.assert_allclose(alone, cross_entropy(logits, Y), rtol=1e-6)
    np.testing.assert_allclose(taught, (alone + divergence(logits, teacher, 4.0)) / 2, rtol=1e-6)


@pytest.mark.parametrize("centre", [False, True])
def test_base_classes_are_predicted_under_the_moments_of_the_training_split(centre: bool) -> None:
    """Of single images too; what a head at test is centred by does not matter."""
    network = tiny_network()
    learner = pretrained(network, nearest_centroid(), 2, CLASSES, centre=centre)
    meta = learner.init(KEY, X[:1])
    meta["moments"] = learner.moments(meta, X)
    z = network.apply(meta["body"], X)  # by its own moments: the same
    expected = z @ meta["classifier"]["w"] + meta["classifier"]["b"]
    np.testing.assert_allclose(learner.classify(meta, X), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(learner.classify(meta, X[:1]), expected[:1], rtol=1e-4, atol=1e-5)


def test_rotation_loss_is_half_of_the_pretraining_loss() -> None:
    """Half of it tells the classes, half the turns; those two classifiers share the body and
    nothing else.
    """
    learner = pretrained(
        tiny_network("none"), nearest_centroid(), 2, CLASSES, norm="none", rotation=True
    )
    meta, batch = learner.init(KEY, X[:1]), turn(Batch(X, Y))
    z = tiny_network("none").apply(meta["body"], batch.x)
    turns = cross_entropy(z @ meta["turns"]["w"] + meta["turns"]["b"], batch.turns)

    def loss(meta, batch):
        return learner.loss(KEY, meta, batch)[0]

    alone, both = loss(meta, batch._replace(turns=None)), loss(meta, batch)
    np.testing.assert_allclose(both, (alone + turns) / 2, rtol=1e-6)
    grads = [jax.grad(loss)(meta, b) for b in (batch._replace(turns=None), batch)]
    np.testing.assert_allclose(
        grads[1]["classifier"]["w"], grads[0]["classifier"]["w"] / 2, rtol=1e-5, atol=1e-7
    )
    assert not grads[0]["turns"]["w"].any() and grads[1]["turns"]["w"].any()


def test_rotation_weight_adds_to_the_full_class_loss() -> None:
    """The turn is predicted from the class logits, each of the four against the rest."""
    options = {"norm": "none", "rotation": True, "rotation_weight": 2.0}
    learner = pretrained(tiny_network("none"), nearest_centroid(), 2, CLASSES, **options)
    meta = learner.init(KEY, X[:1])
    batch = turn_all(Batch(X, Y))
    logits = learner.classify(meta, batch.x)
    turned = jax.nn.sigmoid(logits @ meta["turns"]["w"] + meta["turns"]["b"])
    right = jnp.arange(4) == batch.turns[:, None]
    turns = -jnp.log(jnp.where(right, turned, 1 - turned)).mean()
    classes = learner.loss(KEY, meta, batch._replace(turns=None))[0]
    np.testing.assert_allclose(learner.loss(KEY, meta, batch)[0], classes + 2 * turns, rtol=1e-6)


def test_classifier_weights_begin_as_pytorchs_do() -> None:
    found = init_classifier(KEY, "linear", 400, 300, "torch")
    assert 0.049 < float(jnp.abs(found["w"]).max()) <= 0.05 and float(
        found["w"].std()
    ) == pytest.approx(0.05 / 3**0.5, rel=0.01)
    assert 0.04 < float(jnp.abs(found["b"]).max()) <= 0.05


@pytest.mark.parametrize(
    ("rotations", "width", "why"), [(4, 8, "classes of their own"), (1, 9, "8 x 9")]
)
def test_rotation_refuses_turned_classes_and_images_that_are_not_square(
    rotations: int, width: int, why: str
) -> None:
    train = SimpleNamespace(images=np.zeros((1, 8, width, 1)))
    with pytest.raises(UserError, match=why):
        turned(
            lambda key, source: None, SimpleNamespace(name="some", rotations=rotations, train=train)
        )
