"""The few types that everything else is written in.

Dimension letters, used in every docstring and shape comment of the package:

    T tasks    N ways    K shots    S = N*K support images    Q query images
    D features J inner steps    M images of a split    C classes of a split
    B images of a batch    H, W, Ch height, width, channels

Everything below is written for *one* task. `vmap` over tasks, sharding and `jit` are applied once,
at the edge (`metalearn.training.step`, `metalearn.evaluation.episodes`). Random keys come first in
every signature.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Key = jax.Array
PyTree = Any
Info = dict[str, Array]

GENERATOR = "threefry2x32"
# Episode lists, batches and first weights are those of this generator and this way of cutting its
# stream. Set here, where everything begins, so that no environment variable draws others.
jax.config.update("jax_threefry_partitionable", True)


def random_key(seed: int) -> Key:
    """The key of a seed, of the same generator whatever JAX would take by itself."""
    return typed_key(jnp.array([0, seed & 0xFFFFFFFF], jnp.uint32))


def typed_key(data: Array) -> Key:
    """The key with these two words, uint32 [..., 2], as `jax.random.key_data` gives them."""
    return jax.random.wrap_key_data(data, impl=GENERATOR)


class Task(NamedTuple):
    """One few-shot episode; with a leading T on every field, a batch of them."""

    support_x: Array  # [S, H, W, Ch] float32
    support_y: Array  # [S] int32 in [0, N)
    query_x: Array  # [Q, H, W, Ch] float32
    query_y: Array  # [Q] int32 in [0, N)
    shots: Array | None = None  # int32, support images a class in training, instead of K


class Batch(NamedTuple):
    """Labelled images of the base classes, for supervised pre-training."""

    x: Array  # [B, H, W, Ch] float32
    y: Array  # [B] int32 in [0, C)
    teacher: Array | None = None  # [B, C] float32, logits of a teacher to learn from as well
    turns: Array | None = None  # [B] int32 in [0, 4), quarter turns made to x, to be predicted
    other: Array | None = None  # [B] int32, labels of the images mixed into x
    share: Array | None = None  # float32, weight of x's own labels


class ClassSource(NamedTuple):
    """A whole split on the device: images, or their features, sorted by class.

    Classes may be of any size.
    """

    images: Array  # uint8 [M, H, W, Ch], or float32 [M, D] once embedded
    starts: Array  # int32 [C], position of each class's first image
    counts: Array  # int32 [C], number of images of each class


class Feed(NamedTuple):
    """The images of some steps' tasks, gathered by the host.

    For a split that is too large for the device.
    """

    first: Array  # int32, the step of images[0]
    images: Array  # uint8 [steps, T, R, H, W, Ch], the R images of each task
    starts: Array  # int32 [C], as in the split
    counts: Array  # int32 [C]

    def at(self, step: Array) -> ClassSource:
        """The images [T, R, H, W, Ch] of a step's tasks; the classes are those of the split."""
        return ClassSource(self.images[step - self.first], self.starts, self.counts)

    def one(self) -> ClassSource:
        """The images [R, H, W, Ch] of the first task."""
        return ClassSource(self.images[0, 0], self.starts, self.counts)


FILTERS = ("bilinear", "bicubic")  # antialiased where images shrink


