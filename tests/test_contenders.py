"""Contenders on an accelerator: started at once, with packages carried there; stand-ins for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks._lib.contenders import OURS, Process, Team, peers_python
from benchmarks._lib.measure import Turns, agreement, compare
from benchmarks._lib.work import Work, tiny
from tests.programs import ROOT, environment

SMALL = tiny(Work())._replace(inner_steps=2, tasks=2)
ON_GPU = SMALL._replace(platform="gpu")

# Each waits until all have come to the same place, and says where it came from.
START = """
import pathlib, sys, time
from benchmarks._lib.worker import Contender, serve
folder = pathlib.Path({folder!r})

def meet(place, name):
    (folder / (place + "-" + name)).touch()
    for _ in range({patience}):
        if len(list(folder.glob(place + "-*"))) >= {together}:
            return
        time.sleep(0.05)
    raise TimeoutError("alone in " + place)

def make(work, name):
    meet("start", name)
    def gradient(given):
        meet("gradient", name)
        return {{"loss": 1.0}}
    return Contender({{"name": name}}, lambda count: 1.0, gradient, lambda size: (1e9, 2e9))

serve(make)
"""
CROWDED = """
import pathlib
from benchmarks._lib.worker import Contender, serve

def make(work):
    mark = pathlib.Path({mark!r})
    def steps(count):
        if not mark.exists():
            mark.touch()
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return 1.0
    return Contender({{}}, steps, lambda given: given, lambda size: (1e9, 2e9))

serve(make)
"""


def team_of(folder: Path, commands: dict[str, list[str]]) -> Team:
    """A team of these commands, with their own names as their arguments."""
    team = Team("maml", str(folder / "bin" / "python"), [])
    team.commands = commands
    team.arguments = {name: (name,) for name in commands}
    return team


def meeting(folder: Path, together: int, patience: int = 200) -> Team:
    """Ours and a peer, which start only beside so many."""
    folder.mkdir(exist_ok=True)
    code = START.format(folder=str(folder), together=together, patience=patience)
    return team_of(folder, {name: [sys.executable, "-c", code] for name in (OURS, "peer")})


def test_contenders_start_at_once_on_an_accelerator(tmp_path: Path) -> None:
    team, turns = meeting(tmp_path / "there", together=3), Turns(rounds=1, steps=1)
    found = compare(team, ON_GPU, turns, (tmp_path / "there" / "start-meanwhile").touch)
    assert found.missing == {} and list(found.about) == [OURS, "peer"]


def test_contenders_start_one_by_one_on_a_cpu(tmp_path: Path) -> None:
    team = meeting(tmp_path / "there", together=2, patience=1)
    found = compare(team, SMALL, Turns(rounds=1, steps=1))
    assert found.missing == {OURS: "TimeoutError: alone in start"}


@pytest.mark.parametrize("work", [SMALL, ON_GPU], ids=["cpu", "gpu"])
def test_contenders_gradients_are_compared(tmp_path: Path, work: Work) -> None:
    at_once = work.platform != "cpu"
    assert agreement(meeting(tmp_path, together=2 if at_once else 1), work) == {"peer": 0.0}


def test_contender_without_memory_beside_others_tries_again_alone(tmp_path: Path) -> None:
    code = CROWDED.format(mark=str(tmp_path / "mark"))
    team = team_of(tmp_path, {OURS: [sys.executable, "-c", code]})
    team.arguments = {OURS: ()}
    found = compare(team, ON_GPU, Turns(rounds=1, steps=1))
    assert found.missing == {} and len(found.ms[OURS]) == 1


def test_contenders_import_the_packages_of_pythonpath(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "carried.py").write_text("VERSION = 3")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    make = "Contender({'carried': carried.VERSION}, None, None, None)"
    code = "import carried; from benchmarks._lib.worker import Contender, serve; "
    code += f"serve(lambda work: {make})"
    with Process([sys.executable, "-c", code, json.dumps(SMALL._asdict())]) as process:
        assert process.about == {"carried": 3}


@pytest.mark.parametrize("given", ["peers", "peers/bin/python"])
def test_peers_run_in_an_environment_or_by_an_interpreter(
    given: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interpreter = tmp_path / "peers" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.touch()
    monkeypatch.setenv("METALEARN_PEERS", str(tmp_path / given))
    assert peers_python() == str(interpreter)


def test_peers_use_the_torch_of_the_environment_they_are_made_from(tmp_path: Path) -> None:
    lender = tmp_path / "lender"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(lender)], check=True)
    (site,) = lender.glob("lib/python*/site-packages")
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text("__version__ = 'lent'")
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "TORCH": "torch==none"}
    script = [str(ROOT / "benchmarks" / "peers" / "setup.sh"), str(tmp_path / "peers")]
    env = environment(PYTHON=str(lender / "bin" / "python"), **offline)
    done = subprocess.run(script, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "PyTorch lent" in done.stderr
    noted = (tmp_path / "peers" / "not-installed.txt").read_text()
    assert "higher: " in noted  # what an index alone has is missing, and the rest continues
