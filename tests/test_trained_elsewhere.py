"""Bodies that are tested on another dataset than they were trained on, or without training."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.retest import read_trained
from tests.programs import make_images, program, told, weights, words


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images") / "here")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey images of another size."""
    folder = make_images(tmp_path_factory.mktemp("others") / "there", size=11)
    for path in folder.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    return folder


@pytest.fixture(scope="module")
def body(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of rfs."""
    workdir = tmp_path_factory.mktemp("runs") / "body"
    assert program("finetune", *words(images, method="rfs", workdir=workdir)).code == 0
    return workdir


def test_checkpoint_holds_inputs_and_running_statistics(body: Path) -> None:
    trained = read_trained(body)
    assert trained.inputs is not None and trained.inputs.shape == (8, 8, 3)
    assert all(0.2 < mean < 0.8 for mean in trained.inputs.mean)
    moments = trained.meta["moments"]
    assert moments.keys() == {"body", "features"}
    assert all((layer["var"] > 0).all() for layer in moments["body"].values())


def test_on_another_dataset_reads_only_that_one(
    body: Path, images: Path, others: Path, tmp_path: Path
) -> None:
    """The images of training may be gone; those of the test become the body's size and channels."""
    before = weights(body, "best")
    flags = {"workdir": body, "test_dataset": "folder", "test_data_dir": others}
    flags |= {"data_dir": tmp_path / "gone", "cache_dir": tmp_path / "cache", "episodes": 6}
    said = program(
        "evaluate",
        "--record",
        f"--results_dir={tmp_path}",
        *[f"--{k}={v}" for k, v in flags.items()],
    )
    assert said.code == 0, said.err
    assert "folder-to-folder 2-way 1-shot, rfs" in said.out
    (path,) = body.glob("result-folder-*.json")
    record = told(path)
    assert record["test_dataset"] == "folder" and record["images"].count("+") == 1
    (kept,) = tmp_path.glob("folder-*-to-folder-*/rfs-*.json")
    assert json.loads(kept.read_text()) == json.loads(path.read_text())
    after = weights(body, "best")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_centred_heads_use_the_statistics_of_training(
    body: Path, others: Path, tmp_path: Path
) -> None:
    said = program(
        "evaluate",
        "--method=simpleshot",
        f"--workdir={body}",
        "--test_dataset=folder",
        f"--test_data_dir={others}",
        f"--cache_dir={tmp_path}",
    )
    assert said.code == 0, said.err
    assert (body / "result-simpleshot-folder-2w1s3q-running.json").exists()


def test_training_is_tested_on_another_dataset(images: Path, others: Path, tmp_path: Path) -> None:
    there = {"test_dataset": "folder", "test_data_dir": others, "workdir": tmp_path / "run"}
    said = program("maml", *words(images, **there))
    assert said.code == 0, said.err
    path, _ = sorted((tmp_path / "run").glob("result-folder-*.json"))
    assert told(path)["test_dataset"] == "folder"


def test_data_dir_needs_test_dataset(images: Path, tmp_path: Path) -> None:
    said = program("maml", *words(images, test_data_dir=images, workdir=tmp_path / "run"))
    assert said.complaint == "--test_data_dir is of --test_dataset: give that too"


@pytest.mark.parametrize("name", ["maml", "protonet"])
def test_initial_weights_are_tested_without_training(
    name: str, images: Path, tmp_path: Path
) -> None:
    run = words(images, steps=0, workdir=tmp_path / "run", schedule="cosine")
    said = program(name, *run)
    assert said.code == 0, said.err
    assert "not trained" in said.out
    record = told(next((tmp_path / "run").glob("result-*.json")))
    assert record["steps"] == record["best_step"] == 0 and record["train_wall_s"] == 0
    again = program(name, *run)
    assert again.code == 0 and "validation" not in again.err
    assert told(next((tmp_path / "run").glob("result-*.json"))) == record


def test_loaded_body_is_tested_without_training(body: Path, images: Path, tmp_path: Path) -> None:
    run = {"steps": 0, "init_from": body, "workdir": tmp_path / "run", "norm": "running"}
    assert program("protonet", *words(images, **run)).code == 0
    there = weights(body, "best")
    here = weights(tmp_path / "run", "best")
    kernels = [name for name in here if "['meta']['body']" in name]
    assert kernels and all(np.array_equal(here[name], there[name]) for name in kernels)
