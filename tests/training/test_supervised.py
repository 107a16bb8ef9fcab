"""Classifiers of fixed classes: what is trained of a body, and what stays as it is."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.classifiers.choice import available, ranked
from metalearn.classifiers.fitting import probe_of
from metalearn.classifiers.run import check_classifier, classify
from metalearn.config import Config
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError
from metalearn.learners.registry import preset
from metalearn.retest import read_trained
from metalearn.training.material import Material, features_of, gather
from metalearn.training.optimizer import classifier_optimizer, stage_rates
from metalearn.training.state import Run
from metalearn.training.subject import exporter, predictor, subject
from metalearn.training.supervised import initial, supervised_plan
from metalearn.transfer.ranking import said
from metalearn.types import Body, Key, PyTree, random_key
from tests.programs import weights
from tests.training.tiny_body import INPUTS, tiny_body

CLASSES = 3
SETTINGS = {"steps": 12, "valid_every": 4, "batch_size": 8, "schedule": "constant", "lr": 1e-2}


def colours(images: int, seed: int) -> Split:
    """Images of a class have its colour, with noise."""
    rng = np.random.default_rng(seed)
    base = np.eye(CLASSES)[:, None, None, None] * 120 + 60
    noise = rng.normal(0, 25, (CLASSES, images, 8, 8, 3))
    found = np.clip(base + noise, 0, 255).astype(np.uint8).reshape(-1, 8, 8, 3)
    return Split(found, np.full(CLASSES, images, np.int32), ("red", "green", "blue"))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    half = np.full(3, 0.5, np.float32)
    parts = (colours(12, 0), colours(4, 1), colours(10, 2))
    return Dataset("colours", *parts, half, half, digest="0123456789abcdef", shared=True)


@pytest.fixture(scope="module")
def body() -> Body:
    return tiny_body()


def configured(strategy: str, **settings: object) -> Config:
    """The config of a short training of the tiny body."""
    recipe = preset(strategy, "colours", 0) | {"backbone": "tiny", "input_size": 0}
    usual = {} if strategy == "probe" else SETTINGS | {"start": "random"}
    given = recipe | {"method": strategy, "dataset": "colours"} | usual | settings
    return dataclasses.replace(Config(), **given)


def gathered(config: Config, dataset: Dataset, body: Body, root: Path) -> Material:
    return gather(config, dataset, body, INPUTS, root, (2, 0, None))


def trained(config: Config, dataset: Dataset, body: Body, folder: Path) -> PyTree:
    """What `classify` leaves in the folder of its run."""
    check_classifier(config)
    material = gathered(config, dataset, body, folder.parent / "cache")
    found = classify(Run(config, folder), material, "a command")
    assert found.after.accuracy > 0.6
    return read_trained(folder).meta


def changed(meta: PyTree, body: Body) -> list[str]:
    """The stages whose parameters are not the body's, to the bit."""
    same = {
        name: jax.tree.all(jax.tree.map(np.array_equal, meta["body"][name], body.params[name]))
        for name in body.params
    }
    return [name for name, equal in same.items() if not equal]


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_partial_trains_the_last_stages_alone(
    augment: str, dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    """Whether the features of the others are kept, or computed from augmented images."""
    config = configured("partial", freeze="stem", augment=augment)
    meta = trained(config, dataset, body, tmp_path / "run")
    assert sorted(changed(meta, body)) == ["final", "stage1"]
    jax.tree.map(np.testing.assert_array_equal, meta["moments"]["body"], body.moments)
    assert (tmp_path / "cache" / "features").exists() == (augment == "none")


def test_partial_may_freeze_any_stage(dataset: Dataset, body: Body, tmp_path: Path) -> None:
    config = configured("partial", freeze="stage1")
    assert sorted(changed(trained(config, dataset, body, tmp_path / "run"), body)) == [
        "final",
        "stem",
    ]


def test_frozen_stages_have_no_optimiser_state(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    config = configured("partial", freeze="stage1")
    about = subject(config, gathered(config, dataset, body, tmp_path))
    meta = initial(about, random_key(0))
    assert set(meta["fixed"]["body"]) == {"stage1"}
    state = classifier_optimizer(config, ("stem", "final")).init(meta)
    moments = [x.shape for x in jax.tree.leaves(state) if x.ndim]
    own = [x.shape for name in ("body", "classifier") for x in jax.tree.leaves(meta[name])]
    assert sorted(moments) == sorted(2 * [shape for shape in own if shape])


def test_kept_features_give_the_logits_of_the_whole_network(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    """A body in two parts is the body."""
    found = {}
    for augment in ("none", "flip"):
        config = configured("partial", freeze="stem,stage1", augment=augment)
        about = subject(config, gathered(config, dataset, body, tmp_path))
        ready = exporter(about)(initial(about, random_key(0)))
        found[about.cached] = predictor(about)(ready, about.lab.dataset.test.images)
    np.testing.assert_allclose(found[True], found[False], atol=1e-5)


def test_lora_leaves_the_kernels_but_for_a_change_of_low_rank(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    meta = trained(configured("lora", rank=2), dataset, body, tmp_path / "run")
    assert sorted(changed(meta, body)) == ["final", "stage1"]
    change = meta["body"]["stage1"]["kernel"] - body.params["stage1"]["kernel"]
    assert np.linalg.matrix_rank(np.asarray(change)[0, 0], tol=1e-5) == 2


def test_fine_tuning_trains_every_stage_and_keeps_the_statistics(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    meta = trained(configured("fine_tune"), dataset, body, tmp_path / "run")
    assert sorted(changed(meta, body)) == ["final", "stage1", "stem"]
    jax.tree.map(np.testing.assert_array_equal, meta["moments"]["body"], body.moments)


def test_statistics_of_batches_are_measured_again(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    config = configured("fine_tune", statistics="batch", augment="none")
    meta = trained(config, dataset, body, tmp_path / "run")
    (old, new) = (tree["stem"]["norm"]["mean"] for tree in (body.moments, meta["moments"]["body"]))
    assert not np.allclose(old, new, atol=0.01)


@pytest.mark.parametrize("start", ["probe", "random"])
def test_the_classifier_begins_as_a_probe_or_random(
    start: str, dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    config = configured("fine_tune", start=start)
    material = gathered(config, dataset, body, tmp_path / "cache")
    found = classify(Run(config, tmp_path / "run"), material, "a command")
    assert (found.before.accuracy > 0.9) == (start == "probe")


def test_gradual_training_begins_with_the_last_stage(body: Body) -> None:
    config = configured("gradual")
    rates = stage_rates(config, body.stages)
    assert rates == {"stem": (1.0, 6), "stage1": (1.0, 4), "final": (1.0, 2)}


def test_layers_nearer_to_the_images_learn_slower(body: Body) -> None:
    config = configured("fine_tune", layer_decay=0.5, head_lr=4.0, optimizer="sgd", momentum=0.0)
    params = {"body": {name: jnp.zeros(2) for name in body.stages}, "classifier": jnp.zeros(2)}
    optimizer = classifier_optimizer(config, body.stages)
    updates, _ = optimizer.update(
        jax.tree.map(jnp.ones_like, params), optimizer.init(params), params
    )
    steps = {name: float(-x[0]) / config.lr for name, x in updates["body"].items()}
    assert steps == pytest.approx({"stem": 0.25, "stage1": 0.5, "final": 1.0})
    assert float(-updates["classifier"][0]) == pytest.approx(4 * config.lr)


def test_a_continued_training_is_the_one_that_was_never_stopped(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    longer = configured("partial", freeze="stem", augment="flip,crop", mixup=0.2)
    trained(longer, dataset, body, tmp_path / "straight")
    shorter = dataclasses.replace(longer, steps=8)
    trained(shorter, dataset, body, tmp_path / "stopped")
    trained(longer, dataset, body, tmp_path / "stopped")
    straight, stopped = (weights(tmp_path / name, "latest") for name in ("straight", "stopped"))
    assert straight.keys() == stopped.keys()
    for name, value in straight.items():
        np.testing.assert_array_equal(value, stopped[name], err_msg=name)


def test_training_ends_early_where_validation_gets_no_better(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    config = configured("fine_tune", steps=400, patience=2, lr=0.02)
    folder = tmp_path / "run"
    trained(config, dataset, body, folder)
    found = read_trained(folder)
    last = max(int(path.name) for path in (folder / "checkpoints" / "latest").iterdir())
    assert last < 400 and last - found.best.step == 2 * config.valid_every


def test_with_few_labels_the_last_state_is_tested(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    config = configured("partial", freeze="stem", labels=4)
    material = gathered(config, dataset, body, tmp_path / "cache")
    found = classify(Run(config, tmp_path / "run"), material, "a command").record
    assert found.test.best_step == config.steps and found.measured.valid_accuracy is None


def test_class_weights_reach_the_loss(dataset: Dataset, body: Body, tmp_path: Path) -> None:
    uneven = Split(dataset.train.images[:20], np.array([12, 6, 2], np.int32), dataset.train.names)
    config = configured("fine_tune", augment="none")
    losses = {}
    for weighted in (False, True):
        config = dataclasses.replace(config, class_weights=weighted)
        material = gathered(config, dataset._replace(train=uneven), body, tmp_path)
        about = subject(config, material)
        training = supervised_plan(about).training(Run(config, tmp_path))
        meta = initial(about, random_key(0))
        batch = training.sample(jax.random.key(0), training.split)
        losses[weighted] = float(about.learner.loss(jax.random.key(1), meta, batch)[0])
        if weighted:
            logits = about.learner.classify(exporter(about)(meta), batch.x)
            of_image = -jax.nn.log_softmax(logits)[np.arange(len(batch.y)), batch.y]
            weights = 20 / (3 * np.array([12, 6, 2]))
            expected = float((weights[batch.y] * of_image).mean())
    assert losses[True] == pytest.approx(expected, rel=1e-4)
    assert losses[True] != pytest.approx(losses[False], rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": "stage7"}, "tiny has no stage 'stage7': choose of stem, stage1, final"),
        ({"freeze": "stem,stage1,final"}, "nothing of the body is trained"),
        ({"statistics": "batch"}, "the running statistics of what partial freezes stay"),
        ({"labels": 13}, "class 'red' of colours has 12 images"),
        ({"loss": "hinge"}, "--loss=hinge is unknown"),
        ({"patience": 2, "labels": 2}, "no validation images to stop by"),
        ({"start": "zero"}, "--start=zero is unknown: choose probe or random"),
        ({"lr": -1.0}, "--lr must be at least 0"),
        ({"label_smoothing": 1.0}, "--label_smoothing must be below 1"),
        ({"patience": 2, "learned": "valid"}, "no validation images to stop by"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(
    settings: dict, message: str, dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    config = configured("partial", **settings)
    with pytest.raises(UserError, match=message):
        trained(config, dataset, body, tmp_path / "run")


@pytest.mark.parametrize(
    ("strategy", "settings", "message"),
    [
        ("fine_tune", {}, "no running statistics yet: give --statistics=batch"),
        ("fine_tune", {"statistics": "batch", "start": "probe"}, "give --start=random"),
        ("gradual", {"statistics": "batch"}, "gradual trains one stage after the other"),
        (
            "fine_tune",
            {"statistics": "batch", "layer_decay": 0.5},
            "--layer_decay slows down one stage after the other",
        ),
    ],
)
def test_bodies_without_statistics_or_stages_are_refused_what_needs_them(
    strategy: str, settings: dict, message: str, dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    config = configured(strategy, **settings)
    bare = body._replace(moments=None, stages=())
    with pytest.raises(UserError, match=message):
        trained(config, dataset, bare, tmp_path / "run")


def test_squared_loss_begins_with_the_regression_as_it_is(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    """Its outputs are near 1 and 0, not logits."""
    config = configured("fine_tune", loss="squared", start="probe", steps=0)
    trained(config, dataset, body, tmp_path / "run")
    material = gathered(config, dataset, body, tmp_path / "run" / "cache")
    layer = read_trained(tmp_path / "run").meta["classifier"]
    (probe, features, _) = probe_of(material, "ridge", False)
    np.testing.assert_allclose(layer["w"] * probe.scale, probe.w, rtol=1e-5)
    outputs = np.asarray(features.train.images) @ layer["w"] + layer["b"]
    assert np.abs(outputs - np.repeat(np.eye(3), 12, axis=0)).mean() < 0.2 and probe.scale > 1.5


def test_features_of_another_precision_are_others(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    found = [
        np.asarray(
            features_of(
                gathered(configured("probe", precision=precision), dataset, body, tmp_path), None
            ).train.images
        )
        for precision in ("float32", "bfloat16")
    ]
    assert len(list((tmp_path / "features").glob("*.npy"))) == 6
    assert found[0].shape == found[1].shape


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_frozen_stages_are_computed_in_the_precision_that_is_asked_for(
    augment: str, dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    """Whether their features are kept, or computed with every batch."""
    kinds = set()

    def run(params: PyTree, x: jax.Array, *words: object, **part: str) -> jax.Array:
        if part.get("last"):
            kinds.add(x.dtype)
        return body.run(params, x, *words, **part)

    config = configured("partial", freeze="stem", augment=augment, precision="bfloat16", steps=1)
    material = gathered(config, dataset, body._replace(run=run), tmp_path)
    kept = subject(config, material).lab.dataset.train.images
    assert kept.dtype == (np.float32 if augment == "none" else np.uint8)
    if augment != "none":
        classify(Run(config, tmp_path / "run"), material, "a command")
    assert kinds == {jnp.dtype(jnp.bfloat16)}


def test_features_of_the_same_weights_in_another_network_are_others(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    body = body._replace(digest="0" * 64)
    for name in ("mobilenet-v2", "mobilenet-v2-transformers"):
        material = gathered(configured("probe"), dataset, body._replace(name=name), tmp_path)
        features_of(material, None, ("train",))
    assert len(list((tmp_path / "features").glob("*.npy"))) == 2


@pytest.mark.parametrize("strategy", ["scratch", "fine_tune", "partial", "lora", "gradual"])
def test_digits_and_letters_are_not_mirrored(strategy: str) -> None:
    for name in ("mnist", "usps", "omniglot", "glyphs"):
        assert preset(strategy, name, 0)["augment"] == "none"
    assert strategy == "partial" or "flip" in preset(strategy, "cifar10", 0)["augment"]


def test_the_body_whose_features_tell_the_classes_apart_is_chosen(
    dataset: Dataset, body: Body, tmp_path: Path
) -> None:
    """Of two bodies; the features of the other one are noise."""

    def noise(
        params: PyTree, x: jax.Array, moments: PyTree | None = None, key: Key | None = None
    ) -> jax.Array:
        return jnp.sin(1e4 * x.reshape(len(x), -1)[:, :12])

    blind = body._replace(network=body.network._replace(apply=noise), digest="blind")
    bodies = {"blind": blind, "seeing": body}

    def gathered_for(name: str) -> Material:
        return gathered(configured("probe"), dataset, bodies[name], tmp_path)

    (first, second) = ranked(list(bodies), gathered_for)
    assert (first.name, second.name) == ("seeing", "blind") and first.accuracy > second.accuracy
    assert "best: seeing" in said([first, second])


def test_a_body_that_cannot_be_used_is_left_out(
    dataset: Dataset, body: Body, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would end the ranking of all others."""

    def gathered_for(name: str) -> Material:
        if name == "broken":
            raise UserError("its weights are damaged")
        return gathered(configured("probe"), dataset, body, tmp_path)

    (found,) = ranked(["broken", "tiny"], gathered_for)
    assert found.name == "tiny"
    assert "note: auto: broken is left out: its weights are damaged" in capsys.readouterr().err
    with pytest.raises(UserError, match="^its weights are damaged$"):
        ranked(["broken"], gathered_for)


def test_bodies_are_available_where_their_weights_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metalearn.classifiers.choice.is_installed", lambda package: False)
    assert available(None) == {} == available(tmp_path)
    file = tmp_path / "resnet18-f37072fd.pth"
    file.write_bytes(b"")
    (tmp_path / "model.safetensors").write_bytes(b"")  # of whatever network
    assert available(tmp_path) == {"resnet18": file}
    transformer = tmp_path / "vit-s16.safetensors"
    transformer.write_bytes(b"")
    assert available(tmp_path) == {"resnet18": file, "vit-s16": transformer}
    with pytest.raises(UserError, match="no weights are here"):
        ranked([], lambda name: pytest.fail("no body"))
