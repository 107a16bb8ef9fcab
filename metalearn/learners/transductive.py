"""Transductive heads: they look at all queries together before they classify any.

Ziko, Dolz, Granger, Ben Ayed. Laplacian Regularized Few-Shot Learning. ICML 2020.
    laplacianshot  neighbouring queries are pulled to the same class
Boudiaf, Masud, Rony, Dolz, Piantanida, Ben Ayed. Transductive Information Maximization for Few-Shot
Learning. NeurIPS 2020.
    tim            class weights that make queries certain one by one and balanced as a whole
"""

import jax
import jax.numpy as jnp
import optax

from metalearn.learners import pretrained
from metalearn.learners.heads import class_means
from metalearn.ops.losses import cosine, cross_entropy, squared_euclidean, unit
from metalearn.types import Array, Head, Key, Learner, Network

# Of the 8 values among which the released code chooses for each dataset, those that validation
# chooses on CIFAR-FS, by one body: below 3 shots, and from there on
FEW, MORE = 0.5, 0.3


def laplacian_shot(
    strength: float = FEW, neighbours: int = 2, iterations: int = 20, rectify: bool = True
) -> Head:
    """Nearest prototypes, smoothed over each query's nearest queries (algorithm 1, equation 11).

    Features are scaled to length one. Probabilities y_q are proportional to exp(-|z_q - m|^2 +
    strength * sum of y_p over the `neighbours` queries p nearest to q), repeated from those without
    the sum. Features are to be centred as in SimpleShot.

    As in the last released code, queries are first moved by the difference of the means of support
    set and queries and the prototypes m rectified: each is the mean of all images nearest to its
    class's mean, times their softmax over 10 cosines to the means. (Where there are none, which
    stops that code, the mean stays.)

    Args:
      strength: of the pull towards the neighbours' classes, lambda.
      neighbours: k, of each query.
      iterations: updates of the probabilities.
      rectify: move the queries and rectify the prototypes first.
    """

    def fit(key: Key, z: Array, y: Array, ways: int) -> tuple[Array, Array]:
        return unit(z), class_means(unit(z), y, ways)

    def predict(fitted: tuple[Array, Array], z: Array) -> Array:
        support, means = fitted
        z = unit(z)
        if rectify:
            z = z + support.mean(0) - z.mean(0)
            means = rectified(means, jnp.concatenate([support, z]))
        unary = -squared_euclidean(z, means)
        # No query is its own neighbour
        far = squared_euclidean(z, z) + jnp.diag(jnp.full(len(z), jnp.inf))
        nearest = jax.lax.top_k(-far, min(neighbours, len(z) - 1))[1]  # [Q,k]

        def step(logits: Array, _: None) -> tuple[Array, None]:
            return unary + strength * jax.nn.softmax(logits)[nearest].sum(1), None

        return jax.lax.scan(step, unary, length=iterations)[0]

    return Head(fit, predict)


def build_laplacian_shot(
    settings: pretrained.Settings, network: Network, classes: int, norm: str
) -> Learner:
    """The learner of these settings: the strength is that for their shots, whatever their copies.

    Args:
      settings: those of the method.
      network, classes, norm: see `pretrained`.
    """
    head = laplacian_shot(FEW if settings.shots < 3 else MORE)
    return pretrained.build(settings, network, classes, norm, head, centre=True)


def rectified(means: Array, z: Array) -> Array:
    """Prototypes [N,D] from class means [N,D] and all features z [S+Q,D] of a task.

    See `laplacian_shot`.
    """
    near = cosine(z, means)
    member = jax.nn.one_hot(near.argmax(-1), len(means), dtype=z.dtype)
    count = member.sum(0)[:, None]
    weighted = (member * jax.nn.softmax(10 * near)).T @ z
    return jnp.where(count > 0, weighted / jnp.maximum(count, 1), means)


def information_maximization(
    temperature: float = 15.0,
    support: float = 0.1,
    conditional: float = 0.1,
    lr: float = 1e-4,
    iterations: int = 1000,
) -> Head:
    """TIM-GD: class weights of most information between queries and predictions (equation 3).

    Logits are -temperature/2 |z - w|^2 of unit features. From class means, Adam minimises support *
    cross-entropy of the support set - entropy of the queries' mean prediction + conditional * mean
    entropy of their predictions. The constants are those of the released code and its scripts for
    TIM-GD.

    Args:
      temperature: of the logits.
      support: weight of the support set's cross-entropy.
      conditional: weight of the queries' mean entropy.
      lr: step size of Adam.
      iterations: its steps.
    """
    optimizer = optax.adam(lr)

    def logits(weights: Array, z: Array) -> Array:
        return -temperature / 2 * squared_euclidean(z, weights)

    def objective(weights: Array, z: Array, y: Array, query: Array) -> Array:
        log_p = jax.nn.log_softmax(logits(weights, query))
        p = jnp.exp(log_p)
        marginal = p.mean(0)
        entropy = -(marginal * jnp.log(marginal + 1e-12)).sum()
        return (
            support * cross_entropy(logits(weights, z), y)
            - entropy
            - conditional * (p * log_p).sum(-1).mean()
        )

    def fit(key: Key, z: Array, y: Array, ways: int) -> tuple[Array, Array, Array]:
        return class_means(unit(z), y, ways), unit(z), y

    def predict(fitted: tuple[Array, Array, Array], z: Array) -> Array:
        weights, support_z, y = fitted
        query = unit(z)

        def step(
            carry: tuple[Array, optax.OptState], _: None
        ) -> tuple[tuple[Array, optax.OptState], None]:
            weights, state = carry
            updates, state = optimizer.update(
                jax.grad(objective)(weights, support_z, y, query), state
            )
            return (weights + updates, state), None

        (weights, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), length=iterations)
        return logits(weights, query)

    return Head(fit, predict)
