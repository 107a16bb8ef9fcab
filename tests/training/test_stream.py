"""Images from the host: the same bits as from the device, in training, in evaluation, in a whole
run.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from metalearn.data.augment import augmentation
from metalearn.data.episodes import to_device
from metalearn.data.host import HostImages, to_host
from metalearn.data.inputs import inputs_of, standardise
from metalearn.data.sampler import batch_sampler, task_sampler
from metalearn.data.source import Dataset, Split
from metalearn.evaluation.episodes import draw_episodes
from metalearn.evaluation.evaluator import evaluator
from metalearn.evaluation.statistics import running_statistics
from metalearn.learners.protonet import protonet
from metalearn.training import lab as laboratory
from metalearn.training import stream as streams
from metalearn.training.gradient import sample_key
from metalearn.training.step import TrainState, make_chunk, start, task_keys, task_mesh
from metalearn.training.stream import Stream
from metalearn.types import ClassSource, PyTree
from tests.programs import make_images, program, results, rows, weights, words
from tests.small import SIDE, prepare, tiny_network

KEY, TASKS = jax.random.key(3), 4
OPTIMIZER = optax.adam(1e-2)
COUNTS = np.array([6, 5, 7, 4], np.int32)
PIXELS = np.random.default_rng(0).integers(0, 256, (22, SIDE, SIDE, 1), np.uint8)
SPLIT = Split(PIXELS, COUNTS, tuple("abcd"))
STEP_BYTES = TASKS * 9 * SIDE * SIDE
SAMPLER = task_sampler(7, 3, 1, 2, prepare, augmentation("flip,crop"))


def same(a: PyTree, b: PyTree) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture
def three_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three steps."""
    monkeypatch.setattr(streams, "BLOCK_BYTES", 3 * STEP_BYTES + 5)


@pytest.mark.parametrize("rotations", [1, 4])
def test_host_images_are_those_on_the_device(rotations: int, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", PIXELS)
    split = SPLIT._replace(images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    host, device = to_host(split, rotations), to_device(split, rotations)
    chosen = np.random.default_rng(1).integers(0, 22 * rotations, (3, 5))
    assert host.images.shape == device.images.shape and len(host.images) == 22 * rotations
    assert type(host.images[chosen]) is np.ndarray and host.images[chosen].dtype == np.uint8
    same(host.images[chosen], device.images[chosen])
    same((host.starts, host.counts), (device.starts, device.counts))


@pytest.mark.parametrize(
    "sampler", [SAMPLER, batch_sampler(5, prepare, augmentation("jitter"))], ids=["task", "batch"]
)
def test_stream_draws_what_the_device_draws(sampler: object, three_steps: None) -> None:
    stream = Stream(sampler, to_host(SPLIT), KEY, TASKS, task_mesh(2))
    source = to_device(SPLIT)
    for step in (0, 4):
        feed = stream.at(step)
        assert (
            feed.images.dtype == jnp.uint8
            and int(feed.first) == step // stream.steps * stream.steps
        )
        for task, key in enumerate(task_keys(KEY, step, jnp.arange(TASKS))):
            theirs = feed.at(step)
            theirs = theirs._replace(images=theirs.images[task])
            same(sampler.make(sample_key(key), theirs), sampler(sample_key(key), source))
    stream.close()


class Trained:
    """Some steps of ProtoNet on two devices from a source, chunk by chunk."""

    def __init__(self, source: ClassSource, at_once: int = 0):
        mesh = task_mesh(2)
        self.everywhere = NamedSharding(mesh, P())
        self.learner = protonet(tiny_network(), 3, norm="support")
        self.streamed = isinstance(source.images, HostImages)
        self.source = source if self.streamed else jax.device_put(source, self.everywhere)
        self.stream = Stream(SAMPLER, source, KEY, TASKS, mesh) if self.streamed else None
        sample = SAMPLER.make if self.streamed else SAMPLER
        self.traces = 0

        def loss(*arguments: Any) -> Any:
            self.traces += 1
            return self.learner.loss(*arguments)

        self.chunk = make_chunk(loss, sample, OPTIMIZER, TASKS, mesh, at_once, self.streamed)
        self.key = jax.device_put(KEY, self.everywhere)

    def run(self, *stops: int) -> TrainState:
        state = start(
            self.learner.init, OPTIMIZER, jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 1))
        )
        state = jax.device_put(state, self.everywhere)
        for stop in stops:
            source = self.stream.at(int(state.step)) if self.stream else self.source
            state, _ = self.chunk(state, self.key, source, jnp.int32(stop))
        return state


