"""The script for machines with an accelerator, here cut to a few steps: what it leaves, and a
second call.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks._lib.contenders import OURS
from benchmarks._lib.records import Row, read_rows
from metalearn.records.report import read_records
from tests.programs import ROOT, environment, make_images

SCRIPT = ROOT / "benchmarks" / "accelerator.sh"
NAMES = [
    line.split(" | ")[0] for line in SCRIPT.read_text().splitlines() if " | benchmarks." in line
]
TINY = "--dataset=folder --image_size=8 --backbone=conv2-8 --ways=2 --queries=3"
QUEUE = f"""
experiments.protonet {TINY} --train_ways=2
experiments.finetune --method=simpleshot {TINY} | --method=nearest_neighbour
"""


class Left:
    """What the first call said and left."""

    def __init__(self, root: Path) -> None:
        self.out = root / "out"
        (root / "queue.txt").write_text(QUEUE)
        places = {
            "METALEARN_DATA_DIR": make_images(root / "images", images=20),
            "METALEARN_PEERS": root / "none",
        }
        places |= {"QUEUE": root / "queue.txt", "PYTHON": sys.executable}
        cache = environment()["JAX_COMPILATION_CACHE_DIR"]
        self.env = environment(
            **{name: str(path) for name, path in places.items()}, JAX_COMPILATION_CACHE_DIR=cache
        )
        self.said = self.call()

    def call(self, **more: str) -> str:
        command = ["bash", str(SCRIPT), "2000", str(self.out)]
        done = subprocess.run(
            command, env=self.env | more, capture_output=True, text=True, timeout=1000
        )
        logs = "".join(
            f"{log.name}: {log.read_text()[-500:]}"
            for log in sorted((self.out / "logs").glob("*.log"))
        )
        assert done.returncode == 0, done.stdout + done.stderr + logs
        return done.stdout

    def rows(self, benchmark: str) -> list[Row]:
        (path,) = (self.out / "results" / "benchmarks").glob(f"{benchmark}-*.json")
        return read_rows(path)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return Left(tmp_path_factory.mktemp("accelerator"))


def test_everything_runs(left: Left) -> None:
    assert "everything is cut to a few steps" in left.said
    assert [name for name in NAMES if f"{name}: done (" not in left.said] == []
    for benchmark in {name.split("-")[0] for name in NAMES}:
        rows = left.rows(benchmark)
        assert rows and all(row["case"].endswith("tiny") for row in rows)
        assert all(row["ours_mib" if benchmark == "memory" else "ours_ms"] > 0 for row in rows)
    assert sorted(
        (r.config.method, r.config.steps) for r in read_records(left.out / "results")
    ) == [
        ("nearest_neighbour", 2),
        ("protonet", 2),
        ("simpleshot", 2),
    ]


def test_several_devices_find_the_gradient_of_one(left: Left) -> None:
    row = left.rows("scaling")[0]
    assert row["case"] == "2 forced host devices tiny"
    assert row["peers"]["1 device"] > 0 and 0 <= row["differences"]["1 device"] < 1e-2


def test_a_precision_is_judged_beside_another_seed(left: Left) -> None:
    (row,) = left.rows("precision")
    assert row["case"] == "glyphs, 4 steps tiny" and list(row["peers"]) == ["bfloat16"]
    assert set(row["accuracy"]) == {OURS, "another seed", "bfloat16"}
    assert all(0.2 < score <= 1 and ci >= 0 for score, ci in row["accuracy"].values())


def test_a_second_call_passes_over_what_is_done(left: Left) -> None:
    few = left.out / "benchmarks.txt"
    few.write_text("meta_step-4 | benchmarks.meta_step --tasks=4\n")
    log = left.out / "logs" / "meta_step-4.log"
    assert "passed over" not in log.read_text()
    said = left.call(BENCHMARKS=str(few))
    assert (
        "meta_step-4: done (" in said
        and "experiments." not in said
        and "passed over" in log.read_text()
    )
