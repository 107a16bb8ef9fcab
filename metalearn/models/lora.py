"""Low-rank adapters: a network is changed by small factors beside weights that stay.

Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen. LoRA: Low-Rank Adaptation of Large Language
Models. ICLR 2022. A weight matrix W [in,out] becomes W + scale * a b (equation 3), a [in,rank]
random and b [rank,out] zero at first, so that training begins at the network as it was. The weights
are written out and the network runs as before: nothing is added to its layers.

Deviations: kernels of convolutions are adapted as the matrices of their patches, 1x1 ones by
default; the paper adapts the attention of transformers. The paper's scale is alpha / rank; here it
is 1, so that the change of a step grows with the rank.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.types import Array, Key, PyTree

Wanted = Callable[[str, Array], bool]


def is_matrix(path: str, leaf: Array, rank: int) -> bool:
    """Whether a leaf is a kernel of a dense layer [D,F] or a 1x1 convolution [1,1,Ch,F].

    Both its sides are larger than the rank: factors of a smaller one would have no fewer numbers.
    """
    if path.split("/")[-1] != "kernel" or leaf.ndim not in (2, 4):
        return False
    return leaf.shape[:-2] in ((), (1, 1)) and min(leaf.shape[-2:]) > rank


def init_adapters(key: Key, params: PyTree, rank: int, wanted: Wanted | None = None) -> PyTree:
    """Factors {a [in,rank], b [rank,out]} in place of every kernel that is wanted.

    in is the product of all sides of a kernel but the last, out its last. a is normal of deviation
    1 / sqrt(in), b zero. The tree is that of the parameters without what is not wanted.

    Args:
      key: for the factors a.
      params: nested dicts of arrays.
      rank: of the change, at least 1.
      wanted: `(path, leaf) -> bool`, path such as `stage1/block0/expand/kernel`; by default
        `is_matrix`.

    Raises:
      UserError: a rank below 1; no kernel is wanted, or one that has no two sides.
    """
    if rank < 1:
        raise UserError(f"rank {rank} of adapters: give 1 or more")
    chosen = {}
    for path, leaf in _leaves(params):
        if is_matrix(path, leaf, rank) if wanted is None else wanted(path, leaf):
            if leaf.ndim < 2:
                raise UserError(f"{path} {leaf.shape} has no rank: adapt kernels alone")
            chosen[path] = leaf
    if not chosen:
        raise UserError(f"no kernel for adapters of rank {rank}: choose a lower rank, or others")
    adapters: dict = {}
    for (path, leaf), a in zip(chosen.items(), _first(key, chosen, rank), strict=True):
        *folders, name = path.split("/")
        place = adapters
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = {"a": a, "b": jnp.zeros((rank, leaf.shape[-1]))}
    return adapters


def _leaves(params: PyTree) -> list[tuple[str, Array]]:
    """Path and array of each leaf, in the order of their names."""
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    ]


def _first(key: Key, chosen: dict[str, Array], rank: int) -> list[Array]:
    """The factor a of each kernel; pieces of one draw, which compiles once for all shapes."""
    inputs = [int(np.prod(leaf.shape[:-1])) for leaf in chosen.values()]

    @jax.jit
    def draw(key: Key) -> list[Array]:
        rows = jax.random.normal(key, (sum(inputs), rank))
        pieces = jnp.split(rows, np.cumsum(inputs)[:-1])
        return [piece / number**0.5 for piece, number in zip(pieces, inputs, strict=True)]

    return draw(key)


def adapted(params: PyTree, adapters: PyTree, scale: float = 1.0) -> PyTree:
    """The parameters with W + scale * a b for every adapted kernel W, others as they are.

    The product is in float32, and then of the kernel's type.
    """
    if not isinstance(params, dict):
        change = jnp.matmul(adapters["a"], adapters["b"], precision=jax.lax.Precision.HIGHEST)
        return params + (scale * change).reshape(params.shape).astype(params.dtype)
    return {
        name: adapted(part, adapters[name], scale) if name in adapters else part
        for name, part in params.items()
    }
