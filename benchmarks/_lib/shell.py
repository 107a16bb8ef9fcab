"""Contenders of `benchmarks.personalise` as commands, from the shell to the end of a process."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks._lib.contenders import OURS, ROOT, Failed, Team, python_path
from benchmarks._lib.measure import Found
from benchmarks._lib.photos import first_photo
from benchmarks._lib.work import Work


class Place(NamedTuple):
    """Where things of a case are: its photographs, and what contenders write."""

    photos: Path
    folder: Path


def words_of(team: Team, name: str, work: Work, place: Place, turn: int) -> list[str]:
    """The command of a contender.

    Args:
      team: the contenders.
      name: whose command it is.
      work: to fit, or to predict.
      place: where photographs are.
      turn: its own folder for features, which are to be computed in each.
    """
    (python, dash, module) = team.commands[name]
    out = str(place.folder / f"{name}.npz")
    command = [python, dash, module]
    if name == OURS:
        command = [sys.executable, "-m", "experiments.personalise"]
    if work.part == "predict_command":
        return [*command, "predict", out, str(first_photo(place.photos))]
    if name == OURS:
        return [
            *command,
            "fit",
            str(place.photos),
            f"--out={out}",
            f"--cache_dir={place.folder / str(turn)}",
        ]
    return [*command, "fit", str(place.photos), out]


def seconds(words: list[str], place: Place) -> float:
    """What a command takes from its start to its end.

    Raises:
      Failed: it does not do what it should.
    """
    variables = {
        "PYTHONPATH": python_path(),
        "JAX_COMPILATION_CACHE_DIR": str(place.folder / "xla"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    env = {**os.environ, **variables}
    begin = time.perf_counter()
    try:
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
    except OSError as error:
        raise Failed(f"cannot start {words[0]}: {error.strerror}") from error
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or ["ended without a message"])[-1][:200])
    return time.perf_counter() - begin


def commands(team: Team, work: Work, place: Place, rounds: int) -> Found:
    """Milliseconds of every contender's command by round, one after the other.

    Args:
      team: the contenders.
      work: to fit, or to predict.
      place: where photographs are.
      rounds: that count, after one that fills the compilation cache.

    Raises:
      Failed: a command that was carried out once fails later.
    """
    ms: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    for name in team.commands:
        try:
            fitted = work._replace(part="fit_command")
            seconds(words_of(team, name, fitted, place, -1), place)
        except Failed as failed:
            note = team.notes.get(name)
            missing[name] = f"{failed}; not installed: {note}" if note else str(failed)
    names = [name for name in team.commands if name not in missing]
    for turn in range(rounds + 1):
        for name in names:
            taken = seconds(words_of(team, name, work, place, turn), place)
            if turn:  # the first fills the compilation cache
                ms.setdefault(name, []).append(1e3 * taken)
    return Found(ms, {}, missing, None)


def prepare(team: Team) -> None:
    """Have the peers do what a user does once; one that cannot says why when it is started."""
    for name, (python, dash, module) in team.commands.items():
        if name != OURS and Path(python).exists():
            env = {**os.environ, "PYTHONPATH": python_path()}
            words = [python, dash, module, "prepare"]
            subprocess.run(words, cwd=ROOT, env=env, capture_output=True)
