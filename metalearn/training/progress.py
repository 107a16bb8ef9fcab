"""What a terminal shows of a training: its first line, and a bar."""

import sys
from pathlib import Path

from tqdm import tqdm

from metalearn.config import Config
from metalearn.parallel import first
from metalearn.runtime import device_name
from metalearn.training.lab import Lab


def headline(config: Config, lab: Lab, workdir: Path, step: int) -> str:
    """The line a run begins with.

    Args:
      config: its settings.
      lab: the dataset on the devices.
      workdir: its folder.
      step: where training resumes; 0 for the start.
    """
    if not config.steps:
        doing = "not trained"
    elif step >= config.steps:
        doing = f"trained to step {config.steps} already"
    else:
        doing = f"training to step {config.steps}" + (f", resumed from step {step}" if step else "")
    return (
        f"{config.method} on {config.dataset}, {config.backbone} ({config.norm}), "
        f"{config.ways}-way "
        f"{config.shots}-shot: {doing}; {device_name()}, {lab.mesh.size} used; {workdir}"
    )


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
