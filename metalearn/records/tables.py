"""The table of results as Markdown, LaTeX and CSV: the same inputs give the same bytes."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.presets import SUPERVISED
from metalearn.records.record import Record
from metalearn.records.report import (
    Published,
    Row,
    beside,
    between_seeds,
    differences,
    make_rows,
    mean,
    read_published,
    read_records,
)
from metalearn.records.store import dataset_of, file_name, method_of, variants

DATASETS = ("omniglot", "cifar_fs", "fc100", "mini_imagenet")  # always shown, in this order; others follow by name
PLOTS = {  # of each dataset with a record, in results/plots, and what they show
    "shots": "accuracy against labelled images a class",
    "time": "accuracy against training time",
    "paired": "differences on paired episodes",
}
FROM_BODY = "from a trained body"
NONE = "–"

INTRO = """# Results

Written by `python -m experiments.tables` from the records in `results/`; do not edit. Each record names the command and
the commit that made it. The same rows are in `results/table.csv` and `results/table.tex`.

Within a run the validation classes pick the checkpoint. Recipes and code were changed after tests that fell short; the
findings say what of, and what that leaves open. A command makes its record again at the record's commit: recipes have
changed since.
Below each table are the lists of test episodes, by a hash of the images' positions in the test split: methods of one
table tested on one list are tested on the very same images.

- **method**: in brackets what of its head is not as its recipe has it, `simpleshot (l2)`.
- **inductive**, **transductive**: accuracy in % ± its 95 % confidence interval over episodes (and the normalisation at
  test). A transductive prediction depends on the other queries of its episode, an inductive one does not; a probe found
  out which. In other columns, `a / b` is inductive / transductive. `running` statistics are those of training batches,
  augmented as in training; `running, clean` those of clean images, as they were measured at first: the network was not
  trained under these, and loses by them where training images are cropped.
- **seeds**: trainings. With several, accuracies, intervals, calibration errors and speeds are means over them, and
  **sd** is the standard deviation of the accuracy between them, in points. The interval does not contain it.
- **before**: accuracy in % before adaptation, where that means something, on the first 1,000 episodes. It has to be at
  chance, within an interval of about half a point with 15 queries a class, and a point with one, which one in twenty
  leaves by chance too.
- **test**: with 15 queries a class and 10,000 episodes, where nothing else is said.
- **published**: numbers of others for the same method, ways and shots, on the backbone nearest to ours (named where its
  name is not the same). Their episodes, recipes and budgets differ from ours: `results/published.csv` says how.
- **difference**: ours minus the first of them that was tested in the same way, in points: inductive (ind.) or
  transductive (trans.), or either where its source does not say. It compares numbers, not implementations: a row "from
  a trained body" has a pre-training that the published number had not.
- **ECE**: expected calibration error.
- **steps**: updates trained; `16000 + 1500` are those of the body that the training began from, and its own. **tested
  at**: the update that validation picked, of each seed.
- **tasks/s**: test episodes a second, compilation included. **MiB**: the largest peak memory over training and test.
  Other runs often shared the machine: these two say what to expect, not which method is faster.
- **commit**: `+` means uncommitted changes.

