"""The cells of a table's line: what a row of records measured, in words and rounded numbers."""

from metalearn.config import Config
from metalearn.learners.registry import PRETRAINED
from metalearn.records.names import body_of, method_of
from metalearn.records.published import Published
from metalearn.records.record import Record
from metalearn.records.report import Row, beside, between_seeds, mean

FROM_BODY = "from a trained body"
NONE = "–"


def cells(row: Row, published: list[Published]) -> dict[str, str]:
    """The cells of a table's line, by column."""
    first = row.records[0]
    theirs = beside(row, published)
    return {
        "method": method_of(first.config),
        "backbone": body_of(first.config),
        "test": tested_as(first),
        "trained on": trained_on(first),
        "inductive %": accuracy_cell(row.inductive),
        "transductive %": accuracy_cell(row.transductive),
        "published %": "; ".join(beside_cell(p, first.config.backbone) for p in theirs) or NONE,
    }


def accuracy_cell(side: list[Record]) -> str:
    """`47.12 ± 0.20 (support; 2 seeds, sd 0.31)`, or `47.12 ± 0.20 (support)` of one seed."""
    if not side:
        return NONE
    sd = between_seeds(side)
    seeds = "" if sd is None else f"; {len(side)} seeds, sd {100 * sd:.2f}"
    return f"{measured(side)} ({side[0].test.normalisation}{seeds})"


def shown(value: float | None, digits: int, factor: float = 1) -> str:
    """A number, or a dash where there is none."""
    return NONE if value is None else f"{factor * value:.{digits}f}"


def measured(records: list[Record]) -> str:
    """`47.12 ± 0.20`, means over seeds."""
    return " ± ".join(shown(mean(records, field), 2, 100) for field in ("accuracy", "ci95"))


def steps_of(record: Record) -> str:
    """`1500`, or `16000 + 1500` where training began from a body."""
    return " + ".join(str(c.steps) for c in (*(s.config for s in record.stages), record.config))


def told_steps(record: Record) -> str:
    """`39000 (rotations) + 1500`: the updates, and what is special of the trainings before."""
    told = []
    for stage in record.stages:
        notes = ", ".join(_own_notes(stage.config, {earlier.role for earlier in stage.lineage}))
        told.append(f"{stage.config.steps} ({notes})" if notes else str(stage.config.steps))
    return " + ".join([*told, str(record.config.steps)])


def queries_of(r: Record) -> str:
    """`15 queries a class`."""
    queries = r.config.queries
    return f"{queries} {'query' if queries == 1 else 'queries'} a class"


def tested_as(r: Record) -> str:
    """`5-way 1-shot`, and numbers of queries and episodes that are not the usual ones."""
    queries = "" if r.config.queries == Config.queries else f", {queries_of(r)}"
    episodes = "" if r.config.episodes == Config.episodes else f", {r.config.episodes} episodes"
    return f"{r.config.ways}-way {r.config.shots}-shot{queries}{episodes}"


def notes_of(r: Record) -> list[str]:
    """Notes on what is special of a record's training: `from a trained body`, `cosine`."""
    begun = {"from a pre-trained body": r.external, FROM_BODY: "init_from" in r.roles}
    return [*(note for note, holds in begun.items() if holds), *_own_notes(r.config, r.roles)]


def _own_notes(config: Config, roles: set[str]) -> list[str]:
    """Notes on what is special of one training, apart from the body that it began with."""
    notes = {
        "rotations": config.rotation and not config.all_turns,
        "rotations, all turns": config.rotation and config.all_turns,
        "distilled": "teacher" in roles,
        "full-context embeddings": config.contextual,
        "cosine": config.distance == "cosine",
        "learned scale": config.learned_scale,
        "ridge": config.method == "metaoptnet" and config.head == "ridge",
        "always pulled": config.proximal_every_step,
    }
    return [note for note, holds in notes.items() if holds]


def trained_on(r: Record) -> str:
    """`5-way 1-shot, batch, 10000 updates`, or `classes, rotations, 16000 updates`."""
    if r.external and not r.config.steps:
        return "external data alone"
    updates = f"{told_steps(r)} updates"
    if r.config.method in PRETRAINED:
        return ", ".join(["classes", *notes_of(r), updates])
    episodes = f"{r.config.train_ways}-way {r.config.train_shots}-shot"
    return ", ".join([episodes, r.config.norm, *notes_of(r), updates])


def beside_cell(p: Published, backbone: str) -> str:
    """`48.70 ± 1.84 (source; its backbone, its further training data, how it was tested)`."""
    rerun = "rerun " if p.kind == "rerun" else ""
    notes = [
        p.source,
        *([p.backbone] if p.backbone != backbone else []),
        *([p.protocol] if p.apart else []),
    ]
    known = {"yes": ["transductive"], "no": ["inductive"]}.get(p.transductive, [])
    return f"{rerun}{p.number} ({'; '.join(notes + known)})"
