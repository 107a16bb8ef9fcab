"""A round of active learning, beside scikit-activeml, apricot and loops of NumPy as in papers.

`python -m benchmarks.active [--strategies=margin,...] [--sizes=5000,50000,500000] [--width=1280]`

A strategy chooses 100 images of a pool of so many, of which 100 are labelled. Features are drawn
from a mixture of 100 Gaussians, probabilities of 100 classes from a Dirichlet distribution. Every
contender has the machine for itself, one after the other. Compiling ours is told apart, the first
call does not count, unless it takes more than five seconds: then it is the only one. A contender
that takes more than `--limit` seconds is ended, and one that is expected to, from its time for the
size before, is not begun; the record says so. Peak memory is of whole processes, libraries and
features included.

`margin` and `k_centre` leave nothing to chance: choices are compared. Others are judged by what
they make small (`benchmarks._lib.chosen`). `--tiny` and `--peers` as in `benchmarks._lib.program`.
"""

import os
import shutil
import tempfile
from pathlib import Path
from statistics import median

from benchmarks._lib.alone import Taken, alone
from benchmarks._lib.chosen import Judge, missed
from benchmarks._lib.contenders import OURS, Failed, Team
from benchmarks._lib.measure import Found, Turns, times
from benchmarks._lib.pool import draw, picks_of, size_of
from benchmarks._lib.program import FLAGS, pending, run, settings, show_missing, sized, team_for
from benchmarks._lib.records import Row, add_row
from benchmarks._lib.work import Work
from experiments._cli.define import define_flag
from metalearn.errors import UserError

CLASSES = 100
STRATEGIES = [
    "margin",
    "k_centre",
    "badge",
    "typiclust",
    "k_means",
    "prob_cover",
    "facility_location",
]
CERTAIN = ("margin", "k_centre")  # nothing is drawn
AGREE = 0.05  # share of their choices that may be others: distances are rounded
LACKING = {  # what a peer does not have
    "numpy-products": [name for name in STRATEGIES if name != "badge"],
    "scikit-activeml": ["k_means", "facility_location"],
    "apricot": [name for name in STRATEGIES if name != "facility_location"],
}
# Of a peer's time, at least, as a power of the size; others 1. Of large pools ours takes a part
GROWTH = {"prob_cover": 2, "facility_location": 2}
# By contender: a smaller size, and its milliseconds, or why it failed
Past = dict[str, tuple[int, float | str]]


def case_of(work: Work) -> str:
    """What is measured, in words."""
    known = work.classes * work.shots
    return f"{work.part}, {picks_of(work)} of {size_of(work):,} images, {known} labelled"


def expected(name: str, work: Work, past: Past) -> str | None:
    """Why a contender is not begun, if so.

    Args:
      name: contender.
      work: what is to be timed.
      past: of the size before.
    """
    if name not in past:
        return None
    (size, before) = past[name]
    if isinstance(before, str):
        return f"not begun; {size:,} images: {before}"
    power = 1 if name == OURS else GROWTH.get(work.part, 1)
    seconds = before / 1e3 * (size_of(work) / size) ** power
    if seconds > FLAGS.limit:
        return f"not begun; {size:,} images take {before / 1e3:.3g} s, so over {FLAGS.limit:g} s"
    return None


def taken(team: Team, work: Work, past: Past) -> tuple[dict[str, Taken], dict[str, str]]:
    """What every contender took, and why others did not.

    Args:
      team: the contenders.
      work: what is timed.
      past: of the size before; it is brought up to date.
    """
    found: dict[str, Taken] = {}
    missing: dict[str, str] = {}
    turns = Turns(FLAGS.rounds, FLAGS.seconds, FLAGS.steps)
    for name in team.commands:
        why = expected(name, work, past)
        try:
            if why is not None:
                raise Failed(why)
            found[name] = alone(team, name, work, turns, FLAGS.limit)
            past[name] = (size_of(work), median(found[name].ms))
        except Failed as failed:
            missing[name] = str(failed)
            if why is None:
                past[name] = (size_of(work), str(failed))
    return found, missing


def grown(work: Work, past: Past, found: dict[str, Taken]) -> dict[str, float]:
    """How many times as long each takes as for the size before."""
    ratios = {}
    for name, one in found.items():
        (_, before) = past.get(name, (0, ""))
        if not isinstance(before, str):
            ratios[name] = round(median(one.ms) / before, 2)
    return ratios


