"""A training assembled by hand: what a benchmark times is what a run trains."""

from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks._lib.planned import assembled, lab_of, planned, shapes
from metalearn.config import Config
from metalearn.data import load
from metalearn.records.workdir import read_workdir
from metalearn.training.assemble import assemble
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.lab import make_lab
from metalearn.training.step import task_mesh
from tests.programs import make_images, program, words


@pytest.mark.parametrize("stream", [False, True])
def test_assembled_training_makes_the_steps_of_a_run(stream: bool, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    said = program("protonet", *words(images, workdir=tmp_path / "run"))
    assert said.code == 0, said
    config = read_workdir(tmp_path / "run").config
    dataset = load("folder", images, tmp_path / "cache", config.seed, config.image_size)
    training = assemble(config, make_lab(dataset, devices=2, stream=stream))
    key = training.key()
    state = training.state()
    with closing(training.supply(key)) as supply:
        while (step := int(state.step)) < config.steps:
            stop = supply.end(step, config.steps)
            state, _ = training.chunk(state, key, supply.at(step), jnp.int32(stop))
    with closing(Checkpoints(tmp_path / "run")) as checkpoints:
        trained, _ = checkpoints.restore(training.state())
    jax.tree.map(np.testing.assert_array_equal, state, trained)


def test_assembled_keys_of_several_seeds_are_those_of_each() -> None:
    config = Config(method="protonet", backbone="conv2-8", meta_batch=2).with_defaults()
    dataset = planned(classes=6, class_images=20, side=8, channels=1)
    training = assemble(config, make_lab(dataset, devices=2))
    both = jax.random.key_data(training.key([3, 4]))
    each = [jax.random.key_data(training.key([seed])) for seed in (3, 4)]
    np.testing.assert_array_equal(both, np.stack(each))


def test_assembled_training_compiles_from_shapes_alone() -> None:
    config = Config(method="maml", backbone="conv2-8", meta_batch=2).with_defaults()
    lab = lab_of(planned(classes=6, class_images=20, side=8, channels=1), task_mesh(1))
    training = assembled(config, lab)
    lowered = training.chunk.lower(*shapes(training))
    assert "while" in lowered.as_text()
