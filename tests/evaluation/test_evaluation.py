"""Evaluation: its formulas in numpy, look-ups against the general path, and the probe for
transduction.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.config import Config
from metalearn.data.augment import THEMSELVES, Copies, augmentation
from metalearn.data.sampler import batch_sampler
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError
from metalearn.evaluation.calibration import calibration_error
from metalearn.evaluation.episodes import Episodes, draw_episodes, task_of
from metalearn.evaluation.evaluator import AHEAD, embedder, evaluator
from metalearn.evaluation.metrics import Result, check_finite, episode_metrics
from metalearn.evaluation.partial import PartialResult
from metalearn.evaluation.probe import is_transductive
from metalearn.evaluation.statistics import images_of, pool_moments, running_statistics
from metalearn.learners import embedding, maml
from metalearn.learners.method import make_method
from metalearn.learners.protonet import protonet
from metalearn.training.lab import make_lab
from metalearn.training.parts import training_sampler, with_running_statistics
from metalearn.training.step import task_mesh
from metalearn.types import Array, Learner, PyTree, Task
from tests.small import SIDE, easy_task, noise_source, prepare, tiny_network

WAYS, SHOTS, QUERIES = 3, 2, 2
COUNTS = (7, 5, 9, 6)
SAMPLER = batch_sampler(64, prepare)


def test_confidence_interval_of_the_mean_accuracy() -> None:
    accuracies = np.random.default_rng(0).uniform(size=50).astype(np.float32)
    result = Result(accuracies, 0.0, 0.0, 1.0)
    mean = sum(map(float, accuracies)) / 50
    variance = sum((float(a) - mean) ** 2 for a in accuracies) / 49
    assert result.accuracy == pytest.approx(mean, rel=1e-6)
    assert result.ci95 == pytest.approx(1.96 * (variance / 50) ** 0.5, rel=1e-5)


def test_episode_metrics_and_calibration_error() -> None:
    rng = np.random.default_rng(0)
    logits, labels = (
        2 * rng.normal(size=(40, 25, 4)).astype(np.float32),
        rng.integers(0, 4, (40, 25)),
    )
    found = jax.vmap(episode_metrics)(logits, labels)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    right, confidence = (p.argmax(-1) == labels).reshape(-1), p.max(-1).reshape(-1)
    np.testing.assert_allclose(found["accuracy"], right.reshape(40, 25).mean(-1), rtol=1e-6)
    chosen = np.take_along_axis(p, labels[..., None], -1)[..., 0]
    np.testing.assert_allclose(found["loss"], -np.log(chosen).mean(-1), rtol=1e-4)
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(np.asarray(found["calibration"], np.float64).sum(0)) == pytest.approx(
        expected, abs=1e-4
    )


def test_calibration_error_of_certain_predictions() -> None:
    logits = jnp.array([[1e4, 0.0], [1e4, 0.0], [1e4, 0.0], [1e4, 0.0]])
    counts = np.asarray(episode_metrics(logits, jnp.array([0, 0, 0, 1]))["calibration"])
    assert counts[:, -1].tolist() == [4, 3, 4]
    assert calibration_error(counts) == 0.25


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_error(value: float) -> None:
    """Of NaN the first class is the largest: without a word it would be an accuracy of chance."""
    logits = np.zeros((3, 4, 2), np.float32)
    logits[1, 2, 0] = value
    found = jax.vmap(episode_metrics)(logits, np.zeros((3, 4), np.int32))
    assert found["finite"].tolist() == [True, False, True]
    said = "logits of 1 of 3 episodes are not finite, first of episode 1: .*--inner_lr"
    with pytest.raises(UserError, match=said):
        check_finite(np.asarray(found["finite"]))


def test_loss_beyond_float32_is_an_error() -> None:
    """Finite logits whose difference is not: no infinity belongs into a record."""
    logits = jnp.array([[3e38, -3e38]])
    assert not episode_metrics(logits, jnp.array([1]))["finite"]


def test_evaluation_that_diverges_is_an_error(learner: Learner, episodes: Episodes) -> None:
    adrift = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), ready(learner))
    general = learner._replace(embed=None, head=None)
    for kind in (learner, general):
        run = evaluator(kind, noise_source(COUNTS), episodes, prepare, task_mesh(2), block=4)
        with pytest.raises(UserError, match="25 of 25 episodes are not finite, first of episode 0"):
            run(adrift)


def ready(learner: Learner) -> PyTree:
    meta = learner.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 1)))
    return running_statistics(learner.moments, noise_source(COUNTS), SAMPLER)(meta)


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    return draw_episodes(noise_source(COUNTS), 25, WAYS, SHOTS, QUERIES, seed=0)


@pytest.fixture(scope="module")
def learner() -> Learner:
    return protonet(tiny_network(), WAYS)


@pytest.fixture(scope="module")
def reference(learner: Learner, episodes: Episodes) -> Result:
    """All episodes in one block on one device, features looked up."""
    run = evaluator(learner, noise_source(COUNTS), episodes, prepare, task_mesh(1), block=25)
    return run(ready(learner))


def agrees(found: Result, expected: Result) -> None:
    np.testing.assert_allclose(found.accuracies, expected.accuracies, atol=1e-6)
    assert found.loss == pytest.approx(expected.loss, rel=1e-3)
    assert found.ece == pytest.approx(expected.ece, abs=1e-2)


def test_feature_lookup_agrees_with_adapting_and_predicting(
    learner: Learner, episodes: Episodes, reference: Result
) -> None:
    general = learner._replace(embed=None, head=None)
    run = evaluator(general, noise_source(COUNTS), episodes, prepare, task_mesh(1), block=25)
    agrees(run(ready(learner)), reference)
    assert len(reference.accuracies) == 25 and reference.accuracies.std() > 0


def test_result_does_not_depend_on_blocks_and_devices(
    learner: Learner, episodes: Episodes, reference: Result
) -> None:
    """25 episodes in blocks of 2 x 4: the last holds one."""
    run = evaluator(learner, noise_source(COUNTS), episodes, prepare, task_mesh(2), block=4)
    agrees(run(ready(learner)), reference)


def test_blocks_wait_for_those_before_and_features_are_sent_once(
    learner: Learner, episodes: Episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 episodes in 13 blocks, of which four are ahead."""
    waited: list[object] = []
    monkeypatch.setattr(jax, "block_until_ready", waited.append)
    mesh = task_mesh(2)
    run = evaluator(learner, noise_source(COUNTS), episodes, prepare, mesh, block=1)
    run(ready(learner))
    assert len(waited) == 13 - AHEAD
    features = embedder(learner, noise_source(COUNTS), prepare, mesh, THEMSELVES)(ready(learner))
    assert features.images.sharding.device_set == set(mesh.devices.flat)


