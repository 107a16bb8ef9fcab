"""What every method keeps to, under every normalisation it offers: shapes, symmetries, no leaks."""

import functools
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalearn import models
from metalearn.config import Config
from metalearn.evaluation.episodes import draw_episodes
from metalearn.evaluation.evaluator import evaluator
from metalearn.evaluation.probe import is_transductive
from metalearn.learners import embedding, maml
from metalearn.learners.method import make_method
from metalearn.learners.registry import METHODS, preset
from metalearn.models.conv4 import Conv4
from metalearn.training.step import task_mesh
from metalearn.types import Array, Batch, Key, PyTree, Task
from tests.small import SIDE, easy_task, noise_source, prepare, quick_jit

WAYS, SHOTS, QUERIES, CLASSES = 3, 2, 2, 6
OUTCOMES = 6  # of a method, see `Case.variants`
SETTINGS = dict(
    backbone="tiny",
    ways=WAYS,
    shots=SHOTS,
    train_ways=WAYS,
    inner_lr=0.1,
    inner_steps=2,
    test_inner_steps=5,
)
# Trained outputs
GRADIENT = (
    "maml",
    "fomaml",
    "anil",
    "boil",
    "reptile",
    "meta_sgd",
    "maml++",
    "imaml",
    "cavia",
)
# Adam's steps are about that long; no minibatches
OWN = {"reptile": dict(inner_lr=0.01, test_inner_batch=0)}
# Beyond that, rounding decides where its many steps end
OWN |= {"transductive_finetune": dict(inner_lr=0.001)}
BEFORE = (*GRADIENT, "unicorn_maml")  # have a prediction before they adapt
TRANSDUCTIVE = ("laplacianshot", "tim", "transductive_finetune")
SLOW = ("relationnet", "cavia")  # tell little by labels until they are trained
RANDOM = ("baseline", "baseline++")  # their heads start at random and shuffle

# Every method under the normalisation of its recipe; one of each family, and what differs from it,
# under all.
RECIPES = [
    (method, preset(method, "cifar_fs", 1).get("norm", "batch"), "euclidean") for method in METHODS
]
VARIANTS = {
    "euclidean": {},
    "cosine": {"distance": "cosine", "scale": 10.0},
    "contextual": {"contextual": True},
}
VARIANTS |= {"ridge": {"head": "ridge"}, "none": {"transform": "none"}}
CASES = RECIPES + [("maml", norm, "euclidean") for norm in maml.NORMS if norm != "batch"]
CASES += [(method, "support", "euclidean") for method in ("anil", "boil", "reptile", "maml++")]
CASES += [("protonet", norm, "euclidean") for norm in embedding.NORMS if norm != "running"]
CASES += [
    ("protonet", "running", "cosine"),
    ("rfs", "batch", "euclidean"),
    ("rfs", "support", "euclidean"),
]
CASES += [
    ("matchingnet", "running", "contextual"),
    ("metaoptnet", "running", "ridge"),
    ("simpleshot", "group", "euclidean"),
]
CASES += [
    ("simpleshot", "batch", "euclidean"),
    ("simpleshot", "support", "euclidean"),
    ("simpleshot", "running", "none"),
]
CASES += [("r2d2", "support", "euclidean"), ("finetune", "group", "euclidean")]
SYMMETRIC = [c for c in CASES if c[0] not in RANDOM and c[2] != "contextual"]


def stack(trees: Sequence[PyTree]) -> PyTree:
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


class Outcome(NamedTuple):
    loss: Array
    logits: Array  # [Q,N], queries predicted together
    alone: Array  # [Q,N], one by one


