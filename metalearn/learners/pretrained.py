"""The fine-tune baselines: pre-train the body on all base classes, then fit a head per task.

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
Chen, Liu, Xu, Darrell, Wang. Meta-Baseline: Exploring Simple Meta-Learning for Few-Shot Learning.
ICCV 2021.
    cosine_centroid
                their Classifier-Baseline (section 3.1): class means of features, compared by
                cosines times 10; here of features centred by the mean feature of the base classes,
                there as they are
Bendou et al. EASY - Ensemble Augmented-Shot Y-shaped Learning: State-of-the-Art Few-Shot
Classification with Simple Ingredients. Journal of Imaging, 2022.
    rotation    rotation self-supervision (their Y): a second classifier predicts the turn of an
                image, half of the loss as in the released code; there images and features are mixed
                as well (mixup), here not
Rajasegaran et al. Self-supervised Knowledge Distillation for Few-shot Learning. BMVC 2021.
    rotation    with a weight, of 2 there, and all four turns of every image: the first generation.
                As in the released code the turn is predicted from the class logits, by a
                binary cross-entropy of each of the four
"""

from dataclasses import dataclass

import jax

from metalearn.learners.embedding import embedding
from metalearn.learners.recipes import CHARACTERS, PLAIN, Recipe
from metalearn.ops.classifier import classify, init_classifier
from metalearn.ops.losses import accuracy, binary_cross_entropy, cross_entropy, divergence
from metalearn.settings import Batched, Mirrored, setting
from metalearn.types import Array, Batch, Head, Info, Key, Learner, Network, PyTree

# Whole batches of 64 in their training images, 64 and 60 classes of 600
EPOCH = {"cifar_fs": 600, "fc100": 562}
OF_CIFAR = "steps:0.1@0.5,0.1@0.66667,0.1@0.83333"


@dataclass(frozen=True)
class Settings(Mirrored, Batched):
    """What every method reads whose body is pre-trained to classify the base classes."""

    all_turns: bool = setting(
        False, "with --rotation every image is seen in all four turns; else each in one"
    )
    rotation_weight: float = setting(
        0.0,
        "of the rotation loss, added to that of the classes, as in SKD (0: the mean of both, as in "
        "EASY)",
        least=0,
    )


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
    """A learner that trains by classifying the base classes, and tests a head on frozen features.

    Its loss is of a `Batch`.

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
      rotation_weight: of its loss beside that of the classes; it then reads the class logits
        (Rajasegaran et al. 2021). 0: it reads features, and the loss is the mean of both (Bendou
        et al. 2022).
      initial: weights of the classifiers, see `init_classifier`.
    """
    base = embedding(network, head, ways, norm, centre=centre)

    def init(key: Key, x: Array) -> PyTree:
        (body_key, classes_key, turns_key) = jax.random.split(key, 3)
        meta = base.init(body_key, x)
        features = jax.eval_shape(network.apply, meta["body"], x).shape[-1]
        own = init_classifier(classes_key, classifier, features, classes, initial)
        read = classes if rotation_weight else features
        turns = init_classifier(turns_key, "linear", read, 4, initial)
        return meta | {"classifier": own} | ({"turns": turns} if rotation else {})

    def loss(key: Key, meta: PyTree, batch: Batch, step: Array | int = 0) -> tuple[Array, Info]:
        z = network.apply(meta["body"], batch.x, key=key)
        logits = classify(classifier, meta["classifier"], z, scale)
        value = cross_entropy(logits, batch.y)
        if batch.teacher is not None:
            value = (value + divergence(logits, batch.teacher)) / 2
        if batch.turns is not None and rotation_weight:
            turned = classify("linear", meta["turns"], logits)
            value = value + rotation_weight * binary_cross_entropy(turned, batch.turns)
        elif batch.turns is not None:
            turned = classify("linear", meta["turns"], z)
            value = (value + cross_entropy(turned, batch.turns)) / 2
        return value, {"loss": value, "accuracy": accuracy(logits, batch.y)}

    def classified(meta: PyTree, x: Array) -> Array:
        moments = meta["moments"]["body"] if "moments" in meta else None
        z = network.apply(meta["body"], x, moments)
        return classify(classifier, meta["classifier"], z, scale)

    return base._replace(init=init, loss=loss, classify=classified)


def base_classes(meta: PyTree) -> int:
    """Classes that the meta-parameters were pre-trained on; 1 where there is no classifier."""
    return meta["classifier"]["w"].shape[-1] if "classifier" in meta else 1


def build(
    settings: Settings,
    network: Network,
    classes: int,
    norm: str,
    head: Head,
    classifier: str = "linear",
    centre: bool = False,
) -> Learner:
    """The learner of these settings with a head that a method's name stands for.

    Args:
      settings: those of the method.
      network, classes, norm, head, classifier, centre: see `pretrained`.
    """
    return pretrained(
        network,
        head,
        settings.ways,
        classes,
        classifier,
        scale=2.0 if classes <= 200 else 10.0,
        norm=norm,
        centre=centre,
        rotation=settings.rotation,
        rotation_weight=settings.rotation_weight,
        initial=settings.initial,
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """One pre-training for all baselines, that of Tian et al. 2020's released code and its authors.

    SGD 0.05, momentum 0.9, weight decay 5e-4 of all weights, batches of 64; augmented by crop,
    jitter and flip; kernels by He et al. 2015; a Conv4 whose last block does not halve, and whose
    features are means over places. 100 epochs, the rate times 0.1 after 60 and 80; of CIFAR-FS and
    FC100 90 epochs, after 45, 60 and 75 (the authors in WangYueFt/rfs#5). So heads alone are
    compared, but for Baseline++, whose body learns through its own classifier (Chen et al. 2019,
    released code: Adam at 1e-3 without decay, batches of 16; lengths of the weights begin at about
    0.58, here at 1). LaplacianShot's and TIM's bodies are released with labels smoothed by 0.1,
    here they are not. Batches are drawn with replacement, there epoch by epoch.
    """
    photographs = dict(
        backbone="conv4-64-rfs",
        norm="running",
        optimizer="sgd",
        nesterov=False,
        lr=0.05,
        weight_decay=5e-4,
        decay="all",
        schedule="steps:0.1@0.6,0.1@0.8",
        augment="flip,crop,jitter",
        initial="he",
        steps=60_000,
        meta_batch=1,
        batch_size=64,
        valid_every=2000,
    )
    if dataset in EPOCH:
        photographs |= dict(steps=90 * EPOCH[dataset], schedule=OF_CIFAR)
    return photographs | PLAIN if dataset in CHARACTERS else photographs
