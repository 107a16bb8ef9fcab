"""Heads that look at all queries together before they classify any: every prediction is transductive.

Ziko, Dolz, Granger, Ben Ayed. Laplacian Regularized Few-Shot Learning. ICML 2020.
    laplacianshot  neighbouring queries are drawn to the same class
Boudiaf, Masud, Rony, Dolz, Piantanida, Ben Ayed. Transductive Information Maximization for Few-Shot Learning.
NeurIPS 2020.
    tim            class weights that make queries certain one by one and balanced as a whole
"""

import jax
import jax.numpy as jnp
import optax

from metalearn.base import Array, Head, Key
from metalearn.learners.heads import class_means
from metalearn.losses import cross_entropy, squared_euclidean, unit


def laplacian_shot(strength: float = 0.5, neighbours: int = 3, iterations: int = 20) -> Head:
    """Nearest centroids of unit features, smoothed over each query's nearest queries (algorithm 1, equation 11).

    Probabilities y_q are proportional to exp(-|z_q - m|^2 + strength * sum of y_p over the `neighbours` queries p
    nearest to q), repeated from those without the sum. Features are to be centred as in SimpleShot. Deviations:
    prototypes are not rectified, neighbours are 3 (of the released code's 3 the first, the query itself, is dropped,
    which leaves 2), and strength is the same for all datasets and shots, chosen on validation episodes of CIFAR-FS.
    The released accuracies are those of the best matching of predicted to true classes of the queries; ours are plain.
    """

    def fit(key: Key, z: Array, y: Array, ways: int) -> Array:
        return class_means(unit(z), y, ways)

    def predict(means: Array, z: Array) -> Array:
        z = unit(z)
        unary = -squared_euclidean(z, means)
        far = squared_euclidean(z, z) + jnp.diag(jnp.full(len(z), jnp.inf))
        nearest = jax.lax.top_k(-far, min(neighbours, len(z) - 1))[1]  # [Q,k]

        def step(logits: Array, _: None) -> tuple[Array, None]:
            return unary + strength * jax.nn.softmax(logits)[nearest].sum(1), None

        return jax.lax.scan(step, unary, length=iterations)[0]

    return Head(fit, predict)


def information_maximization(
    temperature: float = 15.0, support: float = 0.1, conditional: float = 0.1, lr: float = 1e-4, iterations: int = 1000
) -> Head:
    """TIM-GD: class weights that maximise the information between queries and their predicted classes (equation 3).

    Logits are -temperature/2 |z - w|^2 of unit features. From class means, Adam minimises support * cross-entropy of
    the support set - entropy of the queries' mean prediction + conditional * mean entropy of their predictions. The
    constants are those of the released code and its scripts for TIM-GD.
    """
    optimizer = optax.adam(lr)

    def logits(weights: Array, z: Array) -> Array:
        return -temperature / 2 * squared_euclidean(z, weights)

    def objective(weights: Array, z: Array, y: Array, query: Array) -> Array:
        log_p = jax.nn.log_softmax(logits(weights, query))
        p = jnp.exp(log_p)
        marginal = p.mean(0)
        entropy = -(marginal * jnp.log(marginal + 1e-12)).sum()
        return support * cross_entropy(logits(weights, z), y) - entropy - conditional * (p * log_p).sum(-1).mean()

    def fit(key: Key, z: Array, y: Array, ways: int) -> tuple[Array, Array, Array]:
        return class_means(unit(z), y, ways), unit(z), y

    def predict(fitted: tuple[Array, Array, Array], z: Array) -> Array:
        weights, support_z, y = fitted
        query = unit(z)

        def step(carry: tuple[Array, optax.OptState], _: None) -> tuple[tuple[Array, optax.OptState], None]:
            weights, state = carry
            updates, state = optimizer.update(jax.grad(objective)(weights, support_z, y, query), state)
            return (weights + updates, state), None

        (weights, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), length=iterations)
        return logits(weights, query)

    return Head(fit, predict)
