"""Folders of made-up records."""

import csv
from pathlib import Path

import numpy as np
import pytest

from metalearn.records.published import Published
from tests.made_up import COMMAND, EPISODES, PUBLISHED, write, write_counted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two seeds of MAML tested both ways, and one of a method that nobody published."""
    with (tmp_path / "published.csv").open("w", newline="") as file:
        csv.writer(file).writerows([Published._fields, *PUBLISHED])
    other = {
        "seed": 1,
        "valid_accuracy": 0.54,
        "command": COMMAND + " --seed 1",
        "device": "1x Other",
    }
    write(tmp_path)
    write(tmp_path, norm="support", transductive=False, accuracy=0.56, ece=0.04)
    write(tmp_path, **other | {"accuracy": 0.59})
    write(
        tmp_path,
        **other | {"accuracy": 0.55, "ece": 0.06, "norm": "support", "transductive": False},
    )
    alone = {
        "method": "baseline",
        "norm": "running",
        "train_norm": "running",
        "transductive": False,
    }
    write(
        tmp_path,
        **alone,
        accuracy_before=None,
        ci95_before=None,
        command="python -m experiments.finetune",
    )
    return tmp_path


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """Records with the right answers of each episode: some of the same episodes, some of others."""
    (tmp_path / "cifar_fs").mkdir()
    (tmp_path / "published.csv").write_text(",".join(PUBLISHED[0]._fields) + "\n")
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        write_counted(tmp_path, f"maml{seed}", rng.integers(30, 60, EPISODES), seed=seed)
    write_counted(
        tmp_path, "protonet", rng.integers(40, 70, EPISODES), method="protonet", norm="running"
    )
    write_counted(
        tmp_path,
        "other",
        rng.integers(60, 75, EPISODES),
        method="anil",
        episode_hash="other",
        queries=1,
    )
    write(tmp_path, "kept-none.json", method="boil")
    write_counted(
        tmp_path, "five", rng.integers(40, 75, EPISODES), method="protonet", norm="running", shots=5
    )
    return tmp_path