class Case:
    """A method and the results of its few compiled programs, which all tests of it share."""

    def __init__(self, method: str, norm: str, variant: str):
        self.name, self.norm = method, norm
        backbone = {"backbone": "tiny-map"} if method == "relationnet" else {}
        chosen = {"method": method, "norm": norm} | backbone | VARIANTS[variant]
        config = Config(
            **(
                preset(method, "cifar_fs", 1)
                | {"most_train_shots": 0}
                | SETTINGS
                | OWN.get(method, {})
                | chosen
            )
        )
        self.method = make_method(config, CLASSES)
        self.learner = self.method.test(norm)._replace(loss=self.method.train.loss)
        self.key = jax.random.key(1)
        self.task = easy_task(jax.random.key(0), WAYS, SHOTS, QUERIES, noise=1.0)
        self.meta = quick_jit(self.learner.init)(self.key, jnp.zeros((1, SIDE, SIDE, 1)))
        if self.learner.moments is not None:
            self.meta["moments"] = quick_jit(self.learner.moments)(self.meta, self.task.support_x)

    def batch(self, task: Task) -> Task | Batch:
        """What the method's loss takes: the task itself, or labelled images."""
        return Batch(task.support_x, task.support_y) if self.method.supervised else task

    def outcome(self, key: Key, meta: PyTree, task: Task) -> Outcome:
        adapted = self.learner.adapt(key, meta, task.support_x, task.support_y)
        alone = jax.vmap(lambda x: self.learner.predict(meta, adapted, x[None])[0])(task.query_x)
        loss, _ = self.learner.loss(key, meta, self.batch(task))
        return Outcome(loss, self.learner.predict(meta, adapted, task.query_x), alone)

    def variants(self) -> list[tuple[PyTree, Task]]:
        """The task, its queries reversed, its classes relabelled, its support reversed, another
        task, and the first with other labels of its support set alone.
        """
        task, meta = self.task, self.meta
        turn, back = jnp.array([1, 2, 0]), jnp.array([2, 0, 1])
        turned_meta = (
            meta | {"head": {k: v[..., back] for k, v in meta["head"].items()}}
            if self.name in GRADIENT
            else meta
        )
        return [
            (meta, task),
            (meta, task._replace(query_x=task.query_x[::-1], query_y=task.query_y[::-1])),
            (
                turned_meta,
                task._replace(support_y=turn[task.support_y], query_y=turn[task.query_y]),
            ),
            (meta, task._replace(support_x=task.support_x[::-1], support_y=task.support_y[::-1])),
            (meta, easy_task(jax.random.key(5), WAYS, SHOTS, QUERIES, noise=1.0)),
            (meta, task._replace(support_y=turn[task.support_y])),
        ]

    @functools.cached_property
    def outcomes(self) -> Outcome:
        """Those of all variants, one after the other."""
        self.traces = 0

        def traced(key: Key, meta: PyTree, task: Task) -> Outcome:
            self.traces += 1
            return self.outcome(key, meta, task)

        single = quick_jit(traced)
        return stack([single(self.key, *variant) for variant in self.variants()])

    @functools.cached_property
    def at_once(self) -> tuple[Outcome, Array, Array]:
        """Of all variants in one call; accuracies [200] on tasks named at random, and which names
        are right.
        """
        metas, tasks = (stack(part) for part in zip(*self.variants(), strict=True))
        many = jax.vmap(named_at_random)(jax.random.split(jax.random.key(2), 200))
        keys = jnp.concatenate(
            [jnp.stack([self.key] * OUTCOMES), jax.random.split(jax.random.key(3), 200)]
        )
        metas = jax.tree.map(lambda x: jnp.concatenate([x, jnp.stack([x[0]] * 200)]), metas)
        tasks = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), tasks, many)
        found = quick_jit(jax.vmap(self.outcome))(keys, metas, tasks)
        accuracies = (found.logits[OUTCOMES:].argmax(-1) == many.query_y).mean(-1)
        right = (many.support_y == jnp.repeat(jnp.arange(WAYS), SHOTS)).all(-1)
        return jax.tree.map(lambda x: x[:OUTCOMES], found), accuracies, right


