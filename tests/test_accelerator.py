"""The script for machines with an accelerator, here cut to a few steps: what it leaves, and a
second call.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks._lib.contenders import OURS
from benchmarks._lib.records import Row, read_rows
from metalearn.records.report import read_records
from tests.programs import ROOT, environment, few_glyphs, make_images

SCRIPT = ROOT / "benchmarks" / "accelerator.sh"
PIECE = 2**15  # bytes
LINES = [line.split() for line in SCRIPT.read_text().splitlines() if " | benchmarks." in line]
# Cut to a few steps, each program is run once: by its first line
FIRST: dict[str, str] = {}
for name, _, module, *_ in LINES:
    FIRST.setdefault(module, name)
NAMES = list(FIRST.values())
TINY = "--dataset=folder --image_size=8 --backbone=conv2-8 --ways=2 --queries=3"
QUEUE = f"experiments.finetune --method=simpleshot {TINY} | --method=nearest_neighbour\n"


class Left:
    """What the first call said and left."""

    def __init__(self, root: Path) -> None:
        self.out = root / "out"
        (root / "queue.txt").write_text(QUEUE)
        places = {
            "METALEARN_DATA_DIR": make_images(root / "images", images=20),
            "METALEARN_PEERS": root / "none",
            "METALEARN_CACHE": few_glyphs(root / "cache"),
        }
        places |= {"QUEUE": root / "queue.txt", "PYTHON": sys.executable}
        cache = environment()["JAX_COMPILATION_CACHE_DIR"]
        self.env = environment(
            **{name: str(path) for name, path in places.items()},
            JAX_COMPILATION_CACHE_DIR=cache,
            PIECE=str(PIECE),
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


def test_accelerator_script_runs_everything(left: Left) -> None:
    assert "everything is cut to a few steps" in left.said
    assert (left.out / "logs" / "sanity.log").read_text().count(" ok ") == 9
    assert [name for name in NAMES if f"{name}: done (" not in left.said] == []
    for benchmark in {name.split("-")[0] for name in NAMES}:
        rows = left.rows(benchmark)
        assert rows and all(row["case"].endswith("tiny") for row in rows)
        assert all(row["ours_mib" if benchmark == "memory" else "ours_ms"] > 0 for row in rows)
    assert sorted(
        (r.config.method, r.config.steps) for r in read_records(left.out / "results")
    ) == [
        ("nearest_neighbour", 2),
        ("simpleshot", 2),
    ]


def test_accelerator_script_compares_with_peers_then_trains_then_benchmarks(left: Left) -> None:
    begun = [line.split(": ")[0].split(", ")[0] for line in left.said.splitlines()]
    trained = [name for name in begun if name.startswith("finetune-")]
    ours = [name for name in begun if name in NAMES or name in trained]
    assert ours == [NAMES[0], *trained, *NAMES[1:]] and len(trained) == 2


def test_accelerator_script_packs_its_results_in_small_pieces(left: Left, tmp_path: Path) -> None:
    pieces = sorted(left.out.glob("archive.tgz.*"))
    assert pieces[0].name == "archive.tgz.00" and len(pieces) > 2
    assert {path.stat().st_size for path in pieces[:-1]} == {PIECE}
    assert f"cat {left.out}/archive.tgz.* | tar -xz joins and unpacks them" in left.said
    joined = b"".join(path.read_bytes() for path in pieces)
    subprocess.run(["tar", "-xz", "-C", str(tmp_path)], input=joined, check=True)
    for name in ("results", "runs", "logs"):
        kept = sorted(path.name for path in (tmp_path / name).rglob("*"))
        assert kept and kept == sorted(path.name for path in (left.out / name).rglob("*"))


def test_accelerator_script_stops_on_a_device_that_convolves_wrongly(tmp_path: Path) -> None:
    python = tmp_path / "python"
    wrong = (
        f'[[ $* == *lease.sanity ]] && echo "float32 WRONG" && exit 1\nexec {sys.executable} "$@"'
    )
    python.write_text(f"#!/usr/bin/env bash\n{wrong}\n")
    os.chmod(python, 0o755)
    command = ["bash", str(SCRIPT), "600", str(tmp_path / "out")]
    env = environment(PYTHON=str(python))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3 and "convolutions are WRONG on this device" in done.stderr
    assert done.stdout.count("\n") == 1 and not list((tmp_path / "out" / "runs").iterdir())


def test_meta_step_benchmark_names_who_is_missing(left: Left) -> None:
    (row,) = left.rows("meta_step")
    said = (left.out / "logs" / "meta_step-4.log").read_text()
    assert "higher: not measured: cannot start" in said
    assert row["tasks"] == 4 and row["case"] == "tiny" and row["ours_ms"] > 0
    assert row["peers"] == {} and row["missing"]["higher"].startswith("cannot start ")
    assert row["roofline"]["gflop"] > 0 and row["about"][OURS]["device"] == row["device"]
    command = "python -m benchmarks.meta_step --tasks=4 --tiny --rounds=1 --seconds=0"
    assert row["command"] == command


def test_scaling_benchmark_finds_the_gradient_of_one_device(left: Left) -> None:
    row = left.rows("scaling")[0]
    assert row["case"] == "2 forced host devices tiny"
    assert row["peers"]["1 device"] > 0 and 0 <= row["differences"]["1 device"] < 1e-2


def test_precision_benchmark_compares_with_another_seed(left: Left) -> None:
    (row,) = left.rows("precision")
    assert row["case"] == "glyphs, 4 steps tiny" and list(row["peers"]) == ["bfloat16"]
    assert set(row["accuracy"]) == {OURS, "another seed", "bfloat16"}
    assert all(0.2 < score <= 1 and ci >= 0 for score, ci in row["accuracy"].values())


def test_accelerator_script_skips_what_is_done(left: Left) -> None:
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
