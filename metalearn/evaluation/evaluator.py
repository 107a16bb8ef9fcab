"""Adapting to every test episode and predicting its queries, as one compiled program."""

import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from metalearn.data.augment import THEMSELVES, Copies
from metalearn.data.episodes import Prepare, make_task
from metalearn.data.host import fetched, taken
from metalearn.evaluation.episodes import Episodes, task_of
from metalearn.evaluation.metrics import Result, calibration_error, check_finite, episode_metrics
from metalearn.evaluation.partial import PartialResult
from metalearn.parallel import broadcast_from_first, by_first, max_over_processes
from metalearn.types import Array, ClassSource, Key, Learner, PyTree, random_key

SAVE_SECONDS = 30.0  # between saves of a test under way
AHEAD = 4  # blocks that may be under way


def embedder(
    learner: Learner, source: ClassSource, prepare: Prepare, mesh: Mesh, copies: Copies
) -> Callable[..., ClassSource]:
    """`meta -> ` the split as features float32 [M,D], each image embedded once, and so each of its
    copies.
    """
    assert learner.embed is not None
    embed = learner.embed
    size = len(source.images) * copies.versions
    block = 128 * mesh.size
    mapped = jax.shard_map(
        lambda meta, x: gather_rows(embed(meta, prepare(x))),
        mesh=mesh,
        in_specs=(P(), P("tasks")),
        out_specs=P(),
        check_vma=False,
    )

    @jax.jit
    def run(meta: PyTree, rows: Array, found: Array, images: Array | None) -> Array:
        return mapped(meta, copies.altered(taken(found, images), rows, len(source.images)))

    def features(meta: PyTree) -> ClassSource:
        blocks = [
            np.minimum(np.arange(start, start + block), size - 1) for start in range(0, size, block)
        ]
        parts = [
            np.asarray(run(meta, rows, *fetched(source.images, rows % len(source.images))))
            for rows in blocks
        ]
        return source._replace(images=jnp.asarray(np.concatenate(parts)[:size]))

    return features


def gather_rows(tree: PyTree) -> PyTree:
    """Inside a mapping over the mesh: the rows of every device's arrays, in order, on all of
    them.
    """
    return jax.lax.all_gather(tree, "tasks", tiled=True)


def evaluator(
    learner: Learner,
    source: ClassSource,
    episodes: Episodes,
    prepare: Prepare,
    mesh: Mesh,
    seed: int = 0,
    block: int | None = None,
    copies: Copies = THEMSELVES,
) -> Callable[..., Result]:
    """`(meta, unfinished=None) -> Result`: adapts to every episode's support set, predicts its
    queries; compiled once.

    Learners that embed images one by one embed the split once and look features up. With a
    `PartialResult`, a long test keeps what it has done every half minute, and goes on from what an
    earlier call kept. It raises `UserError` where logits are not finite.

    Args:
      learner: built for the episodes' N.
      source: the split on the device, or on the host.
      episodes: positions in it.
      prepare: uint8 images to float32.
      mesh: its axis `tasks` shares out the episodes.
      seed: of the keys that `adapt` gets (heads with a random start).
      block: episodes a device works on at once (default: 32, but 2 on a CPU where each one adapts a
        network, which keeps them in its caches).
      copies: of support images, which the learner adapts to.
    """
    size = len(source.images)
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    block = block or (2 if on_cpu and learner.embed is None else 32)
    at_once = mesh.size * min(block, -(-len(episodes.indices) // mesh.size))
    features = None if learner.embed is None else embedder(learner, source, prepare, mesh, copies)

    def one(
        key: Key, indices: Array, found: Array, meta: PyTree, images: Array | None
    ) -> dict[str, Array]:
        if learner.head is not None:
            assert images is not None  # features lie on the device
            task = make_task(images, *copies.rows(indices, episodes.shots, size))
            head = learner.head(meta)
            fitted = head.fit(key, task.support_x, task.support_y, len(indices))
            return episode_metrics(head.predict(fitted, task.query_x), task.query_y)
        task = task_of(taken(found, images), indices, episodes.shots, size, copies)
        adapted = learner.adapt(key, meta, prepare(task.support_x), task.support_y)
        return episode_metrics(learner.predict(meta, adapted, prepare(task.query_x)), task.query_y)

    tasks = P("tasks")
    everywhere = P()
    mapped = jax.vmap(one, (0, 0, 0, None, None))
    run = jax.jit(
        jax.shard_map(
            lambda *args: gather_rows(mapped(*args)),
            mesh=mesh,
            in_specs=(tasks, tasks, tasks, everywhere, everywhere),
            out_specs=everywhere,
            check_vma=False,
        )
    )

    def evaluate(meta: PyTree, unfinished: PartialResult | None = None) -> Result:
        begin = time.perf_counter()
        looked_up = source if features is None else features(meta)
        found, earlier = _in_blocks(
            run, episodes.indices, at_once, seed, meta, looked_up, unfinished
        )
        check_finite(found["finite"])
        return Result(
            found["accuracy"],
            float(found["loss"].mean(dtype=np.float64)),
            calibration_error(found["calibration"].sum(0, dtype=np.float64)),
            earlier + time.perf_counter() - begin,
        )

    return evaluate


def _in_blocks(
    run: Callable[..., dict[str, Array]],
    indices: np.ndarray,
    size: int,
    seed: int,
    meta: PyTree,
    source: ClassSource,
    unfinished: PartialResult | None,
) -> tuple[dict, float]:
    """run's results over all episodes, and seconds spent on those that an earlier call had done.

    The last block is filled up with its last episode, cut off afterwards.
    """
    count = len(indices)
    key_of = jax.jit(jax.vmap(partial(jax.random.fold_in, random_key(seed))))
    done, earlier = ({}, 0.0) if unfinished is None else unfinished.read()
    known = len(done.get("accuracy", ()))
    if max_over_processes(known, -known) != (known, -known):  # not all processes see the same file
        done = {}
        known = 0
        earlier = 0.0
    parts: list[dict] = [done] if done else []
    begin = saved = time.perf_counter()
    for start in range(known, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        found, images = fetched(source.images, indices[rows])
        parts.append(run(key_of(rows), indices[rows], found, meta, images))
        if unfinished is not None and len(parts) > AHEAD:
            jax.block_until_ready(parts[-AHEAD])
            (now,) = broadcast_from_first(time.perf_counter() - begin)
            if now - (saved - begin) > SAVE_SECONDS:
                parts = [_joined(parts, count)]
                by_first(partial(unfinished.write, parts[0], earlier + now))
                saved = begin + now
    return _joined(parts, count), earlier


def _joined(parts: list[dict], count: int) -> dict[str, np.ndarray]:
    return {k: np.concatenate([np.asarray(part[k]) for part in parts])[:count] for k in parts[0]}
