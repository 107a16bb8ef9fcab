"""The plots: what is paired with what, the same bytes from the same records, none stale in the
repository.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from metalearn.records.plots import HASHES, draw_plots, spread
from metalearn.records.points import digest, paired, points
from metalearn.records.store import write_counts
from metalearn.records.tables import PLOTS, load, markdown
from tests.made_up import write
from tests.programs import ROOT
from tests.records.test_tables import PUBLISHED

EPISODES = 50


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cifar_fs").mkdir()
    (tmp_path / "published.csv").write_text(",".join(PUBLISHED[0]._fields) + "\n")
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        recorded(tmp_path, f"maml{seed}", rng.integers(30, 60, EPISODES), seed=seed)
    recorded(
        tmp_path, "protonet", rng.integers(40, 70, EPISODES), method="protonet", norm="running"
    )
    recorded(
        tmp_path,
        "other",
        rng.integers(60, 75, EPISODES),
        method="anil",
        episode_hash="other",
        queries=1,
    )
    write(tmp_path, "kept-none.json", method="boil")
    recorded(
        tmp_path, "five", rng.integers(40, 75, EPISODES), method="protonet", norm="running", shots=5
    )
    return tmp_path


def recorded(root: Path, name: str, right: np.ndarray, **changes: object) -> None:
    path = write(root, f"{name}.json", **{"accuracy": float(right.mean() / 75)} | changes)
    write_counts(path, right)


def test_paired_differences_are_from_the_best_of_the_same_episodes(root: Path) -> None:
    found = [p for p in points(load(root)[0]["cifar_fs"]) if p.shots == 1 and p.queries == 15]
    (best, zero, _), (label, difference, half) = paired(found)
    assert (
        best.startswith("protonet conv4-32 (running)")
        and best.endswith("(best, transductive)")
        and zero == 0
        and label.startswith("maml conv4-32 (batch)")
    )
    right = {
        n: np.load(root / "cifar_fs" / f"{n}.npy").astype(float)
        for n in ("maml0", "maml1", "protonet")
    }
    by_hand = 100 * ((right["maml0"] + right["maml1"]) / 2 - right["protonet"]) / 75
    assert difference == pytest.approx(by_hand.mean())
    assert half == pytest.approx(1.96 * by_hand.std(ddof=1) / EPISODES**0.5)


def test_same_records_draw_the_same_bytes(root: Path) -> None:
    first = {path.name: path.read_bytes() for path in draw_plots(root)}
    assert sorted(first) == sorted(f"cifar_fs-{kind}.svg" for kind in PLOTS)
    assert {path.name: path.read_bytes() for path in draw_plots(root)} == first
    assert all(f"](results/plots/{name})" in markdown(root) for name in first)
    text = first["cifar_fs-paired.svg"].decode()
    assert not HASHES.search(text)  # of coordinates, whose last digits depend on the processor
    assert "maml conv4-32 (batch), 60000 steps" in text and "5-way 1-shot, 10000 episodes" in text
    assert (
        "anil" not in text and "boil" not in text and "5-shot" not in text
    )  # alone with its episodes; none kept


def test_line_labels_are_spread_as_little_as_needed() -> None:
    assert spread([1.0, 2.0, 5.0], 1.0) == [1.0, 2.0, 5.0]
    assert spread([3.0, 3.0], 1.0) == [2.5, 3.5]
    np.testing.assert_allclose(spread([0.0, 3.0, 3.1, 3.9], 1.0), [0.0, 7 / 3, 10 / 3, 13 / 3])


def test_shots_plot_needs_two_numbers_of_shots(root: Path) -> None:
    draw_plots(root)
    text = (root / "plots" / "cifar_fs-shots.svg").read_text()
    assert "protonet conv4-32 (running), 60000 steps, transductive, " in text and "maml" not in text


def test_plots_name_variants_of_a_method(root: Path) -> None:
    cosine = {"method": "protonet", "norm": "running", "distance": "cosine"}
    recorded(root, "cosine", np.full(EPISODES, 50), train_wall_s=9.0, **cosine)
    found = {p.label for p in points(load(root)[0]["cifar_fs"]) if p.label.startswith("protonet")}
    assert found == {f"protonet conv4-32 (running{of}), 60000 steps" for of in ("", ", cosine")}


def test_plot_digest_changes_with_a_record(root: Path) -> None:
    before = digest(points(load(root)[0]["cifar_fs"]))
    path = root / "cifar_fs" / "maml0.json"
    found = json.loads(path.read_text())
    found["measured"]["accuracy"] = 0.58
    path.write_text(json.dumps(found))
    assert digest(points(load(root)[0]["cifar_fs"])) != before


def test_plots_in_the_repository_are_up_to_date() -> None:
    for dataset, rows in load(ROOT / "results")[0].items():
        for kind in PLOTS if rows else ():
            path = ROOT / "results" / "plots" / f"{dataset}-{kind}.svg"
            said = f"{path} is not what its command draws: run python -m experiments.tables"
            assert path.exists() and digest(points(rows)) in path.read_text(), said
