"""The queue: what is missing from a table is run, within a budget, and not run again."""

import dataclasses
import itertools
import shlex
import signal
import time
from pathlib import Path

import pytest

from experiments import reproduce
from experiments._cli.flags import trained_config
from experiments._cli.queue import QUEUE, Run, read_queue
from experiments.reproduce import missing, seconds, wanted
from metalearn.config import Config
from metalearn.data import READERS
from metalearn.errors import UserError
from metalearn.learners.registry import METHODS
from tests.made_up import made
from tests.programs import TINY, fitting, make_images, process, told

MORE = " ".join(
    fitting("protonet", [f"--{name}={value}" for name, value in TINY.items() if name != "dataset"])
)


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    path = tmp_path / "queue.txt"
    lines = [
        "# two runs",
        "experiments.protonet --dataset=folder | --shots=2",
        "experiments.maml --dataset=folder",
        "",
    ]
    path.write_text("\n".join(lines))
    return path


def flags(tmp_path: Path, queue: Path) -> list[str]:
    places = {
        "results_dir": "results",
        "runs_dir": "runs",
        "data_dir": "images",
        "cache_dir": "cache",
    }
    return [
        f"--queue={queue}",
        f"--more={MORE}",
        *(f"--{k}={tmp_path / v}" for k, v in places.items()),
    ]


def test_what_is_missing_is_run_once(tmp_path: Path, queue: Path) -> None:
    make_images(tmp_path / "images")
    command = [*flags(tmp_path, queue), "--table=folder", "--methods=protonet", "--budget=5m"]
    first = process("reproduce", *command, cwd=tmp_path)
    assert first.code == 0, first
    ended = [line.split(" (")[0].split(", ")[1] for line in first.out.splitlines()]
    assert ended == ["experiments.protonet: done", "experiments.evaluate: done"]
    files = sorted((tmp_path / "results").glob("folder-*/*.json"))
    assert [told(path)["shots"] for path in files] == [1, 2]
    again = process("reproduce", *command, cwd=tmp_path)
    assert again.code == 0 and again.out.endswith(": done\n") and "(" not in again.out
    listed = process("reproduce", *command[:-2], "--list", cwd=tmp_path)
    assert [line.rpartition(": ")[2] for line in listed.out.splitlines()] == ["done", "missing"]


def test_nothing_is_begun_without_time(tmp_path: Path, queue: Path) -> None:
    said = process("reproduce", *flags(tmp_path, queue), "--table=all", "--budget=9s", cwd=tmp_path)
    assert said.code == 0 and said.out == "the budget of 9s is spent; the same command goes on\n"


def test_a_command_is_stopped_when_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "places", lambda workdir: [])
    begin = time.monotonic()
    assert (
        reproduce.perform("http.server --bind=127.0.0.1 0", tmp_path / "run", begin + 2)
        == 128 + signal.SIGTERM
    )
    assert 2 <= time.monotonic() - begin < 30


def test_the_queue_begins_with_what_is_worth_most() -> None:
    """MAML by its full recipe, ResNet-12, then all of Omniglot, then FC100."""
    queue = read_queue(QUEUE)
    assert [(run.module, run.flags["shots"]) for run in queue[:2]] == [("maml", "1"), ("maml", "5")]
    bodies = [run.about({run.flags.get("method", run.module)}) for run in queue[2:6]]
    methods = [run.flags.get("method", run.module) for run in bodies]
    assert methods == ["protonet", "metaoptnet", "rfs", "rfs"] and all(run.tests for run in bodies)
    datasets = [run.flags["dataset"] for run in queue]
    assert [name for name, _ in itertools.groupby(datasets)] == [
        "cifar_fs",
        "omniglot",
        "fc100",
        "cifar_fs",
    ]


def test_a_run_that_fails_is_told_and_the_next_one_tried(tmp_path: Path, queue: Path) -> None:
    # No images
    said = process(
        "reproduce", *flags(tmp_path, queue), "--table=folder", "--budget=5m", cwd=tmp_path
    )
    assert said.complaint.startswith("2 of 2 runs failed; their logs in ")
    logs = sorted((tmp_path / "runs").glob("*.log"))
    assert len(logs) == 2 and all("error: " in path.read_text() for path in logs)


def test_a_record_with_other_settings_does_not_count() -> None:
    run = Run("experiments.maml --dataset=folder", ("--shots=5 --test_norms=support",))
    trained = trained_config({"dataset": "folder"})
    tested = dataclasses.replace(trained, shots=5)
    both = [
        "experiments.maml --dataset=folder",
        "experiments.evaluate --shots=5 --test_norms=support",
    ]
    assert missing(run, []) == both
    assert missing(run, [made(dataclasses.replace(trained, steps=2), "batch")]) == both
    assert missing(run, [made(trained, "batch"), made(tested, "batch")]) == both[1:]
    assert missing(run, [made(trained, "batch"), made(tested, "support")]) == []


def test_every_run_by_its_first_seed_before_any_by_its_second() -> None:
    queue = [
        Run("experiments.maml --dataset=a"),
        Run("experiments.protonet --dataset=a"),
        Run("experiments.x --dataset=b"),
    ]
    both = Run(
        "experiments.finetune --dataset=a --method=rfs",
        ("--shots=1", "--method=tim --shots=5", "--method=tim"),
    )
    assert wanted([both], "a", {"tim"}, 1, "")[0].tests == both.tests[1:]
    assert wanted([both], "a", {"rfs"}, 1, "")[0].tests == both.tests[:1]
    found = wanted(queue, "a", set(), 2, "--steps=3 --augment='flip,crop'")
    assert [run.name for run in found] == ["maml-a-3-flip,crop", "protonet-a-3-flip,crop"] + [
        "maml-a-1-3-flip,crop",
        "protonet-a-1-3-flip,crop",
    ]


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_a_budget(text: str, value: float) -> None:
    assert seconds(text) == value


def test_mistakes_are_told(tmp_path: Path) -> None:
    queue = read_queue(QUEUE)
    with pytest.raises(UserError, match="--budget=x is no time"):
        seconds("x")
    with pytest.raises(UserError, match="no table 'imagenet': choose all or one of cifar_fs"):
        wanted(queue, "imagenet", set(), 1, "")
    with pytest.raises(UserError, match="--more=--a='b: No closing quotation"):
        wanted(queue, "all", set(), 1, "--a='b")
    with pytest.raises(UserError, match="no run of table omniglot is about mml"):
        wanted(queue, "omniglot", {"mml"}, 1, "")
    bad = tmp_path / "bad"
    bad.write_text("experiments.maml --dataset=a\nmaml\n")
    with pytest.raises(UserError, match="bad, line 2: not of the form"):
        read_queue(bad)
    with pytest.raises(UserError, match="cannot read the queue"):
        read_queue(tmp_path / "none")


def test_every_run_of_the_queue_is_one_that_programs_take() -> None:
    queue = read_queue(QUEUE)
    assert len({run.name for run in queue}) == len(queue) > 10
    for run in queue:
        assert run.methods <= METHODS.keys() and run.flags["dataset"] in READERS
        for words in (run.train, *run.tests):
            named = {
                word.lstrip("-").partition("=")[0]
                for word in shlex.split(words)
                if word.startswith("--")
            }
            assert named <= set(Config.__dataclass_fields__), words
