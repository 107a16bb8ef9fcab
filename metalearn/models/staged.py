"""Networks as a row of named stages, of which a part can be run, frozen or cached.

The first level of a network's parameters is its stages: `params["stage1"]` are all those of the
stage of that name. So are its moments. The output of a stage is the input of the next.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.models.forms import on_cpu
from metalearn.models.layers import fold
from metalearn.types import Array, Key, Network, PyTree

Run = Callable[..., Array]


class Staged(nn.Module):
    """Stages in a row: images [B,H,W,Ch] -> features [B,D].

    Attributes:
      stages: `(name, make)` of each; `make(name=name)` gives a module called with the output of the
        stage before.
      chunk: on a CPU so many images are computed at once where nothing depends on the others;
        larger intermediate results would leave its caches. 0 for all.
      later: `(name, chunk)` of stages from which on the maps are smaller, and more images are
        computed at once: products of few rows are slow.
      kept: stage from which on such a CPU keeps what derivatives need. Before it every chunk is
        computed a second time: that takes less time than to keep its large maps outside of the
        caches. Later the gradients of large weights would be summed over chunks. "" keeps all.
      eps: what its normalisation adds to variances.
      least: pixels a side of the smallest images, of which smaller ones leave no map; 1 for any.
    """

    stages: tuple[tuple[str, Callable[..., nn.Module]], ...]
    chunk: int = 0
    later: tuple[tuple[str, int], ...] = ()
    kept: str = ""
    eps: float = 1e-5
    least: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names, in their order."""
        return tuple(name for name, _ in self.stages)

    @nn.compact
    def __call__(
        self,
        x: Array,
        deterministic: bool = True,
        first: str | None = None,
        last: str | None = None,
    ) -> Array:
        """The output of stage `last`, x being the input of stage `first`; of all by default.

        Raises:
          UserError: images that are too small, or as `chosen_stages`.
        """
        chosen = chosen_stages(self.names, first, last)
        if chosen[0] == self.names[0] and min(x.shape[1:3]) < self.least:
            raise UserError(
                f"images of {x.shape[1]}x{x.shape[2]} pixels are too small for this network: give "
                f"--input_size={self.least} or more"
            )
        for name, make in self.stages:
            if name in chosen:
                x = make(name=name)(x)
        return x


def chosen_stages(
    names: tuple[str, ...], first: str | None = None, last: str | None = None
) -> tuple[str, ...]:
    """The names from `first` to `last`.

    Raises:
      UserError: there is no such stage, or the last comes before the first.
    """
    for name in (first, last):
        if name is not None and name not in names:
            raise UserError(f"no stage '{name}': choose one of {', '.join(names)}")
    begin = 0 if first is None else names.index(first)
    end = len(names) if last is None else names.index(last) + 1
    if begin >= end:
        raise UserError(f"stage '{last}' comes before '{first}': name them in their order")
    return names[begin:end]


def runner(module: Staged) -> Run:
    """A part of a network as a pure function.

    It is `(params, x, moments=None, key=None, first=None, last=None) -> z`: the output of stage
    `last`, x being the input of stage `first`. Stages that have no entry in `moments` normalise by
    the moments of x.
    """

    def part(first: str | None, last: str | None, params: PyTree, x: Array) -> Array:
        z: Array = module.apply({"params": params}, x, first=first, last=last)  # type: ignore[assignment]
        return z

    def run(
        params: PyTree,
        x: Array,
        moments: PyTree | None = None,
        key: Key | None = None,
        first: str | None = None,
        last: str | None = None,
    ) -> Array:
        del key  # nothing here is random: published networks are without their dropout
        chosen = chosen_stages(module.names, first, last)
        used = {name: params[name] for name in chosen if name in params}
        folded = fold(used, {} if moments is None else moments, module.eps)
        if not on_cpu() or _norms(folded):
            return part(first, last, folded, x)
        for size, again, names in _parts(module, chosen):
            own = {name: folded[name] for name in names if name in folded}
            one = partial(part, names[0], names[-1])
            x = in_chunks(one, size, again)(own, x) if 0 < size < len(x) else one(own, x)
        return x

    return run


