"""A body that was pre-trained elsewhere, in the programs that train bodies from scratch."""

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments._cli import lab
from experiments._cli.lab import open_body
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.models.zoo import load_body
from metalearn.records.names import table_of
from metalearn.records.report import make_rows
from metalearn.records.store import read_record
from metalearn.retest import read_trained
from metalearn.types import InputSpec
from tests.programs import make_images, program, words

LITE = {"backbone": "efficientnet-lite0", "input_size": 32, "method": "simpleshot"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images") / "here")


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a test of EfficientNet-Lite0 as it is."""
    workdir = tmp_path_factory.mktemp("runs") / "lite"
    results = workdir.parent / "results"
    settings = LITE | {"image_size": None, "steps": 0, "results_dir": results, "workdir": workdir}
    said = program("finetune", "--record", *words(images, **settings))
    assert said.code == 0, said.err
    assert "efficientnet-lite0 (running), 2-way 1-shot: not trained" in said.out
    return workdir


def test_it_keeps_its_weights_statistics_and_inputs(run: Path) -> None:
    trained = read_trained(run)
    body = load_body("efficientnet-lite0")
    for found, own in (
        (trained.meta["body"], body.params),
        (trained.meta["moments"]["body"], body.moments),
    ):
        jax.tree.map(np.testing.assert_array_equal, found, own)
    assert trained.inputs == body.inputs._replace(size=(32, 32))


def test_its_record_is_marked_as_of_external_data(run: Path) -> None:
    (path,) = (run.parent / "results").glob("folder-*/simpleshot-efficientnet-lite0-32px-*.json")
    record = read_record(path)
    digest = load_body("efficientnet-lite0").digest
    assert record.config.weights == f"sha256:{digest[:16]}" and record.external
    assert table_of(record).endswith(", external data")
    assert len(make_rows([record])) == 1


def test_it_is_tested_again_without_its_weights(run: Path, images: Path, tmp_path: Path) -> None:
    """By another head; what was measured of it is in its folder."""
    places = [f"--data_dir={images}", f"--cache_dir={images.parent / 'cache'}"]
    said = program("evaluate", f"--workdir={run}", "--method=nearest_neighbour", *places)
    assert said.code == 0, said.err
    assert (run / "result-nearest_neighbour-2w1s3q-running.json").exists()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"input_size": 64}, "--input_size is of pre-trained bodies, and conv2-8 is none"),
        ({"weights": "/x.pth"}, "--weights is of pre-trained bodies, and conv2-8 is none"),
        ({"backbone": "resnet50"}, "the weights of resnet50 do not come along: get resnet50-"),
        ({"backbone": "resnet18", "weights": "/none.pth"}, "/none.pth"),
        ({"backbone": "efficientnet-lite0", "norm": "group"}, "--norm=group is not for it"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    settings: dict, line: str, images: Path, tmp_path: Path
) -> None:
    said = program("finetune", *words(images, **({"workdir": tmp_path / "run"} | settings)))
    assert line in said.complaint and not (tmp_path / "run").exists()


def test_a_run_that_begins_from_it_has_its_size_of_images(
    run: Path, images: Path, tmp_path: Path
) -> None:
    begun = {"backbone": LITE["backbone"], "init_from": run, "image_size": None, "steps": 0}
    results = {"workdir": tmp_path / "run", "results_dir": tmp_path / "results"}
    said = program("protonet", "--record", *words(images, **begun, **results))
    assert said.code == 0, said.err
    (path,) = (tmp_path / "results").glob("folder-*/protonet-init-efficientnet-lite0-32px-*.json")
    assert read_record(path).config.input_size == 32
    other = begun | {"input_size": 64, "workdir": tmp_path / "other"}
    assert (
        "--input_size: the body of --init_from takes"
        in program("protonet", *words(images, **other)).complaint
    )


def test_a_teacher_and_its_student_take_the_same_images(images: Path, tmp_path: Path) -> None:
    """Else it would be shown images that it does not know, and teach nonsense."""
    lite = {"backbone": LITE["backbone"], "input_size": 32, "method": "rfs"}
    steps = {"steps": 1, "batch_size": 2, "valid_every": 1, "episodes": 2, "valid_episodes": 2}
    teacher = tmp_path / "teacher"
    assert program("finetune", *words(images, **lite, **steps, workdir=teacher)).code == 0
    student = {"method": "rfs", "teacher": teacher, "workdir": tmp_path / "student"}
    said = program("finetune", *words(images, **student))
    assert f"--teacher={teacher} takes images of 32 pixels" in said.complaint


@pytest.mark.parametrize(("backbone", "size"), [("conv2-8", None), ("efficientnet-lite0", 20)])
def test_images_of_a_test_are_those_of_training(
    backbone: str, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oblong ones, of 20 x 16, stay so where no pre-trained body asks for squares."""
    asked = []

    def load(*words: object) -> None:
        asked.append(words[-1])
        raise UserError("enough")

    monkeypatch.setattr(lab, "load", load)
    spec = InputSpec((20, 16), (0.5,) * 3, (0.2,) * 3)
    settings = Config(dataset="tfds:toy", backbone=backbone)
    flagged = {"data_dir": None, "cache_dir": None}
    monkeypatch.setattr(lab, "FLAGS", SimpleNamespace(**flagged))
    with pytest.raises(UserError, match="enough"):
        lab.open_lab(settings, inputs=spec)
    assert asked == [size]


def test_weights_and_an_earlier_run_are_one_too_many() -> None:
    config = Config(backbone="resnet18", weights="net.pth", init_from="runs/other")
    with pytest.raises(UserError, match="--weights and --init_from both say what the body begins"):
        open_body(config)
