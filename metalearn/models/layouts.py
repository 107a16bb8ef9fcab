"""How libraries name and lay out the weights of a network, and what becomes of them here.

A layout is a list of entries. Each takes one array of a file (several, where we keep them joined)
and says where in our trees it goes. Every entry must find its array, and every array its entry:
weights of another network are refused, by the names that are missing or left over.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.models.entries import CLASSIFIER, COUNTERS, MOMENTS, PARAMS, Entry, Place
from metalearn.models.staged import Staged
from metalearn.models.weights import Tensors
from metalearn.types import InputSpec, PyTree


class Layout(NamedTuple):
    """The names that a library gives to a network's weights.

    Attributes:
      name: of the library.
      entries: what becomes of each array.
      inputs: the images that networks of this library take.
      prefix: what may stand before every name.
      ignored: pattern of names that no network here has use for.
    """

    name: str
    entries: tuple[Entry, ...]
    inputs: InputSpec
    prefix: str = ""
    ignored: str = COUNTERS

    def stripped(self, tensors: Tensors) -> Tensors:
        """The arrays by their names without the prefix, those that count."""
        return {
            key.removeprefix(self.prefix): value
            for key, value in tensors.items()
            if not re.search(self.ignored, key)
        }


class Family(NamedTuple):
    """A network and the files it can be read from.

    A library whose network computes otherwise has a family of its own.

    Attributes:
      build: `() -> Staged`.
      layouts: of the files; the inputs of the first are those of random weights.
    """

    build: Callable[[], Staged]
    layouts: tuple[Layout, ...]


class Placed(NamedTuple):
    """A file's weights as ours."""

    params: PyTree
    moments: PyTree
    classifier: PyTree | None


def choose_layout(layouts: Sequence[Layout], tensors: Tensors, path: Path) -> Layout:
    """The layout that knows most of a file's names.

    Args:
      layouts: to choose of.
      tensors: arrays of the file.
      path: of the file, to be named where it does not fit.

    Raises:
      UserError: none knows any.
    """

    def known(layout: Layout) -> int:
        wanted = {key for entry in layout.entries for key in entry.keys}
        return len(wanted & layout.stripped(tensors).keys())

    best = max(layouts, key=known)
    if known(best) == 0:
        stranger = min(tensors, default="")
        names = " or ".join(layout.name for layout in layouts)
        raise UserError(
            f"weights {path} are of another network ('{stranger}' is none of its names): give "
            f"those of {names}"
        )
    return best


def place(
    layout: Layout, tensors: Tensors, module: Staged, path: Path, known: bool = False
) -> Placed:
    """A file's arrays in our trees.

    Args:
      layout: of the file.
      tensors: its arrays.
      module: the network they are for.
      path: of the file, to be named where it does not fit.
      known: whether its digest is that of a file whose shapes were compared once: tracing the
        network for them takes as long as all else.

    Raises:
      UserError: a name that is missing or left over, or a shape that differs.
    """
    arrays = layout.stripped(tensors)
    heads = {key for entry in layout.entries if entry.tree == CLASSIFIER for key in entry.keys}
    headless = not heads & arrays.keys()
    entries = [e for e in layout.entries if not (headless and e.tree == CLASSIFIER)]
    _check_names({key for entry in entries for key in entry.keys}, arrays.keys(), layout, path)
    trees: dict[str, PyTree] = {PARAMS: {}, MOMENTS: {}, CLASSIFIER: {}}
    shapes = {} if known else _shapes(module, layout.inputs)
    for entry in entries:
        found = _changed(entry, [arrays[key] for key in entry.keys], path)
        compared = entry.tree in shapes
        if compared and found.shape != _at(shapes[entry.tree], entry.path).shape:
            raise _other_size(entry, path)
        _put(trees[entry.tree], entry.path, jnp.asarray(found, jnp.float32))
    return Placed(trees[PARAMS], trees[MOMENTS], trees[CLASSIFIER] or None)


def _shapes(module: Staged, inputs: InputSpec) -> dict[str, PyTree]:
    image = jax.ShapeDtypeStruct((1, *inputs.shape), jnp.float32)
    return dict(jax.eval_shape(module.init, jax.random.key(0), image))


def _check_names(wanted: set[str], found: Sequence[str] | Any, layout: Layout, path: Path) -> None:
    missing = sorted(wanted - set(found))
    unexpected = sorted(set(found) - wanted)
    if missing or unexpected:
        parts = [
            f"{len(names)} {what} ({names[0]}{' ...' if len(names) > 1 else ''})"
            for names, what in ((missing, "missing"), (unexpected, "left over"))
            if names
        ]
        raise UserError(
            f"weights {path} are not of this network as {layout.name} names it: "
            f"{', '.join(parts)}; give those of the network that was named"
        )


def _changed(entry: Entry, arrays: list[np.ndarray], path: Path) -> np.ndarray:
    try:
        return entry.change(*arrays)
    except (ValueError, IndexError) as error:  # of other dimensions
        raise _other_size(entry, path) from error


def _other_size(entry: Entry, path: Path) -> UserError:
    return UserError(
        f"weights {path} are of a network of another size ({entry.keys[0]} differs): give those of "
        "the network that was named"
    )


def _at(tree: PyTree, path: Place) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _put(tree: PyTree, path: Place, value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value