def compared(work: Work, folder: Path, found: dict[str, Taken]) -> Row:
    """How choices differ from ours, and how many times ours their losses are."""
    if OURS not in found:
        return {}
    ours = found[OURS].places
    peers = {name: one.places for name, one in found.items() if name != OURS}
    more: Row = {}
    if work.part in CERTAIN:
        more["differences"] = {name: missed(ours, places) for name, places in peers.items()}
    judge = Judge(folder)
    loss = judge.loss(work.part, ours)
    losses = {name: judge.loss(work.part, places) for name, places in peers.items()}
    more["loss"] = {name: round(value, 6) for name, value in ({OURS: loss} | losses).items()}
    return more


def measure(work: Work, folder: Path, past: Past) -> None:
    """Measure, compare, print and record one row.

    Args:
      work: a strategy and a size.
      folder: of the pool.
      past: of the size before; it is brought up to date.

    Raises:
      UserError: a peer chooses other images where nothing is drawn.
    """
    started = pending("active", work, case_of(work))
    if started is None:
        return
    path, row = started
    team = team_for("active")
    for name, lacking in LACKING.items():
        if work.part in lacking:
            team.commands.pop(name, None)
    before = dict(past)
    (found, missing) = taken(team, work, past)
    about = {name: one.about for name, one in found.items()}
    row |= times(Found({name: one.ms for name, one in found.items()}, about, missing, None))
    row |= {"missing": missing, "rounds": FLAGS.rounds, "about": about, "limit_s": FLAGS.limit}
    row["peak_mib"] = {name: round(one.mib, 1) for name, one in found.items()}
    row["growth"] = grown(work, before, found)
    row |= compared(work, folder, found)
    if OURS in found:
        row["also"] = {"compiling (s)": round(found[OURS].parts["compile"] / 1e3, 3)}
    show(row)
    add_row(path, row)
    apart = row.get("differences", {})
    if wrong := [name for name, value in apart.items() if not value < AGREE]:
        raise UserError(f"{', '.join(wrong)}: chooses other images than ours, see {path}")


def show(row: Row) -> None:
    """Print what was found."""
    for name, ms in {OURS: row["ours_ms"], **row["peers"]}.items():
        if ms is None:
            continue
        text = f"{ms:.4g} ms, {row['peak_mib'][name]:.0f} MiB"
        if name in row["growth"]:
            text += f", {row['growth'][name]:.3g} times the size before"
        if name in row.get("loss", {}):
            text += f", loss {row['loss'][name]:.4g}"
        if name in row.get("differences", {}):
            text += f", {row['differences'][name]:.0%} chosen otherwise"
        print(f"  {name}: {text}", flush=True)
    show_missing(row)
    if row["ratio_to_fastest_peer"]:
        print(f"  {row['ratio_to_fastest_peer']} times as fast as the fastest peer")
    if "also" in row:
        print(f"  compiling ours: {row['also']['compiling (s)']:.3g} s", flush=True)


def works() -> list[Work]:
    """Every size that is asked for, without a strategy.

    Raises:
      UserError: a size is not a multiple of 100.
    """
    sizes = settings(FLAGS.sizes, ["5000", "50000", "500000"])
    for size in sizes:
        if not size.isdigit() or not int(size) or int(size) % CLASSES:
            raise UserError(f"size '{size}': give a multiple of {CLASSES}, two or more of them")
    base = Work(method="active", ways=CLASSES, shots=1, queries=1, tasks=1, classes=CLASSES)
    asked = [base._replace(width=FLAGS.width, per_class=int(size) // CLASSES) for size in sizes]
    found = sized(asked)
    # Cut by --tiny, of 24 classes
    return [work._replace(ways=work.classes, queries=1) for work in found]


def main() -> None:
    """Measure every strategy and size that is asked for, size by size.

    Raises:
      UserError: there is no such strategy.
    """
    names = FLAGS.strategies or STRATEGIES
    if unknown := [name for name in names if name not in STRATEGIES]:
        raise UserError(f"unknown strategy '{unknown[0]}': choose of {', '.join(STRATEGIES)}")
    past: dict[str, Past] = {name: {} for name in names}
    with tempfile.TemporaryDirectory() as parent:
        for work in works():
            folder = Path(parent) / "pool"
            os.environ["BENCHMARK_POOL"] = str(folder)
            draw(folder, work)
            for name in names:
                measure(work._replace(part=name), folder, past[name])
            shutil.rmtree(folder)


if __name__ == "__main__":
    define_flag("strategies", None, "whose rounds are timed [margin,k_centre,badge,...]", list)
    define_flag("sizes", None, "images of a pool [5000,50000,500000]", list)
    define_flag("width", 1280, "numbers of an image's features", lower_bound=1)
    define_flag("limit", 120.0, "seconds that a round may take", lower_bound=1)
    run(main)
