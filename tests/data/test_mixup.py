"""Mixup: what is mixed with what, and by how much."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.data.mixup import mixup
from metalearn.errors import UserError
from metalearn.types import Array, Batch, Key
from tests.small import quick_jit

KEYS = jax.random.split(jax.random.key(0), 2000)
# Image i has the value 2^i at every place, and the label i: means of two tell which they are of
Y = jnp.arange(6, dtype=jnp.int32)
X = jnp.broadcast_to(2.0 ** Y[:, None, None, None], (6, 2, 3, 1))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_is_the_weighted_mean_of_the_images_of_both_labels(alpha: float) -> None:
    mixed = quick_jit(mixup, static_argnums=2)(KEYS[0], Batch(X, Y), alpha)
    assert mixed.x.shape == X.shape and mixed.x.dtype == mixed.share.dtype == jnp.float32
    assert mixed.share.shape == () and 0 <= mixed.share <= 1
    assert mixed.other.dtype == jnp.int32 and sorted(mixed.other.tolist()) == Y.tolist()
    np.testing.assert_array_equal(mixed.y, Y)
    share = float(mixed.share)
    expected = share * 2.0 ** np.asarray(Y) + (1 - share) * 2.0 ** np.asarray(mixed.other)
    np.testing.assert_allclose(mixed.x, np.broadcast_to(expected[:, None, None, None], X.shape))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixup_shares_have_the_moments_of_the_beta_distribution(alpha: float) -> None:
    """Mean 1/2, variance 1 / (8 alpha + 4); partners are uniform, and drawn apart from shares."""

    def drawn(key: Key) -> tuple[Array, Array]:
        mixed = mixup(key, Batch(X, Y), alpha)
        return mixed.share, mixed.other[0]

    shares, partners = jax.jit(jax.vmap(drawn))(KEYS)
    assert abs(shares.mean() - 0.5) < 0.03
    assert float(shares.var()) == pytest.approx(1 / (8 * alpha + 4), rel=0.1)
    np.testing.assert_allclose(np.bincount(partners, minlength=6) / 2000, 1 / 6, atol=0.03)
    assert abs(np.corrcoef(shares, partners)[0, 1]) < 0.07


def test_mixup_follows_from_its_key() -> None:
    first, again, other = (mixup(key, Batch(X, Y), 1.0) for key in KEYS[jnp.array([0, 0, 1])])
    np.testing.assert_array_equal(first.x, again.x)
    assert (first.x != other.x).any()


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_mixup_of_no_distribution_is_refused(alpha: float) -> None:
    with pytest.raises(UserError, match="alpha must be above 0"):
        mixup(KEYS[0], Batch(X, Y), alpha)


@pytest.mark.parametrize("more", [{"teacher": jnp.zeros((6, 6))}, {"turns": jnp.zeros(6, int)}])
def test_mixup_of_turned_or_taught_images_is_refused(more: dict[str, Array]) -> None:
    with pytest.raises(UserError, match="neither turned nor seen by a teacher"):
        mixup(KEYS[0], Batch(X, Y, **more), 1.0)
