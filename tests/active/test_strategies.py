"""Strategies of active learning, beside brute force and closed forms."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.active import auto, core_set, cover, facility
from metalearn.active import badge as badge_module
from metalearn.active.auto import ENOUGH, by_labels, first_images
from metalearn.active.badge import badge, gradient_distances
from metalearn.active.core_set import k_centre
from metalearn.active.cover import least_cosine, prob_cover
from metalearn.active.facility import facility_location
from metalearn.active.kmeans import k_means
from metalearn.active.pool import Pool, best, highest, nearest_of, part_of
from metalearn.active.quota import evened
from metalearn.active.registry import STRATEGIES
from metalearn.active.typical import in_turn, typicality, typiclust
from metalearn.active.uncertainty import disagreement, entropy, least_confidence, margin
from metalearn.types import random_key

CLASSES = 3


def unit_rows(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def a_pool(number: int = 60, known: int = 5, seed: int = 0) -> Pool:
    """A pool with a head: three blobs of features, drawn probabilities."""
    random = np.random.default_rng(seed)
    middles = 3 * np.eye(CLASSES, 8)
    z = unit_rows(middles[np.arange(number) % CLASSES] + random.normal(size=(number, 8)))
    labelled = random.permutation(number)[:known].astype(np.int32)
    free = np.ones(number, bool)
    free[labelled] = False
    counts = np.bincount(labelled % CLASSES, minlength=CLASSES)
    members = random.dirichlet(np.ones(CLASSES), (4, number)).astype(np.float32)
    arrays = (z, free, labelled, counts, members[0], members)
    return Pool(*map(jnp.asarray, arrays))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("k", [1, 7, 55])
@pytest.mark.parametrize("fresh", [False, True])
def test_strategy_chooses_different_free_images(name, k, fresh):
    pool = a_pool()
    if fresh:
        nothing = jnp.zeros(0, jnp.int32)
        blank = {"labelled": nothing, "counts": jnp.zeros(CLASSES, jnp.int32)}
        pool = pool._replace(probabilities=None, committee=None, **blank)
    pick = STRATEGIES[name].pick
    found = np.asarray(jax.jit(pick, static_argnums=2)(random_key(1), pool, k))
    assert found.shape == (k,)
    assert len(set(found.tolist())) == k
    assert np.asarray(pool.free)[found].all()


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_is_the_same_for_a_key(name):
    pool = a_pool()
    pick = STRATEGIES[name].pick
    one, other = (np.asarray(pick(random_key(3), pool, 6)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_uncertainty_scores_are_their_definitions():
    p = jnp.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(least_confidence(p), [0.5, 0.0], atol=1e-7)
    np.testing.assert_allclose(margin(p), [-0.2, -1.0], atol=1e-7)
    expected = -(0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2))
    np.testing.assert_allclose(entropy(p), [expected, 0.0], atol=1e-6)


@pytest.mark.parametrize("classes", [1, 2, 8, 11, 100])
def test_margin_is_that_of_sorted_probabilities(classes):
    p = np.random.default_rng(classes).dirichlet(np.ones(classes), 70).astype(np.float32)
    p[0] = 1 / classes
    ordered = np.sort(np.pad(p, ((0, 0), (1, 0)), constant_values=-np.inf), 1)
    np.testing.assert_array_equal(margin(jnp.asarray(p)), ordered[:, -2] - ordered[:, -1])


def test_equal_scores_are_drawn_and_higher_ones_come_first():
    scores = jnp.array([1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 9.0])
    free = jnp.ones(8, bool).at[7].set(False)
    found = [np.asarray(best(random_key(seed), scores, free, 5)).tolist() for seed in range(30)]
    assert all(one[:3] == [5, 2, 0] and len(set(one)) == 5 for one in found)
    assert {place for one in found for place in one[3:]} == {1, 3, 4, 6}


def test_choices_do_not_depend_on_what_is_likely():
    pool = a_pool(200, 4)
    key = random_key(2)
    for pick in (k_centre, badge):
        at_once = np.asarray(pick(key, pool, 40))
        with mock.patch.object(core_set, "AHEAD", 1), mock.patch.object(badge_module, "AHEAD", 1):
            np.testing.assert_array_equal(pick(key, pool, 40), at_once)


def test_disagreement_is_ln_2_of_two_sure_members_and_0_of_two_alike():
    sure = jnp.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    np.testing.assert_allclose(disagreement(sure), [np.log(2), 0], atol=1e-6)


@pytest.mark.parametrize("kinds", [3, 40, 10_000])
def test_highest_scores_are_those_of_a_sort(kinds):
    scores = np.random.default_rng(0).integers(0, kinds, 3000).astype(np.float32)
    scores[::7] = -np.inf
    (values, places) = highest(jnp.asarray(scores), 12)
    np.testing.assert_array_equal(values, np.sort(scores)[::-1][:12])
    np.testing.assert_array_equal(scores[np.asarray(places)], values)
    assert len(set(np.asarray(places).tolist())) == 12


def test_ties_are_drawn():
    scores = jnp.zeros(500).at[3].set(1.0)
    free = jnp.ones(500, bool).at[10].set(False)
    drawn = np.stack([best(random_key(seed), scores, free, 5) for seed in range(40)])
    assert (drawn[:, 0] == 3).all() and 10 not in drawn
    assert len(np.unique(drawn[:, 1:])) > 100


def test_k_centre_is_the_greedy_one():
    pool = a_pool()
    found = np.asarray(k_centre(random_key(0), pool, 8))
    z = np.asarray(pool.z, np.float64)
    chosen = np.asarray(pool.labelled).tolist()
    for place in found:
        distances = np.linalg.norm(z[:, None] - z[chosen], axis=-1).min(1)
        distances[~np.asarray(pool.free)] = -1
        distances[chosen] = -1
        assert place == distances.argmax()
        chosen.append(int(place))


def test_nearest_of_many_is_the_nearest_of_all():
    pool = a_pool(50, 0)
    rows = jnp.arange(0, 50, 3)
    np.testing.assert_allclose(
        nearest_of(pool.z, pool.z[rows]), (pool.z @ pool.z[rows].T).max(1), 1e-5
    )


def test_gradient_distances_are_those_of_built_gradients():
    random = np.random.default_rng(0)
    errors = random.normal(size=(9, 4))
    z = random.normal(size=(9, 5))
    built = np.einsum("nc,nd->ncd", errors, z).reshape(9, -1)
    expected = np.square(built - built[3]).sum(1)
    found = gradient_distances(jnp.asarray(errors), jnp.asarray(z), jnp.array([3, 0]))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_k_means_finds_separate_blobs():
    random = np.random.default_rng(0)
    middles = 20 * random.normal(size=(4, 6))
    of = np.arange(80) % 4
    z = (middles[of] + random.normal(size=(80, 6))).astype(np.float32)
    found = k_means(random_key(0), jnp.asarray(z), 4)
    means = np.stack([z[of == each].mean(0) for each in range(4)])
    order = np.asarray(found.of)[:4]
    np.testing.assert_array_equal(np.asarray(found.of), order[of])
    np.testing.assert_allclose(np.asarray(found.centres)[order], means, rtol=1e-4, atol=1e-4)
    squares = np.square(z - means[of]).sum(1)
    np.testing.assert_allclose(found.squares, squares, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("number", [7, 300])
def test_typicality_is_that_of_brute_force(number):
    random = np.random.default_rng(0)
    z = random.normal(size=(number, 5)).astype(np.float32)
    of = random.integers(0, 3, number)  # the last of these is no cluster
    found = np.asarray(typicality(jnp.asarray(z), jnp.asarray(of), 2))
    for place in np.flatnonzero(of < 2):
        others = np.flatnonzero((of == of[place]) & (np.arange(number) != place))
        distances = np.sort(np.linalg.norm(z[others] - z[place], axis=1))
        near = distances[: int(np.clip((len(others) + 1) // 2, 1, 20))]
        expected = 1 / near.mean() if len(near) else 1e5
        np.testing.assert_allclose(found[place], expected, rtol=1e-3)


def test_clusters_without_labels_come_first_then_larger_ones_and_small_ones_last():
    of = jnp.array([0] * 6 + [1] * 7 + [2] * 8 + [3] * 2)
    labelled = jnp.array([13], jnp.int32)
    free = jnp.ones(23, bool).at[13].set(False)
    pool = Pool(jnp.zeros((23, 1)), free, labelled, jnp.array([1]))
    scores = -jnp.arange(23.0)
    found = in_turn(pool, of, scores, 6, 4)
    assert found.tolist() == [6, 0, 14, 21, 7, 1]


def test_typiclust_begins_with_one_image_of_each_blob():
    pool = a_pool(60, 0)._replace(counts=jnp.zeros(CLASSES, jnp.int32))
    found = np.asarray(typiclust(random_key(0), pool, 3))
    assert sorted(found % CLASSES) == [0, 1, 2]


def test_radius_is_as_large_as_neighbourhoods_are_pure():
    # Two clusters on a circle, the nearest pair between them 60 degrees apart
    degrees = np.array([0, 10, 20, 30, 90, 100, 110, 120])
    z = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 1)
    nothing = jnp.zeros(0, jnp.int32)
    pool = Pool(jnp.asarray(z, jnp.float32), jnp.ones(8, bool), nothing, jnp.zeros(2, int))
    apart = [90, 80, 70, 60, 60, 70, 80, 90]
    expected = np.quantile(np.cos(np.radians(apart)), 0.95)
    np.testing.assert_allclose(least_cosine(random_key(0), pool), expected, atol=1e-5)


@pytest.mark.parametrize("few", [0, 3, 64])
def test_prob_cover_covers_greedily(few):
    pool = a_pool(80, 3)
    key = random_key(4)
    with mock.patch.object(cover, "FEW", few):
        found = np.asarray(prob_cover(key, pool, 6))
    least = float(least_cosine(jax.random.split(key)[0], pool))
    near = np.asarray(pool.z @ pool.z.T) >= least
    covered = near[np.asarray(pool.labelled)].any(0)
    free = np.asarray(pool.free).copy()
    for place in found:
        brings = (near & ~covered).sum(1)
        assert brings[place] == brings[free].max()
        covered |= near[place]
        free[place] = False


def test_a_part_of_a_large_pool_is_covered_and_chosen_from():
    pool = a_pool(90, 1)
    of = np.arange(90) % CLASSES
    z = np.eye(CLASSES, 8)[of] + 0.01 * np.random.default_rng(0).normal(size=(90, 8))
    pool = pool._replace(z=jnp.asarray(unit_rows(z)))
    with mock.patch.object(cover, "COVERED", 40):
        found = np.asarray(prob_cover(random_key(0), pool, 2))
        every = np.asarray(prob_cover(random_key(0), pool, 60))
    # The labelled image covers its own blob, wherever it is
    assert {*of[found].tolist(), *of[pool.labelled].tolist()} == {0, 1, 2}
    assert len(set(every.tolist())) == 60
    assert np.asarray(pool.free)[every].all()


@pytest.mark.parametrize(("known", "rows"), [(0, 256), (4, 32)])
def test_facility_location_takes_what_serves_the_pool_best(known, rows):
    pool = a_pool(70, known)
    with mock.patch.object(facility, "FILLED", rows):
        found = np.asarray(facility_location(random_key(0), pool, 30))
    z = np.asarray(pool.z, np.float64)
    similar = np.square(np.maximum(z @ z.T, 0))
    served = similar[np.asarray(pool.labelled)].max(0, initial=0)
    free = np.asarray(pool.free).copy()
    for place in found:
        gains = np.maximum(similar - served, 0).sum(1)
        assert gains[place] == pytest.approx(gains[free].max(), rel=1e-5) and free[place]
        served = np.maximum(served, similar[place])
        free[place] = False


def test_a_part_of_a_pool_is_free_images_first():
    pool = a_pool(50, 20)
    part = part_of(random_key(0), pool, 35)
    rows = np.asarray(part.rows)
    assert len(set(rows.tolist())) == 35 and set(np.flatnonzero(pool.free)) <= set(rows.tolist())
    np.testing.assert_array_equal(part.pool.z, np.asarray(pool.z)[rows])
    np.testing.assert_array_equal(part.pool.free, np.asarray(pool.free)[rows])
    np.testing.assert_array_equal(part.known, np.asarray(pool.z)[np.asarray(pool.labelled)])
    with mock.patch.object(facility, "SERVED", 35):
        found = np.asarray(facility_location(random_key(0), pool, 6))
        every = np.asarray(facility_location(random_key(0), a_pool(50, 0), 50))
    assert len(set(found.tolist())) == 6 and np.asarray(pool.free)[found].all()
    assert sorted(every.tolist()) == list(range(50))


def test_auto_changes_from_typical_images_to_those_that_serve_the_pool_and_to_doubtful_ones():
    many = CLASSES * ENOUGH
    key = random_key(0)
    none = a_pool(200, 0)
    np.testing.assert_array_equal(by_labels(key, none, 4), first_images(key, none, 4))
    few = a_pool(200, many - 1)
    serving = facility_location(key, few, 4)
    np.testing.assert_array_equal(by_labels(key, few, 4), serving)
    for enough in (a_pool(200, many), a_pool(90, 27)):  # the latter is 30 % of its pool
        by_margin = STRATEGIES["margin"].pick(key, enough, 4)
        np.testing.assert_array_equal(by_labels(key, enough, 4), by_margin)


def test_first_images_are_typical_ones_of_clusters_that_serve_the_pool():
    pool = a_pool(250, 0)
    serving = facility_location(jax.random.split(random_key(0))[0], pool, 5)
    found = first_images(random_key(0), pool, 5)
    # k-means by hand, from those images
    z = np.asarray(pool.z)
    centres = z[np.asarray(serving)]
    for _ in range(100):
        of = ((z[:, None] - centres) ** 2).sum(2).argmin(1)
        centres = np.stack([z[of == cluster].mean(0) for cluster in range(5)])
    chosen = np.asarray(found)
    assert sorted(of[chosen].tolist()) == list(range(5))
    for place in chosen:
        near = np.sort(np.linalg.norm(z[of == of[place]][:, None] - z[of == of[place]], axis=2))
        number = min(20, len(near) // 2)
        mean = near[:, 1 : number + 1].mean(1)
        assert np.linalg.norm(z[of == of[place]] - z[place], axis=1)[mean.argmin()] < 1e-6
    for limit, value in (("MOST_CLUSTERS", 4), ("LARGE", 51)):
        with mock.patch.object(auto, limit, value):
            np.testing.assert_array_equal(first_images(random_key(0), pool, 5), serving)


def test_choices_are_evened_out_over_classes():
    order = jnp.array([10, 11, 12, 13, 14], jnp.int32)
    guesses = jnp.array([0, 0, 0, 1, 2])
    counts = jnp.array([1, 0, 0])
    assert evened(order, guesses, counts, 4).tolist() == [13, 14, 10, 11]
