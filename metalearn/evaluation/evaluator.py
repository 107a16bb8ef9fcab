"""Adapts to every test episode and predicts its queries, as one compiled program."""

import time
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from metalearn.data.augment import THEMSELVES, Copies
from metalearn.data.episodes import Prepare, make_task
from metalearn.data.host import Block, fetched, gatherer, taken
from metalearn.evaluation.calibration import calibration_error
from metalearn.evaluation.episodes import Episodes, task_of
from metalearn.evaluation.metrics import Result, check_finite, episode_metrics
from metalearn.evaluation.partial import PartialResult
from metalearn.parallel import broadcast_from_first, by_first, max_over_processes, replicate
from metalearn.types import Array, ClassSource, Key, Learner, PyTree, random_key

SAVE_SECONDS = 30.0  # between saves of partial results
AHEAD = 4  # blocks of episodes dispatched to the devices at a time


def embedder(
    learner: Learner, source: ClassSource, prepare: Prepare, mesh: Mesh, copies: Copies
) -> Callable[..., ClassSource]:
    """`meta -> ` the split as features float32 [M,D], each image and each copy embedded once.

    Args:
      learner: one that embeds images one by one.
      source: the split, on the device or on the host.
      prepare: uint8 images to float32.
      mesh: its axis `tasks` shares out the images.
      copies: of the support images; M counts them too.
    """
    assert learner.embed is not None
    embed = learner.embed
    size = len(source.images) * copies.versions
    # A small split is embedded at once, without repeating its last image to fill a block
    block = min(128, -(-size // mesh.size)) * mesh.size
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
        # All blocks have one shape, so one program is compiled: the last repeats its last image
        blocks = [
            np.minimum(np.arange(start, start + block), size - 1) for start in range(0, size, block)
        ]
        # `np.asarray` waits for each block: image blocks from the host do not pile up on the device
        parts = [
            np.asarray(run(meta, rows, *fetched(source.images, rows % len(source.images))))
            for rows in blocks
        ]
        # On all devices now, or each block of episodes would be sent them again
        return source._replace(images=replicate(np.concatenate(parts)[:size], mesh))

    return features


def gather_rows(tree: PyTree) -> PyTree:
    """All-gather over the mesh: the rows of every device's arrays, in order, on every device."""
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
    """`(meta, unfinished=None) -> Result`: adapts to every episode and predicts its queries.

    Learners that embed images one by one embed the split once and look features up. With a
    `PartialResult`, the results so far are saved every half minute, and a later call continues from
    them.

    Args:
      learner: built for the episodes' N.
      source: the split on the device, or on the host.
      episodes: positions in it.
      prepare: uint8 images to float32.
      mesh: its axis `tasks` shares out the episodes.
      seed: of the keys that `adapt` gets (heads with a random start).
      block: episodes a device works on at once (default: 32, but 2 on a CPU where each one adapts a
        network, so that activations stay in its caches).
      copies: of support images, which the learner adapts to.

    Raises:
      UserError: by the function returned, where logits are not finite.

    Example: prototypical networks on the pixels themselves, of 6 classes in 6 shades of grey.

        >>> import jax, numpy as np
        >>> from metalearn.evaluation.episodes import draw_episodes
        >>> from metalearn.evaluation.evaluator import evaluator
        >>> from metalearn.learners.protonet import protonet
        >>> from metalearn.types import ClassSource, Network
        >>> images = np.repeat(np.arange(6, dtype=np.uint8), 5)[:, None, None, None]
        >>> source = ClassSource(images, starts=np.arange(0, 30, 5), counts=np.full(6, 5))
        >>> def flatten(params, x, moments=None, key=None):
        ...     return x.reshape(len(x), -1)
        >>> network = Network(lambda key, x: {}, flatten, lambda params, x: {})
        >>> learner = protonet(network, ways=3, norm="support")
        >>> meta = learner.init(jax.random.key(0), images[:1])
        >>> episodes = draw_episodes(source, 10, ways=3, shots=1, queries=2, seed=0)
        >>> mesh = jax.sharding.Mesh(jax.devices(), "tasks")
        >>> test = evaluator(learner, source, episodes, lambda x: x.astype("float32"), mesh)
        >>> test(meta).accuracy
        1.0
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
            assert images is not None  # features are on the device
            task = make_task(images, *copies.rows(indices, episodes.shots, size))
            head = learner.head(meta)
            fitted = head.fit(key, task.support_x, task.support_y, len(indices))
            return episode_metrics(head.predict(fitted, task.query_x), task.query_y)
        task = task_of(found, indices, episodes.shots, size, copies)
        adapted = learner.adapt(key, meta, prepare(task.support_x), task.support_y)
        return episode_metrics(learner.predict(meta, adapted, prepare(task.query_x)), task.query_y)

    # Features are looked up by the program itself
    block_of = fetched if features is not None else gatherer(mesh)

    # Episodes are shared out over the mesh and `vmap` runs those of a device together. Every device
    # gets all results, so that every process has them: shard_map's check cannot see that rows after
    # an all-gather are the same everywhere, hence check_vma=False
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
            run, block_of, episodes.indices, at_once, seed, meta, looked_up, unfinished
        )
        check_finite(found["finite"])
        # In float64: a float32 sum over thousands of episodes would lose digits
        return Result(
            found["accuracy"],
            float(found["loss"].mean(dtype=np.float64)),
            calibration_error(found["calibration"].sum(0, dtype=np.float64)),
            earlier + time.perf_counter() - begin,
        )

    return evaluate


# Compiled once for all evaluations of a process
_keys_of = jax.jit(jax.vmap(jax.random.fold_in, (None, 0)))


def _in_blocks(
    run: Callable[..., dict[str, Array]],
    block_of: Callable[..., Block],
    indices: np.ndarray,
    size: int,
    seed: int,
    meta: PyTree,
    source: ClassSource,
    unfinished: PartialResult | None,
) -> tuple[dict, float]:
    """Results of `run` over all episodes, and the seconds that an earlier call spent on some.

    The last block is filled up with the last episode, and the surplus cut off afterwards.
    """
    count = len(indices)
    key = random_key(seed)
    done, earlier = ({}, 0.0) if unfinished is None else unfinished.read()
    known = len(done.get("accuracy", ()))
    # The largest and the smallest number of known episodes: if they differ, processes do not see
    # the same file, and would wait for each other in different blocks
    if max_over_processes(known, -known) != (known, -known):
        done = {}
        known = 0
        earlier = 0.0
    parts: list[dict] = [done] if done else []
    begin = saved = time.perf_counter()
    for start in range(known, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        found, images = block_of(source.images, indices[rows])
        parts.append(run(_keys_of(key, rows), indices[rows], found, meta, images))
        if len(parts) <= AHEAD:
            continue
        # Dispatch is asynchronous: without waiting all blocks would be queued at once, streamed
        # ones with their images, and the time would not be that of finished work
        jax.block_until_ready(parts[-AHEAD])
        if unfinished is not None:
            # All processes must save after the same block, so the first one's clock decides
            (now,) = broadcast_from_first(time.perf_counter() - begin)
            if now - (saved - begin) > SAVE_SECONDS:
                parts = [_joined(parts, count)]
                by_first(partial(unfinished.write, parts[0], earlier + now))
                saved = begin + now
    return _joined(parts, count), earlier


def _joined(parts: list[dict], count: int) -> dict[str, np.ndarray]:
    """The first `count` rows of all parts."""
    return {k: np.concatenate([np.asarray(part[k]) for part in parts])[:count] for k in parts[0]}