def _parts(module: Staged, chosen: tuple[str, ...]) -> Iterator[tuple[int, bool, tuple[str, ...]]]:
    """Images at once, whether derivatives compute them again, and the chosen stages so computed."""
    larger = dict(module.later) if module.chunk else {}
    alike = {}
    size = module.chunk
    again = bool(module.kept)
    for name in module.names:
        size = larger.get(name, size)
        again = again and name != module.kept
        alike[name] = (size, again)
    for (size, again), names in groupby(chosen, alike.__getitem__):
        yield size, again, tuple(names)


def _norms(params: PyTree) -> bool:
    """Whether a layer is left that normalises by the moments of its images."""
    paths = jax.tree_util.tree_leaves_with_path(params)
    return any(getattr(key, "key", None) == "norm" for path, _ in paths for key in path)


def in_chunks(
    function: Callable[[PyTree, Array], Array], size: int, again: bool = False
) -> Callable[..., Array]:
    """`function(params, x)`, of at most `size` images of x [B,...] at a time, and as many in each.

    Black images fill up the last.

    Args:
      function: `(params, x) -> z`, of which no image depends on the others.
      size: images.
      again: whether, where it is differentiated, every chunk is computed a second time. Else all
        images are computed at once then: a loop would keep what derivatives need of every chunk,
        and write it twice.
    """

    @jax.custom_vjp
    def chunked(params: PyTree, x: Array) -> Array:
        z = jax.lax.map(partial(function, params), _chunks(x, size))
        return _joined(z, len(x))

    def forward(params: PyTree, x: Array) -> tuple[Array, tuple[PyTree, Array]]:
        return chunked(params, x), (params, x)

    def backward(given: tuple[PyTree, Array], dz: Array) -> tuple[PyTree, Array]:
        (params, x) = given

        def add(total: PyTree, chunk: tuple[Array, Array]) -> tuple[PyTree, Array]:
            (own, slope) = chunk
            (_, vjp) = jax.vjp(function, params, own)
            (gradient, dx) = vjp(slope)
            return jax.tree.map(jnp.add, total, gradient), dx

        nothing = jax.tree.map(jnp.zeros_like, params)
        (total, dx) = jax.lax.scan(add, nothing, (_chunks(x, size), _chunks(dz, size)))
        return total, _joined(dx, len(x))

    def keep(vjp: Callable[..., Any], dz: Array) -> Any:
        return vjp(dz)

    if again:
        chunked.defvjp(forward, backward)
    else:
        chunked.defvjp(partial(jax.vjp, function), keep)
    return chunked


def _chunks(x: Array, size: int) -> Array:
    """x [B,...] in as few chunks of one size, at most `size`, as there can be; zeros fill up."""
    number = -(-len(x) // size)
    even = -(-len(x) // number)
    missing = number * even - len(x)
    filled = jnp.pad(x, ((0, missing), *((0, 0),) * (x.ndim - 1))) if missing else x
    return filled.reshape(number, even, *x.shape[1:])


def _joined(chunks: Array, number: int) -> Array:
    """The first `number` of [chunks,images,...]."""
    return chunks.reshape(-1, *chunks.shape[2:])[:number]


def staged_network(module: Staged) -> Network:
    """The pure functions of a network of stages."""
    run = runner(module)

    def init(key: Key, x: Array) -> PyTree:
        return module.init(key, x)["params"]

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        return run(params, x, moments, key)

    def moments(params: PyTree, x: Array) -> PyTree:
        (_, state) = module.apply({"params": params}, x, mutable=["moments"])
        found: Any = state.get("moments", {})
        return found

    return Network(init, apply, moments)
