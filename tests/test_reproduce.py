"""The queue: what is missing from a table is run, within a budget, and not run again."""

import dataclasses
import itertools
import shlex
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import reproduce
from experiments._cli.done import missing
from experiments._cli.flags import trained_config
from experiments._cli.plan import steps, wanted
from experiments._cli.queue import QUEUE, Run, read_queue
from experiments.reproduce import seconds
from metalearn.config import Config
from metalearn.data import READERS
from metalearn.domains.deep.registry import DEEP
from metalearn.errors import UserError
from metalearn.learners.registry import METHODS, STRATEGIES
from metalearn.records.record import Record
from metalearn.run import check_settings, check_together
from metalearn.training.state import Run as Training
from tests.made_up import made
from tests.programs import ROOT, TINY, fitting, make_images, process, told

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


def test_reproduce_runs_what_is_missing_once(tmp_path: Path, queue: Path) -> None:
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


def test_reproduce_begins_nothing_without_time(tmp_path: Path, queue: Path) -> None:
    said = process("reproduce", *flags(tmp_path, queue), "--table=all", "--budget=9s", cwd=tmp_path)
    assert said.code == 0 and said.out == "the budget of 9s is spent; the same command continues\n"


def test_reproduce_stops_a_command_when_the_budget_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "places", lambda workdir: [])
    begin = time.monotonic()
    assert (
        reproduce.perform("http.server --bind=127.0.0.1 0", tmp_path / "run", begin + 2)
        == 128 + signal.SIGTERM
    )
    assert 2 <= time.monotonic() - begin < 30


def test_queue_begins_with_the_most_valuable_runs() -> None:
    """MAML on two datasets, ResNet-12 pre-trained; at the end ResNet-12 trained by episodes, and
    behind all few-shot methods the classifiers of fixed classes, then domain adaptation.
    """
    whole = read_queue(QUEUE)
    queue = [run for run in whole if not run.tests_itself]
    assert whole[: len(queue)] == queue and len(whole) == len(queue) + 13 + 2
    assert all(run.adapts for run in whole[-2:])
    begin = [(run.module, run.flags["dataset"], run.flags["shots"]) for run in queue[:5]]
    assert begin == [
        ("maml", "cifar_fs", "1"),
        ("maml", "omniglot", "1"),
        ("maml", "cifar_fs", "5"),
        ("finetune", "cifar_fs", "5"),
        ("finetune", "cifar_fs", "5"),
    ]
    bodies = [next(steps(run)).config.backbone for run in queue]
    assert bodies[3:5] == ["resnet12", "resnet12"] and all(run.tests for run in queue[3:5])
    last = bodies.index("resnet12-flat")
    assert set(bodies[last:]) == {"resnet12-flat"} and "resnet12" not in bodies[5:]
    datasets = [run.flags["dataset"] for run in queue[5:last]]
    assert [name for name, _ in itertools.groupby(datasets)] == ["omniglot", "fc100", "cifar_fs"]


def test_reproduce_reports_a_failed_run_and_tries_the_next(tmp_path: Path, queue: Path) -> None:
    # No images
    said = process(
        "reproduce", *flags(tmp_path, queue), "--table=folder", "--budget=5m", cwd=tmp_path
    )
    assert said.complaint.startswith("2 of 2 runs failed; their logs in ")
    logs = sorted((tmp_path / "runs").glob("*.log"))
    assert len(logs) == 2 and all("error: " in path.read_text() for path in logs)


def test_reproduce_says_what_failed_when_the_budget_is_spent_too(
    tmp_path: Path, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: str, workdir: Path, end: float) -> int:
        monkeypatch.setattr(time, "monotonic", lambda: end)
        return 2

    monkeypatch.setattr(reproduce, "perform", fail)
    given = {"queue": str(queue), "more": MORE, "table": "folder", "methods": [], "seeds": 1}
    given |= {"instead": "", "list": False, "budget": "5m"}
    given |= {"results_dir": str(tmp_path / "results"), "runs_dir": str(tmp_path / "runs")}
    monkeypatch.setattr(reproduce, "FLAGS", SimpleNamespace(**given))
    with pytest.raises(UserError, match="1 of 2 runs failed"):
        reproduce.main()


def test_record_with_other_settings_does_not_count_as_done() -> None:
    run = Run("experiments.maml --dataset=folder", ("--shots=5 --test_norms=support",))
    trained = trained_config({"dataset": "folder"})
    tested = dataclasses.replace(trained, shots=5)
    both = [
        "experiments.maml --dataset=folder",
        "experiments.evaluate --shots=5 --test_norms=support",
    ]

    def lacking(*records: Record) -> list[str]:
        return [step.command for step in missing(run, list(records))]

    assert lacking() == both
    assert lacking(made(dataclasses.replace(trained, steps=2), "batch")) == both
    assert lacking(made(trained, "batch"), made(tested, "support")) == both[:1]
    whole = [made(trained, norm) for norm in ("batch", "support")]
    assert lacking(*whole, made(tested, "batch")) == both[1:]
    assert lacking(*whole, made(tested, "support")) == []


def test_records_with_statistics_of_clean_images_do_not_count_as_done() -> None:
    run = Run("experiments.protonet --dataset=cifar_fs")
    record = made(trained_config({"dataset": "cifar_fs", "method": "protonet"}), "running")
    clean = dataclasses.replace(record.test, statistics="clean")
    assert missing(run, [record]) == []
    assert len(missing(run, [dataclasses.replace(record, test=clean)])) == 1


