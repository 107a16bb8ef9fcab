"""Simulated active learning: rounds, heads, stopping, what is left out."""

import jax
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from metalearn.active.heads import head_fit
from metalearn.active.images import Answers, Images, fitted, free_images
from metalearn.active.pool import Strategy
from metalearn.active.registry import STRATEGIES
from metalearn.active.simulation import simulate
from metalearn.active.trial import Rules, kappa, macro_recall
from metalearn.errors import UserError

CLASSES = 4


def blobs(number: int = 80, seed: int = 0) -> Images:
    """Images of four classes; half as many to test."""
    random = np.random.default_rng(seed)
    middles = 4 * np.eye(CLASSES, 12)
    y = random.integers(0, CLASSES, number + number // 2)
    z = (middles[y] + random.normal(size=(len(y), 12))).astype(np.float32)
    known = (z[:number], y[:number], np.arange(number))
    return Images(*known, z[number:], y[number:], CLASSES, np.arange(number))


def rounds_of(name: str, rules: Rules, seed: int = 0, images: Images | None = None) -> list:
    found = images or blobs()
    return simulate(STRATEGIES[name], found, rules, head_fit("auto"), [seed])[0]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_learns_the_blobs_in_rounds(name):
    found = rounds_of(name, Rules((4, 10, 40)))
    assert [each.labels for each in found] == [4, 10, 40]
    assert found[-1].accuracy > 0.8 and found[-1].classes == CLASSES
    assert found[0].agreement is None and found[-1].agreement > 0.2


def test_a_simulation_is_the_same_for_a_seed_and_another_for_another():
    def accuracies(seed: int) -> list[float]:
        return [each.accuracy for each in rounds_of("random", Rules((3, 6, 12)), seed)]

    assert accuracies(1) == accuracies(1)
    assert accuracies(1) != accuracies(2)


def test_no_image_is_asked_for_twice_and_none_outside_the_pool():
    asked = []

    def watched(key, pool, k):
        found = STRATEGIES["random"].pick(key, pool, k)
        asked.append((np.asarray(found), np.asarray(pool.labelled), len(pool.z)))
        return found

    # Called as it is: what is compiled is traced once a shape
    with jax.disable_jit():
        rules = Rules((5, 9, 20), pool=30)
        simulate(Strategy(watched, ""), blobs(), rules, head_fit("ridge"), [0])
    places = np.concatenate([found for found, _, _ in asked])
    assert len(set(places.tolist())) == 20 and places.max() < 30
    assert [len(labelled) for _, labelled, _ in asked] == [0, 5, 9]
    assert {number for _, _, number in asked} == {30}


def test_a_seed_has_the_same_pool_for_every_strategy():
    images = blobs()
    one = images.drawn(30, 7)
    np.testing.assert_array_equal(one.z, images.drawn(30, 7).z)
    assert images.drawn(0, 7) is images
    assert not np.array_equal(one.z, images.drawn(30, 8).z)


def test_images_that_show_the_same_are_asked_for_once():
    alike = np.array([0, 0, 1, 2, 2, 3])
    labelled = np.array([4])
    free = free_images(labelled, alike, distinct=True)
    assert free.tolist() == [True, False, True, False, False, True]
    assert free_images(labelled, alike, distinct=False).tolist() == [True] * 4 + [False, True]


def test_more_labels_than_different_images_are_refused():
    images = blobs()._replace(alike=np.zeros(80, int))
    with pytest.raises(UserError, match="the pool has 1 images"):
        rounds_of("random", Rules((2,), distinct=True), images=images)


def test_labels_of_one_class_make_a_head_that_answers_it():
    images = blobs()
    rows = np.flatnonzero(images.y == 2)[:3]
    found = fitted(head_fit("auto"), images, rows)
    assert (found.test.argmax(1) == 2).all() and (found.pool.argmax(1) == 2).all()


def test_balanced_choices_are_more_even():
    random = np.random.default_rng(1)
    y = np.repeat(np.arange(CLASSES), [120, 20, 20, 20])
    z = (4 * np.eye(CLASSES, 12)[y] + random.normal(size=(180, 12))).astype(np.float32)
    images = Images(z, y, np.arange(180), z, y, CLASSES, np.arange(180))

    def fewest(balanced: bool) -> int:
        labelled = []

        def fit(images: Images, rows: np.ndarray) -> Answers:
            labelled.append(images.y[rows])
            return head_fit("ridge")(images, rows)

        simulate(STRATEGIES["random"], images, Rules((20, 40), balanced=balanced), fit, [0])
        return int(np.bincount(labelled[-1], minlength=CLASSES).min())

    assert fewest(True) > fewest(False)


def test_nothing_more_is_asked_once_answers_hardly_change():
    found = rounds_of("random", Rules((8, 40, 60, 80), stop=0.5))
    assert [each.labels for each in found] == [8, 40, 40, 40]
    assert found[-1].accuracy == found[1].accuracy and found[-1].fit_s == 0


def untimed(rounds: list) -> list:
    return [each._replace(pick_s=0, fit_s=0) for each in rounds]


@pytest.mark.parametrize("name", ["k_centre", "auto", "bald"])
@pytest.mark.parametrize("pool", [0, 60])
def test_seeds_of_one_program_have_the_rounds_of_each_alone(name, pool):
    rules = Rules((4, 12, 40), pool)
    both = simulate(STRATEGIES[name], blobs(), rules, head_fit("ridge"), [3, 4])
    for seed, rounds in zip([3, 4], both, strict=True):
        (alone,) = simulate(STRATEGIES[name], blobs(), rules, head_fit("ridge"), [seed])
        assert untimed(rounds) == untimed(alone)


def test_seeds_of_one_program_stop_each_by_itself():
    rules = Rules((8, 16, 40, 60, 80), stop=0.9)
    seeds = [0, 1, 2, 3]
    found = simulate(STRATEGIES["random"], blobs(), rules, head_fit("ridge"), seeds)
    for seed, rounds in zip(seeds, found, strict=True):
        (alone,) = simulate(STRATEGIES["random"], blobs(), rules, head_fit("ridge"), [seed])
        assert untimed(rounds) == untimed(alone)
    assert len({rounds[-1].labels for rounds in found}) > 1


def test_kappa_and_recall_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    one, other = random.integers(0, CLASSES, (2, 50))
    assert kappa(one, other, CLASSES) == pytest.approx(cohen_kappa_score(one, other))
    assert kappa(one, one, CLASSES) == 1
    assert macro_recall(one, other) == pytest.approx(balanced_accuracy_score(other, one))


def test_an_unknown_classifier_is_refused():
    with pytest.raises(UserError, match="unknown classifier 'tree'"):
        head_fit("tree")