@pytest.mark.parametrize("at_once", [0, 1])
def test_streamed_training_is_the_same_to_the_bit(at_once: int, three_steps: None) -> None:
    """Chunks end within blocks and at their ends; one stream begins in the middle of a block, as a
    resumed run does.
    """
    streamed = Trained(to_host(SPLIT), at_once)
    streamed.run(2)
    traces = streamed.traces
    same(streamed.run(2, 3, 5), Trained(to_device(SPLIT), at_once).run(5))
    assert streamed.traces == traces > 0 and streamed.stream.steps == 3
    late = Stream(SAMPLER, to_host(SPLIT), KEY, TASKS, task_mesh(2))
    same(late.at(5).at(5).images, streamed.stream.at(5).at(5).images)
    late.close()
    streamed.stream.close()


def test_streamed_chunk_needs_no_transfer_from_the_host(three_steps: None) -> None:
    trained = Trained(to_host(SPLIT))
    state, stop = trained.run(1), jax.device_put(jnp.int32(3), trained.everywhere)
    feed = trained.stream.at(1)
    feed = jax.device_put(feed._replace(images=None), trained.everywhere)._replace(
        images=feed.images
    )
    with jax.transfer_guard("disallow"):
        new, _ = trained.chunk(state, trained.key, feed, stop)
    assert int(new.step) == 3 and all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    trained.stream.close()


def test_streamed_evaluation_is_the_same_to_the_bit() -> None:
    mesh, learner = task_mesh(2), protonet(tiny_network(), 2)
    found = []
    for source in (to_host(SPLIT), to_device(SPLIT)):
        meta = learner.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 1)))
        ready = running_statistics(learner.moments, source, SAMPLER)(meta)
        episodes = draw_episodes(source, 6, 2, 1, 2, seed=0)
        inductive = evaluator(learner, source, episodes, prepare, mesh, block=2)(ready)
        batch = evaluator(
            protonet(tiny_network(), 2, norm="batch"), source, episodes, prepare, mesh, block=2
        )(meta)
        found.append((ready, inductive[:3], batch[:3]))
    same(*found)


def test_splits_too_large_for_a_device_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Dataset("noise", SPLIT, SPLIT, SPLIT, np.zeros(1), np.ones(1), rotations=4)
    for memory, stream, expected in (
        (16 * PIXELS.nbytes, None, False),
        (16 * PIXELS.nbytes - 1, None, True),
    ):
        monkeypatch.setattr(laboratory, "device_memory", lambda memory=memory: memory)
        assert laboratory.make_lab(dataset, stream=stream).streamed is expected
        assert laboratory.make_lab(dataset, stream=not expected).streamed is not expected
    lab = laboratory.make_lab(dataset, stream=True)
    assert isinstance(laboratory.split_source(lab, "test").images, HostImages)
    assert standardise(inputs_of(dataset))(PIXELS).dtype == jnp.float32


@pytest.mark.parametrize("name", ["protonet", "finetune"])
def test_streamed_run_ends_with_the_same_numbers(name: str, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    method = {"method": "rfs"} if name == "finetune" else {}
    for folder, flags in (("device", []), ("host", ["--stream"])):
        said = program(
            name, *words(images, workdir=tmp_path / folder, augment="flip", **method), *flags
        )
        assert said.code == 0, said
    a, b = tmp_path / "device", tmp_path / "host"
    assert rows(a) == rows(b)
    for kind in ("latest", "best"):
        same(weights(a, kind), weights(b, kind))

    def without(found):
        return [{k: v for k, v in r.items() if k != "command"} for r in found.values()]

    assert without(results(a)) == without(results(b))
