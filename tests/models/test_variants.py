"""Files of libraries whose networks compute otherwise, with weights of the same names and shapes.

They give a body with a name of its own, and wherever it is made again by its name the network is
that of the file.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments._cli import program
from experiments._cli.lab import open_body
from metalearn.config import Config
from metalearn.models import make_network, zoo
from metalearn.models.layouts import Placed
from metalearn.models.zoo import BODIES, load_body, make_body
from metalearn.personal.embedding import load_embedding
from metalearn.training.state import Run
from metalearn.types import Network

FILES = [
    (asked, name, position)
    for asked in BODIES
    for name in (asked, *BODIES[asked].others)
    for position, _ in enumerate(BODIES[name].family().layouts)
]
VARIANTS = {each: name for name in BODIES for each in BODIES[name].others}
GOOGLE = "mobilenet-v2-transformers"
SIDES = {
    GOOGLE: 32,
    "inception-v3-keras": 107,
    "vit-s16-transformers": 32,
    "deit-s16-transformers": 32,
}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch):
    """Makes the file of a body's layout of this number what is read, without its numbers."""

    def give(name: str, position: int = 0) -> None:
        layout = BODIES[name].family().layouts[position]
        keys = [key for entry in layout.entries for key in entry.keys]
        monkeypatch.setattr(zoo, "find_weights", lambda *words: (Path("file"), "0" * 64))
        monkeypatch.setattr(zoo, "read_weights", lambda path: dict.fromkeys(keys))
        monkeypatch.setattr(zoo, "place", lambda *words: Placed({"none": {}}, {}, None))

    return give


def computed(network: Network, side: int) -> str:
    """What a network computes of an image, as JAX writes it down."""
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), image)
    moments = jax.eval_shape(network.moments, params, image)
    return str(jax.make_jaxpr(network.apply)(params, image, moments))


@pytest.mark.parametrize(("asked", "name", "position"), FILES)
def test_a_file_gives_the_body_of_its_library(given, asked: str, name: str, position: int) -> None:
    given(name, position)
    found = load_body(asked, "file")
    assert found.name == name
    assert found.inputs == BODIES[name].family().layouts[position].inputs


@pytest.mark.parametrize(("name", "side"), SIDES.items())
def test_the_network_is_made_again_by_the_name(given, name: str, side: int) -> None:
    given(name)
    again = computed(make_body(name).network, side)
    assert again == computed(load_body(VARIANTS[name], "file").network, side)
    assert again != computed(make_body(VARIANTS[name]).network, side)


def test_all_of_them_are_compared() -> None:
    assert SIDES.keys() == VARIANTS.keys()


@pytest.mark.parametrize(
    ("asked", "name", "doubt"),
    [
        ("vit-s16", "vit-s16", "scaled to -1..1; for weights of DeiT or DINO give --backbone=deit"),
        ("deit-s16", "deit-s16-transformers", "have ImageNet's statistics; for other weights of"),
        ("resnet18", "resnet18", ""),
    ],
)
def test_what_a_file_does_not_tell_is_said(
    given, asked: str, name: str, doubt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of ViT, DeiT and DINO differ in the images that they are for alone."""
    given(name)
    load_body(asked, "file")
    said = capsys.readouterr().err
    assert doubt in said and bool(said) == bool(doubt) and said.count("\n") == bool(doubt)
    if doubt:
        assert f"note: file is read as {name}: its images" in said


def test_a_published_file_leaves_no_doubt(
    given, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given("deit-s16")
    digest = BODIES["deit-s16"].source.digest.ljust(64, "0")
    monkeypatch.setattr(zoo, "find_weights", lambda *words: (Path("file"), digest))
    load_body("deit-s16", "file")
    assert not capsys.readouterr().err


def test_settings_name_the_body_of_the_file(given) -> None:
    given(GOOGLE)
    (config, _) = open_body(Config(backbone="mobilenet-v2", weights="file", norm="running"))
    assert config.backbone == GOOGLE
    own = computed(make_body(GOOGLE).network, 32)
    assert computed(make_network(config.backbone), 32) == own


def test_few_shot_runs_name_the_body_of_the_file(given, monkeypatch: pytest.MonkeyPatch) -> None:
    given(GOOGLE)
    executed = []

    def execute(runs: list[Run], *others: object) -> list[list[object]]:
        executed.extend(runs)
        return [[] for _ in runs]

    monkeypatch.setattr(program, "execute", execute)
    for name in ("set_up", "open_lab", "finish"):
        monkeypatch.setattr(program, name, lambda *words: None)
    config = Config(method="simpleshot", backbone="mobilenet-v2", weights="file", norm="running")
    runs = [Run(dataclasses.replace(config, seed=seed), Path(f"seed{seed}")) for seed in (3, 4)]
    program.carry_out(runs, "command")
    named = [(run.config.backbone, run.config.seed) for run in executed]
    assert named == [(GOOGLE, 3), (GOOGLE, 4)]
    assert {run.config.weights for run in executed} == {"sha256:" + "0" * 16}


def test_an_embedding_is_of_the_body_of_the_file(given, monkeypatch: pytest.MonkeyPatch) -> None:
    given(GOOGLE)
    body = make_body(GOOGLE)
    image = jnp.zeros((1, *body.inputs.shape))
    params = jax.eval_shape(body.network.init, jax.random.key(0), image)
    monkeypatch.setattr(zoo, "place", lambda *words: Placed(params, {}, None))
    assert load_embedding("mobilenet-v2", "file").shown.body == GOOGLE
