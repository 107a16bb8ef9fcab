"""Evaluation on a fixed, hashed list of episodes that all methods share."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from metalearn.base import Array, Batch, ClassSource, Key, Learner, PyTree, Task, random_key
from metalearn.data.augment import THEMSELVES, Copies
from metalearn.data.episodes import Prepare, Sampler, as_task, episode_hash, episode_indices, make_task
from metalearn.data.host import fetched, taken
from metalearn.errors import UserError
from metalearn.files import write_whole
from metalearn.hosts import agreed, by_first, by_word_of_first
from metalearn.losses import cross_entropy

BINS = 15
LEAST_BATCHES = 16  # that running statistics are measured on,
LEAST_IMAGES = 4096  # and images of all of them
SAVE_SECONDS = 30.0  # between saves of a test under way
AHEAD = 4  # blocks that may be under way


class Episodes(NamedTuple):
    """A list of test episodes as positions in a split, int32 [E, N, K+Q], and how many of K+Q are support."""

    indices: np.ndarray
    shots: int

    @property
    def hash(self) -> str:
        return episode_hash(self.indices)


class Result(NamedTuple):
    """What evaluating a learner on E episodes gives.

    Attributes:
      accuracies: float32 [E], fraction of right queries of each episode.
      loss: mean cross-entropy of the queries, nats.
      ece: expected calibration error over all queries (Guo et al. 2017, equation 3, 15 bins), in [0, 1].
      seconds: wall clock, compilation included.
    """

    accuracies: np.ndarray
    loss: float
    ece: float
    seconds: float

    @property
    def accuracy(self) -> float:
        return float(self.accuracies.mean())

    @property
    def ci95(self) -> float:
        """Half width of the 95 % confidence interval of the mean over episodes, 1.96 sd / sqrt(E)."""
        return float(1.96 * self.accuracies.std(ddof=1) / len(self.accuracies) ** 0.5)


class Unfinished(NamedTuple):
    """Where a long test keeps what it has done, to go on from there if it is stopped.

    Attributes:
      path: of an `.npz` file.
      test: what is tested on what, in words; a file of another test does not count.
    """

    path: Path
    test: str

    def read(self) -> tuple[dict[str, np.ndarray], float]:
        """Results of the first episodes, none if there is no such file, and the seconds that they took."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile):
            return {}, 0.0
        if str(found.pop("test", "")) != self.test:
            return {}, 0.0
        if "finite" not in found:  # kept before that was looked at
            return {}, 0.0
        return found, float(found.pop("seconds"))

    def write(self, found: dict[str, np.ndarray], seconds: float) -> None:
        """Keep the results of the first episodes.

        Raises:
          UserError: the file cannot be written.
        """
        arrays: dict[str, Any] = found | {"test": self.test, "seconds": seconds}
        write_whole(self.path, lambda file: np.savez(file, **arrays))


def draw_episodes(source: ClassSource, count: int, ways: int, shots: int, queries: int, seed: int) -> Episodes:
    """Episode i is drawn from `fold_in(key(seed), i)`: a longer list begins with the shorter one."""
    largest = int(source.counts.max())

    @jax.jit
    def draw(start: Array) -> Array:
        keys = jax.vmap(partial(jax.random.fold_in, random_key(seed)))(start + jnp.arange(100))
        pick = partial(episode_indices, largest=largest, ways=ways, per_class=shots + queries)
        return jax.vmap(lambda k: pick(k, starts, counts))(keys)

    starts, counts = jnp.asarray(np.asarray(source.starts)), jnp.asarray(np.asarray(source.counts))
    with jax.threefry_partitionable(True):  # whatever was set since: lists are compared over years
        blocks = [np.asarray(draw(start)) for start in range(0, count, 100)]
    return Episodes(np.concatenate(blocks)[:count], shots)


