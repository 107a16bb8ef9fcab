"""Points of the plots: what is paired with what, how it is named, when a plot is out of date."""

import json
from pathlib import Path

import numpy as np
import pytest

from metalearn.records.points import digest, paired, points
from metalearn.records.tables import load
from tests.made_up import EPISODES, write_counted


def test_paired_differences_are_from_the_best_of_the_same_episodes(counted: Path) -> None:
    found = [p for p in points(load(counted)[0]["cifar_fs"]) if p.shots == 1 and p.queries == 15]
    (best, zero, _), (label, difference, half) = paired(found)
    assert (
        best.startswith("protonet conv4-32 (running)")
        and best.endswith("(best, transductive)")
        and zero == 0
        and label.startswith("maml conv4-32 (batch)")
    )
    right = {
        n: np.load(counted / "cifar_fs" / f"{n}.npy").astype(float)
        for n in ("maml0", "maml1", "protonet")
    }
    by_hand = 100 * ((right["maml0"] + right["maml1"]) / 2 - right["protonet"]) / 75
    assert difference == pytest.approx(by_hand.mean())
    assert half == pytest.approx(1.96 * by_hand.std(ddof=1) / EPISODES**0.5)


def test_plots_name_variants_of_a_method(counted: Path) -> None:
    cosine = {"method": "protonet", "norm": "running", "distance": "cosine"}
    write_counted(counted, "cosine", np.full(EPISODES, 50), train_wall_s=9.0, **cosine)
    found = {
        p.label for p in points(load(counted)[0]["cifar_fs"]) if p.label.startswith("protonet")
    }
    assert found == {f"protonet conv4-32 (running{of}), 60000 steps" for of in ("", ", cosine")}


def test_plot_digest_changes_with_a_record(counted: Path) -> None:
    before = digest(points(load(counted)[0]["cifar_fs"]))
    path = counted / "cifar_fs" / "maml0.json"
    found = json.loads(path.read_text())
    found["measured"]["accuracy"] = 0.58
    path.write_text(json.dumps(found))
    assert digest(points(load(counted)[0]["cifar_fs"])) != before
