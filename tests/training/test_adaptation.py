"""Training a body for another domain: what it reads, what it keeps, how it goes on."""

import dataclasses
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.classifiers.adapting import (
    adapt_body,
    assembled_adaptation,
    check_adaptation,
    features_of_run,
)
from metalearn.classifiers.judged import Domains, Judge, read_outcomes
from metalearn.config import Config
from metalearn.data.source import Dataset, Split
from metalearn.domains.deep.types import Pair
from metalearn.errors import Interrupted, UserError
from metalearn.learners.registry import preset
from metalearn.retest import read_trained
from metalearn.training import loop
from metalearn.training.domain_batches import (
    Adaptation,
    drawn,
    exporter,
    source_side,
    split_of,
)
from metalearn.training.lab import make_lab
from metalearn.training.state import Run
from metalearn.types import random_key

NAMES = ("top", "middle", "bottom")
SIZE = 8


def bands(images: int, seed: int, brighter: int) -> Split:
    """Images of a class have a band at a height of its own; all are brighter by a number."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 60, (3, images, SIZE, SIZE, 1))
    for label in range(3):
        found[label, :, 3 * label : 3 * label + 2] += 80
    pixels = (found + brighter).clip(0, 255).astype(np.uint8)
    return Split(pixels.reshape(-1, SIZE, SIZE, 1), np.full(3, images, np.int32), NAMES)


def dataset(name: str, brighter: int) -> Dataset:
    moments = (np.full(1, 0.3, np.float32), np.full(1, 0.3, np.float32))
    parts = [bands(count, seed + brighter, brighter) for seed, count in enumerate((16, 4, 8))]
    return Dataset(name, *parts, *moments, digest=name, shared=True)


@pytest.fixture(scope="module")
def domains() -> Domains:
    (source, target) = (
        make_lab(dataset(*each), devices=1) for each in (("dark", 0), ("bright", 120))
    )
    return Domains(source, target._replace(inputs=source.inputs), NAMES)


def configured(method: str, **settings: object) -> Config:
    """The config of a short training of a tiny body."""
    recipe = preset(method, "dark", 0) | {"backbone": "conv2-8", "steps": 12, "valid_every": 4}
    given = {"method": method, "dataset": "dark", "target": "bright", "batch_size": 8, "lr": 0.05}
    return dataclasses.replace(Config(), **(recipe | given | settings))


@pytest.fixture(scope="module")
def plain(domains: Domains, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training on the source alone."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    adapt_body(Run(configured("source_only"), folder), domains, "made by a test")
    return folder


def test_training_is_resumed_to_the_bit(
    domains: Domains, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source-free adaptation, whose pseudo-labels are made anew at each validation."""
    config = configured("shot", init_from=str(plain))
    whole = adapt_body(Run(config, tmp_path / "whole"), domains, "")
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    wait = loop.Trainer._agree
    asked = []

    def stopped(self, interrupt, seconds=0.0):
        asked.append(seconds)
        found = wait(self, interrupt, seconds)
        return found._replace(signal=signal.SIGTERM) if len(asked) in (7, 8) else found

    monkeypatch.setattr(loop.Trainer, "_agree", stopped)
    run = Run(config, tmp_path / "parts")
    with pytest.raises(Interrupted):
        adapt_body(run, domains, "")
    assert 0 < max(read_outcomes(tmp_path / "parts" / "outcomes.json"), default=1) < 12
    parts = adapt_body(run, domains, "")
    assert list(whole) == list(parts) == [4, 8, 12]
    for step, outcome in whole.items():
        assert parts[step].validators == outcome.validators
        assert parts[step].target == outcome.target
    kept = [read_trained(tmp_path / name).meta for name in ("whole", "parts")]
    jax.tree.map(np.testing.assert_array_equal, *kept)
    again = adapt_body(run, domains, "")
    assert again == parts


def test_labels_of_the_target_are_not_read(domains: Domains, tmp_path: Path) -> None:
    target = domains.target
    split = target.dataset.train
    others = split._replace(counts=np.array([10, 20, 18], np.int32))
    lab = make_lab(target.dataset._replace(train=others), devices=1)
    changed = domains._replace(target=lab._replace(inputs=target.inputs))
    config = configured("cdan_e", keep="last", steps=4)
    (found, other) = (
        adapt_body(Run(config, tmp_path / name), each, "")
        for name, each in (("as", domains), ("other", changed))
    )
    for step in found:
        assert found[step].target == other[step].target


def test_batches_are_of_both_domains_and_of_the_few_labels(domains: Domains, plain: Path) -> None:
    config = configured("joint", target_labels=2, augment="none")
    about = assembled_adaptation(config, domains)
    pair: Pair = drawn(about)(random_key(0), split_of(about))
    assert pair.source.x.shape == pair.target.shape == (8, SIZE, SIZE, 1)
    prepared = about.target.prepare(jnp.asarray(domains.target.dataset.train.images[pair.rows]))
    np.testing.assert_array_equal(pair.target, prepared)
    assert pair.few is not None and about.few is not None
    known = about.target.prepare(jnp.asarray(about.few.images))
    for x, y in zip(pair.few.x, pair.few.y, strict=True):
        assert any((x == each).all() for each in known[2 * int(y) : 2 * int(y) + 2])
    assert len(np.unique(known, axis=0)) == 6


def statistics(about: Adaptation) -> np.ndarray:
    """The means that a body's first layer has for its running statistics."""
    body = about.network.init(random_key(0), jnp.zeros((1, SIZE, SIZE, 1)))
    ready = exporter(about)({"body": body, "classifier": {}})
    return np.asarray(ready["moments"]["body"]["norm0"]["mean"])


