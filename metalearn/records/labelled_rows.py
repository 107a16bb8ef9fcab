"""The rows of the tables of labelled images: records grouped over draws of labels, and named."""

import math
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.registry import CLASSIFYING, STRATEGIES
from metalearn.records.labelled import LabelledRecord
from metalearn.records.labelled_store import LABELLED, labelled_dataset
from metalearn.records.record import Stage, all_stages, settings

# Of a strategy, settings that are named where they are not at their defaults
SPECIAL = (
    "class_weights",
    "loss",
    "label_smoothing",
    "mixup",
    "layer_decay",
    "statistics",
    "freeze",
    "rank",
)


class LabelledRow(NamedTuple):
    """A line of a table: records that differ in their seeds alone, which draw the labels.

    Attributes:
      strategy: `probe (ridge)`, with the settings that tell it from another row of its name.
      body: `efficientnet-lite0 160 px`, or `conv4-64 of rfs` of a run that was trained here.
      data: what the body saw before the labels.
      records: one a seed.
    """

    strategy: str
    body: str
    data: str
    records: tuple[LabelledRecord, ...]

    @property
    def name(self) -> str:
        """Of the line in pivot tables and plots: rows of several numbers of labels."""
        return f"{self.strategy}, {self.body}"

    @property
    def labels(self) -> int:
        """Images a class that were trained on; 0 for all."""
        return self.records[0].config.labels

    def values(self, field: str) -> list[float]:
        """A field of `LabelledMeasured` of each record that has it."""
        found = [getattr(record.measured, field) for record in self.records]
        return [value for value in found if value is not None]

    def middle(self, field: str) -> float | None:
        """The median over records of a field of `LabelledMeasured`; None if no record has it."""
        values = self.values(field)
        return median(values) if values else None


def labelled_rows(root: Path) -> dict[str, list[LabelledRow]]:
    """The rows of each table, by its title.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    tables: dict[str, list[LabelledRecord]] = {}
    for record in LABELLED.read_all(root):
        tables.setdefault(labelled_table(record), []).append(record)
    return {title: rows_of(records) for title, records in sorted(tables.items())}


def labelled_table(record: LabelledRecord) -> str:
    """`grocery`, or `fc100, valid classes`: which table a record is in."""
    classes = record.config.learned
    split = "" if classes == Config.learned else f", {classes} classes"
    return f"{labelled_dataset(record)}{split}"


def rows_of(records: list[LabelledRecord]) -> list[LabelledRow]:
    """Records of one table as its rows, sorted.

    Raises:
      UserError: two records of the same test, or one of an unknown strategy.
    """
    pools: dict[str, dict[int, LabelledRecord]] = {}
    for record in records:
        if record.config.method not in STRATEGIES:
            raise UserError(
                f"{record.path}: {record.config.method} trains no classifier; delete it"
            )
        seeds = pools.setdefault(record.pool, {})
        other = seeds.setdefault(record.config.seed, record)
        if other is not record:
            raise UserError(f"{other.path} and {record.path} record the same test; delete one")
    rows = []
    for _, seeds in sorted(pools.items()):
        drawn = tuple(record for _, record in sorted(seeds.items()))
        rows.append(LabelledRow(_strategy(drawn[0]), _body(drawn[0]), data_of(drawn[0]), drawn))
    return sorted(_told_apart(rows), key=_order)


def _order(row: LabelledRow) -> tuple:
    method = list(STRATEGIES).index(row.records[0].config.method)
    return method, row.strategy, row.body, row.data, row.labels or math.inf


def _strategy(record: LabelledRecord) -> str:
    """`probe (ridge)`, `lora (rank 4)`."""
    config = record.config
    own = settings(config)
    notes = [config.probe] if config.method == "probe" else []
    for name in SPECIAL:
        recipe = name == "statistics" and config.method == "scratch"
        if name in own and own[name] != getattr(Config, name) and not recipe:
            notes.append(_said(name, own[name]))
    return f"{config.method} ({', '.join(notes)})" if notes else config.method


def _said(name: str, value: Any) -> str:
    if value is True:
        return name.replace("_", " ")
    return f"{name.replace('_', ' ')} {value}"


def _body(record: LabelledRecord) -> str:
    config = record.config
    size = f" {config.input_size} px" if config.input_size else ""
    trained = [_trained(stage, config) for stage in record.lineage]
    return f"{config.backbone}{size}{''.join(trained)}"


def _trained(stage: Stage, config: Config) -> str:
    """` of rfs`, or ` of rfs on cifar_fs` where these are other images."""
    there = stage.config
    where = "" if there.dataset == config.dataset else f" on {there.dataset}"
    return f" of {there.method}{where}"


def data_of(record: LabelledRecord) -> str:
    """What the body saw before the labels."""
    found = ["other images (ImageNet weights)"] if record.external else []
    for stage in all_stages(record.lineage):
        there = stage.config
        here = there.dataset == record.config.dataset and there.method not in CLASSIFYING
        said = "base classes" if here else f"images of {there.dataset}"
        found += [] if said in found else [said]
        found += [f"images of {there.target} without labels"] if there.target else []
    return ", then ".join(found) or "these labels alone"


def updates_of(record: LabelledRecord) -> str:
    """`500`, or `16000 + 500` where training began from a body that was trained here."""
    before = [stage.config.steps for stage in all_stages(record.lineage)]
    return " + ".join(str(steps) for steps in (*before, record.config.steps))


def _told_apart(rows: list[LabelledRow]) -> list[LabelledRow]:
    """The rows, with settings added to the names of those that would share a cell of a line."""
    names: dict[str, list[LabelledRow]] = {}
    for row in rows:
        names.setdefault(row.name, []).append(row)
    found = []
    for same in names.values():
        differing = _differing(same)
        for row in same:
            flat = _flat(row.records[0])
            notes = [f"{name}={flat[name]}" for name in differing if name in flat]
            strategy = ", ".join([row.strategy, *notes])
            found.append(row._replace(strategy=strategy))
    return found


def _differing(rows: list[LabelledRow]) -> list[str]:
    """Names of the settings in which rows with the same number of labels differ."""
    cells: dict[int, list[dict[str, str]]] = {}
    for row in rows:
        cells.setdefault(row.labels, []).append(_flat(row.records[0]))
    found: dict[str, None] = {}
    for flats in cells.values():
        names = {name: None for flat in flats for name in flat}
        found |= {name: None for name in names if _differs(name, flats)}
    return list(found)


def _differs(name: str, flats: list[dict[str, str]]) -> bool:
    """Whether a setting tells some apart; a stage that not all have is told by its method alone."""
    known = [flat[name] for flat in flats if name in flat]
    missing = name.endswith(" method") and len(known) < len(flats)
    return missing or len(set(known)) > 1


def _flat(record: LabelledRecord) -> dict[str, str]:
    """All that rows of one line may differ in; settings of earlier trainings have a prefix."""
    own = settings(record.config)
    flat = {name: str(own[name]) for name in own if name not in ("seed", "labels")}
    flat["images"] = record.provenance.images[:8]
    for number, stage in enumerate(all_stages(record.lineage), 1):
        own = settings(stage.config) | {"role": stage.role}
        flat |= {f"stage {number} {name}": str(own[name]) for name in own if name != "seed"}
    return flat
