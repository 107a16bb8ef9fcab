"""Train the best recogniser from scratch: pre-training, distillation, episodes, one command.

`python -m experiments.best --dataset=cifar_fs --shots=5`. Each stage is a run of its own, below the
folder --workdir: it is resumed, and skipped where it is done. Flags of trainings are for every
stage that reads them. `--parts=rotation,distillation,episodes,mirror` takes all that there is, also
what did not pay on small networks.
"""

import dataclasses
from pathlib import Path
from typing import Any

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.define import FLAGS, define_flag
from experiments._cli.flags import define, define_dataset, settings_given
from experiments._cli.places import check_run_folder
from experiments._cli.program import carry_out, command_line
from experiments._cli.start import start
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.best import PARTS, Stage, stages, usual_parts
from metalearn.learners.registry import preset, reads
from metalearn.records.names import file_name
from metalearn.training.state import Run

OWN = ("init_from", "teacher", "mirror", "rotation", "all_turns", "rotation_weight")


def recipe() -> list[Stage]:
    """The stages that the flags ask for.

    Raises:
      UserError: a flag that no stage reads, or as `metalearn.learners.best.stages`.
    """
    given = settings_given()
    shots = given.get("shots", 1)
    backbone = given.get("backbone", "conv4-64")
    parts = tuple(FLAGS.parts) if FLAGS["parts"].present else usual_parts(backbone)
    if FLAGS["generations"].present and "distillation" not in parts:
        raise UserError(
            f"--generations is of distillation, which is not among the parts, {', '.join(parts)}: "
            "add it to --parts, or leave this out"
        )
    found = stages(FLAGS.dataset, shots, backbone, parts, FLAGS.generations)
    for name in given:
        if not any(reads(stage.method, name) for stage in found):
            raise UserError(f"--{name} is read by no stage of this recipe; leave it out")
    if given.get("shots", found[-1].settings["shots"]) != found[-1].settings["shots"]:
        raise UserError(
            f"--shots={shots}: without episodes the recipe is picked and tested by 5 shots: leave "
            f"this out, and test it again by experiments.evaluate --shots={shots}"
        )
    if own := [name for name in OWN if name in given]:
        raise UserError(f"--{own[0]} is the recipe's own; see --parts and --generations")
    return found


def config_of(stage: Stage, given: dict[str, Any], before: Path | None) -> Config:
    """The settings of a stage: its method's recipe, its own, then the flags that it reads."""
    recipe = preset(stage.method, FLAGS.dataset, stage.settings["shots"])
    flags = {k: v for k, v in given.items() if k != "shots" and reads(stage.method, k)}
    settings = recipe | stage.settings | flags | {"method": stage.method, "dataset": FLAGS.dataset}
    if stage.role:
        settings[stage.role] = str(before)
    if stage.role == "init_from":  # the body before brings its weights
        settings["weights"] = ""
    return dataclasses.replace(Config(), **settings).with_defaults()


def usual_folder(backbone: str, seed: int) -> Path:
    """Where the stages go without --workdir: a name that says which parts were asked for."""
    asked = [part for part in PARTS if part in (FLAGS.parts or [])]
    parts = "".join(f"-{part}" for part in asked) or ("-alone" if FLAGS["parts"].present else "")
    return Path("runs") / f"best-{file_name(FLAGS.dataset)}-{backbone}{parts}-seed{seed}"


def main() -> None:
    """Train and test one stage after the other."""
    found = recipe()
    given = settings_given()
    usual = usual_folder(found[0].settings["backbone"], given.get("seed", 0))
    command = f"{command_line('experiments.best')} --workdir={usual}"
    root = Path(FLAGS.workdir or usual)
    check_run_folder(root)
    runs: list[Run] = []
    for stage in found:
        before = runs[-1].workdir if runs else None
        runs.append(Run(config_of(stage, given, before), root / stage.name))
    for i, run in enumerate(runs, 1):
        carry_out([run], command, [other.config for other in runs[i:]])


if __name__ == "__main__":
    define(None)
    define_dataset()
    define_flag("generations", 1, "generations of distillation", lower_bound=0, upper_bound=9)
    define_flag(
        "parts",
        None,
        f"beside pre-training, of {', '.join(PARTS)} [those that pay on the backbone]",
        list,
    )
    start(main)