def test_seeds_trained_together_are_one_training_and_tests_of_each() -> None:
    line = Run("experiments.maml --dataset=cifar_fs", ("--shots=5",))
    (run,) = wanted([line], "all", set(), 1, "--seeds=2 --valid_every=50")
    train = "experiments.maml --dataset=cifar_fs --seeds=2 --valid_every=50"
    test = "experiments.evaluate --shots=5"
    found = [(step.command, step.folder) for step in missing(run, [])]
    assert found == [(train, ""), (test, "-seed0"), (test, "-seed1")]
    by_seed = [step.config for step in steps(run)]
    assert [(config.seed, config.shots) for config in by_seed] == [(0, 1), (1, 1), (0, 5), (1, 5)]
    records = [made(config, norm) for config in by_seed[:3] for norm in ("batch", "support")]
    assert [step.folder for step in missing(run, records)] == ["-seed1"]
    assert [step.command for step in missing(run, records[1:])] == [train, test]


@pytest.mark.parametrize(
    "line",
    [
        "--dataset=folder",
        "--dataset=cifar_fs --stream",
        "--dataset=cifar_fs --test_dataset=folder",
    ],
)
def test_seeds_that_do_not_go_together_are_trained_one_by_one(line: str) -> None:
    queue = [Run(f"experiments.protonet {line}"), Run("experiments.maml --dataset=cifar_fs")]
    runs = wanted(queue, "all", set(), 1, "--seeds=2")
    assert [run.seeds for run in runs] == [[0], [0, 1], [1]]
    assert runs[2].train == f"experiments.protonet {line} --seeds=2 --seeds=1 --seed=1"


def test_flag_of_a_queue_line_stays_unless_it_is_replaced() -> None:
    queue = [Run("experiments.maml --dataset=a --steps=7")]
    (more,) = wanted(queue, "a", set(), 1, "--steps=3 --lr=1")
    assert more.flags == {"dataset": "a", "steps": "7", "lr": "1"}
    (instead,) = wanted(queue, "a", set(), 1, "--lr=1", "--steps=2 --lr=2")
    assert instead.flags == {"dataset": "a", "steps": "2", "lr": "2"}


def test_the_queue_can_be_trained_by_seeds_together() -> None:
    """With the flags that benchmarks/accelerator.sh adds; all in the first round."""
    more = "--seeds=3 --precision=tf32 --valid_every=5000"
    assert f'more="{more}"' in (ROOT / "benchmarks" / "accelerator.sh").read_text()
    queue = [run for run in read_queue(QUEUE) if not run.tests_itself]
    found = wanted(queue, "all", set(), 1, more)
    assert len(found) == len(queue)
    for run in found:
        runs = [Training(step.config, Path()) for step in steps(run) if step.command == run.train]
        assert [one.config.seed for one in runs] == [0, 1, 2]
        check_settings(runs[0].config)
        check_together(runs)


def test_queue_trains_all_first_seeds_before_any_second() -> None:
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
def test_budget_is_read_in_seconds_minutes_or_hours(text: str, value: float) -> None:
    assert seconds(text) == value


def test_reproduce_mistakes_are_one_line_errors(tmp_path: Path) -> None:
    queue = read_queue(QUEUE)
    with pytest.raises(UserError, match="--budget=x is no time"):
        seconds("x")
    with pytest.raises(UserError, match="no table 'imagenet': choose all or one of cifar_fs"):
        wanted(queue, "imagenet", set(), 1, "")
    with pytest.raises(UserError, match="--more=--a='b: No closing quotation"):
        wanted(queue, "all", set(), 1, "--a='b")
    with pytest.raises(UserError, match="--instead=--a='b: No closing quotation"):
        wanted(queue, "all", set(), 1, "", "--a='b")
    with pytest.raises(UserError, match="--seed, --seeds and --draws are numbers"):
        wanted(queue, "all", set(), 1, "--seeds=x")
    with pytest.raises(UserError, match="--seeds=2 beside --seeds in --more"):
        wanted(queue, "all", set(), 2, "--seeds=3")
    with pytest.raises(UserError, match="no run of table omniglot is about mml"):
        wanted(queue, "omniglot", {"mml"}, 1, "")
    bad = tmp_path / "bad"
    bad.write_text("experiments.maml --dataset=a\nmaml\n")
    with pytest.raises(UserError, match="bad, line 2: not of the form"):
        read_queue(bad)
    bad.write_text("experiments.transfer --dataset=a | --shots=5\n")
    with pytest.raises(UserError, match="bad, line 1: experiments.transfer tests what it trains"):
        read_queue(bad)
    with pytest.raises(UserError, match="--backbone=auto: a record does not tell"):
        wanted([Run("experiments.transfer --dataset=a --backbone=auto")], "a", set(), 1, "")
    with pytest.raises(UserError, match="cannot read the queue"):
        read_queue(tmp_path / "none")


def test_every_run_of_the_queue_is_one_that_programs_take() -> None:
    queue = read_queue(QUEUE)
    assert len({run.name for run in queue}) == len(queue) > 10
    for run in queue:
        known = DEEP if run.adapts else STRATEGIES if run.classifies else METHODS
        assert run.methods <= known.keys()
        needed = ("source", "target") if run.adapts else ("dataset",)
        assert {run.flags[name] for name in needed} <= READERS.keys()
        for words in (run.train, *run.tests):
            named = {
                word.lstrip("-").partition("=")[0]
                for word in shlex.split(words)
                if word.startswith("--")
            }
            own = {"transfer": {"strategy"}, "adapt": {"source", "methods"}}.get(run.module, set())
            assert named - own <= set(Config.__dataclass_fields__), words
