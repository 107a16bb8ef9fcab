"""Records that nothing measured, for tests of what is made of records."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.config import Config
from metalearn.records.published import Published
from metalearn.records.record import Evaluation, Measured, Provenance, Record, Stage
from metalearn.records.store import record_path, write_counts, write_record

CONFIG = Config(method="maml", backbone="conv4-32", train_ways=5, train_shots=1, steps=60_000)
MEASURED = Measured(
    accuracy=0.58,
    ci95=0.002,
    transductive=True,
    accuracy_before=0.2,
    ci95_before=0.0004,
    ece=0.05,
    valid_accuracy=0.55,
    train_wall_s=1000.0,
    tasks_per_s=100.0,
    peak_memory_mb=500.0,
)
COMMAND = "python -m experiments.maml --dataset=cifar_fs"
EPISODES = 50  # of a record with the right answers of each

PUBLISHED = [
    Published(
        "cifar_fs",
        "maml",
        "conv4-32",
        "5",
        "1",
        "56.8",
        "1.9",
        "",
        "unknown",
        "rerun",
        "",
        "Someone",
    ),
    Published(
        "cifar_fs",
        "maml",
        "conv4-32",
        "5",
        "1",
        "58.9",
        "1.9",
        "",
        "unknown",
        "published",
        "",
        "A paper",
    ),
    Published(
        "cifar_fs", "maml", "resnet12", "5", "1", "70.1", "", "", "no", "published", "", "Another"
    ),
    Published(
        "cifar_fs",
        "maml",
        "conv4-32",
        "5",
        "5",
        "71.5",
        "",
        "1 sd of 3 inits",
        "yes",
        "published",
        "",
        "A paper",
    ),
]


def made(config: Config, norm: str) -> Record:
    """A record with these settings, tested with this normalisation."""
    provenance = Provenance(COMMAND, "0123456789ab", "1x Device", "")
    return Record(config, Evaluation(norm, "abc123", 50_000), MEASURED, (), provenance)


def write(root: Path, name: str = "", *, lineage: tuple[Stage, ...] = (), **changes: Any) -> Path:
    """Write a record with some settings, measurements, parts of its test or provenance changed; its
    path.

    norm is that of the test, train_norm that of the training.
    """
    parts: dict[str, dict[str, Any]] = {"config": {}, "test": {}, "measured": {}, "provenance": {}}
    kinds = {"test": Evaluation, "measured": Measured, "provenance": Provenance, "config": Config}
    for key, value in changes.items():
        key_there = "norm" if key == "train_norm" else key
        part = (
            "config"
            if key == "train_norm"
            else next(p for p, k in kinds.items() if key in _names(k))
        )
        parts[part][key_there] = value
    base = made(CONFIG, "batch")
    changed = {part: dataclasses.replace(getattr(base, part), **new) for part, new in parts.items()}
    record = dataclasses.replace(base, lineage=lineage, **changed)
    path = root / record.config.dataset / name if name else record_path(root, record)
    write_record(path, record)
    return path


def write_counted(root: Path, name: str, right: np.ndarray, **changes: object) -> None:
    """Write a record with the right answers of each of its episodes."""
    path = write(root, f"{name}.json", **{"accuracy": float(right.mean() / 75)} | changes)
    write_counts(path, right)


def _names(kind: type) -> set[str]:
    return {f.name for f in dataclasses.fields(kind)}
