"""Pre-train the body to classify all base classes, then fit a head per task: the fine-tune
baselines.

Chen, Liu, Kira, Wang, Huang. A Closer Look at Few-shot Classification. ICLR 2019.
    baseline    linear classifier in pre-training and per task
    baseline++  cosine classifier in both
Tian, Wang, Krishnan, Tenenbaum, Isola. Rethinking Few-Shot Image Classification: a Good Embedding
Is All You Need? ECCV 2020.
    rfs         linear classifier in pre-training, logistic regression on normalised features per
                task
    distilled   section 3.3: a second pre-training learns from the logits of the first as well (see
                `Batch.teacher`), alpha = beta = 1/2 and temperature 4 as in the released code
Wang, Chao, Weinberger, van der Maaten. SimpleShot: Revisiting Nearest-Neighbor Classification for
Few-Shot Learning. 2019.
    simpleshot  linear classifier in pre-training, nearest centroid of features centred by the mean
                feature of the base classes and normalised; nearest_neighbour is its nearest
                neighbour on normalised features
Bendou et al. EASY - Ensemble Augmented-Shot Y-shaped Learning: State-of-the-Art Few-Shot
Classification with Simple Ingredients. Journal of Imaging, 2022.
    rotation    rotation self-supervision (their Y): a second classifier predicts the turn of an
                image, half of the loss as in the released code; there images and features are mixed
                as well (mixup), here not
Rajasegaran et al. Self-supervised Knowledge Distillation for Few-shot Learning. BMVC 2021.
    rotation    with all four turns of every image and a weight of 2: the first generation (there
                the rotation loss is a binary cross-entropy of each turn, here a softmax's)
"""

import jax

from metalearn.learners.embedding import embedding
from metalearn.ops.classifier import classify, init_classifier
from metalearn.ops.losses import accuracy, cross_entropy, divergence
from metalearn.types import Array, Batch, Head, Info, Key, Learner, Network, PyTree


def pretrained(
    network: Network,
    head: Head,
    ways: int,
    classes: int,
    classifier: str = "linear",
    scale: float = 2.0,
    norm: str = "running",
    centre: bool = False,
    rotation: bool = False,
    rotation_weight: float = 0.0,
    initial: str = "default",
) -> Learner:
    """A learner whose loss is base-class classification of a `Batch` and whose test is a head on
    frozen features.

    Args:
      network: the body.
      head: fitted per task to frozen features.
      ways: N at test.
      classes: C, base classes.
      classifier: of the pre-training: `linear`, or `cosine` (see `metalearn.ops.classifier`).
      scale: of the cosine classifier.
      norm, centre: see `embedding`; centring is for the test alone.
      rotation: have a linear classifier of quarter turns, for batches that were turned (see
        `Batch`).
      rotation_weight: of its loss beside that of the classes; 0 for the mean of both.
      initial: weights of the classifiers, see `init_classifier`.
    """
    base = embedding(network, head, ways, norm, centre=centre)

    def init(key: Key, x: Array) -> PyTree:
        body_key, key = jax.random.split(key)
        meta = base.init(body_key, x)
        features = jax.eval_shape(network.apply, meta["body"], x).shape[-1]
        meta = meta | {"classifier": init_classifier(key, classifier, features, classes, initial)}
        if rotation:
            meta["turns"] = init_classifier(
                jax.random.fold_in(key, 1), "linear", features, 4, initial
            )
        return meta

    def loss(key: Key, meta: PyTree, batch: Batch, step: Array | int = 0) -> tuple[Array, Info]:
        z = network.apply(meta["body"], batch.x, key=key)
        logits = classify(classifier, meta["classifier"], z, scale)
        value = cross_entropy(logits, batch.y)
        if batch.teacher is not None:
            value = (value + divergence(logits, batch.teacher)) / 2
        if batch.turns is not None:
            told = cross_entropy(classify("linear", meta["turns"], z), batch.turns)
            value = value + rotation_weight * told if rotation_weight else (value + told) / 2
        return value, {"loss": value, "accuracy": accuracy(logits, batch.y)}

    def classified(meta: PyTree, x: Array) -> Array:
        moments = meta["moments"]["body"] if "moments" in meta else None
        z = network.apply(meta["body"], x, moments)
        return classify(classifier, meta["classifier"], z, scale)

    return base._replace(init=init, loss=loss, classify=classified)


def base_classes(meta: PyTree) -> int:
    """Classes that the meta-parameters were pre-trained on; 1 for methods that have no classifier
    of them.
    """
    return meta["classifier"]["w"].shape[-1] if "classifier" in meta else 1
