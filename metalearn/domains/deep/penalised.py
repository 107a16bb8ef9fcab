"""The body is trained on the source's labels, with a penalty where the domains differ."""

from collections.abc import Callable
from functools import partial

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

    Each domain's images go through the body as a batch of their own, so normalisation has each
    domain's statistics (French et al. 2018; in much released code both are one batch). Those of the
    target are kept, where it is seen.

    Args:
      network: of the body.
      settings: weights of the penalty and of the target's labels.
      penalty: None for none: then the target's unlabelled images are not trained on.
      reads_few: whether labelled images of the target are.
    """

    def of_target(pair: Pair) -> list[Array]:
        found = [pair.target] if penalty is not None else []
        return found + ([pair.few.x] if reads_few and pair.few is not None else [])

    def loss(key: Key, meta: PyTree, pair: Pair, step: Array | int = 0) -> tuple[Array, Info]:
        (source_key, target_key) = jax.random.split(key)
        smoothing = settings.label_smoothing
        source = _answers(network, source_key, meta, pair.source.x)
        value = classification_loss(source[1], pair.source, smoothing=smoothing)
        info = {"accuracy": accuracy(source[1], pair.source.y)}
        if not (images := of_target(pair)):
            return value, info | {"loss": value}
        (z, logits) = _answers(network, target_key, meta, jnp.concatenate(images))
        if penalty is not None:
            count = len(pair.target)
            progress = jnp.asarray(step, jnp.float32) / max(settings.steps, 1)
            seen = Seen(*source, pair.source.y, z[:count], logits[:count], progress)
            info["penalty"] = penalty.loss(meta.get("own", {}), seen)
            value += settings.penalty * info["penalty"]
        if reads_few and pair.few is not None:
            few = logits[-len(pair.few.y) :]
            known = classification_loss(few, pair.few, smoothing=smoothing)
            value += settings.target_weight * known
        return value, info | {"loss": value}

    sees = penalty is not None or reads_few
    return Trainee(
        partial(_initial, network, penalty),
        loss,
        lambda pair: pair.target if sees else pair.source.x,
    )


def _initial(
    network: Network,
    penalty: Penalty | None,
    key: Key,
    x: Array,
    classes: int,
    begun: PyTree | None = None,
) -> PyTree:
    """`Trainee.init`: random weights."""
    (body_key, head_key, own_key) = jax.random.split(key, 3)
    body = network.init(body_key, x)
    features = jax.eval_shape(network.apply, body, x).shape[-1]
    classifier = init_classifier(head_key, "linear", features, classes)
    own = penalty.init(own_key, features, classes) if penalty is not None else {}
    return {"body": body, "classifier": classifier} | ({"own": own} if own else {})


def _answers(network: Network, key: Key, meta: PyTree, x: Array) -> tuple[Array, Array]:
    """Features [B,D] and logits [B,C] of images."""
    z = network.apply(meta["body"], x, None, key)
    return z, classify("linear", meta["classifier"], z)


def with_penalty(make: Callable[[], Penalty]) -> Callable[[Network, Settings], Trainee]:
    """`DeepMethod.build` of a method that is a penalty."""
    return lambda network, settings: penalised(network, settings, make())


def source_only(network: Network, settings: Settings) -> Trainee:
    """The source's labels alone: what other methods are compared with."""
    return penalised(network, settings, None, reads_few=False)


def joint(network: Network, settings: Settings) -> Trainee:
    """The source's labels and the target's few, in one loss.

    In training a batch of these is normalised by its own statistics, as each domain's is; running
    statistics are those of the target's unlabelled images, as `ada_bn` has them.
    """
    return penalised(network, settings, None)