CIFAR-100 holds some images twice. 6 of the 12,000 test images of CIFAR-FS also occur in its training split and 1 in its
validation split, 1 test image of FC100's in its training split, none of Omniglot's; of their validation images 8 and 2
occur in training (`python -m experiments.overlap --dataset=cifar_fs` names them). The splits are used as published.
"""


def load(root: Path) -> tuple[dict[str, list[Row]], list[Published]]:
    """The rows of each dataset, in the order of the tables, and all published numbers."""
    published, records = read_published(root / "published.csv"), read_records(root)
    found = {p.dataset for p in published} | {dataset_of(r) for r in records}
    names = [*DATASETS, *sorted(found - {*DATASETS})]
    return {name: make_rows([r for r in records if dataset_of(r) == name]) for name in names}, published


def markdown(root: Path) -> str:
    """RESULTS.md: how to read it, what was found, a table for each dataset."""
    datasets, published = load(root)
    found = _findings(root / "findings.md", _named(root, datasets))
    return "\n".join([INTRO, *found, *(_section(name, rows, published) for name, rows in datasets.items())])


def _named(root: Path, datasets: dict[str, list[Row]]) -> dict[str, list[Record]]:
    """Records by name, `<dataset>/<file's stem>`, and all seeds of a row by their name without the seed."""
    named: dict[str, list[Record]] = {}
    for side in (side for rows in datasets.values() for row in rows for side in row if side):
        for r in side:
            assert r.path is not None  # it was read from there
            name = str(r.path.relative_to(root).with_suffix(""))
            named[name] = [r]
            short = name.removesuffix(f"-seed{r.config.seed}")
            if short != name:  # else it ends with the -2 of a second record
                named[short] = side if named.get(short, side) is side else []  # of two rows
    return named


def _findings(path: Path, records: dict[str, list[Record]]) -> list[str]:
    """The text at path, if there is one, with numbers in it: {record} is its accuracy, {record - record} points.

    A record's name without its seed stands for the mean over seeds, if they stand in one row.

    Raises:
      UserError: it names a record that is not there.
    """

    def number(named: re.Match) -> str:
        names = named[1].split(" - ")
        if missing := [name for name in names if not records.get(name)]:
            raise UserError(f"{path}: there is no record {missing[0]}: make it or change the text")
        first, *others = (records[name] for name in names)
        values = [fmean(r.measured.accuracy for r in side) for side in (first, *others)]
        return f"{100 * (values[0] - values[1]):+.2f}" if others else _measured(first)

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error.reason}): write it anew") from error
    return [re.sub(r"\{([^{}]+)\}", number, text)]


def _section(name: str, rows: list[Row], published: list[Published]) -> str:
    parts = [f"## {name}\n"]
    if not rows:
        known = sum(p.dataset == name for p in published)
        return "\n".join([*parts, f"no run recorded yet; `results/published.csv` has {known} published numbers\n"])
    lines = [{"#": str(i)} | cells(row, published) for i, row in enumerate(rows, 1)]
    parts += [_table(lines), _episodes(rows), _commands(rows)]
    parts += [f"![{said}](results/plots/{file_name(name)}-{kind}.svg)\n" for kind, said in PLOTS.items()]
    shown = {p for row in rows for p in beside(row, published)}
    rest = [p for p in published if p.dataset == name and p not in shown]
    for external in (False, True):
        listed = [_published_cells(p) for p in rest if p.protocol.startswith("external data") is external]
        if listed:
            what = "with external data, not to be compared" if external else "not beside a measurement above"
            parts.append(
                f"<details><summary>Published, {what} ({len(listed)})</summary>\n\n{_table(listed)}\n</details>\n"
            )
    return "\n".join(parts)


def _table(lines: list[dict[str, str]]) -> str:
    grid = [list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in grid)


def _published_cells(p: Published) -> dict[str, str]:
    return {
        "method": p.method,
        "backbone": p.backbone,
        "test": f"{p.ways}-way {p.shots}-shot",
        "accuracy %": p.number,
        "transductive": p.transductive,
        "kind": p.kind,
        "protocol": p.protocol,
        "source": p.source,
    }


def _episodes(rows: list[Row]) -> str:
    lists = {
        f"{r.config.ways}-way {r.config.shots}-shot, {queries_of(r)}: {r.config.episodes} episodes of seed "
        f"{r.config.eval_seed}, `{r.test.episode_hash}`": None
        for row in rows
        for r in row.records
    }
    return "Test episodes:\n\n" + "".join(f"- {line}\n" for line in lists)


def _commands(rows: list[Row]) -> str:
    made: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows, 1):
        for record in row.records:
            chain = tuple(record.provenance.command.split(" && "))
            numbers = [made.setdefault(chain[:end], []) for end in range(1, len(chain) + 1)][-1]
            numbers += [] if number in numbers else [number]
    lines = []
    for chain, numbers in sorted(made.items()):  # each right below what it goes on from
        of = f"  # {', '.join(map(str, numbers))}" if numbers else ""
        lines.append(f"{'    ' * (len(chain) - 1)}{chain[-1]}{of}\n")
    said = "Commands, an indented one on what the one above it left, and the lines of the table that they made:"
    return f"{said}\n\n```\n{''.join(lines)}```\n"


def _shown(value: float | None, digits: int, factor: float = 1) -> str:
    return NONE if value is None else f"{factor * value:.{digits}f}"


def _pair(row: Row, field: str, digits: int, factor: float = 1) -> str:
    """A field's mean, inductive / transductive, or the one that there is."""
    return " / ".join(_shown(mean(side, field), digits, factor) for side in row if side)


