"""What methods that train a body take and give.

B images of a batch of each domain, N images of the target, D features, C classes.
"""

from collections.abc import Callable
from typing import NamedTuple

from metalearn.domains.deep.settings import Settings
from metalearn.types import Array, Batch, Info, Key, Network, PyTree


class Pair(NamedTuple):
    """A batch of both domains.

    Attributes:
      source: labelled images.
      target: [B,H,W,Ch], images whose labels are not there.
      rows: int32 [B], their positions among the target's images.
      few: labelled images of the target; None for none.
    """

    source: Batch
    target: Array
    rows: Array
    few: Batch | None = None


class Seen(NamedTuple):
    """What a penalty compares.

    Attributes:
      source_z: [B,D].
      source_logits: [B,C], of the classifier.
      source_y: int32 [B].
      target_z: [B,D].
      target_logits: [B,C].
      progress: share of the updates that are done, 0 to 1.
    """

    source_z: Array
    source_logits: Array
    source_y: Array
    target_z: Array
    target_logits: Array
    progress: Array


class Penalty(NamedTuple):
    """A loss beside that of the source's labels, which is small where the domains are alike.

    Attributes:
      init: `(key, D, C) -> params` of networks of its own; {} where it has none.
      loss: `(params, seen) -> scalar`.
    """

    init: Callable[[Key, int, int], PyTree]
    loss: Callable[[PyTree, Seen], Array]


class Trainee(NamedTuple):
    """A classifier in training, as pure functions.

    Its parameters are {body, classifier}, {own} where the method has networks of its own, and
    {fixed} for what is not trained: there a classifier may lie too.

    Attributes:
      init: `(key, x [1,H,W,Ch], C, begun) -> meta`. `begun` is what a training on the source alone
        left, {body, classifier, moments}; None where the method does not begin from one.
      loss: `(key, meta, pair, step) -> (scalar, info)`.
      images: `pair -> x`, those whose statistics normalisation uses, in training and afterwards.
      refresh: `(meta, logits [N,C], z [N,D]) -> meta`, what is recomputed of all of the target's
        images before training and after each validation; None for nothing.
      two_bodies: whether the source's images keep the body that the training began from.
    """

    init: Callable[..., PyTree]
    loss: Callable[..., tuple[Array, Info]]
    images: Callable[[Pair], Array]
    refresh: Callable[[PyTree, Array, Array], PyTree] | None = None
    two_bodies: bool = False


class DeepMethod(NamedTuple):
    """A way to train a body for the target.

    Attributes:
      build: `(network, settings) -> Trainee`; the network's features are vectors.
      source: paper; '' where there is none.
      begins: it begins from a training on the source alone.
      needs_labels: it is trained on labelled images of the target.
      trains: whether it is trained at all; else the statistics of normalisation are all it changes.
    """

    build: Callable[[Network, Settings], Trainee]
    source: str
    begins: bool = False
    needs_labels: bool = False
    trains: bool = True
