"""Recognisers of a person's photographs, ours beside the loop that a user would write instead.

`python -m benchmarks.personalise [--cases=fit,predict,...] [--rounds=5]`

`fit` and `predict` are timed in a running process, in which everything is loaded and compiled;
`fit_command` and `predict_command` from the shell to the end of a process, whose compilation cache
is warm and whose cache of features is empty. `add` adds a photograph to that recogniser. `phases`
fits to 2,000 photographs, and says what decoding, embedding and fitting take of it. `many` answers
with 1,000 classes of 5 photographs, whose features are drawn; `file` is the size of a
recogniser's file, of which 200 kB without the body are wanted at most.

Photographs are drawn, and JPEG of 640 x 480. The peers decode them by Pillow, show one view of each
to the same EfficientNet-Lite0 in onnxruntime or PyTorch, and take class means. Ours does more: it
shows the body six views of a photograph that it is fitted to and two of another, chooses a
penalty, finds out when a photograph is unknown, and keeps thumbnails. So a ratio below one is no
surprise. That the networks are the same is checked: features of one view are compared in float32.
`--tiny` and `--peers` as in `benchmarks._lib.program`.
"""

import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks._lib.contenders import OURS, Failed, Team
from benchmarks._lib.measure import Found, Turns, compare, times
from benchmarks._lib.photos import compared_images, draw
from benchmarks._lib.program import FLAGS, pending, run, show_missing, sized, team_for
from benchmarks._lib.records import Row, add_row
from benchmarks._lib.shell import Place, commands, prepare
from benchmarks._lib.work import Work, difference
from experiments._cli.define import define_flag
from metalearn.errors import UserError

AGREE = 1e-4  # relative difference of features in float32
NETWORK = "lite0.onnx"
TINY = 3  # classes, and photographs of each, at most


class Case(NamedTuple):
    """What is measured.

    Attributes:
      words: it, in words.
      classes: of photographs.
      each: photographs of a class.
      wanted: milliseconds that it may take; None where nothing was set.
    """

    words: str
    classes: int
    each: int
    wanted: float | None = None


CASES = {
    "fit": Case("fit in a running process", 10, 10),
    "fit_command": Case("fit, shell to end", 10, 10, 5000),
    "predict": Case("predict one photo in a running process", 10, 10, 60),
    "predict_command": Case("predict one photo, shell to answer", 10, 10, 5000),
    "add": Case("add one photo in a running process", 10, 10, 500),
    "phases": Case("fit in phases in a running process", 100, 20),
    "many": Case("predict one photo in a running process, drawn features", 1000, 5, 100),
    "file": Case("save", 20, 5),
}


def case_of(name: str, work: Work) -> str:
    """What is measured, in words."""
    return f"{CASES[name].words}, {work.ways} classes x {work.shots} photos"


def work_of(name: str) -> Work:
    """The case's, cut where --tiny asks for it."""
    case = CASES[name]
    most = TINY if FLAGS.tiny else max(case.classes, case.each)
    work = Work(method="personalise", part=name, queries=0, tasks=1, width=8)
    (work,) = sized([work._replace(ways=min(case.classes, most), shots=min(case.each, most))])
    return work


def parts(team: Team, work: Work) -> tuple[Found, Row]:
    """Ours alone, in parts: milliseconds by round, and medians of all that was measured."""
    with team.start(OURS, work) as process:
        process.ask("parts")  # compiles
        rounds = [process.ask("parts")["parts"] for _ in range(FLAGS.rounds)]
        about = {OURS: process.about}
    medians = {what: median(one[what] for one in rounds) for what in rounds[0]}
    milliseconds = [one["ms"] for one in rounds]
    return Found({OURS: milliseconds}, about, {}, None), shown_parts(work, medians)


def shown_parts(work: Work, medians: dict[str, float]) -> Row:
    """What is shown beside a time, by heading: shares of phases, seconds, sizes."""
    others = {what: value for what, value in medians.items() if what != "ms"}
    if work.part == "phases":
        return {f"{what} (%)": 100 * value / medians["ms"] for what, value in others.items()}
    if work.part == "many":
        return {f"{what} (s)": value / 1000 for what, value in others.items()}
    return others


