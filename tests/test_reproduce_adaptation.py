"""The queue's comparisons of domain adaptation: which are done, and which flags they are given."""

import dataclasses
from pathlib import Path

import pytest

from experiments._cli.done import missing, records_like
from experiments._cli.plan import steps, wanted
from experiments._cli.queue import QUEUE, Run, read_queue
from metalearn.classifiers.adapting import check_adaptation
from metalearn.config import Config
from metalearn.domains.deep.registry import DEEP
from metalearn.errors import UserError
from metalearn.records.domains import TRAINED, DomainsRecord
from tests.records.test_domains import record

LINE = "experiments.adapt --source=usps --target=mnist --methods=dann,ada_bn --lr=0.02"
MAML = "experiments.maml --dataset=cifar_fs"


def recorded(config: Config, draws: int = 3) -> DomainsRecord:
    """A record of so many seeds."""
    return dataclasses.replace(
        record(config.method, [[0.5]] * draws, classifier=TRAINED, pixels=0, draws=draws),
        config=config,
    )


def test_a_comparison_is_done_by_records_of_all_its_methods_and_seeds() -> None:
    run = Run(LINE)
    configs = [step.config for step in steps(run)]
    assert [config.method for config in configs] == ["source_only", "dann", "ada_bn"]
    assert {config.lr for config in configs} == {0.02} and configs[-1].steps == 0
    records = [recorded(config) for config in configs]
    assert missing(run, records) == []
    assert [step.command for step in missing(run, [])] == [LINE]  # once for all
    assert missing(run, records[:2])
    assert missing(run, [*records[:2], recorded(configs[2], 2)])
    assert not missing(Run(f"{LINE} --draws=2"), [recorded(config, 2) for config in configs])
    other = dataclasses.replace(configs[1], steps=10)
    assert missing(run, [records[0], recorded(other), records[2]])


def test_a_comparison_has_its_seeds_and_is_given_what_its_methods_read() -> None:
    (run,) = wanted([Run(LINE)], "all", set(), 2, "--precision=tf32 --shots=5 --norotation --lr=1")
    assert run.train == f"{LINE} --draws=2 --precision=tf32" and run.seeds == [0, 1]
    (run,) = wanted([Run(LINE)], "all", set(), 1, "--draws=5", "--draws=1 --steps=2")
    assert run.seeds == [0] and run.flags["steps"] == "2"
    (other,) = wanted([Run(MAML)], "all", set(), 1, "--draws=5", "--draws=1 --steps=2")
    assert other.train == f"{MAML} --steps=2"
    (run,) = wanted([Run(LINE)], "all", set(), 1, "--seeds=3", "--steps=2 --meta_batch=2 --lr=1")
    assert run.train.split()[-2:] == ["--steps=2", "--lr=1"] and run.seeds == [0, 1, 2]


def test_tables_and_methods_choose_comparisons() -> None:
    queue = [Run(MAML), Run(LINE)]
    assert wanted(queue, "usps-to-mnist", set(), 1, "") == queue[1:]
    (run,) = wanted(queue, "all", {"ada_bn"}, 1, "")
    assert run.train == f"{LINE} --methods=ada_bn"  # the last of a flag is read
    assert run.methods == {"source_only", "ada_bn"}
    assert Run(LINE.replace("dann,ada_bn", "trained")).methods == {
        name for name, method in DEEP.items() if not method.needs_labels
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("experiments.adapt --source=usps --methods=dann", "not of the form"),
        (f"{LINE} | --shots=5", "tests what it trains itself"),
        (LINE.replace("dann", "coral"), "coral trains no body"),
        (f"{LINE} --draws=many", "--draws are numbers"),
    ],
)
def test_a_line_that_is_no_comparison_is_said(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "queue.txt").write_text(line)
    with pytest.raises(UserError, match=message):
        wanted(read_queue(tmp_path / "queue.txt"), "all", set(), 1, "")


def test_comparisons_of_the_queue_are_ones_that_the_program_takes(tmp_path: Path) -> None:
    lines = [run for run in read_queue(QUEUE) if run.adapts]
    assert len(lines) == 2 and not records_like(lines[0], tmp_path)
    for step in (step for run in lines for step in steps(run)):
        check_adaptation(step.config)
