"""Reptile.

Nichol, Achiam, Schulman. On First-Order Meta-Learning Algorithms. 2018, arXiv:1803.02999, algorithm
2: the initial weights move towards those that the inner loop finds, meta += rate * mean(adapted -
meta). That is gradient descent at this rate on the loss |meta - adapted|^2 / 2 with adapted held
fixed; the published rate falls linearly to zero.

Only support sets are trained on; the queries of a training episode are only evaluated. As in the
released code, the inner Adam's second moments are carried from task to task, into the test too:
from zero, its first steps would be as long for every weight, whatever its gradient. Deviations:
they are trained as the initial weights are, towards what the tasks of an update find on average,
where the released code has one task after the other; without transduction, queries are normalised
by the support set's moments alone, where the released code adds the query itself to the set.
"""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import optax

from metalearn.learners import maml
from metalearn.learners.adapted import Adapted, logits_of, with_moments
from metalearn.learners.recipes import FIRST_LOOK, Recipe
from metalearn.ops.losses import accuracy, cross_entropy, half_squared_distance
from metalearn.settings import setting
from metalearn.types import Array, Info, Key, Learner, Network, PyTree, Task


@dataclass(frozen=True)
class Settings(maml.Settings):
    """What Reptile reads."""

    inner_batch: int = setting(0, "images an inner step of Reptile in training (0: all)", least=0)
    test_inner_batch: int = setting(0, "images an inner step of Reptile at test (0: all)", least=0)

    def at_test(self) -> Self:
        """With the inner loop of a test in the place of that of training."""
        return replace(super().at_test(), inner_batch=self.test_inner_batch)


def minibatches(key: Key, size: int, batch: int, steps: int) -> Array:
    """Rows [J,B] of a set of this size, B = min(batch, size), for J steps.

    Shuffles of the set follow one another and are cut into batches, which may reach from one into
    the next. A batch of the whole set is not shuffled.

    Args:
      key: of the shuffles.
      size: S, of the set.
      batch: rows of a batch; 0 for the whole set.
      steps: J.
    """
    if batch == 0 or batch >= size:
        return jnp.broadcast_to(jnp.arange(size), (steps, size))
    shuffles = max(1, -(-steps * batch // size))
    rows = jax.vmap(lambda k: jax.random.permutation(k, size))(jax.random.split(key, shuffles))
    return rows.reshape(-1)[: steps * batch].reshape(steps, batch)


def memory(steps: Array, second: PyTree) -> dict[str, PyTree]:
    """What the inner Adam keeps of earlier tasks; a dict, as checkpoints have these alone.

    Args:
      steps: made so far.
      second: second moments of every weight.
    """
    return {"steps": steps, "second": second}


def reptile(
    network: Network,
    ways: int,
    inner_lr: float = 1e-3,
    inner_steps: int = 8,
    batch: int = 10,
    norm: str = "batch",
    initial: str = "default",
) -> Learner:
    """A learner whose initial weights move towards the adapted ones.

    Args:
      network: the body.
      ways: N, outputs of the head.
      inner_lr: step size of the inner Adam, whose beta1 is 0.
      inner_steps: J, each on a minibatch of the support set.
      batch: its images; 0 for all.
      norm, initial: see `maml`.

    Raises:
      UserError: unknown `norm`.
    """
    base = maml.maml(network, ways, norm=norm, initial=initial)
    adam = optax.scale_by_adam(b1=0.0)

    def init(key: Key, x: Array) -> PyTree:
        weights = base.init(key, x)
        return weights | {"memory": memory(jnp.zeros(()), jax.tree.map(jnp.zeros_like, weights))}

    def learn(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> PyTree:
        """meta as the support set would have it."""

        def batch_loss(weights: PyTree, rows: Array) -> Array:
            return cross_entropy(logits_of(network, weights, support_x[rows]), support_y[rows])

        def step(
            carry: tuple[PyTree, optax.ScaleByAdamState], rows: Array
        ) -> tuple[tuple[PyTree, PyTree], None]:
            weights, state = carry
            updates, state = adam.update(jax.grad(batch_loss)(weights, rows), state)
            return (optax.tree.add_scale(weights, -inner_lr, updates), state), None

        weights = {name: meta[name] for name in ("body", "head")}
        # Second moments are never negative, but an outer optimiser may have overshot
        earlier = jax.tree.map(jax.nn.relu, meta["memory"])
        steps = earlier["steps"]
        state = adam.init(weights)._replace(count=steps.astype(jnp.int32), nu=earlier["second"])
        rows = minibatches(key, len(support_x), batch, inner_steps)
        (weights, state), _ = jax.lax.scan(step, (weights, state), rows)
        return weights | {"memory": memory(steps + inner_steps, state.nu)}

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> Adapted:
        learned = learn(key, meta, support_x, support_y)
        return with_moments(
            network, norm, {name: learned[name] for name in ("body", "head")}, support_x
        )

    def loss(key: Key, meta: PyTree, task: Task, step: Array | int = 0) -> tuple[Array, Info]:
        # The adapted weights are a constant target: no gradient passes through the inner loop, and
        # that of the loss is meta - adapted
        learned = learn(key, jax.lax.stop_gradient(meta), task.support_x, task.support_y)
        logits = base.predict(
            meta, with_moments(network, norm, learned, task.support_x), task.query_x
        )
        info = {
            "loss": cross_entropy(logits, task.query_y),
            "accuracy": accuracy(logits, task.query_y),
        }
        return half_squared_distance(meta, learned), info

    return base._replace(init=init, adapt=adapt, loss=loss)


def build(settings: Settings, network: Network, norm: str) -> Learner:
    """The learner of these settings; the body and the normalisation as in `reptile`."""
    return reptile(
        network,
        settings.ways,
        inner_lr=settings.inner_lr,
        inner_steps=settings.inner_steps,
        batch=settings.inner_batch,
        norm=norm,
        initial=settings.initial,
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Nichol et al. 2018, appendix A, and the released code: rate 1 falling to 0, inner Adam.

    These are its settings of 5 ways; 20 have batches of 20 (10 at test), 10 steps of 5e-4 and
    200,000 updates. There the last weights are tested, on one query a class, so that transductive
    moments are of one image of each (--queries=1 here).
    """
    published = dict(
        optimizer="sgd",
        momentum=0.0,
        lr=1.0,
        schedule="linear",
        steps=100_000,
        meta_batch=5,
        inner_lr=1e-3,
        inner_batch=10,
        test_inner_steps=50,
        train_queries=1,
    )
    characters = dict(backbone="conv4-64-strided-flat", inner_steps=5)
    if dataset == "omniglot":
        return published | characters | dict(train_shots=10, test_inner_batch=5)
    if dataset == "glyphs":
        return published | characters | dict(train_shots=8) | FIRST_LOOK
    photographs = dict(backbone="conv4-32", inner_steps=8, train_shots=15)
    return published | photographs | dict(test_inner_batch=5 if shots == 1 else 15)