def _measured(records: list[Record]) -> str:
    """`47.12 ± 0.20`."""
    return " ± ".join(_shown(mean(records, field), 2, 100) for field in ("accuracy", "ci95"))


def steps_of(record: Record) -> str:
    """`1500`, or `16000 + 1500` where training began from a body."""
    return " + ".join(str(c.steps) for c in (*(s.config for s in record.stages), record.config))


def _accuracy(side: list[Record]) -> str:
    """`47.12 ± 0.20 (support)`."""
    return f"{_measured(side)} ({side[0].test.normalisation})" if side else NONE


def _devices(row: Row) -> str:
    return ", ".join(sorted({r.provenance.device for r in row.records}))


def _commits(row: Row) -> str:
    return ", ".join(sorted({r.provenance.commit for r in row.records}))


def _peak(row: Row) -> float:
    return max(r.measured.peak_memory_mb for r in row.records)


def queries_of(r: Record) -> str:
    """`15 queries a class`."""
    queries = r.config.queries
    return f"{queries} {'query' if queries == 1 else 'queries'} a class"


def _test(r: Record) -> str:
    queries = "" if r.config.queries == Config.queries else f", {queries_of(r)}"
    episodes = "" if r.config.episodes == Config.episodes else f", {r.config.episodes} episodes"
    return f"{r.config.ways}-way {r.config.shots}-shot{queries}{episodes}"


def notes_of(r: Record) -> list[str]:
    """What is to be told of a record's training: `from a trained body`, `cosine`."""
    said = {
        FROM_BODY: "init_from" in r.roles,
        "rotations": r.config.rotation,
        "distilled": "teacher" in r.roles,
        "full-context embeddings": r.config.contextual,
        "cosine": r.config.distance == "cosine",
        "ridge": r.config.method == "metaoptnet" and r.config.head == "ridge",
        "always pulled": r.config.proximal_every_step,
    }
    return [note for note, told in said.items() if told]


def _trained(r: Record) -> str:
    if r.config.method in SUPERVISED:
        return ", ".join(["classes", *notes_of(r)])
    episodes = f"{r.config.train_ways}-way {r.config.train_shots}-shot"
    return ", ".join([episodes, r.config.norm, *notes_of(r)])


def _beside(p: Published, backbone: str) -> str:
    rerun = "rerun " if p.kind == "rerun" else ""
    notes = [p.source, *([p.backbone] if p.backbone != backbone else []), *([p.protocol] if p.apart else [])]
    known = {"yes": ["transductive"], "no": ["inductive"]}.get(p.transductive, [])
    return f"{rerun}{p.number} ({'; '.join(notes + known)})"


