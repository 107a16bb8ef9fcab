"""A body in two parts: the first stages, which stay as they are, and the rest, which is trained."""

import hashlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.models import flattened
from metalearn.types import Array, Body, Key, Network, PyTree


def frozen_stages(body: Body, freeze: str, name: str) -> tuple[str, ...]:
    """The stages that `--freeze` names, in the body's order; all but the last two if it is empty.

    Args:
      body: whose stages they are.
      freeze: names, separated by commas.
      name: of the body, for messages.

    Raises:
      UserError: the body has no stages, or none of such a name, or all are frozen.
    """
    if not body.stages:
        raise UserError(
            f"{name} has no stages to freeze some of: --strategy=fine_tune trains all of it"
        )
    if not freeze:
        return body.stages[:-2]
    named = freeze.split(",")
    if unknown := [stage for stage in named if stage not in body.stages]:
        raise UserError(
            f"--freeze: {name} has no stage '{unknown[0]}': choose of {', '.join(body.stages)}"
        )
    if set(named) == set(body.stages):
        raise UserError(
            "--freeze names all stages, so nothing of the body is trained: that is --strategy=probe"
        )
    return tuple(stage for stage in body.stages if stage in named)


def first_trained(body: Body, frozen: tuple[str, ...]) -> str | None:
    """The first stage that is not frozen; None where that is the very first, or there are none."""
    trained = [stage for stage in body.stages if stage not in frozen]
    return None if not trained or trained[0] == body.stages[0] else trained[0]


def stages_before(body: Body, first: str | None) -> tuple[str, ...]:
    """The stages before one; none before None."""
    return () if first is None else body.stages[: body.stages.index(first)]


def of_stages(tree: PyTree, stages: tuple[str, ...]) -> PyTree:
    """The entries of these stages in a tree of parameters or moments; a stage may have none."""
    return {name: tree[name] for name in stages if name in tree}


def tail(body: Body, first: str | None, dtype: jnp.dtype = jnp.float32) -> Network:
    """The network from a stage on: its input is that stage's, its output features float32 [B,D].

    Args:
      body: whose network it is.
      first: the stage; None for all of the network.
      dtype: that is computed in.
    """
    if first is None:
        return flattened(body.network)
    run = body.run
    assert run is not None  # a body with stages

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        z: Array = run(params, x.astype(dtype), moments, key, first=first)
        return z.astype(jnp.float32)

    return flattened(body.network._replace(apply=apply))


def head_of(
    body: Body, first: str | None, dtype: jnp.dtype = jnp.float32
) -> Callable[[PyTree, Array], Array]:
    """`({body, moments}, x [B,H,W,Ch]) -> z` float32, what a stage gets.

    Args:
      body: whose stages they are.
      first: the stage; None for features of the whole body.
      dtype: that the stages before are computed in.
    """
    if first is None:
        network = flattened(body.network)
        return lambda fixed, x: network.apply(fixed["body"], x, fixed.get("moments"))
    run = body.run
    assert run is not None
    last = body.stages[body.stages.index(first) - 1]

    def before(fixed: PyTree, x: Array) -> Array:
        z: Array = run(fixed["body"], x.astype(dtype), fixed.get("moments"), last=last)
        return z.astype(jnp.float32)

    return before


def fixed_part(body: Body, stages: tuple[str, ...] | None = None) -> PyTree:
    """{body, moments} of these stages, or of all; without moments where the body has none."""
    assert body.params is not None
    params = body.params if stages is None else of_stages(body.params, stages)
    found = {"body": params} if params else {}
    if body.moments:
        moments = body.moments if stages is None else of_stages(body.moments, stages)
        if moments:
            found["moments"] = moments
    return found


def lacks_statistics(body: Body) -> bool:
    """Whether the network has layers that read running statistics, and there are none.

    A network without batch normalisation has none to read.
    """
    if body.moments:
        return False
    network = body.network
    image = jax.ShapeDtypeStruct((1, *body.inputs.shape), jnp.float32)
    params = body.params
    if params is None:
        params = jax.eval_shape(network.init, jax.random.key(0), image)
    return bool(jax.tree.leaves(jax.eval_shape(network.moments, params, image)))


def with_classifier(body: Body, layer: PyTree) -> PyTree:
    """{body, classifier, moments}: the body as it is, ready to classify by this layer."""
    fixed = fixed_part(body)
    moments = {"moments": {"body": fixed["moments"]}} if "moments" in fixed else {}
    return {"body": fixed["body"], "classifier": layer} | moments


def digest_of(body: Body) -> str:
    """16 hexadecimal digits that tell the body's weights and statistics from others."""
    if body.digest is not None:
        return body.digest[:16]
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path((body.params, body.moments)):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()[:16]