def test_stopped_evaluation_continues_from_partial_results(
    learner: Learner,
    episodes: Episodes,
    reference: Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("metalearn.evaluation.evaluator.SAVE_SECONDS", 0.0)
    run = evaluator(learner, noise_source(COUNTS), episodes, prepare, task_mesh(1), block=2)
    kept = PartialResult(tmp_path / "part.npz", "this test")
    meta, write, saves = ready(learner), PartialResult.write, []

    def stop_at_second(self: PartialResult, found: dict, seconds: float) -> None:
        write(self, found, seconds)
        saves.append(len(found["accuracy"]))
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(PartialResult, "write", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        run(meta, kept)
    done, seconds = kept.read()
    assert 0 < len(done["accuracy"]) == saves[-1] < 25 and seconds > 0
    done["accuracy"][0] = -1  # to see that it is taken from there
    write(kept, done, 1000.0)
    monkeypatch.setattr(PartialResult, "write", write)
    found = run(meta, kept)
    assert found.accuracies[0] == -1 and found.seconds > 1000
    np.testing.assert_allclose(found.accuracies[1:], reference.accuracies[1:], atol=1e-6)
    agrees(run(meta, PartialResult(kept.path, "another test")), reference)
    kept.path.write_bytes(b"cut off")
    agrees(run(meta, kept), reference)


def test_images_of_a_long_split_are_embedded_in_order(learner: Learner) -> None:
    """300 images in blocks of 256; episodes from the last class alone would show a shift."""
    source = noise_source((100, 100, 100))
    episodes = draw_episodes(source, 20, WAYS, SHOTS, QUERIES, seed=0)
    meta = ready(learner)
    runs = [
        evaluator(k, source, episodes, prepare, task_mesh(2))
        for k in (learner, learner._replace(embed=None, head=None))
    ]
    agrees(runs[0](meta), runs[1](meta))


def test_small_split_is_embedded_without_filling_up_a_block(learner: Learner) -> None:
    """Five images on two devices are three for each; only the sixth is a repetition."""
    source, shapes = noise_source((2, 3)), []

    def noted(x: Array) -> Array:
        shapes.append(x.shape)
        return prepare(x)

    found = embedder(learner, source, noted, task_mesh(2), THEMSELVES)(ready(learner))
    assert shapes == [(3, SIDE, SIDE, 1)] and len(found.images) == 5


@pytest.mark.parametrize("norm", ["batch", "support", "group", "none"])
def test_transduction_probe_of_gradient_methods(norm: str) -> None:
    layers = norm if norm in ("group", "none") else "batch"
    learner = maml.maml(tiny_network(layers), WAYS, inner_lr=0.1, inner_steps=2, norm=norm)
    found = is_transductive(
        learner, ready(learner), easy_task(jax.random.key(1), WAYS, SHOTS, QUERIES)
    )
    assert found == (norm == "batch")


@pytest.mark.parametrize("norm", embedding.NORMS)
def test_transduction_probe_of_embedding_methods(norm: str) -> None:
    layers = norm if norm in ("group", "layer", "none") else "batch"
    learner = protonet(tiny_network(layers), WAYS, norm=norm)
    found = is_transductive(
        learner, ready(learner), easy_task(jax.random.key(1), WAYS, SHOTS, QUERIES)
    )
    assert found == (norm == "batch")


def test_pooled_moments_are_those_of_all_batches_together() -> None:
    y = np.random.default_rng(0).normal(np.arange(3)[:, None, None], 2, size=(3, 10, 4))
    stacked = {
        "norm0": {"mean": y.mean(1), "var": y.var(1)},
        "deeper": {"norm1": {"mean": y.mean(1), "var": y.var(1)}},
    }
    pooled = pool_moments(stacked)
    for found in (pooled["norm0"], pooled["deeper"]["norm1"]):
        np.testing.assert_allclose(found["mean"], y.reshape(-1, 4).mean(0), rtol=1e-10)
        np.testing.assert_allclose(found["var"], y.reshape(-1, 4).var(0), rtol=1e-10)


def test_running_statistics_are_near_those_of_the_whole_split(learner: Learner) -> None:
    source, meta = (
        noise_source((200, 200)),
        learner.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 1))),
    )
    measured = running_statistics(learner.moments, source, SAMPLER)(meta)
    exact = learner.moments(meta, prepare(source.images))
    assert measured.keys() == {"body", "moments"}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0.1, atol=0.05),
        measured["moments"],
        exact,
    )


