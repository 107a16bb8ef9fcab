"""The size of images that classifiers show a pre-trained body."""

import dataclasses
from types import SimpleNamespace

import pytest

from experiments._cli import material
from experiments._cli.flags import classifier_config
from metalearn.config import Config
from metalearn.learners.registry import STRATEGIES
from metalearn.learners.supervised_recipes import usual_size
from metalearn.models.zoo import BODIES

TRANSFERRED = [name for name in STRATEGIES if name != "scratch"]
LITE = {"efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"}


@pytest.mark.parametrize("strategy", TRANSFERRED)
@pytest.mark.parametrize("body", BODIES)
def test_only_efficientnet_lite_takes_the_recipes_size(strategy: str, body: str) -> None:
    """160 pixels do not divide into patches of 14, and are few for others."""
    found = classifier_config(strategy, {"backbone": body}).input_size
    assert found == usual_size(body) == (160 if body in LITE else 0)


def test_a_size_that_is_given_or_an_earlier_runs_stays() -> None:
    assert classifier_config("probe", {"backbone": "resnet18", "input_size": 96}).input_size == 96
    begun = {"backbone": "resnet18", "norm": "running", "input_size": 128, "initial": "default"}
    assert classifier_config("probe", {"init_from": "run"}, begun).input_size == 128


def test_the_usual_body_and_random_weights_keep_theirs() -> None:
    assert classifier_config("probe", {}).input_size == 160
    assert classifier_config("scratch", {"backbone": "efficientnet-lite0"}).input_size == 0


@pytest.mark.parametrize(("given", "sizes"), [(None, [160, 0, 0]), (96, [96, 96, 96])])
def test_bodies_are_ranked_by_images_of_their_own_size(
    given: int | None, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice among several shows each the size that it would be trained on."""
    names = ["efficientnet-lite0", "resnet50", "dinov2-s14"]
    shown = []

    def ranked(names: list[str], gathered: object) -> list[SimpleNamespace]:
        for name in names:
            gathered(name)
        return [SimpleNamespace(name=names[2])]

    def opened(config: Config) -> tuple[Config, None]:
        shown.append(config.input_size)
        return config, None

    monkeypatch.setattr(material, "FLAGS", SimpleNamespace(weights_dir=None, input_size=given))
    monkeypatch.setattr(material, "available", lambda folder: dict.fromkeys(names))
    monkeypatch.setattr(material, "ranked", ranked)
    monkeypatch.setattr(material, "open_material", opened)
    monkeypatch.setattr(material, "said", lambda found: "")
    config = dataclasses.replace(classifier_config("probe", {"backbone": "auto"}), labels=2)
    chosen = material.with_best_body(config)
    assert shown == sizes
    assert (chosen.backbone, chosen.input_size) == ("dinov2-s14", sizes[2])