def differences(team: Team, work: Work, names: list[str], folder: Path) -> dict[str, float]:
    """How far features of every peer are from ours.

    Args:
      team: ours and the peers.
      work: what is measured.
      names: of the peers.
      folder: for files that are passed between processes.
    """
    given = folder / "given.npz"
    np.savez(given, x=compared_images())
    features = {}
    for name in [OURS, *names] if names else []:
        found = folder / f"{name}-found.npz"
        with team.start(name, work) as process:
            process.ask("gradient", given=str(given), found=str(found))
        with np.load(found) as arrays:
            features[name] = dict(arrays)
    return {name: difference(features[OURS], features[name]) for name in names}


def measured(team: Team, work: Work, place: Place) -> Row:
    """What a row says of a case, which the work names."""
    more: Row
    if work.part in ("fit", "predict"):
        found = compare(team, work, Turns(FLAGS.rounds, FLAGS.seconds, FLAGS.steps))
        peers = [peer for peer in found.ms if peer != OURS]
        more = {"differences": differences(team, work, peers, place.folder)}
    elif work.part.endswith("command"):
        (found, more) = (commands(team, work, place, FLAGS.rounds), {})
    else:
        (found, also) = parts(Team("personalise", sys.executable, []), work)
        more = {"also": {what: round(value, 4) for what, value in also.items()}}
    return times(found) | {"missing": found.missing, "about": found.about} | more


def measure(name: str, folder: Path) -> None:
    """Measure, check that networks are the same, print and record one row.

    Args:
      name: key of `CASES`.
      folder: for photographs, and for what contenders write.

    Raises:
      UserError: a peer's features are others than ours.
      Failed: a contender that was timed does not start again.
    """
    work = work_of(name)
    started = pending("personalise", work, case_of(name, work))
    if started is None:
        return
    path, row = started
    # Of drawn features one photograph is enough, which is asked about
    (classes, each) = (1, 1) if name == "many" else (work.ways, work.shots)
    photos = folder / f"{classes}x{each}"
    if not photos.exists():
        draw(photos, classes, each)
    os.environ["BENCHMARK_PHOTOS"] = str(photos)
    os.environ["BENCHMARK_NETWORK"] = str(folder / NETWORK)
    team = team_for("personalise")
    if not Path(os.environ["BENCHMARK_NETWORK"]).exists():
        prepare(team)
    row |= measured(team, work, Place(photos, folder)) | {"rounds": FLAGS.rounds}
    if CASES[name].wanted is not None:
        row["wanted_ms"] = CASES[name].wanted
    show(row)
    add_row(path, row)
    apart = row.get("differences", {})
    if wrong := [peer for peer, value in apart.items() if not value < AGREE]:
        raise UserError(
            f"{', '.join(wrong)}: features differ from ours by {AGREE} or more, see {path}"
        )


def show(row: Row) -> None:
    """Print what was found, and what was wanted."""
    for name, ms in {OURS: row["ours_ms"], **row["peers"]}.items():
        apart = row.get("differences", {}).get(name)
        agrees = f", features differ from ours by {apart:.0e}" if apart is not None else ""
        print(f"  {name}: {ms} ms{agrees}", flush=True)
    for what, value in row.get("also", {}).items():
        print(f"  {what}: {value:.4g}")
    if "wanted_ms" in row:
        print(f"  wanted: {row['wanted_ms']} ms at most")
    show_missing(row)


def main() -> None:
    """Measure every case that is asked for.

    Raises:
      UserError: there is no such case.
    """
    names = FLAGS.cases or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        raise UserError(f"unknown case '{unknown[0]}': choose of {', '.join(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            try:
                measure(name, Path(folder))
            except Failed as failed:
                raise UserError(f"a contender does not start again: {failed}") from failed


if __name__ == "__main__":
    define_flag("cases", None, "what is measured [fit,fit_command,predict,...]", list)
    run(main)
