"""The program that simulates active learning, from the command line to its records."""

import json
from pathlib import Path

import pytest

from experiments._cli.draws import grouped
from metalearn.records.active import ACTIVE
from tests.programs import program
from tests.test_transfer import draw
from tests.test_transfer import words as training_words


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("photographs") / "things", images=20)


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier trained from random weights: a body."""
    workdir = tmp_path_factory.mktemp("runs") / "scratch"
    said = program("pretrain", *training_words(images, backbone="conv2-8", workdir=workdir))
    assert said.code == 0, said.err
    return workdir


def words(images: Path, trained: Path, *others: str) -> list[str]:
    places = (f"--data_dir={images}", f"--cache_dir={images.parent / 'cache'}")
    body = f"--init_from={trained}"
    rounds = ("--budget=3,9,18", "--draws=2", "--strategies=margin,auto")
    return ["--dataset=labelled", body, *places, *rounds, *others]


def test_a_simulation_is_recorded_and_goes_on(images: Path, trained: Path, tmp_path: Path) -> None:
    folders = (f"--workdir={tmp_path / 'run'}", f"--results_dir={tmp_path / 'results'}")
    first = program("active", *words(images, trained, "--draws=1", *folders))
    assert first.code == 0, first.err
    assert "| random |" in first.out and "| auto |" in first.out
    begun = json.loads((tmp_path / "run" / "margin.json").read_text())
    second = program("active", *words(images, trained, "--record", *folders))
    assert second.code == 0, second.err
    records = ACTIVE.read_all(tmp_path / "results")
    assert sorted(each.test.strategy for each in records) == ["auto", "margin", "random"]
    for record in records:
        assert record.test.draws == 2 and record.measured.accuracy[0][-1] > 0.8  # plain colours
        assert "pretrain" in record.provenance.command and not record.external
    margin = next(each for each in records if each.test.strategy == "margin")
    assert margin.measured.accuracy[0] == begun["measured"]["accuracy"][0]


def test_draws_that_choose_at_once_are_those_made_one_by_one(
    images: Path, trained: Path, tmp_path: Path
) -> None:
    accuracies = []
    for at_once in ("1", "2"):
        folder = tmp_path / at_once
        given = words(images, trained, f"--at_once={at_once}", f"--workdir={folder}")
        found = program("active", *given, "--draws=3")
        assert found.code == 0, found.err
        accuracies.append(json.loads((folder / "auto.json").read_text())["measured"]["accuracy"])
    assert accuracies[0] == accuracies[1] and len(accuracies[0]) == 3


def test_draws_are_grouped_early_ones_first() -> None:
    todo = [(1, "auto"), (2, "random"), (2, "auto"), (3, "random"), (3, "auto")]
    one_by_one = [("auto", [1]), ("random", [2]), ("auto", [2]), ("random", [3]), ("auto", [3])]
    assert grouped(todo, 1) == one_by_one
    assert grouped(todo, 2) == [("auto", [1]), ("random", [2, 3]), ("auto", [2, 3])]


def test_the_body_may_be_trained_in_each_round(images: Path, trained: Path, tmp_path: Path) -> None:
    training = ("--classifier=fine_tune", "--steps=3", "--lr=0.01", "--batch_size=4", "--draws=1")
    rounds = ("--budget=6,12", "--strategies=random", f"--workdir={tmp_path / 'run'}")
    found = program("active", *words(images, trained, *training, *rounds))
    assert found.code == 0, found.err
    record = json.loads((tmp_path / "run" / "random.json").read_text())
    assert record["config"]["method"] == "fine_tune"
    assert not (tmp_path / "run" / "training").exists()


def test_a_folder_of_another_simulation_is_refused(
    images: Path, trained: Path, tmp_path: Path
) -> None:
    given = words(images, trained, "--draws=1", "--strategies=random", f"--workdir={tmp_path}")
    assert program("active", *given).code == 0
    found = program("active", *given, "--budget=3,6")
    assert found.code == 2 and "choose another --workdir" in found.err


def test_budgets_of_the_default_are_no_larger_than_the_pool(trained: Path, tmp_path: Path) -> None:
    (_, body, *_) = words(draw(tmp_path / "many", images=60), trained)
    places = (f"--data_dir={tmp_path / 'many'}", f"--cache_dir={tmp_path / 'cache'}", "--draws=1")
    given = ("--dataset=labelled", body, *places, "--strategies=random")
    for folder, pool in (("all", ()), ("some", ("--pool=110",))):
        found = program("active", *given, *pool, f"--workdir={tmp_path / folder}")
        assert found.code == 0, found.err
        record = json.loads((tmp_path / folder / "random.json").read_text())
        assert record["test"]["budgets"] == [100]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--budget=9,3", "ascending"),
        ("--budget=ten", "whole numbers"),
        ("--budget=1000", "the pool has"),
        ("--pool=5", "the pool has 5 images; ask for fewer"),
        ("--pool=5000", "images to draw from"),
        ("--strategies=best", "no strategy 'best'"),
        ("--labels=3", "--budget"),
        ("--test_data_dir=x", "--test_data_dir is of --test_dataset"),
        ("--steps=3", "--steps"),
        ("--classifier=tree", "tree"),
        ("--at_once=-1", "at_once"),
    ],
)
def test_wrong_settings_end_with_one_line(
    images: Path, trained: Path, tmp_path: Path, given: str, said: str
) -> None:
    found = program("active", *words(images, trained, f"--workdir={tmp_path / 'run'}", given))
    assert found.code == 2
    assert found.err.count("error:") == 1 and said in found.err


def test_a_word_that_is_no_command_is_named() -> None:
    found = program("active", "nxt", "photos")
    assert found.code == 2 and "no command 'nxt'" in found.err
