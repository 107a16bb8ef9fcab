"""What a terminal shows of a training: its first line, and a bar."""

import sys
from pathlib import Path

from tqdm import tqdm

from metalearn.config import Config
from metalearn.parallel import first
from metalearn.runtime import device_name
from metalearn.training.lab import Lab


def headline(config: Config, what: str, where: str, step: int, over: bool) -> str:
    """The line a run begins with.

    Args:
      config: its settings.
      what: what is trained, and on what.
      where: the devices and the folder.
      step: where training resumes; 0 for the start.
      over: whether there is nothing left to train.
    """
    if not config.steps:
        doing = "not trained"
    elif over:
        doing = f"trained to step {step} already"
    else:
        doing = f"training to step {config.steps}" + (f", resumed from step {step}" if step else "")
    return f"{what}: {doing}; {where}"


def place_of(lab: Lab, workdir: Path) -> str:
    """The devices that a run uses, and its folder."""
    return f"{device_name()}, {lab.mesh.size} used; {workdir}"


def progress_bar(steps: int, step: int) -> tqdm:
    """A bar with the time left.

    In a log file, where every state of it stays, a state every half minute.
    """
    quiet = sys.stderr is None or not first()
    seconds = 1 if not quiet and sys.stderr.isatty() else 30
    return tqdm(
        total=steps,
        initial=step,
        unit="step",
        mininterval=seconds,
        maxinterval=max(10, seconds),
        disable=quiet,
    )
