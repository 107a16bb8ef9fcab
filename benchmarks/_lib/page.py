"""docs/performance.md from the records of the benchmarks.

The same records give the same text, byte for byte, and with the same matplotlib the same plots.
"""

import math
from itertools import groupby
from pathlib import Path

from benchmarks._lib.contenders import OURS
from benchmarks._lib.plots import bars, lines
from benchmarks._lib.records import Row, read_rows
from metalearn.errors import UserError

NONE = "–"

INTRO = """# Performance

Written by `python -m benchmarks.report` from the records in `results/benchmarks/`; do not edit.
Below each table are the commands that made it; each line names its commit (`+`: files differed from
it) and day.

Beside peers, every contender is a process of its own that makes so many steps in its turn; each has
a turn in every round, and the medians over the rounds are shown. Fresh episodes are drawn in every
step, ours on the device by the sampler that training uses. All compute in the same precision, with
the same threads and the same settings of malloc. Losses and meta-gradients of peers were compared
with ours in float64 on the same tensors; **differs by** is the largest relative difference. The
tables of convolutions, streaming, devices and precision compare ways of our own.

- **ratio**: how many times the best peer's time (or memory) is ours, median over rounds: above one,
  ours is better.
- **of peak**: arithmetic that the step needs at least, counted from shapes without recomputation, a
  second, against a matrix product's in the same run. **bound**: what it would take at that rate, or
  at the rate of a copy for the bytes that products read and write at least, whichever is longer.
- **–**: not asked for, or not measured, which is said below the table with the reason.

What bounds a step on a CPU is arithmetic: the bytes would take a small part of its time. Between
the bound and the measured time lie products too narrow for a matrix product's best rate (the
gradient of a kernel sums thousands of terms into 64 columns or fewer), and work that the count
leaves out: normalisation, pooling, and the sums in and out of Winograd's products. At 32 filters,
as MAML has them, every product is narrow.
"""
SECTIONS = {
    "meta_step": "One outer step of MAML (ms)",
    "protonet_step": "One outer step of prototypical networks (ms)",
    "evaluation": "A test, embedding included (ms)",
    "startup": "From nothing to the end of the first step (ms)",
    "memory": "Peak memory (MiB)",
    "convolution": "Formulations of a convolution (ms)",
    "backbone": "A pre-trained EfficientNet-Lite0 on a CPU (ms)",
    "personalise": "Recognisers of a person's photographs on a CPU (ms)",
    "active": "A round of active learning on a CPU (ms)",
    "streaming": "Training from images on the host beside images on the device (ms)",
    "scaling": "Training on several devices beside one (ms)",
    "precision": "Training in lower precision beside float32 (ms), and what it reaches "
    "(% of validation episodes)",
}

NOTES = {
    "backbone": "Embedding is per image, training per step. CPU times are of a process on one "
    "core, wall times on all.\nEvery contender has the same drawn weights, normalisation folded "
    "into kernels. **differs by** is in\nfloat32. MiB are the peaks of whole processes, libraries "
    "included.",
    "personalise": "Photographs are drawn, JPEG of 640 x 480. Ours shows the body six views of a "
    "photograph that it is fitted to and two of another,\nchooses a penalty and a threshold for "
    "what is unknown; the peers are the loop that a user would write: one view, class\nmeans. "
    "From the shell, imports count, the compilation cache is warm, and features are computed. "
    "**differs by** is of\nfeatures of one view in float32. **wanted** is what was set as a goal, "
    "on two cores.",
    "active": "100 images are chosen of a pool, features of 1,280 numbers. **numpy** are loops of "
    "NumPy and scikit-learn as\nthe papers give them, **numpy-products** is BADGE's without built "
    "gradients. **growth** is a time over that for\nthe size before, **loss** what the strategy "
    "makes small, over ours: above one, ours is better. **differs by**\nis the share of images "
    "that were chosen otherwise, where nothing is drawn. Of larger pools ours draws 10,000 images "
    "for\n`facility_location` and 50,000 for `prob_cover`, which are served, or covered, and "
    "chosen from; peers take all. MiB\nare the peaks of whole processes, libraries and features "
    "included.",
    "streaming": "Both in one process, turn by turn, on the same tasks.",
    "scaling": "All in one process, turn by turn, on the same tasks. Forced host devices of one "
    "CPU only show that the result does not\ndepend on their number: their times say nothing "
    "of how devices scale. **differs by** is in"
    " float32.",
    "precision": "One training after the other.",
}


def unit(row: Row) -> str:
    """The unit of a row's numbers: `ms` or `mib`."""
    return "mib" if "ours_mib" in row else "ms"


def values(row: Row) -> dict[str, float]:
    """A row's numbers by contender, ours first."""
    ours = row[f"ours_{unit(row)}"]
    return ({} if ours is None else {OURS: ours}) | row["peers"]