def cells(row: Row, published: list[Published]) -> dict[str, str]:
    """A line of the table."""
    first, theirs = row.records[0], beside(row, published)
    points = differences(row, theirs)
    short = {"inductive": "ind.", "transductive": "trans."}
    return {
        "method": method_of(first.config),
        "backbone": first.config.backbone,
        "test": _test(first),
        "trained on": _trained(first),
        "inductive %": _accuracy(row.inductive),
        "transductive %": _accuracy(row.transductive),
        "seeds": " / ".join(str(n) for n in dict.fromkeys(len(side) for side in row if side)),
        "sd": " / ".join(_shown(between_seeds(side), 2, 100) for side in row if side),
        "before %": _pair(row, "accuracy_before", 2, 100),
        "published %": "; ".join(_beside(p, first.config.backbone) for p in theirs) or NONE,
        "difference": ", ".join(f"{short[side]} {value:+.2f}" for side, value in points.items()) or NONE,
        "ECE": _pair(row, "ece", 3),
        "steps": steps_of(first),
        "tested at": ", ".join(str(n) for n in sorted({r.test.best_step for r in row.records})),
        "tasks/s": _pair(row, "tasks_per_s", 1),
        "MiB": f"{_peak(row):.0f}",
        "device": _devices(row),
        "precision": first.config.precision,
        "commit": _commits(row),
    }


def latex(root: Path) -> str:
    """A table (booktabs) for each dataset that has a record."""
    datasets, published = load(root)
    special: dict[str, str | int | None] = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "±": r"$\pm$", NONE: "--"}
    columns = (
        "method",
        "backbone",
        "test",
        "trained on",
        "inductive %",
        "transductive %",
        "seeds",
        "sd",
        "published %",
    )

    def line(row_cells: Iterable[str]) -> str:
        return "  " + " & ".join(cell.translate(str.maketrans(special)) for cell in row_cells) + r" \\"

    parts = []
    for name, rows in datasets.items():
        lines = []
        for row in rows:
            theirs = beside(row, published)
            shown = cells(row, published) | {"published %": theirs[0].number if theirs else NONE}
            lines.append(line(shown[column] for column in columns))
        caption = rf"\caption{{{name.translate(str.maketrans(special))}: accuracy $\pm$ 95\,\% CI over episodes}}"
        table = [r"\begin{table}", r"\centering", caption, r"\begin{tabular}{llllrrrrr}", r"  \toprule", line(columns)]
        table += [r"  \midrule", *lines, r"  \bottomrule", r"\end{tabular}", r"\end{table}", ""]
        parts += table if rows else []
    return "\n".join(parts)


def _side(name: str, side: list[Record]) -> dict[str, Any]:
    fields = ("accuracy", "ci95", "accuracy_before", "ece", "tasks_per_s")
    means = {field: mean(side, field) for field in fields}
    found: dict[str, Any] = {"norm": side[0].test.normalisation if side else None}
    found |= {field: None if value is None else round(value, 6) for field, value in means.items()}
    sd = between_seeds(side)
    found |= {"sd": None if sd is None else round(sd, 6)}
    found |= {"seeds": " ".join(str(r.config.seed) for r in side)}
    return {f"{name}_{k}": v for k, v in found.items()}


def table_csv(root: Path) -> str:
    """A line for each row of all tables: ours as fractions, the published number as in its source, in percent."""
    datasets, published = load(root)
    lines = [_csv_line(row, published) for rows in datasets.values() for row in rows]
    out = io.StringIO()
    if lines:
        writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return out.getvalue()


def _csv_line(row: Row, published: list[Published]) -> dict[str, Any]:
    first = row.records[0]
    config = first.config
    theirs = beside(row, published)
    best = theirs[0] if theirs else None
    line: dict[str, Any] = {"dataset": dataset_of(first)}
    for name in ("method", "backbone", "ways", "shots", "queries", "train_ways", "train_shots"):
        line[name] = getattr(config, name) or None  # not read: no episodes in training
    line |= {"train_norm": config.norm, "episodes": config.episodes}
    line |= {"episode_hash": first.test.episode_hash, "steps": config.steps}
    line |= {"variant": ", ".join(variants(config)), "trained_on": _trained(first)}
    line |= {"all_steps": steps_of(first)}
    line |= _side("inductive", row.inductive) | _side("transductive", row.transductive)
    for name in ("accuracy", "ci95", "transductive", "source"):
        line[f"published_{name}"] = best and getattr(best, name)
    line |= {"peak_memory_mb": _peak(row), "device": _devices(row)}
    return line | {"precision": config.precision, "commit": _commits(row)}