class InputSpec(NamedTuple):
    """The images that a body takes: it belongs to the body, and is saved with it.

    Attributes:
      size: height and width, in pixels.
      mean: of each channel's pixels, scaled to [0, 1].
      std: what they are divided by, once the mean is subtracted; 0 where a channel is constant.
      resize: filter for images of another size, one of `FILTERS`.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "bilinear"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return *self.size, len(self.mean)


class Network(NamedTuple):
    """A body as pure functions; the only thing that knows Flax.

    Where a normalisation layer takes its moments from is the caller's choice, not the layer's:
    `apply` normalises by the moments of the very images it is given, unless it is handed `moments`
    collected from others.

    Attributes:
      init: `(key, x [B,H,W,Ch]) -> params`, a dict. The entry of a normalisation layer is {scale
        [F], shift [F]}: so methods that treat these layers apart know them.
      apply: `(params, x [B,H,W,Ch], moments=None, key=None) -> z [B,D]`, or maps [B,H,W,F]. A key
        turns dropout on.
      moments: `(params, x [B,H,W,Ch]) -> moments`, each layer's moments on x; an empty tree where
        the normalisation keeps none (group, layer, none).
      prepare: `(x [B,H,W,Ch]) -> prepared`, what no weight changes of the work on images that are
        seen more than once; `apply` takes it in place of x, with the same result.
    """

    init: Callable[..., PyTree]
    apply: Callable[..., Array]
    moments: Callable[..., PyTree]
    prepare: Callable[[Array], PyTree] = lambda x: x


class Head(NamedTuple):
    """A classifier fitted to the features of one task's support set.

    Attributes:
      fit: `(key, z [S,D], y [S], ways) -> fitted`. Features need not be vectors: maps [S,H,W,F] are
        features too.
      predict: `(fitted, z [Q,D]) -> logits [Q,N]`; transductive if a query's logits depend on the
        other queries.
    """

    fit: Callable[..., PyTree]
    predict: Callable[..., Array]


class TrainedHead(NamedTuple):
    """A head with parameters of its own, trained along with the body.

    Attributes:
      init: `(key, shape) -> params`, for features of that shape an image.
      head: `params -> Head`.
    """

    init: Callable[..., PyTree]
    head: Callable[[PyTree], Head]


class Learner(NamedTuple):
    """A few-shot method as pure functions.

    Attributes:
      init: `(key, x [1,H,W,Ch]) -> meta`, everything that the outer optimiser trains.
      adapt: `(key, meta, support_x, support_y) -> adapted`: fast weights, prototypes, a fitted
        head.
      predict: `(meta, adapted, query_x) -> logits [Q,N]`.
      loss: `(key, meta, batch, step=0) -> (scalar, info)`, on a `Task`, or on a `Batch` for
        supervised pre-training; step is the number of outer updates made, for losses that change
        while they are trained.
      embed: `(meta, x [B,H,W,Ch]) -> z [B,D]` for methods whose features of an image depend on that
        image alone, so that a split is embedded once and every episode is a look-up; None for all
        others.
      head: `meta -> Head`, what such a method fits to the looked-up features; None for all others.
      moments: `(meta, x [B,H,W,Ch], known=None) -> moments` where a test uses running statistics of
        the training split, which are measured with it and stored in `meta['moments']` before
        adapting; None for all others. `known` are those of a pre-trained body's layers, which stay.
      classify: `(meta, x [B,H,W,Ch]) -> logits [B,C]` of all base classes, for methods pre-trained
        on them; None for all others.
    """

    init: Callable[..., PyTree]
    adapt: Callable[..., PyTree]
    predict: Callable[..., Array]
    loss: Callable[..., tuple[Array, Info]]
    embed: Callable[..., Array] | None = None
    head: Callable[[PyTree], Head] | None = None
    moments: Callable[..., PyTree] | None = None
    classify: Callable[..., Array] | None = None


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of a number that is at most `limit`."""
    return max(d for d in range(1, min(number, limit) + 1) if number % d == 0)


class Body(NamedTuple):
    """A backbone one can use at once.

    Attributes:
      network: its pure functions.
      params: its weights by stage, `{stage: {layer: ...}}`; None before there are any.
      moments: running statistics of its normalisation, the tree that `network.apply` takes; None
        where the normalisation keeps none, or before there are any.
      inputs: the images it takes.
      stages: their names, in the order in which they are computed: what may be frozen, or cached.
      run: `(params, x, moments=None, key=None, first=None, last=None) -> z`, the output of stage
        `last`, x being the input of stage `first`; None where a network has no stages.
      fold: `(params, moments) -> params` of the same network with these moments moved into its
        kernels, once and for all: for weights that are trained no more. `apply` and `run` take them
        without moments.
      classifier: {kernel [D,C], bias [C]} of the classes it was trained on, of its features; None
        where it came without.
      digest: SHA-256 of the file the weights came from; None where they came from none.
      name: by which `metalearn.models.zoo` makes the same network again; None where it has it not.
    """

    network: Network
    params: PyTree | None
    moments: PyTree | None
    inputs: InputSpec
    stages: tuple[str, ...] = ()
    run: Callable[..., Array] | None = None
    fold: Callable[[PyTree, PyTree], PyTree] | None = None
    classifier: PyTree | None = None
    digest: str | None = None
    name: str | None = None
