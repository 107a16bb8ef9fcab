"""Pre-train the body to classify all base classes, then fit a head per task: the fine-tune baselines.

Chen, Liu, Kira, Wang, Huang. A Closer Look at Few-shot Classification. ICLR 2019.
    baseline    linear classifier in pre-training and per task
    baseline++  cosine classifier in both
Tian, Wang, Krishnan, Tenenbaum, Isola. Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?
ECCV 2020.
    rfs         linear classifier in pre-training, logistic regression on normalised features per task
Wang, Chao, Weinberger, van der Maaten. SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning.
2019.
    simpleshot  linear classifier in pre-training, nearest centroid of features centred by the mean feature of the
                base classes and normalised; nearest_neighbour is its nearest neighbour on normalised features
"""

import jax

from metalearn.base import Array, Batch, Head, Info, Key, Learner, Network, PyTree
from metalearn.classifier import classify, init_classifier
from metalearn.learners.embedding import embedding
from metalearn.losses import accuracy, cross_entropy


def pretrained(
    network: Network,
    head: Head,
    ways: int,
    classes: int,
    classifier: str = "linear",
    scale: float = 2.0,
    norm: str = "running",
    centre: bool = False,
) -> Learner:
    """A learner whose loss is base-class classification of a `Batch` and whose test is a head on frozen features.

    Args:
      network: the body.
      head: fitted per task to frozen features.
      ways: N at test.
      classes: C, base classes.
      classifier: of the pre-training: `linear`, or `cosine` (see `metalearn.classifier`).
      scale: of the cosine classifier.
      norm, centre: see `embedding`; centring is for the test alone.
    """
    base = embedding(network, head, ways, norm, centre=centre)

    def init(key: Key, x: Array) -> PyTree:
        body_key, key = jax.random.split(key)
        meta = base.init(body_key, x)
        features = jax.eval_shape(network.apply, meta["body"], x).shape[-1]
        return meta | {"classifier": init_classifier(key, classifier, features, classes)}

    def loss(key: Key, meta: PyTree, batch: Batch, step: Array | int = 0) -> tuple[Array, Info]:
        z = network.apply(meta["body"], batch.x, key=key)
        logits = classify(classifier, meta["classifier"], z, scale)
        value = cross_entropy(logits, batch.y)
        return value, {"loss": value, "accuracy": accuracy(logits, batch.y)}

    return base._replace(init=init, loss=loss)
