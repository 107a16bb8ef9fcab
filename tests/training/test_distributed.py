"""Two processes as one run, on this machine: the same weights as one, and an end for both when
either ends.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments._cli.watch import LOST, MESSAGE
from tests.programs import (
    TINY,
    environment,
    fitting,
    make_images,
    on_devices,
    program,
    told,
    weights,
    words,
)
from tests.small import MEASURE_FEW
from tests.training.test_loop import last_saved

# Before all else, as in every program
WATCHED = """
from experiments._cli.watch import watch_over
watch_over()
"""
# Saves at every look, gives up soon, keeps the keys that tasks are drawn with.
HASTE = (
    WATCHED
    + MEASURE_FEW
    + """
import atexit, dataclasses, jax, numpy, os, runpy
import metalearn.training.loop as fit, metalearn.training.assemble as assembled
import metalearn.parallel as hosts
fit.SAVE_SECONDS, fit.CHUNK_SECONDS, hosts.HEARTBEAT_SECONDS = 0.02, 0.05, 10
drawn, training_sampler = [], assembled.training_sampler

def kept(*args):
    sampler = training_sampler(*args)
    def rows(key, *classes):
        jax.debug.callback(lambda data: drawn.append(numpy.asarray(data)), jax.random.key_data(key))
        return sampler.rows(key, *classes)
    return dataclasses.replace(sampler, rows=rows)

if "DRAWN" in os.environ:
    assembled.training_sampler = kept
    atexit.register(lambda: numpy.save(f"{os.environ['DRAWN']}{jax.process_index()}", drawn))
runpy.run_module("experiments.protonet", run_name="__main__")
"""
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("folder") / "images")


class Pair:
    """Two processes of one run, each with one device."""

    def __init__(self, images: Path, workdir: Path, drawn: str = "", **settings: object):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            there = f"--coordinator=127.0.0.1:{free.getsockname()[1]}"
        arguments = fitting("protonet", words(images, workdir=workdir, **settings))
        common = [*arguments, "--distributed", there, "--num_processes=2"]
        env = environment(XLA_FLAGS=on_devices(1), **({"DRAWN": drawn} if drawn else {}))
        self.workdir = workdir
        self.both = [
            subprocess.Popen(
                [sys.executable, "-c", HASTE, *common, f"--process_id={i}"],
                env=env,
                stdout=-1,
                stderr=-1,
                text=True,
            )
            for i in range(2)
        ]

    def wait_for_checkpoint(self) -> None:
        latest = self.workdir / "checkpoints" / "latest"
        before, limit = last_saved(latest), time.monotonic() + 240
        while last_saved(latest) <= before and time.monotonic() < limit:
            assert all(p.poll() is None for p in self.both), self.end()
            time.sleep(0.02)

    def end(self) -> list[tuple[int, str, str]]:
        """Exit code, output and errors of both."""
        said = [p.communicate(timeout=300) for p in self.both]

        def told(out):
            return re.sub(r"(?m)^\[Gloo\].*\n", "", out)

        return [
            (p.returncode, told(out), err) for p, (out, err) in zip(self.both, said, strict=True)
        ]

    def kill(self) -> None:
        for p in self.both:
            p.kill()
            p.communicate()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Those that a test began; none is left behind."""
    begun: list[Pair] = []
    yield begun
    for pair in begun:
        pair.kill()


def assert_alike(one: Path, other: Path) -> None:
    for kind in ("latest", "best"):
        a, b = weights(one, kind), weights(other, kind)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_two_processes_train_as_one(images: Path, tmp_path: Path, pairs: list[Pair]) -> None:
    pairs.append(Pair(images, tmp_path / "two", drawn=f"{tmp_path}/drawn"))
    ends = pairs[0].end()
    assert [code for code, _, _ in ends] == [0, 0], ends
    mine, theirs = (
        {tuple(key) for key in np.load(tmp_path / f"drawn{i}.npy").tolist()} for i in range(2)
    )
    assert (
        len(mine) == len(theirs) == TINY["steps"] and not mine & theirs
    )  # each draws one of a step's two tasks
    assert program("protonet", *words(images, workdir=tmp_path / "one")).code == 0
    assert_alike(tmp_path / "two", tmp_path / "one")
    assert "test episodes" in ends[0][1] and ends[1][1] == ""  # the first alone speaks

    def names(folder):
        return sorted(p.name for p in folder.iterdir())

    assert names(tmp_path / "two") == names(tmp_path / "one")
    (record,) = (tmp_path / "two").glob("result-*.json")
    ours, other = told(record), told(tmp_path / "one" / record.name)
    assert (
        ours["episode_hash"] == other["episode_hash"]
        and abs(ours["accuracy"] - other["accuracy"]) < 0.1
    )
    assert "coordinator" not in ours["command"]


def test_one_process_that_ends_ends_both_and_both_resume(
    images: Path, tmp_path: Path, pairs: list[Pair]
) -> None:
    """The second is killed; the run continues, the second gets a signal; it continues, the first is
    killed.
    """
    run = tmp_path / "run"

    def begin() -> Pair:
        pairs.append(Pair(images, run, steps=100_000, schedule="constant"))
        pairs[-1].wait_for_checkpoint()
        return pairs[-1]

    def saved() -> int:
        return last_saved(run / "checkpoints" / "latest")

    pair = begin()
    pair.both[1].kill()
    code, _, err = pair.end()[0]
    assert code == LOST and err.splitlines()[-1] == MESSAGE, err
    killed_at = saved()

    pair = begin()
    pair.both[1].send_signal(signal.SIGTERM)
    ends = pair.end()
    steps = [re.search(r"stopped and saved at step (\d+) of", err) for _, _, err in ends]
    assert [code for code, _, _ in ends] == [143, 143] and all(steps), ends
    assert f"resumed from step {killed_at};" in ends[0][1], ends
    assert [int(found[1]) for found in steps if found] == [saved()] * 2

    pair = begin()
    pair.both[0].kill()
    code, _, err = pair.end()[1]
    assert code == LOST and err.splitlines()[-1] == MESSAGE, err


def test_error_of_the_first_process_is_printed_by_all(
    images: Path, tmp_path: Path, pairs: list[Pair]
) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    pairs.append(Pair(images, tmp_path / "run"))
    for code, _, err in pairs[0].end():
        (line,) = (line for line in err.splitlines() if line.startswith("error: "))
        assert code == 2 and "holds checkpoints of an unknown run" in line, err


def test_flags_of_several_processes_need_distributed(images: Path, tmp_path: Path) -> None:
    said = program("protonet", *words(images, workdir=tmp_path / "run"), "--process_id=1")
    assert said.complaint == "--process_id is for runs of several processes: add --distributed"
    assert jax.process_count() == 1 and not os.listdir(tmp_path)
