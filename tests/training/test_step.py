"""Chunks of training: neither their length nor the number of devices changes anything, nothing
compiles twice.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from metalearn.data.sampler import task_sampler
from metalearn.learners.maml import maml
from metalearn.learners.protonet import protonet
from metalearn.training.step import (
    Progress,
    TrainState,
    apart,
    make_chunk,
    stacked,
    start,
    task_mesh,
    together,
    unstacked,
)
from metalearn.types import Array, ClassSource, Info, Key, Learner, PyTree, largest_divisor
from tests.programs import ROOT, environment, on_devices
from tests.small import SIDE, noise_source, prepare, tiny_network

OPTIMIZER = optax.adam(1e-2)
KEY = jax.random.key(7)
PROTONET = protonet(tiny_network(), 3, norm="support")


class Trainer:
    """A chunk of a learner on some devices, with what it takes."""

    def __init__(self, devices: int, at_once: int = 0, tasks: int = 4, learner: Learner = PROTONET):
        mesh = task_mesh(devices)
        self.everywhere = NamedSharding(mesh, P())
        self.learner = learner
        self.traces = 0

        def loss(*arguments: Any) -> tuple[Array, Info]:
            self.traces += 1
            return self.learner.loss(*arguments)

        sample = task_sampler(6, 3, 1, 2, prepare)
        self.chunk = make_chunk(loss, sample, OPTIMIZER, tasks, mesh, at_once)
        self.source, self.key = jax.device_put((noise_source((6, 5, 6, 4)), KEY), self.everywhere)

    def fresh(self, seed: int = 0) -> TrainState:
        state = start(
            self.learner.init, OPTIMIZER, jax.random.key(seed), jnp.zeros((1, SIDE, SIDE, 1))
        )
        return jax.device_put(state, self.everywhere)

    def run(self, *stops: int) -> tuple[TrainState, list[Progress]]:
        state, progress = self.fresh(), []
        for stop in stops:
            state, one = self.chunk(
                state, self.key, self.source, jax.device_put(jnp.int32(stop), self.everywhere)
            )
            progress.append(one)
        return state, progress


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(2)


def same(a: PyTree, b: PyTree) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_chunk_length_changes_no_bit(trainer: Trainer) -> None:
    whole, (all_steps,) = trainer.run(6)
    parts, progress = trainer.run(1, 4, 4, 6)
    same(whole, parts)
    assert int(whole.step) == 6
    assert [int(p.steps) for p in progress] == [1, 3, 0, 2]
    summed = sum(p.sums["loss"] for p in progress)
    np.testing.assert_allclose(summed, all_steps.sums["loss"], rtol=1e-6)
    assert all_steps.sums.keys() == {"loss", "accuracy"} and int(all_steps.bad_step) == -1


def test_nothing_is_compiled_or_copied_after_the_first_chunk(trainer: Trainer) -> None:
    state, _ = trainer.run(1)
    stop = jax.device_put(jnp.int32(3), trainer.everywhere)
    traces = trainer.traces
    with jax.transfer_guard("disallow"):
        new, progress = trainer.chunk(state, trainer.key, trainer.source, stop)
    assert trainer.traces == traces > 0
    assert int(new.step) == 3 and int(progress.steps) == 2
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))  # donated
    assert not trainer.source.images.is_deleted()


def test_two_devices_train_as_one(trainer: Trainer) -> None:
    two, (progress_two,) = trainer.run(2)
    one, (progress_one,) = Trainer(1).run(2)
    assert len(two.step.devices()) == 2 and len(one.step.devices()) == 1

    def close(a, b):
        return np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    jax.tree.map(close, (two, progress_two), (one, progress_one))


@pytest.mark.parametrize(
    ("learner", "devices", "at_once"),
    [(PROTONET, 1, 0), (PROTONET, 2, 1), (maml(tiny_network(), 3, 0.1, 1), 2, 0)],
    ids=["protonet-1", "protonet-2", "maml-2"],
)
def test_trainings_at_once_are_what_each_is_alone(
    learner: Learner, devices: int, at_once: int
) -> None:
    trainer = Trainer(devices, at_once, learner=learner)
    keys = [jax.device_put(jax.random.key(10 + seed), trainer.everywhere) for seed in range(3)]
    stop = jax.device_put(jnp.int32(4), trainer.everywhere)
    alone = [trainer.chunk(trainer.fresh(s), keys[s], trainer.source, stop) for s in range(3)]
    states = together([trainer.fresh(s) for s in range(3)])
    states, some = trainer.chunk(states, stacked(keys), trainer.source, jnp.int32(1))
    states, progress = trainer.chunk(states, stacked(keys), trainer.source, stop, some.sums)
    assert int(states.step) == 4 and (int(some.steps), int(progress.steps)) == (1, 3)

    def close(a, b):
        return np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    for s, (state, sums) in enumerate(
        zip(apart(states, 3), unstacked(progress.sums, 3), strict=True)
    ):
        jax.tree.map(close, (state, sums), (alone[s][0], alone[s][1].sums))
    losses = progress.sums["loss"]
    assert (
        min(abs(losses[0] - losses[1]), abs(losses[1] - losses[2])) > 0.01
    )  # other weights, other tasks


LAYOUTS = """
import sys, jax, numpy as np
from tests.training.test_step import Trainer
found = {}
for devices, at_once in ((1, 0), (1, 3), (2, 2), (4, 1), (8, 0)):
    state, (progress,) = Trainer(devices, at_once, tasks=8).run(3)
    for i, leaf in enumerate(jax.tree.leaves((state, progress))):
        found[f"{devices}-{at_once}-{i}"] = np.asarray(leaf)
