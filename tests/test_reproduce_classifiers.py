"""The queue's classifiers of fixed classes: which are done, and which flags they are given."""

import dataclasses
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import reproduce
from experiments._cli.done import missing, records_like
from experiments._cli.plan import steps, trained, wanted
from experiments._cli.queue import QUEUE, Run, read_queue
from metalearn.classifiers.run import check_classifier
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.registry import reads
from metalearn.records.labelled import LabelledMeasured, LabelledRecord, LabelledTest
from metalearn.records.labelled_store import LABELLED, write_labelled
from metalearn.records.record import Provenance, Stage
from metalearn.records.store import write_json
from tests.programs import ROOT, make_images, program

FINE_TUNE = "experiments.transfer --strategy=fine_tune --dataset=cifar100"
SCRATCH = "experiments.pretrain --dataset=cifar100"


def recorded(config: Config, *lineage: Stage) -> LabelledRecord:
    """A record with these settings, of weights that it has the digest of."""
    config = dataclasses.replace(config, weights="sha256:0123456789abcdef")
    measured: dict = {field.name: 0.5 for field in dataclasses.fields(LabelledMeasured)}
    measured |= {"trained_parameters": 10, "parameters": 10}
    provenance = Provenance("python -m experiments.transfer", "0123456789ab", "1x Device")
    tested = LabelledTest("0123456789abcdef", 100, 0)
    return LabelledRecord(config, tested, LabelledMeasured(**measured), lineage, provenance)


@pytest.mark.parametrize("line", [FINE_TUNE, f"{FINE_TUNE} --weights=/here/lite0.pth --labels=5"])
def test_classifier_is_done_by_a_record_with_its_settings(line: str) -> None:
    run = Run(f"{line} --lr=3e-4")
    config = trained(run)
    assert (config.method, config.lr, config.head_lr) == ("fine_tune", 3e-4, 1.0)
    assert [step.command for step in missing(run, [])] == [run.train]
    assert missing(run, [recorded(config)]) == []
    for other in ({"lr": 1e-4}, {"seed": 1}, {"input_size": 224}, {"method": "gradual"}):
        assert missing(run, [recorded(dataclasses.replace(config, **other))])
    assert missing(run, [recorded(config, Stage("init_from", Config(), ()))])


def test_recipe_of_few_labels_is_that_of_the_line() -> None:
    assert trained(Run(SCRATCH)).steps == 20_000 != trained(Run(f"{SCRATCH} --labels=5")).steps
    assert trained(Run(f"{SCRATCH} --backbone=cnn")).norm == "none"
    assert trained(Run("experiments.transfer --dataset=usps")).method == "probe"


def test_classifier_of_an_earlier_run_is_done_by_a_record_of_that_run(tmp_path: Path) -> None:
    first = trained(Run(f"{SCRATCH} --backbone=cnn"))
    run = Run(f"{FINE_TUNE} --init_from={tmp_path}")
    without = trained(run)
    assert without.backbone == "efficientnet-lite0"
    assert missing(run, [recorded(without, Stage("init_from", first))])
    write_json(tmp_path / "config.json", dataclasses.asdict(first) | {"lineage": []})
    config = trained(run)
    assert (config.backbone, config.norm, config.input_size) == ("cnn", "none", 0)
    assert missing(run, [recorded(config, Stage("init_from", first, (), 50.0))]) == []
    other = dataclasses.replace(first, seed=1)
    assert missing(run, [recorded(config, Stage("init_from", other))])
    assert missing(run, [recorded(config)])


def test_classifier_is_given_what_its_strategy_reads() -> None:
    queue = [Run(f"{SCRATCH} --lr=1"), Run(FINE_TUNE), Run("experiments.transfer --dataset=usps")]
    more = "--precision=tf32 --valid_every=50 --lr=2 --episodes=8 --norotation --stream"
    added = [
        "--precision=tf32 --valid_every=50 --stream",
        "--precision=tf32 --valid_every=50 --lr=2 --stream",
        "--precision=tf32 --stream",
    ]
    runs = wanted(queue, "all", set(), 1, more)
    assert [run.train for run in runs] == [
        f"{run.train} {words}" for run, words in zip(queue, added, strict=True)
    ]
    instead = wanted(queue, "all", set(), 1, "", "--steps=2 --meta_batch=2 --episodes=8")
    assert [run.train.split()[-2:] for run in instead[:2]] == [["--steps=2", "--meta_batch=2"]] * 2
    assert instead[2] == queue[2]


