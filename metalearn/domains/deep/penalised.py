"""The body is trained on the source's labels, with a penalty where the domains differ."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metalearn.domains.deep.settings import Settings
from metalearn.domains.deep.types import Pair, Penalty, Seen, Trainee
from metalearn.ops.classification import classification_loss
from metalearn.ops.classifier import classify, init_classifier
from metalearn.ops.losses import accuracy
from metalearn.types import Array, Info, Key, Network, PyTree


def penalised(
    network: Network, settings: Settings, penalty: Penalty | None, reads_few: bool = True
) -> Trainee:
    """Cross-entropy of the source + penalty, + cross-entropy of labelled images of the target.

    Images of both domains go through the body as one batch, so normalisation has the statistics of
    both, in training and afterwards.

    Args:
      network: of the body.
      settings: weights of the penalty and of the target's labels.
      penalty: None for none: then the target's unlabelled images are not read.
      reads_few: whether labelled images of the target are.
    """

    def init(key: Key, x: Array, classes: int, begun: PyTree | None = None) -> PyTree:
        (body_key, head_key, own_key) = jax.random.split(key, 3)
        body = network.init(body_key, x)
        features = jax.eval_shape(network.apply, body, x).shape[-1]
        meta = {
            "body": body,
            "classifier": init_classifier(head_key, "linear", features, classes),
        }
        own = penalty.init(own_key, features, classes) if penalty is not None else {}
        return meta | ({"own": own} if own else {})

    def parts(pair: Pair) -> list[Array]:
        found = [pair.source.x]
        if penalty is not None:
            found.append(pair.target)
        if reads_few and pair.few is not None:
            found.append(pair.few.x)
        return found

    def loss(key: Key, meta: PyTree, pair: Pair, step: Array | int = 0) -> tuple[Array, Info]:
        images = parts(pair)
        z = network.apply(meta["body"], jnp.concatenate(images), None, key)
        logits = classify("linear", meta["classifier"], z)
        ends = [sum(len(part) for part in images[: i + 1]) for i in range(len(images) - 1)]
        of_z, of_logits = jnp.split(z, ends), jnp.split(logits, ends)
        classified = classification_loss(
            of_logits[0], pair.source, smoothing=settings.label_smoothing
        )
        value = classified
        info = {"accuracy": accuracy(of_logits[0], pair.source.y)}
        if penalty is not None:
            progress = jnp.asarray(step, jnp.float32) / max(settings.steps, 1)
            seen = Seen(of_z[0], of_logits[0], pair.source.y, of_z[1], of_logits[1], progress)
            added = penalty.loss(meta.get("own", {}), seen)
            info["penalty"] = added
            value = value + settings.penalty * added
        if reads_few and pair.few is not None:
            value = value + settings.target_weight * classification_loss(
                of_logits[-1], pair.few, smoothing=settings.label_smoothing
            )
        return value, info | {"loss": value}

    return Trainee(init, loss, lambda pair: jnp.concatenate(parts(pair)))


def with_penalty(make: Callable[[], Penalty]) -> Callable[[Network, Settings], Trainee]:
    """`DeepMethod.build` of a method that is a penalty."""
    return lambda network, settings: penalised(network, settings, make())


def source_only(network: Network, settings: Settings) -> Trainee:
    """The source's labels alone: what other methods are compared with."""
    return penalised(network, settings, None, reads_few=False)


def joint(network: Network, settings: Settings) -> Trainee:
    """The source's labels and the target's few, in one loss."""
    return penalised(network, settings, None)