def moments_measurer(
    learner: Learner, source: ClassSource, sampler: Sampler, seed: int = 0
) -> Callable[[PyTree], PyTree]:
    """`meta -> meta` with the running statistics of training, where the learner normalises by them; else as it is.

    They are measured on batches drawn exactly as in training, augmented and turned: a network whose statistics are of
    clean images is not the one that was trained. Each batch is normalised by its own moments in the layers before, as
    in training, and at least 4,096 images are seen; the variance adds that between the batches to that within (Wu &
    Johnson 2021, "Rethinking Batch in BatchNorm"). Deviation: dropout is off, as at test.

    Args:
      learner: to be tested.
      source: the training split, on the device or on the host.
      sampler: what draws its training batches.
      seed: of the batches.
    """
    measure = learner.moments
    if measure is None:
        return lambda meta: meta
    starts, counts = jnp.asarray(source.starts), jnp.asarray(source.counts)

    def rows_of(key: Key) -> Array:
        return sampler.rows(key, starts, counts).reshape(-1)

    size = len(jax.eval_shape(rows_of, random_key(seed)))
    keys = jax.random.split(random_key(seed), max(LEAST_BATCHES, -(-LEAST_IMAGES // size)))
    rows = np.asarray(jax.jit(jax.vmap(rows_of))(keys))

    @jax.jit
    def run(meta: PyTree, found: Array, images: Array | None) -> PyTree:
        def of_batch(part: tuple[Array, Array]) -> PyTree:
            key, rows = part
            batch = sampler.make(key, ClassSource(taken(rows, images), starts, counts))
            return measure(meta, images_of(batch))

        return pool_moments(jax.lax.map(of_batch, (keys, found)))

    def measured(meta: PyTree) -> PyTree:
        return meta | {"moments": run(meta, *fetched(source.images, rows))}

    return measured


def images_of(batch: Task | Batch) -> Array:
    """The images of a batch that are normalised together in training: all of them."""
    return batch.x if isinstance(batch, Batch) else jnp.concatenate([batch.support_x, batch.query_x])


def pool_moments(stacked: PyTree) -> PyTree:
    """Moments {mean, var} over all of several equal batches, from theirs stacked along the leading axis."""
    if "mean" not in stacked:
        return {k: pool_moments(v) for k, v in stacked.items()}
    mean = stacked["mean"].mean(0)
    return {"mean": mean, "var": stacked["var"].mean(0) + stacked["mean"].var(0)}


def embedder(
    learner: Learner, source: ClassSource, prepare: Prepare, mesh: Mesh, copies: Copies
) -> Callable[..., ClassSource]:
    """`meta -> ` the split as features float32 [M,D], each image embedded once, and so each of its copies."""
    assert learner.embed is not None
    embed, size, block = learner.embed, len(source.images) * copies.versions, 128 * mesh.size
    mapped = jax.shard_map(
        lambda meta, x: everyones(embed(meta, prepare(x))),
        mesh=mesh,
        in_specs=(P(), P("tasks")),
        out_specs=P(),
        check_vma=False,
    )

    @jax.jit
    def run(meta: PyTree, rows: Array, found: Array, images: Array | None) -> Array:
        return mapped(meta, copies.altered(taken(found, images), rows, len(source.images)))

    def features(meta: PyTree) -> ClassSource:
        blocks = [np.minimum(np.arange(start, start + block), size - 1) for start in range(0, size, block)]
        parts = [np.asarray(run(meta, rows, *fetched(source.images, rows % len(source.images)))) for rows in blocks]
        return source._replace(images=jnp.asarray(np.concatenate(parts)[:size]))

    return features


def everyones(tree: PyTree) -> PyTree:
    """Inside a mapping over the mesh: the rows of every device's arrays, in order, on all of them."""
    return jax.lax.all_gather(tree, "tasks", tiled=True)


def task_of(x: Array, indices: Array, shots: int, size: int, copies: Copies = THEMSELVES) -> Task:
    """The unprepared task of images [N, K+Q, ...] at indices [N, K+Q] of a split; copies replace its support."""
    rows = as_task(*copies.rows(indices, shots, size))
    task = as_task(*copies.rows(x, shots, 0))  # each support image as often as it is copied
    return task._replace(support_x=copies.altered(task.support_x, rows.support_x, size))


def episode_metrics(logits: Array, labels: Array) -> dict[str, Array]:
    """Accuracy, loss and calibration counts [3, BINS] of one episode.

    The counts are queries, right ones, summed confidence. `finite` says whether all that means
    anything: of logits that are NaN the first class is the largest, so that a method that diverged
    has the accuracy of chance.
    """
    probability = jax.nn.softmax(logits, -1)
    right = (logits.argmax(-1) == labels).astype(jnp.float32)
    confidence = probability.max(-1)
    bins = jnp.clip(jnp.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(jnp.int32)
    member = jax.nn.one_hot(bins, BINS)
    calibration = jnp.stack([member.sum(0), right @ member, confidence @ member])
    loss = cross_entropy(logits, labels)
    finite = jnp.isfinite(logits).all() & jnp.isfinite(loss)
    return {"accuracy": right.mean(), "loss": loss, "calibration": calibration, "finite": finite}


def check_finite(finite: np.ndarray) -> None:
    """Raise `UserError` unless the logits of every episode were finite."""
    if finite.all():
        return
    bad = np.flatnonzero(~finite)
    raise UserError(
        f"the logits of {len(bad)} of {len(finite)} episodes are not finite, first of episode "
        f"{bad[0]}: try a smaller --inner_lr or fewer --test_inner_steps, or train with a smaller "
        "--lr in a new --workdir"
    )


def calibration_error(counts: np.ndarray) -> float:
    """Expected calibration error from calibration counts [3, BINS]."""
    queries, right, confidence = counts
    return float(np.abs(right - confidence).sum() / queries.sum())


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
    """`(meta, unfinished=None) -> Result`: adapts to every episode's support set, predicts its queries; compiled once.

    Learners that embed images one by one embed the split once and look features up. With an `Unfinished`, a long test
    keeps what it has done every half minute, and goes on from what an earlier call kept.
    It raises `UserError` where logits are not finite.

    Args:
      learner: built for the episodes' N.
      source: the split on the device, or on the host.
      episodes: positions in it.
      prepare: uint8 images to float32.
      mesh: its axis `tasks` shares out the episodes.
      seed: of the keys that `adapt` gets (heads with a random start).
      block: episodes a device works on at once (default: 32, but 2 on a CPU where each one adapts a network, which
        keeps them in its caches).
      copies: of support images, which the learner adapts to.
    """
    size = len(source.images)
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    block = block or (2 if on_cpu and learner.embed is None else 32)
    at_once = mesh.size * min(block, -(-len(episodes.indices) // mesh.size))
    features = None if learner.embed is None else embedder(learner, source, prepare, mesh, copies)

    def one(key: Key, indices: Array, found: Array, meta: PyTree, images: Array | None) -> dict[str, Array]:
        if learner.head is not None:
            assert images is not None  # features lie on the device
            task = make_task(images, *copies.rows(indices, episodes.shots, size))
            head = learner.head(meta)
            fitted = head.fit(key, task.support_x, task.support_y, len(indices))
            return episode_metrics(head.predict(fitted, task.query_x), task.query_y)
        task = task_of(taken(found, images), indices, episodes.shots, size, copies)
        adapted = learner.adapt(key, meta, prepare(task.support_x), task.support_y)
        return episode_metrics(learner.predict(meta, adapted, prepare(task.query_x)), task.query_y)

    tasks, everywhere = P("tasks"), P()
    mapped = jax.vmap(one, (0, 0, 0, None, None))
    run = jax.jit(
        jax.shard_map(
            lambda *args: everyones(mapped(*args)),
            mesh=mesh,
            in_specs=(tasks, tasks, tasks, everywhere, everywhere),
            out_specs=everywhere,
            check_vma=False,
        )
    )

    def evaluate(meta: PyTree, unfinished: Unfinished | None = None) -> Result:
        begin = time.perf_counter()
        looked_up = source if features is None else features(meta)
        found, earlier = _in_blocks(run, episodes.indices, at_once, seed, meta, looked_up, unfinished)
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
    unfinished: Unfinished | None,
) -> tuple[dict, float]:
    """run's results over all episodes, and seconds spent on those that an earlier call had done.

    The last block is filled up with its last episode, cut off afterwards.
    """
    count = len(indices)
    key_of = jax.jit(jax.vmap(partial(jax.random.fold_in, random_key(seed))))
    done, earlier = ({}, 0.0) if unfinished is None else unfinished.read()
    known = len(done.get("accuracy", ()))
    if agreed(known, -known) != (known, -known):  # not all processes see the same file
        done, known, earlier = {}, 0, 0.0
    parts: list[dict] = [done] if done else []
    begin = saved = time.perf_counter()
    for start in range(known, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        found, images = fetched(source.images, indices[rows])
        parts.append(run(key_of(rows), indices[rows], found, meta, images))
        if unfinished is not None and len(parts) > AHEAD:
            jax.block_until_ready(parts[-AHEAD])
            (now,) = by_word_of_first(time.perf_counter() - begin)
            if now - (saved - begin) > SAVE_SECONDS:
                parts = [_joined(parts, count)]
                by_first(partial(unfinished.write, parts[0], earlier + now))
                saved = begin + now
    return _joined(parts, count), earlier


def _joined(parts: list[dict], count: int) -> dict[str, np.ndarray]:
    return {k: np.concatenate([np.asarray(part[k]) for part in parts])[:count] for k in parts[0]}


def is_transductive(learner: Learner, meta: PyTree, task: Task) -> bool:
    """Whether queries' predictions depend on the other queries: the first five are predicted with all and alone."""
    predict = jax.jit(learner.predict)
    adapted = jax.jit(learner.adapt)(random_key(0), meta, task.support_x, task.support_y)
    together = predict(meta, adapted, task.query_x)[:5]
    alone = jnp.concatenate([predict(meta, adapted, x[None]) for x in task.query_x[:5]])
    scale = 1e-3 * float(jnp.abs(together).max()) + 1e-6
    return bool(jnp.abs(together - alone).max() > scale)
