"""A pre-trained EfficientNet-Lite0 on the CPU, ours beside onnxruntime and PyTorch.

`python -m benchmarks.backbone [--parts=embed,last,behind,whole] [--clocks=cpu,wall] [--images=1,8]`

`embed` gives features of so many images of 224 px at once, in milliseconds an image. The others are
steps of gradient descent on 32 images of 128 px, with the peak memory of the process: `last` of the
last block from its cached input; `behind` of the last block from images, which go through frozen
stages first, as where they are augmented; `whole` of the whole network. Clock `cpu` is CPU time on
one core, which other work on the machine changes little; `wall` is on all cores, and needs them
idle.

Weights are drawn, the same for all, and normalisation is folded into kernels; PyTorch's images are
channels last. Features, or losses of the first two steps, are compared in float32. `--tiny` and
`--peers` as in `benchmarks._lib.program`.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks._lib.contenders import OURS, Failed, Team
from benchmarks._lib.measure import Found, Turns, compare, peak, times
from benchmarks._lib.program import FLAGS, pending, run, settings, show_missing, sized, team_for
from benchmarks._lib.records import Row, add_row
from benchmarks._lib.work import Arrays, Work, difference
from experiments._cli.define import define_flag
from metalearn.errors import UserError

# Relative difference in float32
AGREE = {"embed": 1e-4, "last": 1e-3, "behind": 1e-3, "whole": 1e-3}
CLOCKS = {"cpu": "CPU time on one core", "wall": "wall time on all cores"}
TRAINED = {
    "last": "last block from its cached input",
    "behind": "last block behind frozen stages",
    "whole": "whole network",
}


def case_of(work: Work) -> str:
    """What is measured, in words."""
    images = f"{work.tasks} image{'s' * (work.tasks > 1)} of {work.side} px"
    what = "embedding" if work.part == "embed" else f"training step, {TRAINED[work.part]}"
    return f"{what}, {images}, {CLOCKS[work.clock]}"


def computed(team: Team, name: str, work: Work) -> Arrays:
    """Features, or losses, of a contender.

    Raises:
      Failed: it finds none.
    """
    with tempfile.TemporaryDirectory() as folder, team.start(name, work) as process:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given)
        process.ask("gradient", given=str(given), found=str(found))
        with np.load(found) as arrays:
            return dict(arrays)


def differences(team: Team, work: Work, names: list[str]) -> dict[str, float]:
    """How far what every peer computes is from ours."""
    if not names:
        return {}
    ours = computed(team, OURS, work)
    return {name: difference(ours, computed(team, name, work)) for name in names}


def peaks(team: Team, work: Work, names: list[str]) -> Row:
    """Peak memory of training."""
    found = {name: round(peak(team, name, work)[1], 1) for name in names}
    return {"peak_mib": found}


def measure(work: Work) -> None:
    """Measure, check that all compute the same, print and record one row.

    Raises:
      UserError: a peer computes something else than ours.
      Failed: a contender that was timed does not start again.
    """
    started = pending("backbone", work, case_of(work))
    if started is None:
        return
    path, row = started
    team = team_for(work.method)
    if work.part != "embed":
        team.commands.pop("onnxruntime", None)
    found = compare(team, work, Turns(FLAGS.rounds, FLAGS.seconds, FLAGS.steps))
    each = work.tasks if work.part == "embed" else 1
    ms = {name: [value / each for value in values] for name, values in found.ms.items()}
    row |= times(Found(ms, found.about, found.missing, None))
    row |= {"missing": found.missing, "rounds": FLAGS.rounds, "about": found.about}
    peers = [name for name in ms if name != OURS]
    row["differences"] = differences(team, work, peers)
    if work.part != "embed":
        row |= peaks(team, work, list(ms))
    show(row, ms)
    add_row(path, row)
    limit = AGREE[work.part]
    if wrong := [name for name, apart in row["differences"].items() if not apart < limit]:
        raise UserError(f"{', '.join(wrong)}: differs from ours by {limit} or more, see {path}")


def show(row: Row, ms: dict[str, list[float]]) -> None:
    """Print what was found, and how many times ours each peer's time is, in the median round."""
    memory = row.get("peak_mib", {})
    for name, values in ms.items():
        text = f"{np.median(values):.4g} ms"
        if name in memory:
            text += f", {memory[name]:.0f} MiB"
        if name != OURS and OURS in ms:
            ratio = np.median(np.divide(values, ms[OURS]))
            text += f", {ratio:.3f} times ours, differs by {row['differences'][name]:.0e}"
        print(f"  {name}: {text}", flush=True)
    show_missing(row)


def works() -> list[Work]:
    """All that is asked for, in order."""
    base = Work(method="backbone", shots=0, queries=0, width=64)
    found = []
    for part in settings(FLAGS.parts, ["embed", *TRAINED]):
        images = settings(FLAGS.images, ["1", "8", "64"]) if part == "embed" else ["32"]
        found += [
            base._replace(
                part=part, clock=clock, tasks=int(n), side=224 if part == "embed" else 128
            )
            for n in images
            for clock in settings(FLAGS.clocks, ["cpu", "wall"])
        ]
    return sized(found)


def main() -> None:
    """Measure every combination that is asked for.

    Raises:
      UserError: there is no such part or clock.
    """
    for given, known in ((FLAGS.parts, ["embed", *TRAINED]), (FLAGS.clocks, list(CLOCKS))):
        if unknown := [name for name in given or [] if name not in known]:
            raise UserError(f"unknown '{unknown[0]}': choose of {', '.join(known)}")
    for work in works():
        try:
            measure(work)
        except Failed as failed:
            raise UserError(f"a contender does not start again: {failed}") from failed


if __name__ == "__main__":
    define_flag("parts", None, "what is timed [embed,last,behind,whole]", list)
    define_flag("clocks", None, "cpu: CPU time on one core; wall: on all [cpu,wall]", list)
    define_flag("images", None, "images embedded at once [1,8,64]", list)
    run(main)