RECIPES = {
    "protonet": {"augment": "crop", "train_ways": 3, "train_shots": 2, "train_queries": 2},
    "rfs": {"augment": "crop", "batch_size": 12},
    "simpleshot": {"augment": "crop", "batch_size": 12, "rotation": True},
}


@pytest.mark.parametrize("method", RECIPES)
def test_running_statistics_are_those_of_training_batches(method: str) -> None:
    """As of batches drawn by the training itself, and not of clean images, whose borders are not
    black.
    """
    settings = {"backbone": "conv2-8", "norm": "running", "meta_batch": 1} | RECIPES[method]
    config = Config(method=method, **settings)
    bright = 200 + np.arange(4 * 9 * 16 * 16).reshape(36, 16, 16, 1) % 50
    split = Split(bright.astype(np.uint8), np.full(4, 9, np.int32), tuple("abcd"))
    dataset = Dataset(
        "bright", split, split, split, np.full(1, 0.5, np.float32), np.ones(1, np.float32)
    )
    lab = make_lab(dataset, devices=1)
    made = make_method(config, 4)
    learner = made.test("running")
    meta = made.train.init(jax.random.key(0), jnp.zeros((1, 16, 16, 1)))
    found = with_running_statistics(config, made, lab)(meta)["moments"]
    sampler = training_sampler(config, lab, made.supervised)

    def of_batch(seed: jax.Array) -> PyTree:
        return learner.moments(meta, images_of(sampler(jax.random.key(seed), lab.train)))

    drawn = pool_moments(jax.lax.map(of_batch, jnp.arange(100, 400)))
    clean = learner.moments(meta, lab.prepare(lab.train.images))
    first = [tree["body"]["norm0"] for tree in (found, drawn, clean)]
    for kind in ("mean", "var"):
        close, same, other = (np.asarray(layer[kind]) for layer in first)
        np.testing.assert_allclose(close, same, rtol=0.05, atol=0.01)
        assert np.abs(other - same).max() > 5 * np.abs(close - same).max()


def test_no_running_statistics_are_measured_where_none_are_used() -> None:
    learner = protonet(tiny_network(), WAYS, norm="batch")
    meta = {"body": {}}
    assert running_statistics(learner.moments, noise_source(COUNTS), SAMPLER)(meta) is meta


def test_support_copies_are_embedded_once_and_looked_up(learner: Learner) -> None:
    """As adapting to augmented images episode by episode; and not to the images themselves."""
    source = noise_source(COUNTS)
    episodes = draw_episodes(source, 20, WAYS, SHOTS, QUERIES, seed=0)
    copies, meta = Copies(3, augmentation("crop,flip")), ready(learner)
    runs = [
        evaluator(k, source, episodes, prepare, task_mesh(2), copies=copies)
        for k in (learner, learner._replace(embed=None, head=None))
    ]
    found = runs[0](meta)
    agrees(found, runs[1](meta))
    assert found.loss != pytest.approx(
        evaluator(learner, source, episodes, prepare, task_mesh(2))(meta).loss, rel=1e-3
    )


def test_support_copies_of_an_episode() -> None:
    """Every version of each support image once, with its label; versions differ, and are the same
    wherever they are.
    """
    source = noise_source(COUNTS)
    (indices,) = draw_episodes(source, 1, WAYS, SHOTS, QUERIES, seed=0).indices
    copies = Copies(2, augmentation("crop"))

    def made(indices: np.ndarray, *copies: Copies) -> Task:
        return task_of(source.images[indices], indices, SHOTS, len(source.images), *copies)

    task, plain = made(indices, copies), made(indices)
    assert task.support_y.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_array_equal(task.query_x, plain.query_x)
    np.testing.assert_array_equal(plain.support_x, source.images[indices[:, :SHOTS].reshape(-1)])
    again = made(indices[:, [1, 0, 2, 3]], copies)
    np.testing.assert_array_equal(task.support_x[jnp.array([1, 0, 3, 2])], again.support_x[:4])
    assert not (task.support_x[0] == task.support_x[2]).all()