def named_at_random(key: Key) -> Task:
    """Easy images, but the support set's classes are called by each other's names."""
    task_key, name_key = jax.random.split(key)
    task = easy_task(task_key, WAYS, SHOTS, QUERIES, noise=0.3)
    return task._replace(support_y=jax.random.permutation(name_key, WAYS)[task.support_y])


@pytest.fixture(scope="module")
def tiny_backbone() -> Iterator[None]:
    models.BACKBONES["tiny"] = lambda **kw: Conv4(widths=(4, 4), **kw)
    models.BACKBONES["tiny-map"] = lambda **kw: Conv4(widths=(4, 4), readout="map", **kw)
    yield
    del models.BACKBONES["tiny"], models.BACKBONES["tiny-map"]


case_of = functools.cache(Case)


@pytest.fixture
def case(request: pytest.FixtureRequest, tiny_backbone: None) -> Case:
    return case_of(*request.param)


def over(cases: Sequence[tuple[str, str, str]]) -> pytest.MarkDecorator:
    """Run the test for each of the cases."""
    return pytest.mark.parametrize("case", cases, indirect=True, ids=["-".join(c) for c in cases])


def close(a: Array, b: Array) -> None:
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@over(CASES)
def test_learner_functions_have_the_contracts_parameters(case: Case) -> None:
    learner = case.learner
    assert names(learner.init) == ["key", "x"]
    assert names(learner.adapt) == ["key", "meta", "support_x", "support_y"]
    assert names(learner.predict) == ["meta", "adapted", "query_x"]
    assert names(learner.loss) == [
        "key",
        "meta",
        "batch" if case.method.supervised else "task",
        "step",
    ]
    assert (learner.embed is None) == (learner.head is None)
    if learner.embed is not None:
        assert names(learner.embed) == ["meta", "x"]
        assert names(learner.head) == ["meta"]
        assert names(learner.head(case.meta).fit) == ["key", "z", "y", "ways"]
        assert len(names(learner.head(case.meta).predict)) == 2
    if learner.moments is not None:
        assert names(learner.moments) == ["meta", "x", "known"]


@over(CASES)
def test_logits_have_the_contracts_shape_after_one_compilation(case: Case) -> None:
    found = case.outcomes
    assert case.traces == 1
    assert found.logits.shape == (OUTCOMES, WAYS * QUERIES, WAYS)
    assert found.loss.shape == (OUTCOMES,)
    assert all(leaf.dtype == jnp.float32 and jnp.isfinite(leaf).all() for leaf in found)


@over(RECIPES)
def test_vmap_over_tasks_gives_what_a_loop_gives(case: Case) -> None:
    jax.tree.map(close, case.at_once[0], case.outcomes)


@over(CASES)
def test_logits_follow_the_order_of_queries(case: Case) -> None:
    close(case.outcomes.logits[1], case.outcomes.logits[0][::-1])
    close(case.outcomes.loss[1], case.outcomes.loss[0])


@over(SYMMETRIC)
def test_logits_follow_the_labels_of_classes(case: Case) -> None:
    close(case.outcomes.logits[2][:, jnp.array([1, 2, 0])], case.outcomes.logits[0])


@over(SYMMETRIC)
def test_logits_do_not_depend_on_the_order_of_the_support_set(case: Case) -> None:
    close(case.outcomes.logits[3], case.outcomes.logits[0])


@over(CASES)
def test_queries_affect_each_other_only_under_batch_moments_or_in_transductive_heads(
    case: Case,
) -> None:
    together, alone = case.outcomes.logits, case.outcomes.alone
    if case.norm == "batch" or case.name in TRANSDUCTIVE:
        assert jnp.abs(together - alone).max() > 1e-3
    else:
        close(together, alone)


PROBED = ("maml", "protonet", "r2d2", "rfs", *TRANSDUCTIVE)


