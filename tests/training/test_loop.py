"""Training that is killed, stopped or goes wrong, as processes of their own: nothing may be lost or
differ.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from tests.programs import (
    ROOT,
    environment,
    fitting,
    make_images,
    program,
    results,
    rows,
    weights,
    words,
)
from tests.small import MEASURE_FEW

# Saves and looks for signals all the time, so that a kill hits every place.
HASTE = (
    MEASURE_FEW
    + """
import runpy, sys
import metalearn.training.loop as fit
fit.SAVE_SECONDS, fit.CHUNK_SECONDS, fit.LOG_EVERY = 0.02, 0.01, 30
runpy.run_module("experiments.protonet", run_name="__main__")
"""
)
# Says when the dataset is being loaded, and takes long over it. Handles SIGINT as a background job
# of a shell too.
WAITING = """
import signal, time
import experiments._cli.lab as lab
signal.signal(signal.SIGINT, signal.default_int_handler)
def load(*_):
    print("here", flush=True)
    for _ in range(600):  # a signal just before a long sleep would be heard after it
        time.sleep(0.1)
lab.load = load
"""
LONG = {"steps": 400, "valid_every": 50}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("folder") / "images")


@pytest.fixture(scope="module")
def straight(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody disturbed and that saved at validations alone."""
    workdir = tmp_path_factory.mktemp("straight") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metalearn.training.loop.LOG_EVERY", 30)
        assert program("protonet", *words(images, workdir=workdir, **LONG)).code == 0
    return workdir


def begin(images: Path, workdir: Path, **settings: object) -> subprocess.Popen:
    arguments = fitting("protonet", words(images, workdir=workdir, **(LONG | settings)))
    command = [sys.executable, "-c", HASTE, *arguments]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_training(process: subprocess.Popen, workdir: Path) -> None:
    """Until this process has saved a checkpoint of a later step."""
    latest = workdir / "checkpoints" / "latest"
    before, limit = last_saved(latest), time.monotonic() + 120
    while last_saved(latest) <= before and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)


def last_saved(latest: Path) -> int:
    """Step of the last whole checkpoint, -1 before the first."""
    names = os.listdir(latest) if latest.exists() else []
    return max((int(name) for name in names if name.isdigit()), default=-1)


def assert_same_run(one: Path, other: Path) -> None:
    """Bit for bit the same but for times, and nothing left over."""
    assert rows(one) == rows(other)
    assert results(one) == results(other)
    for kind in ("latest", "best"):
        a, b = weights(one, kind), weights(other, kind)
        assert a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)
        names = os.listdir(one / "checkpoints" / kind)
        assert all(name.isdigit() for name in names) and len(names) <= 2, names
    assert not list(one.rglob("*tmp*")) and not list(one.rglob("*.part"))


@pytest.mark.slow
def test_training_killed_again_and_again_ends_with_the_same_numbers(
    images: Path, straight: Path, tmp_path: Path
) -> None:
    workdir, chance = tmp_path / "run", random.Random(0)
    for kill in range(2):
        process = begin(images, workdir)
        wait_for_training(process, workdir)
        time.sleep(chance.uniform(0, 0.25))
        process.kill()
        out, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, (kill, out, err)
    process = begin(images, workdir)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0 and "resumed from step " in out, (out, err)
    assert_same_run(workdir, straight)


@pytest.mark.slow
def test_stopped_training_has_saved_and_resumes(
    images: Path, straight: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = begin(images, workdir)
        wait_for_training(process, workdir)
        process.send_signal(number)
        out, err = process.communicate(timeout=100)
        last = err.replace("\r", "\n").splitlines()[-1]
        assert process.returncode == code and "Traceback" not in err, (out, err)
        step = last.removeprefix("stopped and saved at step ").split()[0]
        assert (
            last
            == f"stopped and saved at step {step} of 400; the same command continues from there"
        )
        assert (workdir / "checkpoints" / "latest" / step).exists()
    process = begin(images, workdir)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0 and f"resumed from step {step};" in out, (out, err)
    assert_same_run(workdir, straight)


def test_ctrl_c_while_modules_are_imported_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "jax.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-m", "experiments.protonet", "--dataset=glyphs"]
    hears = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    env = environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    done = subprocess.run(
        [sys.executable, "-c", hears, *command], env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_signal_outside_training_prints_one_line(images: Path, tmp_path: Path) -> None:
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        arguments = fitting("protonet", words(images, workdir=tmp_path / "run"))
        command = [sys.executable, "-c", WAITING + HASTE, *arguments]
        process = subprocess.Popen(command, env=environment(), stdout=-1, stderr=-1, text=True)
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        process.send_signal(number)
        err = process.communicate(timeout=60)[1]
        assert (
            process.returncode == status and len(err.splitlines()) == 1 and "continues from" in err
        ), err


def test_second_process_in_a_run_folder_is_refused(images: Path, tmp_path: Path) -> None:
    process = begin(images, tmp_path / "run")
    wait_for_training(process, tmp_path / "run")
    said = program("protonet", *words(images, workdir=tmp_path / "run", **LONG))
    process.kill()
    process.communicate()
    assert f"another process is at work in {tmp_path / 'run'}" in said.complaint


def test_more_steps_continue_from_the_end(images: Path, tmp_path: Path) -> None:
    """And the record of the longer training takes the place of the shorter one's."""
    run = words(images, workdir=tmp_path / "run", schedule="constant")
    assert program("protonet", *run).code == 0
    more = ("--steps=6", "--episodes=8")
    said = program("protonet", *run, *more)
    assert said.code == 0 and "training to step 6, resumed from step 4" in said.out
    other = words(images, workdir=tmp_path / "all", schedule="constant")
    assert program("protonet", *other, *more).code == 0
    ours, theirs = results(tmp_path / "run"), results(tmp_path / "all")
    assert [(r["steps"], r["episodes"]) for r in ours.values()] == [(6, 8)]
    assert [{k: v for k, v in r.items() if k != "command"} for r in ours.values()] == [
        {k: v for k, v in r.items() if k != "command"} for r in theirs.values()
    ]
    assert "holds another run (steps is 6 there, 4 here)" in program("protonet", *run).complaint


def test_loss_that_is_not_finite_is_reported_every_time(images: Path, tmp_path: Path) -> None:
    run = words(images, workdir=tmp_path / "run", lr=1e30, schedule="constant")
    first = program("protonet", *run)
    assert "is not finite at step 2; no checkpoint was saved yet" in first.complaint
    assert program("protonet", *run).complaint == first.complaint


def test_loss_that_is_not_finite_later_names_the_last_good_step(
    images: Path, tmp_path: Path
) -> None:
    lr = "metalearn.ops.optimizers.optax.constant_schedule"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lr, lambda lr: lambda step: jax.numpy.where(step < 2, lr, 1e30))
        run = words(images, workdir=tmp_path / "run", schedule="constant")
        first = program("protonet", *run)
        again = program("protonet", *run)
    assert "is not finite at step 4; the last good checkpoint is of step 2 (" in first.complaint
    assert again.complaint == first.complaint
    assert rows(tmp_path / "run")[-1]["step"] == 2