np.savez(sys.argv[1], **found)
"""


@pytest.mark.slow
def test_any_layout_of_devices_and_accumulation_trains_the_same(tmp_path: Path) -> None:
    """Eight tasks on 1 to 8 devices, all at once or some at a time, in a process that has eight."""
    env = environment(XLA_FLAGS=on_devices(8))
    subprocess.run(
        [sys.executable, "-c", LAYOUTS, str(tmp_path / "found.npz")], env=env, cwd=ROOT, check=True
    )
    found = np.load(tmp_path / "found.npz")
    layouts = {name.rpartition("-")[0] for name in found}
    assert len(layouts) == 5
    for name in found:
        layout, _, leaf = name.rpartition("-")
        np.testing.assert_allclose(
            found[name], found[f"1-0-{leaf}"], rtol=1e-4, atol=1e-5, err_msg=name
        )
    assert any(
        (found[f"1-3-{i}"] != found[f"1-0-{i}"]).any() for i in range(len(found) // 5)
    )  # other sums, really


def test_memory_follows_the_tasks_at_once() -> None:
    def temporary(at_once: int) -> int:
        trainer = Trainer(1, at_once, tasks=16)
        lowered = trainer.chunk.lower(trainer.fresh(), trainer.key, trainer.source, jnp.int32(1))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporary(2) < 0.4 * temporary(16)


@pytest.mark.parametrize(("limit", "size"), [(1, 1), (4, 4), (5, 4), (11, 6), (12, 12), (99, 12)])
def test_largest_divisor_is_at_most_the_limit(limit: int, size: int) -> None:
    assert largest_divisor(12, limit) == size


def quadratic(
    poison: Callable[[Array, Array], Array],
) -> Callable[..., tuple[TrainState, Progress]]:
    """Training of w on (w - 1)^2, each batch a pair of uniform numbers; poison(loss, draw) is what
    is minimised.
    """

    def loss(key: Key, meta: Array, batch: Array, step: Array) -> tuple[Array, Info]:
        value = poison(jnp.square(meta - 1), batch)
        return value, {"loss": value}

    def sample(key, source):

        return jax.random.uniform(key)

    return make_chunk(loss, sample, optax.sgd(0.1), 2, task_mesh(2))


def draws(step: int) -> list[float]:
    """The numbers that the tasks of a step draw."""
    keys = [jax.random.fold_in(jax.random.fold_in(KEY, step), t) for t in range(2)]
    return [float(jax.random.uniform(jax.random.split(k)[0])) for k in keys]


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_training_stops_at_a_loss_that_is_not_finite(kind: str) -> None:
    """At the first step one of whose tasks draws the most, with the state from before it."""
    highest = [max(draws(s)) for s in range(12)]
    bad = int(np.argmax(highest[2:])) + 2
    limit = float(np.sort(highest)[-1] - 1e-6)

    def poison(value: Array, draw: Array) -> Array:
        if kind == "loss":
            return jnp.where(draw > limit, jnp.nan, value)
        # Sqrt'(0) is infinite
        return value + jnp.sqrt(jnp.where(draw > limit, 0.0, 1.0) * jnp.square(value))

    chunk = quadratic(poison)

    def fresh():
        return TrainState(jnp.int32(0), jnp.float32(0.0), optax.sgd(0.1).init(jnp.float32(0.0)))

    source = ClassSource(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1))
    state, progress = chunk(fresh(), KEY, source, jnp.int32(12))
    good, _ = chunk(fresh(), KEY, source, jnp.int32(bad))
    assert int(progress.bad_step) == bad + 1 and int(progress.steps) == bad
    same(state, good)
    assert int(state.step) == bad and np.isfinite(state.meta) and np.isfinite(progress.sums["loss"])


def test_trainings_at_once_stop_where_one_is_not_finite() -> None:
    """Before the step that one of them cannot make, each as it is then."""
    chunk = quadratic(
        lambda value, draw: value + jnp.where(jnp.isfinite(value) & (value < 1e-3), jnp.nan, 0.0)
    )

    def begin(w):
        return TrainState(jnp.int32(0), jnp.float32(w), optax.sgd(0.1).init(jnp.float32(w)))

    source = ClassSource(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1))
    keys = stacked([KEY, KEY, KEY])
    states, progress = chunk(
        together([begin(2.0), begin(1.1), begin(5.0)]), keys, source, jnp.int32(40)
    )
    _, alone = chunk(begin(1.1), KEY, source, jnp.int32(40))
    bad = int(alone.bad_step)
    assert bad > 1 and progress.bad_step.tolist() == [-1, bad, -1]
    assert int(states.step) == int(progress.steps) == bad - 1
    for state, w in zip(apart(states, 3), (2.0, 1.1, 5.0), strict=True):
        good, its = chunk(begin(w), KEY, source, jnp.int32(bad - 1))
        same(state, good)
        assert float(its.sums["loss"]) > 0


def test_trainings_at_once_branch_by_the_step_they_share() -> None:
    """A loss that is another one after some steps is not computed both ways."""

    def loss(key: Key, meta: Array, batch: Array, step: Array) -> tuple[Array, Info]:
        value = jax.lax.cond(step < 2, jnp.sin, jnp.cos, meta)
        return value, {"loss": value}

    chunk = make_chunk(loss, lambda key, source: jnp.zeros(()), optax.sgd(0.1), 2, task_mesh(2))
    state = TrainState(jnp.int32(0), jnp.zeros(3), optax.sgd(0.1).init(jnp.zeros(3)))
    source = ClassSource(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1))
    args = (state, jax.random.split(KEY, 3), source, jnp.int32(4))
    assert " cond[" in str(jax.make_jaxpr(chunk)(*args))
    w = 0.0
    for slope in (np.cos, np.cos, lambda w: -np.sin(w), lambda w: -np.sin(w)):
        w -= 0.1 * slope(w)
    np.testing.assert_allclose(chunk(*args)[0].meta, np.full(3, w), rtol=1e-6)


def test_tasks_of_a_step_are_those_of_its_keys() -> None:
    """Which numbers training draws is fixed: a run continues, on any machine, with the tasks it
    would have seen.
    """
    chunk = quadratic(lambda value, draw: value * 0 + draw)
    state = TrainState(jnp.int32(3), jnp.float32(0.0), optax.sgd(0.1).init(jnp.float32(0.0)))
    _, progress = chunk(
        state, KEY, ClassSource(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1)), jnp.int32(4)
    )
    np.testing.assert_allclose(progress.sums["loss"], np.mean(draws(3)), rtol=1e-6)


def test_loss_gets_the_step() -> None:
    """The number of updates made before, across chunks."""

    def loss(key: Key, meta: Array, batch: Array, step: Array) -> tuple[Array, Info]:
        return meta * step, {"step": step}

    chunk = make_chunk(loss, lambda key, source: jnp.zeros(()), optax.sgd(1.0), 2, task_mesh(2))
    state = TrainState(jnp.int32(0), jnp.float32(0.0), optax.sgd(1.0).init(jnp.float32(0.0)))
    source = ClassSource(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1))
    state, first = chunk(state, KEY, source, jnp.int32(3))
    state, second = chunk(state, KEY, source, jnp.int32(5))
    assert (int(first.sums["step"]), int(second.sums["step"])) == (0 + 1 + 2, 3 + 4)
    assert float(state.meta) == -10  # the gradient is the step


def test_task_mesh_takes_the_first_devices() -> None:
    assert task_mesh(1).size == 1 and task_mesh().size == len(jax.devices())
    assert task_mesh().axis_names == ("tasks",)


def test_start_gives_the_initial_state(trainer: Trainer) -> None:
    state = trainer.fresh()
    assert int(state.step) == 0
    again = start(trainer.learner.init, OPTIMIZER, jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 1)))
    same(state.meta, again.meta)