@over([case for case in CASES if case[0] in PROBED])
def test_transduction_probe_finds_transductive_learners(case: Case) -> None:
    found = is_transductive(case.learner, case.meta, case.task)
    assert found == (case.norm == "batch" or case.name in TRANSDUCTIVE)


@over(SYMMETRIC)
def test_logits_depend_on_support_labels(case: Case) -> None:
    """Not just the images: the same queries and weights, other labels, other logits."""
    assert jnp.abs(case.outcomes.logits[5] - case.outcomes.logits[0]).max() > 1e-4


def check_kept(tree: PyTree) -> None:
    """See that a checkpoint gives a tree back as it is."""
    if isinstance(tree, dict):
        for part in tree.values():
            check_kept(part)
    else:
        assert isinstance(tree, jax.Array), type(tree)


@over(CASES)
def test_meta_parameters_are_dicts_of_arrays_as_checkpoints_are(case: Case) -> None:
    """Other containers would be dicts after a run was resumed or tested."""
    check_kept(case.meta)


@over(RECIPES)
def test_training_lowers_the_reported_loss(case: Case) -> None:
    """The one reported, of predictions. Reptile descends another and learns from the support set
    alone: watch that.
    """
    optimizer, task = optax.adam(1e-2 if case.name == "relationnet" else 3e-2), case.task
    if case.name == "reptile":
        task = task._replace(query_x=task.support_x, query_y=task.support_y)
    batch = case.batch(task)

    @quick_jit
    def train(meta: PyTree) -> Array:
        def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], Array]:
            meta, state = carry
            grads, info = jax.grad(lambda m: case.learner.loss(case.key, m, batch), has_aux=True)(
                meta
            )
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(meta, updates), state), info["loss"]

        return jax.lax.scan(
            step, (meta, optimizer.init(meta)), length=60 if case.name == "relationnet" else 20
        )[1]

    meta = {k: v for k, v in case.meta.items() if k != "moments"}
    values = train(meta)
    assert jnp.isfinite(values).all()
    assert values[-1] < 0.5 * values[0]


def mean_accuracy(case: Case, before: bool) -> tuple[float, float]:
    """Over 400 episodes of noise, and the half width of its 99.9 % confidence interval."""
    source = noise_source((100,) * CLASSES)
    episodes = draw_episodes(source, 400, WAYS, SHOTS, QUERIES, seed=3)
    learner = case.method.before(case.norm) if before else case.learner
    accuracies = evaluator(learner, source, episodes, prepare, task_mesh(1), block=100)(
        case.meta
    ).accuracies
    return float(accuracies.mean()), 3.29 * float(accuracies.std()) / 20


@over([case for case in RECIPES if case[0] in BEFORE] + [("maml", "support", "euclidean")])
def test_accuracy_before_adaptation_is_chance(case: Case) -> None:
    found, margin = mean_accuracy(case, before=True)
    assert abs(found - 1 / WAYS) <= margin + 1e-6 < 0.05


def test_accuracy_before_adaptation_is_measured_where_it_means_something(
    tiny_backbone: None,
) -> None:
    assert {case[0] for case in RECIPES if case_of(*case).method.before is not None} == set(BEFORE)


@over(RECIPES)
def test_accuracy_is_chance_on_images_without_classes(case: Case) -> None:
    """Images without classes, as they are tested: anything above chance found a query among the
    support.
    """
    found, margin = mean_accuracy(case, before=False)
    assert abs(found - 1 / WAYS) <= margin + 1e-6 < 0.05


@over(RECIPES)
def test_accuracy_is_chance_under_random_support_labels(case: Case) -> None:
    """Easy images, but support classes named at random: anything above chance reads the queries'
    labels.
    """
    _, found, right = case.at_once
    assert abs(found.mean() - 1 / WAYS) < 3.29 * found.std() / 200**0.5 < 0.1
    if case.name not in SLOW:
        assert found[right].mean() > found[~right].mean() + 0.1
