"""Several seeds as one program: each run is what it would be alone, whatever happens on the way."""

import json
import os
import shutil
import signal
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.config import Config
from metalearn.data import load
from metalearn.errors import UserError
from metalearn.learners.registry import readers
from metalearn.records.workdir import lock_workdir
from metalearn.run import check_one_source
from metalearn.settings import LARGEST
from metalearn.training import loop as fit
from metalearn.training import plan
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.distill import split
from metalearn.training.metric_log import MetricLog
from metalearn.training.step import TrainState
from tests.programs import Said, contents, make_images, program, results, rows, weights, words
from tests.training.test_loop import assert_same_run, last_saved

TOGETHER = {"seed": 3, "seeds": 2}
PROGRAM = {"protonet": "protonet", "rfs": "finetune"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("folder") / "images")


@pytest.fixture(scope="module", autouse=True)
def split_once() -> Any:
    """`mini_imagenet` is the folder of images, split alike for every seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "experiments._cli.lab.load",
            lambda name, data_dir, cache_dir, seed, size: load(
                "folder", data_dir, cache_dir, 0, size
            )._replace(name=name, by_seed=name == "folder"),
        )
        yield


def run(images: Path, method: str = "protonet", *more: str, **settings: object) -> Said:
    chosen = {"dataset": "mini_imagenet", "method": method, "augment": "none"}
    chosen |= {"train_ways": 2} if method in readers("train_ways") else {}
    # Moments of two images at one place leave nothing of a gradient but rounding, of which Adam
    # would make whole steps.
    chosen |= {"image_size": 16, "shots": 2, "optimizer": "sgd", "lr": 0.01}
    return program(PROGRAM[method], *words(images, **(chosen | settings)), *more)


@pytest.fixture(scope="module")
def straight(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the two runs of `TOGETHER` that nobody disturbed."""
    folder = tmp_path_factory.mktemp("straight")
    said = run(images, workdir=folder / "run", **TOGETHER)
    assert said.code == 0, said
    return folder