def test_running_statistics_are_of_the_images_that_a_method_says(
    domains: Domains, plain: Path
) -> None:
    config = configured("source_only")
    of_source = statistics(assembled_adaptation(config, domains))
    adapted = statistics(assembled_adaptation(configured("dann"), domains))
    begun = configured("ada_bn", init_from=str(plain))
    of_target = statistics(assembled_adaptation(begun, domains))
    np.testing.assert_array_equal(adapted, of_target)
    assert np.abs(of_target - of_source).max() > 0.2


def test_ada_bn_keeps_all_weights(domains: Domains, plain: Path, tmp_path: Path) -> None:
    config = configured("ada_bn", steps=0, init_from=str(plain))
    found = adapt_body(Run(config, tmp_path / "run"), domains, "")
    assert list(found) == [0]
    (before, after) = (read_trained(folder).meta for folder in (plain, tmp_path / "run"))
    for part in ("body", "classifier"):
        jax.tree.map(np.testing.assert_array_equal, before[part], after[part])
    moved = [before, after]
    (old, new) = (each["moments"]["body"]["norm0"]["mean"] for each in moved)
    assert np.abs(old - new).max() > 0.1
    (source, target) = features_of_run(tmp_path / "run", domains, 5)
    assert source.shape == target.shape == (5, 32)


def test_adda_leaves_the_classifier_and_the_sources_body_alone(
    domains: Domains, plain: Path, tmp_path: Path
) -> None:
    before = read_trained(plain).meta
    config = configured("adda", init_from=str(plain), steps=4)
    adapt_body(Run(config, tmp_path / "adda"), domains, "")
    after = read_trained(tmp_path / "adda").meta
    jax.tree.map(np.testing.assert_array_equal, before["classifier"], after["classifier"])
    assert np.abs(before["body"]["conv0"] - after["body"]["conv0"]).max() > 0
    again = read_trained(plain).meta
    jax.tree.map(np.testing.assert_array_equal, before, again)


def test_the_state_that_a_validator_prefers_is_kept(domains: Domains, tmp_path: Path) -> None:
    config = configured("mcc", keep="entropy")
    found = adapt_body(Run(config, tmp_path), domains, "")
    best = max(found, key=lambda step: found[step].validators[0])
    assert read_trained(tmp_path).best.step == best


def test_images_that_are_judged_are_of_all_classes_however_few_are_looked_at(
    domains: Domains, tmp_path: Path
) -> None:
    about = assembled_adaptation(configured("dann"), domains)
    judge = Judge(about, domains, tmp_path)
    for rows in judge.rows:
        assert sorted(rows) == list(range(48))
        assert set(rows[:12] // 16) == {0, 1, 2}


def test_distance_is_of_domains_with_their_own_statistics(
    domains: Domains, plain: Path, tmp_path: Path
) -> None:
    """The target is the source, brighter, which is gone where each has its own mean."""
    config = configured("ada_bn", init_from=str(plain), steps=0)
    assert adapt_body(Run(config, tmp_path / "run"), domains, "")[0].distance is not None
    before = adapt_body(Run(configured("source_only"), plain), domains, "")
    assert before[4].distance is None and before[12].distance is not None
    about = assembled_adaptation(config, domains)
    judge = Judge(about, domains, tmp_path / "run")
    ready = read_trained(tmp_path / "run").meta
    (source, target) = judge.aligned(ready)
    answered = judge.answered(ready)
    np.testing.assert_array_equal(target, answered.target.z)
    gaps = [np.abs(z.mean(0) - target.mean(0)).max() for z in (source, answered.source.z)]
    assert gaps[0] < 0.5 * gaps[1], gaps


def test_source_keeps_the_body_that_another_one_was_begun_from(
    domains: Domains, plain: Path, tmp_path: Path
) -> None:
    config = configured("adda", init_from=str(plain))
    adapt_body(Run(config, tmp_path), domains, "")
    about = assembled_adaptation(config, domains)
    ready = read_trained(tmp_path).meta
    body = source_side(about)(ready)["body"]
    jax.tree.map(np.testing.assert_array_equal, body, read_trained(plain).meta["body"])
    same = jax.tree.map(lambda a, b: bool((a == b).all()), body, ready["body"])
    assert not all(jax.tree.leaves(same))


def test_what_is_refused_leaves_the_folder_to_any_run(domains: Domains, tmp_path: Path) -> None:
    run = Run(configured("mcc", keep="best"), tmp_path / "run")
    with pytest.raises(UserError, match="--keep=best"):
        adapt_body(run, domains, "")
    adapt_body(run._replace(config=configured("mcc", steps=4)), domains, "")


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("joint", {}, "give --target_labels"),
        ("dann", {"bottleneck": True}, "pre-trained body"),
        ("ada_bn", {"norm": "none"}, "--norm=none has none"),
        ("dann", {"backbone": "efficientnet-lite0"}, "--bottleneck"),
        ("dann", {"backbone": "efficientnet-lite0", "bottleneck": True, "augment": "flip"}, "flip"),
        ("dann", {"steps": -1}, "--steps"),
        ("dann", {"optimizer": "best"}, "optimizer"),
    ],
)
def test_settings_that_do_not_fit_are_refused(method: str, settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_adaptation(configured(method, **settings))


def test_more_labels_than_a_class_has_and_an_unknown_validator_are_refused(
    domains: Domains, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="17 labelled images a class"):
        adapt_body(Run(configured("joint", target_labels=17), tmp_path / "a"), domains, "")
    with pytest.raises(UserError, match="--keep=best: choose one of last, entropy"):
        adapt_body(Run(configured("dann", keep="best"), tmp_path / "b"), domains, "")
    with pytest.raises(UserError, match="--meta_batch=2"):
        adapt_body(Run(configured("dann", meta_batch=2), tmp_path / "c"), domains, "")