def test_seeds_of_classifiers_are_trained_one_by_one() -> None:
    queue = [Run(SCRATCH), Run("experiments.maml --dataset=cifar_fs"), Run(FINE_TUNE)]
    runs = wanted(queue, "all", set(), 1, "--seeds=2")
    assert [run.seeds for run in runs] == [[0], [0, 1], [0], [1], [1]]
    assert len({run.name for run in runs}) == 5
    again = wanted(queue[:1], "all", set(), 2, "")
    assert [next(steps(run)).config.seed for run in again] == [0, 1]
    assert missing(again[1], [recorded(trained(again[0]))])


def test_tables_and_strategies_choose_classifiers() -> None:
    queue = [Run(SCRATCH), Run(FINE_TUNE), Run("experiments.maml --dataset=cifar_fs")]
    assert wanted(queue, "cifar100", set(), 1, "") == queue[:2]
    assert wanted(queue, "all", {"scratch", "maml"}, 1, "") == [queue[0], queue[2]]
    assert wanted(queue, "all", {"fine_tune"}, 1, "") == [queue[1]]


def test_classifiers_of_the_queue_are_ones_that_programs_take() -> None:
    """As they stand, and with the flags that benchmarks/accelerator.sh adds."""
    lines = [run for run in read_queue(QUEUE) if run.classifies]
    script = (ROOT / "benchmarks" / "accelerator.sh").read_text()
    more = "--seeds=3 --precision=tf32 --valid_every=5000"
    instead = "--steps=2 --valid_every=2 --valid_episodes=4 --episodes=8 --meta_batch=2 --draws=1"
    assert f'more="{more}"' in script and f'instead="{instead}"' in script
    for given in (("", ""), (more, ""), ("", instead)):
        runs = wanted(lines, "cifar100", set(), 1, *given)
        assert len(runs) == len(lines) * (3 if "--seeds" in given[0] else 1)
        for run in runs:
            named = {word.lstrip("-").partition("=")[0] for word in run.train.split()[1:]}
            settings = named & set(Config.__dataclass_fields__)
            assert all(reads(run.method, name) for name in settings), run
            check_classifier(trained(run))


def test_record_of_a_program_makes_its_line_done(tmp_path: Path) -> None:
    """The program as it is, on a few images."""
    images = make_images(tmp_path / "images")
    run = Run(
        "experiments.pretrain --dataset=labelled --backbone=conv2-8 --steps=2 --valid_every=2 "
        "--batch_size=8 --augment=none"
    )
    results = tmp_path / "results"
    places = [f"--data_dir={images}", f"--cache_dir={tmp_path / 'cache'}"]
    places += [f"--workdir={tmp_path / 'run'}", f"--results_dir={results}", "--record"]
    said = program("pretrain", *shlex.split(run.train)[1:], *places)
    assert said.code == 0, said.err
    assert missing(run, records_like(run, results)) == []
    assert missing(run.with_flags(["--seed=1"]), records_like(run, results))


def test_reproduce_makes_the_records_that_classifiers_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training is replaced by writing a record; the second seed's fails."""
    (tmp_path / "queue.txt").write_text(f"{SCRATCH}  # a comment\nexperiments.maml --dataset=a\n")
    results = tmp_path / "results"
    results.mkdir()
    given = {"queue": tmp_path / "queue.txt", "results_dir": results, "runs_dir": tmp_path / "runs"}
    given |= {"table": "cifar100", "methods": [], "seeds": 1, "budget": "1h", "instead": ""}
    given |= {"more": "--seeds=2 --episodes=9", "list": False}
    monkeypatch.setattr(reproduce, "FLAGS", SimpleNamespace(**given))
    folders = []

    def perform(command: str, workdir: Path, end: float) -> int:
        folders.append(workdir)
        record = recorded(trained(Run(command)))
        if record.config.seed == 0:
            write_labelled(LABELLED.path(results, record), record, np.zeros((2, 100), int))
        return 2 * record.config.seed

    monkeypatch.setattr(reproduce, "perform", perform)
    names = ["pretrain-cifar100-1-0", "pretrain-cifar100-1-1"]
    failed = "1 of 2 runs failed; their logs"
    for times in (1, 2):
        with pytest.raises(UserError, match=failed):
            reproduce.main()
        assert [folder.name for folder in folders] == names + names[1:] * (times - 1)
    monkeypatch.setattr(reproduce.FLAGS, "list", True)
    capsys.readouterr()
    reproduce.main()
    assert capsys.readouterr().out == f"{names[0]}: done\n{names[1]}: missing\n"
