"""The recipe of several trainings: its stages, their lineage, what may be left out."""

from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.learners.best import PARTS, stages, usual_parts
from tests.programs import make_images, program, told, words

# Flags of the tiny run that no stage reads
OTHERS = {"inner_steps": None, "test_inner_steps": None}


def flags(images: Path, workdir: Path, **settings: object) -> list[str]:
    tiny = {"workdir": workdir, "shots": 1, "valid_episodes": 2} | OTHERS
    return words(images, **(tiny | settings))


def test_best_recipe_runs_its_stages_one_after_the_other(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", images=12)
    run = flags(images, tmp_path / "run", parts=",".join(PARTS))
    said = program("best", *run)
    assert said.code == 0, said.err
    names, every = ("pretrained", "distilled1", "episodes-1shot"), "-".join(PARTS)
    first, second, third = (
        told(next((tmp_path / "run" / name).glob("result-*.json"))) for name in names
    )
    assert first["rotation"] and first["all_turns"] and not first["lineage"]
    assert [stage["role"] for stage in second["lineage"]] == ["teacher"]
    assert [stage["role"] for stage in third["lineage"]] == ["init_from"]
    assert third["method"] == "protonet" and third["distance"] == "cosine" and third["mirror"]
    assert third["command"].startswith("python -m experiments.best --dataset=folder")
    assert third["command"].endswith(f" --workdir=runs/best-folder-conv2-8-{every}-seed0")
    stage = tmp_path / "run" / names[2]
    places = (f"--data_dir={images}", f"--cache_dir={images.parent / 'cache'}")
    tested = program("evaluate", f"--workdir={stage}", "--shots=2", *places)
    assert tested.code == 0, tested.err
    later = told(next(stage.glob("result-*2s*.json")))["command"]
    assert later.endswith(f"--workdir=runs/best-folder-conv2-8-{every}-seed0/episodes-1shot")
    again = program("best", *run)
    assert again.code == 0 and again.out.count("trained to step 4 already") == 3


def test_best_recipe_has_the_parts_asked_for() -> None:
    def names(*parts: str, **kw: int) -> list[str]:
        return [stage.name for stage in stages("cifar_fs", 5, "conv4-64", parts, **kw)]

    assert names(*PARTS) == ["pretrained", "distilled1", "episodes-5shot"]
    assert names(*PARTS, generations=2)[1:3] == ["distilled1", "distilled2"]
    assert names("rotation") == ["pretrained"]
    (stage,) = stages("cifar_fs", 5, "conv4-64", (), 0)
    assert "rotation" not in stage.settings and not stage.settings["mirror"]
    with pytest.raises(UserError, match="--parts=luck: the parts are rotation, distillation"):
        names("luck")


def test_small_networks_have_the_parts_that_pay() -> None:
    assert usual_parts("resnet12") == PARTS
    small, large = (stages("cifar_fs", 5, b, usual_parts(b)) for b in ("conv4-64", "resnet12"))
    assert [stage.name for stage in small] == ["pretrained", "episodes-5shot"]
    # As long as RFS's own pre-training; a ResNet-12's is that of another paper
    assert small[0].settings["steps"] == 60_000 and large[0].settings["steps"] == 39_000
    assert large[0].settings["rotation_weight"] == 2


def test_best_recipe_has_the_published_ways_on_published_images_alone() -> None:
    for dataset, shots, ways in (("cifar_fs", 1, 30), ("cifar_fs", 5, 20), ("folder", 1, None)):
        assert stages(dataset, shots, "conv4-64", PARTS)[-1].settings.get("train_ways") == ways


def test_best_recipe_checks_later_stages_before_the_first_is_trained(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    said = program("best", *flags(images, tmp_path / "run", train_ways=50))
    assert "training split" in said.complaint and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"dataset": "glyphs", "image_size": None}, "which makes others of glyphs's"),
        ({"inner_lr": 0.1}, "--inner_lr is read by no stage of this recipe; leave it out"),
        ({"teacher": "runs/x"}, "--teacher is the recipe's own; see --parts and --generations"),
        ({"rotation": True}, "--rotation is the recipe's own; see --parts and --generations"),
        ({"generations": 2}, "is not among the parts, episodes, mirror: add it to --parts"),
        ({"parts": "luck"}, "--parts=luck: the parts are"),
        (
            {"parts": "mirror", "train_queries": None},
            "test it again by experiments.evaluate --shots=1",
        ),
    ],
)
def test_best_recipe_refuses_flags_that_do_not_fit(
    settings: dict, line: str, tmp_path: Path
) -> None:
    images = make_images(tmp_path / "images")
    said = program("best", *flags(images, tmp_path / "run", **settings))
    assert line in said.complaint and not (tmp_path / "run").exists()
