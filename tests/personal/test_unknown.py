"""How familiar photographs are: closed forms, what is held out of which fit, the threshold."""

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from metalearn.personal.unknown import (
    DOUBTS,
    GROUPS,
    LEAST,
    MANY,
    NEVER,
    USUAL,
    Familiar,
    Fit,
    auroc,
    cosines_to,
    familiar_of,
    familiarity,
    held_out,
    left_out_classes,
    threshold_of,
)


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_auroc_is_that_of_sklearn(levels: int) -> None:
    """With many ties and with none."""
    rng = np.random.default_rng(levels)
    known = rng.integers(0, levels, 40) / levels + 0.1
    unknown = np.round(rng.integers(0, levels, 70) / levels - 0.1 * (levels > 5), 6)
    known = np.round(known - 0.1, 6)
    labels = np.repeat([1, 0], [len(known), len(unknown)])
    expected = roc_auc_score(labels, np.concatenate([known, unknown]))
    assert auroc(known, unknown) == pytest.approx(expected, abs=1e-12)


def test_auroc_of_what_is_told_apart_is_one_and_of_equal_scores_a_half() -> None:
    assert auroc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert auroc(np.array([0.0, 1.0]), np.array([2.0])) == 0
    assert auroc(np.ones(3), np.ones(5)) == 0.5


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def usual_by_loop(z: np.ndarray, y: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Cosines to the mean of the others of a class, one at a time."""
    centred = [(row - centre) / np.linalg.norm(row - centre) for row in z]
    own = {}
    for label in set(y.tolist()):
        rows = [i for i in range(len(y)) if y[i] == label]
        if len(rows) > 1:
            found = [
                cosine(centred[i], np.mean([centred[j] for j in rows if j != i], 0)) for i in rows
            ]
            own[label] = np.mean(found)
    overall = max(LEAST, np.mean(list(own.values())))
    usual = []
    for label in range(y.max() + 1):
        n = int((y == label).sum())
        share = (n - 1) / (n - 1 + DOUBTS)
        mine = max(own.get(label, overall), LEAST)
        usual.append(np.exp(share * np.log(mine) + (1 - share) * np.log(overall)))
    return np.array(usual)


@pytest.mark.parametrize("prior", [0.0, 3.0, 20.0])
def test_class_means_and_usual_cosines_are_those_of_a_plain_loop(prior: float) -> None:
    rng = np.random.default_rng(1)
    y = np.array([0, 0, 0, 0, 1, 1, 2, 0])
    z = (rng.normal(size=(3, 6))[y] + 0.6 * rng.normal(size=(8, 6)) + 1).astype(np.float32)
    found = familiar_of(z, y, 3, prior)
    centre = len(z) * z.mean(0) / (len(z) + prior)
    np.testing.assert_allclose(found.centre, centre, rtol=1e-5)
    for label in range(3):
        parts = [(row - centre) / np.linalg.norm(row - centre) for row in z[y == label]]
        mean = np.mean(parts, 0)
        np.testing.assert_allclose(found.means[label], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(found.usual, usual_by_loop(z, y, centre), rtol=1e-5)
    expected = [[cosine(row - centre, mean) for mean in found.means] for row in z]
    np.testing.assert_allclose(cosines_to(found, z), expected, atol=1e-5)


def test_an_endless_prior_centres_nothing() -> None:
    z = np.array([[1.0, 2.0], [3.0, 1.0]], np.float32)
    assert not familiar_of(z, np.array([0, 1]), 2, float("inf")).centre.any()


def test_where_no_class_has_two_photos_the_usual_cosine_is_a_constant() -> None:
    z = np.eye(3, 5, dtype=np.float32)
    assert familiar_of(z, np.arange(3), 3, 1.0).usual.tolist() == [USUAL] * 3


def test_usual_cosines_are_never_below_a_least() -> None:
    """Where the photographs of a class are as far from each other as can be, too."""
    z = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    found = familiar_of(z, np.array([0, 0, 1, 1]), 2, 0.0)
    np.testing.assert_allclose(found.usual, LEAST)


def test_familiarity_is_a_cosine_over_the_usual_one_times_the_root_of_the_probability() -> None:
    familiar = Familiar(np.array([1.0, 0.0]), np.eye(2), np.array([0.5, 0.8]))
    fit = Fit(lambda kept: kept, lambda kept: kept, familiar)
    z = np.array([[3.0, 1.0], [2.0, 4.0]])
    logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    found = familiarity(fit, z, logits)
    sure = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-1.0))
    first = 2 / np.sqrt(5) / 0.5 * np.sqrt(sure[0])
    second = 4 / np.sqrt(17) / 0.8 * np.sqrt(sure[1])
    np.testing.assert_allclose(found, [first, second])


def test_no_photo_is_so_unfamiliar_that_it_is_unknown_where_nothing_is_to_be() -> None:
    """Opposite to the class that it is taken for, one whose photographs look nothing alike."""
    familiar = Familiar(np.zeros(2), np.array([[1.0, 0.0], [1.0, 0.0]]), np.full(2, LEAST))
    fit = Fit(lambda kept: kept, lambda kept: kept, familiar)
    found = familiarity(fit, np.array([[-1.0, 0.0]]), np.array([[100.0, 0.0]]))
    assert NEVER < found[0] == pytest.approx(-1 / LEAST)


class Watched:
    """Fits nothing, and remembers which rows it was given, and for how many classes.

    Rows are told apart by what is kept of them: their own numbers. Logits and vectors are those
    numbers too.
    """

    def __init__(self) -> None:
        self.fits: list[tuple[set[int], int]] = []
        self.asked: list[tuple[int, int]] = []  # the fit, the row

    def __call__(self, kept: np.ndarray, y: np.ndarray, classes: int) -> Fit:
        place = len(self.fits)
        self.fits.append((set(kept[:, 0].astype(int).tolist()), classes))
        assert set(y.tolist()) == set(range(classes)), "every class keeps a photograph"

        def logits(rows: np.ndarray) -> np.ndarray:
            self.asked += [(place, int(row)) for row in rows[:, 0]]
            return np.tile(rows[:, :1], (1, classes))

        def vectors(rows: np.ndarray) -> np.ndarray:
            return np.ones((len(rows), 2))

        return Fit(logits, vectors, Familiar(np.zeros(2), np.ones((classes, 2)), np.ones(classes)))


def rows_of(y: np.ndarray) -> np.ndarray:
    return np.arange(len(y), dtype=np.float64)[:, None]


@pytest.mark.parametrize(
    "counts", [(2, 2), (1, 2), (1, 1, 3), (7, 1, 2, 4), (12, 11), (1, 1, 1, 1, 1, 5)]
)
def test_no_photo_is_judged_by_a_fit_to_itself(counts: tuple[int, ...]) -> None:
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    watched = Watched()
    found = held_out(watched, rows_of(y), y, len(counts))
    several = [row for row in range(len(y)) if counts[y[row]] > 1]
    assert sorted(found.rows.tolist()) == several, "those alone in their class are never held out"
    assert sorted(row for _, row in watched.asked) == several
    for place, row in watched.asked:
        assert row not in watched.fits[place][0]
    assert len(watched.fits) == min(GROUPS, max(counts))
    np.testing.assert_array_equal(found.logits[:, 0], found.rows)
    assert found.familiarity.shape == (len(several),)


def test_where_each_photo_is_alone_none_is_held_out_and_nothing_is_fitted() -> None:
    watched = Watched()
    found = held_out(watched, rows_of(np.arange(4)), np.arange(4), 4)
    assert not watched.fits and found.logits.shape == (0, 4) and not len(found.rows)


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 6, 11])
def test_a_class_is_judged_by_a_fit_without_it(classes: int) -> None:
    y = np.random.default_rng(classes).permutation(np.arange(3 * classes) % classes)
    watched = Watched()
    found = left_out_classes(watched, rows_of(y), y, classes)
    assert sorted(row for _, row in watched.asked) == list(range(len(y)))
    for place, row in watched.asked:
        (fitted, number) = watched.fits[place]
        others = {int(y[other]) for other in fitted}
        assert y[row] not in others and len(others) == number
        assert 2 * number >= classes, "at most half of the classes are left out at once"
    assert np.isfinite(found).all() and len(watched.fits) == min(GROUPS, classes)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("number", [10, 57, 400])
def test_with_many_classes_the_chosen_share_exceeds_the_threshold(rate: float, number: int) -> None:
    unknown = np.random.default_rng(number).normal(size=number)
    threshold = threshold_of(unknown, MANY, rate)
    assert threshold in unknown, "one that was seen"
    assert (unknown > threshold).mean() <= rate < (unknown > threshold).mean() + 2 / number


def test_with_few_classes_the_threshold_is_a_prediction_bound() -> None:
    unknown = np.array([0.1, 0.3, 0.4, 0.2])
    expected = 0.25 + student.ppf(0.95, 3) * np.std(unknown, ddof=1) * np.sqrt(1.25)
    assert threshold_of(unknown, 4, 0.05) == pytest.approx(expected)
    bounds = [threshold_of(unknown, classes, 0.05) for classes in range(2, MANY)]
    assert bounds == sorted(bounds, reverse=True), "the fewer, the more careful"
    assert threshold_of(np.full(4, 0.3), 4, 0.05) == pytest.approx(0.3)
