"""A body that was pre-trained elsewhere, in the programs that train bodies from scratch."""

from pathlib import Path

import jax
import numpy as np
import pytest

from experiments._cli.lab import open_body
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.models.zoo import load_body
from metalearn.records.names import table_of
from metalearn.records.report import make_rows
from metalearn.records.store import read_record
from metalearn.retest import read_trained
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


def test_weights_and_an_earlier_run_are_one_too_many() -> None:
    config = Config(backbone="resnet18", weights="net.pth", init_from="runs/other")
    with pytest.raises(UserError, match="--weights and --init_from both say what the body begins"):
        open_body(config)
