"""Methods that begin from a training on the source alone, and see it no more (but for ADDA).

AdaBN, fine-tuning on labels of the target, ADDA.
"""

import jax
import jax.numpy as jnp

from metalearn.domains.deep.adversarial import HIDDEN, domain_loss
from metalearn.domains.deep.networks import init_layers, layers
from metalearn.domains.deep.settings import Settings
from metalearn.domains.deep.types import Pair, Trainee
from metalearn.ops.classification import classification_loss
from metalearn.ops.classifier import classify
from metalearn.ops.losses import accuracy
from metalearn.types import Array, Info, Key, Network, PyTree


def _as_begun(key: Key, x: Array, classes: int, begun: PyTree) -> PyTree:
    return {"body": begun["body"], "classifier": begun["classifier"]}


def ada_bn(network: Network, settings: Settings) -> Trainee:
    """Li et al. 2016, "Revisiting batch normalization for practical domain adaptation".

    Nothing is trained: normalisation takes the target's running statistics for the source's.
    Deviations: statistics are those of batches that are augmented as in training; of a bottleneck
    on a pre-trained body its own normalisation alone is changed.
    """

    def loss(key: Key, meta: PyTree, pair: Pair, step: Array | int = 0) -> tuple[Array, Info]:
        raise AssertionError("nothing is trained")

    return Trainee(_as_begun, loss, lambda pair: pair.target)


def fine_tune_target(network: Network, settings: Settings) -> Trainee:
    """All of the body is trained on the target's few labels.

    Running statistics are those of the target's unlabelled images; in training, a batch's own.
    """

    def loss(key: Key, meta: PyTree, pair: Pair, step: Array | int = 0) -> tuple[Array, Info]:
        assert pair.few is not None  # the program has seen to it
        z = network.apply(meta["body"], pair.few.x, None, key)
        logits = classify("linear", meta["classifier"], z)
        value = classification_loss(logits, pair.few, smoothing=settings.label_smoothing)
        return value, {"loss": value, "accuracy": accuracy(logits, pair.few.y)}

    return Trainee(_as_begun, loss, lambda pair: pair.target)


def adda(network: Network, settings: Settings) -> Trainee:
    """Tzeng et al. 2017, "Adversarial discriminative domain adaptation".

    A body of the target's own, which begins as the source's, is trained until a discriminator
    cannot tell its features from those of the source's body (equations 7 and 9); the classifier
    stays. Deviations: body and discriminator are trained in the same step, not in turns; each
    domain's batch is normalised by its own statistics.
    """

    def init(key: Key, x: Array, classes: int, begun: PyTree) -> PyTree:
        features = begun["classifier"]["w"].shape[0]
        # Copied: where the source's body is not trained, its arrays are to be others
        fixed = {
            "source": jax.tree.map(jnp.array, begun["body"]),
            "classifier": begun["classifier"],
        }
        own = init_layers(key, (features, *HIDDEN, 1))
        return {"body": begun["body"], "own": own, "fixed": fixed}

    def loss(key: Key, meta: PyTree, pair: Pair, step: Array | int = 0) -> tuple[Array, Info]:
        fixed = jax.lax.stop_gradient(meta["fixed"])
        # Without dropout, which would tell the two bodies apart
        source = network.apply(fixed["source"], pair.source.x)
        target = network.apply(meta["body"], pair.target)
        discriminator_loss = domain_loss(meta["own"], source, jax.lax.stop_gradient(target), None)
        # The discriminator is not trained by the body's loss
        odds = layers(jax.lax.stop_gradient(meta["own"]), target)
        body_loss = jax.nn.softplus(-odds).mean()
        value = discriminator_loss + settings.penalty * body_loss
        return value, {"loss": value, "penalty": body_loss}

    return Trainee(init, loss, lambda pair: pair.target, two_bodies=True)
