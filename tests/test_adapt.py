"""The program that compares domain adaptation, from the command line to its records."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments._cli.done import missing
from experiments._cli.queue import Run
from metalearn.records.domains_store import DOMAINS
from tests.programs import program


def photographs(
    folder: Path, shift: int, size: int = 16, classes: int = 3, images: int = 20
) -> Path:
    """Class folders of PNGs: a band at a height of its own; the upper third is brighter by a shift."""
    rng = np.random.default_rng(shift)
    for label in range(classes):
        here = folder / f"class{label}"
        here.mkdir(parents=True)
        for i in range(images):
            pixels = rng.integers(0, 40, (size, size, 3))
            band = slice(label * size // classes, (label + 1) * size // classes)
            pixels[band] += 60
            pixels[: size // classes] += shift
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(here / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("photographs")
    return photographs(root / "dark", 0), photographs(root / "bright", 150, size=20)


def words(folders: tuple[Path, Path], *others: str) -> list[str]:
    (source, target) = folders
    places = (f"--data_dir={source}", f"--target_data_dir={target}")
    cache = f"--cache_dir={source.parent / 'cache'}"
    both = ("--source=labelled", "--target=labelled", "--methods=recentre", "--pixels=6")
    return [*both, *places, cache, "--draws=2", "--images=30", "--picture=none", *others]


def test_a_comparison_is_recorded_and_goes_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    places = (f"--workdir={tmp_path / 'run'}", f"--results_dir={tmp_path / 'results'}")
    first = program("adapt", *words(folders, "--draws=1", "--picture=pca", *places))
    assert first.code == 0, first.err
    assert "| none |" in first.out and "| recentre |" in first.out and "| oracle |" in first.out
    assert (tmp_path / "run" / "recentre.png").stat().st_size > 1000
    begun = json.loads((tmp_path / "run" / "recentre.json").read_text())
    other = program("adapt", *words(folders, "--classifier=ridge", *places))
    assert "choose another --workdir" in other.complaint
    second = program("adapt", *words(folders, "--record", *places))
    assert second.code == 0, second.err
    (plain, adapted) = sorted(DOMAINS.read_all(tmp_path / "results"), key=lambda r: r.test.method)
    assert (plain.test.method, adapted.test.method) == ("none", "recentre")
    measured = adapted.measured
    assert adapted.test.draws == 2
    assert measured.target_accuracy[0] == begun["measured"]["target_accuracy"][0]
    # The target is the source, moved
    assert np.mean(measured.target_accuracy) > np.mean(plain.measured.target_accuracy)
    assert np.mean(measured.distance) < np.mean(plain.measured.distance)
    assert "experiments.adapt" in adapted.provenance.command and not adapted.external


def test_a_grid_has_a_number_for_each_of_its_settings(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    given = ("--methods=coral", "--grid", "--target_labels=2", "--draws=1", "--classifier=ridge")
    found = program("adapt", *words(folders, *given, f"--workdir={tmp_path / 'run'}"))
    assert found.code == 0, found.err
    record = json.loads((tmp_path / "run" / "coral.json").read_text())
    choices = record["test"]["choices"]
    assert choices[0] == "defaults" and len(choices) == 3
    assert len(record["measured"]["validators"][0]) == 3
    assert len(record["measured"]["validators"][0][0]) == len(record["test"]["validators"]) == 5


def test_classes_that_differ_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    other = photographs(tmp_path / "more", 0, classes=4)
    run = f"--workdir={tmp_path / 'run'}"
    found = program("adapt", *words((folders[0], other), run))
    assert "'class3' in the target alone" in found.complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--methods=best", "no method 'best'"),
        ("--methods=dann,coral", "by two commands"),
        ("--methods=dann", "--pixels is of methods that adapt features"),
        ("--penalty=2", "not of probe"),
        ("--target_labels=500", "give"),
        ("--images=0", "would be the same images"),
        ("--methods=recentre,kmm", "kmm gives images weights"),
        ("--source=", "--source is missing"),
        ("--backbone=conv2-8", "--features=body"),
        ("--labels=3", "--images"),
        ("--steps=3", "--steps"),
        ("--classifier=tree", "tree"),
        ("--test_data_dir=x", "--target_data_dir"),
    ],
)
def test_wrong_settings_end_with_one_line(
    folders: tuple[Path, Path], tmp_path: Path, given: str, said: str
) -> None:
    found = program("adapt", *words(folders, f"--workdir={tmp_path / 'run'}", given))
    assert said in found.complaint
    assert not (tmp_path / "run").exists()


def trained_words(folders: tuple[Path, Path], *others: str) -> list[str]:
    (source, target) = folders
    places = (f"--data_dir={source}", f"--target_data_dir={target}")
    both = ("--source=labelled", "--target=labelled", "--backbone=conv2-8", "--batch_size=8")
    short = ("--steps=4", "--valid_every=2", "--draws=1")
    return [*both, *places, f"--cache_dir={source.parent / 'cache'}", *short, *others]


def test_bodies_are_trained_recorded_and_go_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    places = (f"--workdir={tmp_path / 'run'}", f"--results_dir={tmp_path / 'results'}")
    first = program("adapt", *trained_words(folders, "--methods=mcc", *places))
    assert first.code == 0, first.err
    assert "both become 20 x 20 x 3" in first.err
    assert "| source_only |" in first.out and "| last update % |" in first.out
    assert (tmp_path / "run" / "mcc.png").stat().st_size > 1000
    (tmp_path / "run" / "mcc-seed0" / "outcomes.json").rename(tmp_path / "outcomes.json")
    (tmp_path / "run" / "mcc.json").rename(tmp_path / "mcc.json")
    lost = program("adapt", *trained_words(folders, "--methods=mcc", *places))
    assert "lacks some of the run's validations" in lost.complaint
    (tmp_path / "outcomes.json").rename(tmp_path / "run" / "mcc-seed0" / "outcomes.json")
    more = ("--methods=mcc,ada_bn", "--draws=2", "--record", "--picture=none")
    second = program("adapt", *trained_words(folders, *more, *places))
    assert second.code == 0, second.err
    found = {r.test.method: r for r in DOMAINS.read_all(tmp_path / "results")}
    assert set(found) == {"source_only", "mcc", "ada_bn"}
    assert found["mcc"].test.choices == ["update 4", "update 2"]
    assert found["ada_bn"].test.choices == ["update 0"]
    assert len({r.compared for r in found.values()}) == 1
    assert found["ada_bn"].lineage[-1].config.method == "source_only"
    assert all("--draws=2" in r.provenance.command for r in found.values())
    assert found["mcc"].test.draws == 2 and len(found["mcc"].test.validators) >= 3
    run = Run(found["mcc"].provenance.command.removeprefix("python -m "))
    assert not missing(run, list(found.values())) and missing(run, [found["mcc"]])
    # What was trained is a body like any other
    begun = (f"--init_from={tmp_path / 'run' / 'mcc-seed0'}", f"--data_dir={folders[1]}")
    where = (f"--cache_dir={tmp_path / 'cache'}", f"--workdir={tmp_path / 'probe'}")
    probe = program("transfer", "--dataset=labelled", "--strategy=probe", *begun, *where)
    assert probe.code == 0, probe.err
    refused = program("evaluate", f"--workdir={tmp_path / 'run' / 'mcc-seed0'}")
    assert "holds a classifier of fixed classes (mcc)" in refused.complaint


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--init_from=x", "source_only"),
        ("--images=5", "--images is of methods that adapt features"),
        ("--methods=joint", "give --target_labels"),
        ("--keep=best", "--keep=best"),
        ("--target_labels=500", "give"),
        ("--backbone=efficientnet-lite0", "--bottleneck"),
        ("--stream", "--stream"),
        ("--shots=5", "--shots"),
        ("--backbone=best", "best"),
        ("--norm=best", "--norm=best: choose one of running"),
        ("--batch_size=1", "--batch_size=1"),
        ("--backbone=bottleneck", "add --bottleneck"),
        ("--input_size=64", "--input_size is of pre-trained bodies"),
        ("--devices=2", "on one device"),
        ("--meta_batch=2", "one batch of both domains"),
        ("--methods=trained,mcc", "no method 'trained'"),
        ("--methods=", "--methods names none"),
    ],
)
def test_wrong_settings_of_a_training_end_with_one_line(
    folders: tuple[Path, Path], tmp_path: Path, given: str, said: str
) -> None:
    run = f"--workdir={tmp_path / 'run'}"
    found = program("adapt", *trained_words(folders, "--methods=mcc", run, given))
    assert said in found.complaint
    assert not list((tmp_path / "run").rglob("*.json"))
