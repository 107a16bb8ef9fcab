"""The script for machines with an accelerator, here cut to a few steps: what it leaves, and a second call."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.records import read_rows
from metalearn.report import read_records
from tests.programs import ROOT, environment, make_images

SCRIPT = ROOT / "benchmarks" / "accelerator.sh"
LINES = [line.split(" | ") for line in SCRIPT.read_text().splitlines() if " | benchmarks." in line]
BENCHMARKS = "evaluation | benchmarks.evaluation\n"
QUEUE = "experiments.protonet --dataset=folder --image_size=8 --backbone=conv4-8 --ways=2 --queries=3 --train_ways=2\n"


@pytest.mark.parametrize("command", [command for _, command in LINES])
def test_its_benchmarks_know_their_flags(command: str) -> None:
    words = [sys.executable, "-m", *command.split(), "--tiny", "--rounds=1", "--only_check_args"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_an_accelerator_all_is_cut_short(tmp_path: Path) -> None:
    """Records of benchmarks and of runs, then nothing is left to do."""
    images = make_images(tmp_path / "images", images=20)
    (tmp_path / "benchmarks.txt").write_text(BENCHMARKS)
    (tmp_path / "queue.txt").write_text(QUEUE)
    places = {"METALEARN_DATA_DIR": images, "METALEARN_PEERS": tmp_path / "none", "XDG_CACHE_HOME": tmp_path}
    files = {"BENCHMARKS": tmp_path / "benchmarks.txt", "QUEUE": tmp_path / "queue.txt", "PYTHON": sys.executable}
    env = environment(**{name: str(path) for name, path in (places | files).items()})
    out = tmp_path / "out"

    def call() -> str:
        command = ["bash", str(SCRIPT), "600", str(out)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=580)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = call()
    assert "everything is cut to a few steps" in said and said.count(": done (") == 2
    (row,) = read_rows(next((out / "results" / "benchmarks").glob("evaluation-*.json")))
    assert row["ours_ms"] > 0 and row["peers"] == {} and row["case"].endswith("tiny")
    records = read_records(out / "results")
    assert [record["steps"] for record in records] == [2]
    log = out / "logs" / "evaluation.log"
    assert "passed over" not in log.read_text()
    assert "experiments." not in call() and "passed over" in log.read_text()