def label(row: Row) -> str:
    """What distinguishes the rows of a table."""
    if row["benchmark"] in ("backbone", "personalise", "active"):
        return row["case"]
    if row["benchmark"] == "convolution":
        return f"{row['case']}, {row['tasks']} tasks"
    steps = f", J = {row['inner_steps']}" if row["benchmark"] == "memory" else ""
    tasks = f", {row['tasks']} task{'s' * (row['tasks'] > 1)}"
    case = f", {row['case']}" if row["case"] else ""
    method = (
        f"{row['method']}, " if row["benchmark"] in ("streaming", "scaling", "precision") else ""
    )
    return f"{method}{row['ways']}-way {row['shots']}-shot{tasks}{steps}, {row['precision']}{case}"


def number(value: float | None) -> str:
    """A number with three significant digits, or all digits of its whole part."""
    if value is None:
        return NONE
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def over(value: float, ours: float) -> float:
    """A ratio of losses; nothing lost by both is 1."""
    return 1.0 if value == ours else value / ours if ours else math.inf


def cells(row: Row, names: list[str]) -> dict[str, str]:
    """A line of the table."""
    found = values(row)
    line = {"": label(row)} | {name: number(found.get(name)) for name in names}
    line["ratio"] = number(row["ratio_to_fastest_peer"])
    for name, (score, ci) in row.get("accuracy", {}).items():
        line[f"{name} (%)"] = f"{100 * score:.2f} ± {100 * ci:.2f}"
    if "wanted_ms" in row:
        line["wanted"] = number(row["wanted_ms"])
    for what, value in row.get("also", {}).items():
        line[what] = number(value)
    for name, grown in row.get("growth", {}).items():
        line[f"{name}, growth"] = number(grown)
    for name, loss in row.get("loss", {}).items():
        if name != OURS:
            line[f"{name}, loss"] = number(over(loss, row["loss"][OURS]))
    for name, mib in row.get("peak_mib", {}).items():
        line[f"{name} (MiB)"] = number(mib)
    if "roofline" in row:
        roof = row["roofline"]
        line["GFLOP/s"] = number(roof["gflops_per_s"])
        line["of peak"] = f"{roof['gflops_per_s'] / roof['peak_gflops_per_s']:.0%}"
        line["bound"] = number(roof["bound_ms"])
    if "differences" in row:
        apart = [v for v in row["differences"].values() if isinstance(v, float)]
        line["differs by"] = f"{max(apart):.0e}" if apart else NONE
    return line | {"rounds": str(row["rounds"]), "commit": f"{row['commit']}, {row['date']}"}


def table(rows: list[Row]) -> str:
    """The rows of one benchmark on one device, in Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in values(row)))
    made = [cells(row, names) for row in rows]
    heads = list(dict.fromkeys(head for line in made for head in line))
    heads.sort(key=lambda head: head in ("rounds", "commit"))  # these last
    grid = [
        heads,
        ["---"] * len(heads),
        *([line.get(head, NONE) for head in heads] for line in made),
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in grid)


def missing(rows: list[Row]) -> str:
    """Peers that were not measured, and where."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, why in row["missing"].items():
            found.setdefault((name, why), []).append(label(row))
    lines = [f"- {name} ({'; '.join(where)}): {why}\n" for (name, why), where in found.items()]
    return "Not measured:\n\n" + "".join(lines) + "\n" if lines else ""


def commands(rows: list[Row]) -> str:
    """What to run to measure again."""
    return (
        "```\n" + "".join(f"{c}\n" for c in dict.fromkeys(row["command"] for row in rows)) + "```\n"
    )


def load(root: Path) -> list[Row]:
    """All rows, by benchmark in the order of the sections, then by device.

    Raises:
      UserError: a file that is no record.
    """
    rows = [row for path in sorted(root.glob("*.json")) for row in read_rows(path)]
    for row in rows:
        if row["benchmark"] not in SECTIONS:
            raise UserError(f"{root} has a record of an unknown benchmark '{row['benchmark']}'")
    order = list(SECTIONS)
    return sorted(
        rows, key=lambda r: (order.index(r["benchmark"]), r["device"], r["precision"], r["tasks"])
    )


def pages(root: Path, folder: str) -> tuple[str, dict[str, bytes]]:
    """docs/performance.md, and its plots by name, which the text finds in `folder`."""
    text = [INTRO]
    plots = dict[str, bytes]()
    rows = load(root)
    for benchmark, heading in SECTIONS.items():
        text += [f"## {heading}\n", *([f"{NOTES[benchmark]}\n"] if benchmark in NOTES else [])]
        here = [row for row in rows if row["benchmark"] == benchmark]
        if not here:
            text.append("nothing recorded yet\n")
        for device, group in groupby(here, lambda row: row["device"]):
            found = list(group)
            text.append(f"### {device}\n\n{table(found)}\n{missing(found)}{commands(found)}")
            name = f"{benchmark}-{len([n for n in plots if n.startswith(benchmark)])}.svg"
            draw = lines if benchmark == "memory" else bars
            plots[name] = draw(
                [(row, label(row), values(row)) for row in found], f"{heading}: {device}"
            )
            text.append(f"![{heading} on {device}]({folder}/{name})\n")
    return "\n".join(text), plots