def assert_close(one: Path, other: Path) -> None:
    """The same run to the rounding of float32: what it learned, what it wrote on the way, what was
    tested.
    """
    for path in ("latest", "best"):
        assert last_saved(one / "checkpoints" / path) == last_saved(other / "checkpoints" / path)
        a, b = weights(one, path), weights(other, path)
        assert a.keys() == b.keys()
        for name, x in a.items():
            print(path, name, float(np.abs(x - b[name]).max()), float(np.abs(x).max()))
        for name, x in a.items():
            np.testing.assert_allclose(x, b[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert_close_numbers(rows(one), rows(other))
    assert_close_numbers(list(results(one).values()), list(results(other).values()))
    configs = [json.loads((folder / "config.json").read_text()) for folder in (one, other)]
    assert_close_numbers(
        [{k: v for k, v in c.items() if k != "command"} for c in configs[:1]], configs[1:]
    )


def assert_close_numbers(ours: list[dict], theirs: list[dict]) -> None:
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() - {"command"} == other.keys() - {"command"}
        for name in one.keys() - {"command"}:
            a, b = one[name], other[name]
            assert a == (pytest.approx(b, rel=1e-3, abs=1e-5) if isinstance(a, float) else b), name


@pytest.mark.parametrize("method", PROGRAM)
def test_seeds_trained_together_are_what_each_is_alone(
    method: str, images: Path, tmp_path: Path
) -> None:
    """Those of rfs share a teacher."""
    taught: dict[str, object] = {}
    if method == "rfs":
        taught = {"teacher": tmp_path / "teacher"}
        assert run(images, "rfs", workdir=tmp_path / "teacher").code == 0
    places = {"workdir": tmp_path / "run", "results_dir": tmp_path / "results"}
    said = run(images, method, "--record", **places, **taught, **TOGETHER)
    assert said.code == 0, said
    assert (
        said.out.count("training to step 4;") == 2
        and said.out.count(", seed 4: validation accuracy") == 2
    )
    records = sorted(path.name for path in (tmp_path / "results").glob("mini_imagenet-*/*.json"))
    assert run(images, method, workdir=tmp_path / "alone", **taught, seed=4).code == 0
    assert_close(tmp_path / "run-seed4", tmp_path / "alone")
    for seed in (3, 4):
        ours, recorded = (
            tmp_path / f"run-seed{seed}",
            sum(f"-seed{seed}.json" in name for name in records),
        )
        assert f"files: {ours}/ " in said.out and recorded == len(results(tmp_path / "alone"))
        assert all("--seeds=2" in record["command"] for record in results(ours).values())
    a, b = (weights(tmp_path / f"run-seed{seed}", "latest") for seed in (3, 4))
    assert any(np.abs(x - b[name]).max() > 0.01 for name, x in a.items())


def test_run_continues_alone_or_with_other_seeds(
    images: Path, straight: Path, tmp_path: Path
) -> None:
    shutil.copytree(straight / "run-seed3", tmp_path / "run-seed3")
    before = contents(tmp_path / "run-seed3")
    said = run(images, workdir=tmp_path / "run", seed=2, seeds=3)
    assert said.code == 0 and said.out.count("trained to step 4 already") == 1, said
    assert {k for k, v in contents(tmp_path / "run-seed3").items() if v != before[k]} == {
        "config.json"
    }
    assert_close(tmp_path / "run-seed4", straight / "run-seed4")
    again = run(images, workdir=tmp_path / "run-seed2", seed=2)
    assert again.code == 0 and "trained to step 4 already" in again.out


def test_stopped_seeds_are_saved_and_resume(
    images: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = MetricLog.write

    def stop(self: MetricLog, step: int, **values: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        monkeypatch.undo()
        write(self, step, **values)

    monkeypatch.setattr(MetricLog, "write", stop)
    said = run(images, workdir=tmp_path / "run", **TOGETHER)
    assert said.code == 143 and said.err.splitlines()[-1].startswith(
        "stopped and saved at step 2 of 4; the same"
    )
    assert [last_saved(tmp_path / f"run-seed{s}" / "checkpoints" / "latest") for s in (3, 4)] == [
        2,
        2,
    ]
    said = run(images, workdir=tmp_path / "run", **TOGETHER)
    assert said.code == 0 and said.out.count("resumed from step 2;") == 2
    for seed in (3, 4):
        assert_same_run(tmp_path / f"run-seed{seed}", straight / f"run-seed{seed}")


@pytest.mark.parametrize(
    ("saves", "steps", "killed"),
    [(5, (3, 2), True), (3, (2, 1), False), (1, (1, -1), True)],
)
def test_seed_behind_the_others_is_trained_to_their_step_first(
    saves: int,
    steps: tuple[int, int],
    killed: bool,
    images: Path,
    straight: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are saved after every step, in the middle of rows too."""
    save, made = Checkpoints.save, []

    def die(self: Checkpoints, *args: Any) -> None:
        made.append(args)
        if len(made) > saves:
            raise KeyboardInterrupt
        save(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(fit, "SAVE_SECONDS", -1.0)
        patch.setattr(fit, "CHUNK_SECONDS", 0.0)
        patch.setattr(Checkpoints, "save", die)
        if killed:  # rows stay as they are
            patch.setattr(MetricLog, "close", lambda self: self._events.close())
        assert run(images, workdir=tmp_path / "run", **TOGETHER).code == 130
    assert (
        tuple(last_saved(tmp_path / f"run-seed{s}" / "checkpoints" / "latest") for s in (3, 4))
        == steps
    )
    said = run(images, workdir=tmp_path / "run", **TOGETHER)
    assert said.code == 0 and f"resumed from step {steps[0]};" in said.out, said
    for seed in (3, 4):
        assert_close(tmp_path / f"run-seed{seed}", straight / f"run-seed{seed}")


def test_signal_while_a_seed_that_was_behind_is_saved_is_heard(
    images: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(straight / "run-seed3", tmp_path / "run-seed3")
    shutil.rmtree(tmp_path / "run-seed3" / "checkpoints" / "latest" / "4")
    save = Checkpoints.save

    def stop(self: Checkpoints, *args: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        monkeypatch.undo()
        save(self, *args)

    monkeypatch.setattr(Checkpoints, "save", stop)
    said = run(images, workdir=tmp_path / "run", **TOGETHER)
    assert said.code == 143 and "stopped and saved at step 2 of 4" in said.err, said


def test_seed_with_a_loss_not_finite_is_named_and_the_others_are_saved(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 4's optimiser counts from 1000, where the rate soon is no number: its fourth step is not
    finite.
    """
    begin = plan.initial_state

    def counted(config: Config, *args: Any) -> TrainState:
        state = begin(config, *args)

        def later(x):
            return x + 1000 if jnp.issubdtype(x.dtype, jnp.integer) else x

        return (
            state._replace(opt_state=jax.tree.map(later, state.opt_state))
            if config.seed == 4
            else state
        )

    rate = "metalearn.ops.optimizers.optax.constant_schedule"
    with monkeypatch.context() as patch:
        patch.setattr(rate, lambda lr: lambda step: jnp.where(step == 1002, jnp.nan, lr))
        patch.setattr(plan, "initial_state", counted)
        said = run(images, workdir=tmp_path / "run", schedule="constant", **TOGETHER)
        folder = tmp_path / "run-seed4" / "checkpoints"
        line = "is not finite at step 4; the last good checkpoint is of step {} (" + f"{folder})"
        assert line.format(2) in said.complaint
        assert last_saved(tmp_path / "run-seed3" / "checkpoints" / "latest") == 3
        again = run(images, workdir=tmp_path / "run", schedule="constant", **TOGETHER)
        assert line.format(3) in again.complaint
    other = run(images, workdir=tmp_path / "run-seed3", schedule="constant", seed=3)
    assert other.code == 0 and "resumed from step 3;" in other.out
    assert run(images, workdir=tmp_path / "alone", schedule="constant", seed=3).code == 0
    assert_close(tmp_path / "run-seed3", tmp_path / "alone")


def test_seeds_of_which_one_is_refused_leave_the_other_folders_free(
    images: Path, tmp_path: Path
) -> None:
    (tmp_path / "run-seed4").mkdir()
    with lock_workdir(tmp_path / "run-seed4"):
        said = run(images, workdir=tmp_path / "run", **TOGETHER)
    assert "another process is at work in" in said.complaint
    assert not list(tmp_path.rglob("config.json"))


WRONG = [
    (
        {"dataset": "folder"},
        "--seeds=2: --seed splits the classes of folder too: train one seed after the other",
    ),
    ({"stream": True}, "--seeds=2 does not go with --stream: train one seed after the other"),
    (
        {"distributed": True},
        "--seeds=2 does not go with --distributed: train one seed after the other",
    ),
    ({"seeds": 0}, "flag --seeds=0: 0 is not an integer in the range [1, 1000]"),
    ({"seed": LARGEST}, f"--seed must be at most {LARGEST}, not {LARGEST + 1}"),
]


@pytest.mark.parametrize(("settings", "line"), WRONG, ids=[str(settings) for settings, _ in WRONG])
def test_flags_that_seeds_do_not_go_with_are_a_one_line_error(
    settings: dict, line: str, images: Path, tmp_path: Path
) -> None:
    said = run(images, **(TOGETHER | {"workdir": tmp_path / "run"} | settings))
    assert line in said.complaint and said.out == "" and list(tmp_path.iterdir()) == []


def test_seeds_share_a_folder_that_is_divided_already() -> None:
    """And a teacher of another seed knows the same classes there."""
    config = Config(dataset="folder", seed=1)
    for by_seed, told in ((False, "folder"), (True, "folder, split by seed 1")):
        lab: Any = SimpleNamespace(
            dataset=SimpleNamespace(name="folder", by_seed=by_seed), streamed=False
        )
        other: Any = SimpleNamespace(
            dataset=SimpleNamespace(name="glyphs", by_seed=False), streamed=False
        )
        for trained, tested in ((lab, lab), (lab, other), (other, lab)):
            with pytest.raises(UserError, match="of folder too") if by_seed else nullcontext():
                check_one_source(2, trained, tested)
            check_one_source(1, trained, tested)
        assert split(config, by_seed) == told


def test_seeds_with_a_streamed_split_are_refused(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metalearn.training.lab.STREAM_SHARE", 0.0)
    said = run(images, workdir=tmp_path / "run", **TOGETHER)
    assert (
        "--seeds=2: mini_imagenet is streamed from the host: train one seed after the"
        in said.complaint
    )
    assert list(tmp_path.iterdir()) == []
