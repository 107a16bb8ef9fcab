"""All methods by one contract: shifts that they must solve, and what is refused in one line."""

import re

import numpy as np
import pytest

from metalearn.domains.few import few_of_each, training_set
from metalearn.domains.registry import METHODS, NONE, adapt
from metalearn.domains.types import Domains, check_same_classes
from metalearn.errors import UserError
from metalearn.transfer.probes import apply_probe, fit_probe
from tests.domains.made import CLASSES, domains, plane, right

WEIGHTED = ("kmm", "kliep", "discriminator")
TCA = "tca"  # leaves out what tells domains apart, and does not move it
MOVED = [name for name in METHODS if name not in (NONE, TCA, *WEIGHTED)]


@pytest.mark.parametrize("name", METHODS)
def test_method_follows_the_contract_and_is_pure(name: str) -> None:
    given = domains()
    copies = [each.copy() for each in given[:3]]
    (found, again) = (adapt(name, given) for _ in range(2))
    for before, after in zip(copies, given[:3], strict=True):
        np.testing.assert_array_equal(before, after)
    new = found.transform(given.target_z[:5])
    assert found.source.shape == (60, new.shape[1]) and len(new) == 5
    assert found.source.dtype == new.dtype == found.weights.dtype == np.float64
    assert found.weights.mean() == pytest.approx(1) and found.weights.min() >= 0
    assert "\n" not in found.note
    np.testing.assert_array_equal(found.source, again.source)
    np.testing.assert_array_equal(found.weights, again.weights)
    np.testing.assert_array_equal(new, again.transform(given.target_z[:5]))


@pytest.mark.parametrize("name", METHODS)
def test_method_takes_more_features_than_images_and_constant_ones(name: str) -> None:
    given = domains(15, 12, 40)
    given.source_z[:, -3:] = 0
    given.target_z[:, -3:] = 0
    found = adapt(name, given)
    assert np.isfinite(found.source).all()
    assert np.isfinite(found.transform(given.target_z)).all()


SHIFTS = {
    "moved": (np.eye(2), [5.0, -4.0]),
    "scaled": (np.diag([2.0, 1.6]), [4.0, -2.0]),
    "turned": (np.array([[np.cos(0.4), np.sin(0.4)], [-np.sin(0.4), np.cos(0.4)]]), [2.5, 2.0]),
}


@pytest.mark.parametrize("name", MOVED)
@pytest.mark.parametrize("shift", SHIFTS)
def test_method_that_changes_features_solves_a_shift(name: str, shift: str) -> None:
    """Three blobs in the plane; the same ones, changed by a map."""
    (source, y) = plane(90, 0)
    (seen, _) = plane(75, 1)
    (new, new_y) = plane(60, 2)
    (matrix, by) = SHIFTS[shift]
    given = Domains(source, y, seen @ matrix + by, CLASSES)
    plain = right(adapt(NONE, given), y, new @ matrix + by, new_y)
    found = right(adapt(name, given), y, new @ matrix + by, new_y)
    assert found > 0.9 and found > plain + 0.15, (plain, found)


@pytest.mark.parametrize("kernel", ["none", "linear", "rbf"])
def test_components_solve_a_shift_that_tells_nothing_of_classes(kernel: str) -> None:
    """A third feature, of much noise, by which the nearest images are not those of the class."""
    random = np.random.default_rng(3)
    (source, seen, new) = (
        np.column_stack([plane(number, seed)[0], random.normal(by, 1, number)])
        for number, seed, by in ((90, 0, 0.0), (75, 1, 12.0), (60, 2, 12.0))
    )
    (y, new_y) = (plane(number, seed)[1] for number, seed in ((90, 0), (60, 2)))
    given = Domains(source, y, seen, CLASSES)
    plain = right(adapt(NONE, given), y, new, new_y)
    found = right(adapt(TCA, given, kernel=kernel, dimensions=2), y, new, new_y)
    assert found > plain + 0.3, (plain, found)


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_in_the_loss_solve_a_covariate_shift(name: str) -> None:
    """A line that fits the target's part of a curve is not the line of all of the source."""
    random = np.random.default_rng(0)

    def drawn(number: int, middle: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
        z = np.stack([random.normal(middle, spread, number), random.normal(0, 1, number)], 1)
        return z, (z[:, 1] > np.abs(z[:, 0]) - 0.7).astype(int)

    (source, y) = drawn(600, -0.3, 1.0)
    (target, _) = drawn(300, 1.0, 0.35)
    (new, new_y) = drawn(500, 1.0, 0.35)
    found = adapt(name, Domains(source, y, target, 2))
    accuracies = []
    for weights in (None, found.weights):
        probe = fit_probe("logistic", source, y, 2, images=weights)
        accuracies.append((apply_probe(probe, new).argmax(1) == new_y).mean())
    assert accuracies[1] > accuracies[0] + 0.03, accuracies


GOOD = domains(9, 6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (GOOD._replace(source_z=GOOD.source_z[:0], source_y=GOOD.source_y[:0]), "source has 0"),
        (GOOD._replace(target_z=GOOD.target_z[:1]), "target has 1 images"),
        (GOOD._replace(source_y=np.full(9, 2)), "source has images of class 2 alone"),
        (GOOD._replace(target_z=GOOD.target_z[:, :3]), "4 features an image of the source, 3"),
        (GOOD._replace(target_z=np.full((6, 4), np.nan)), "target features are not all finite"),
        (GOOD._replace(target_z=np.ones((6, 4))), "all images of the target have the same"),
        (GOOD._replace(source_y=GOOD.source_y[:5]), "source features (9, 4) and labels (5,)"),
        (GOOD._replace(source_y=GOOD.source_y + 1), "source label 3 of 3 classes"),
        (GOOD._replace(target_z=GOOD.target_z[0]), "target features have the shape (4,)"),
    ],
)
def test_bad_domains_are_told_in_one_line(given: Domains, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        adapt("coral", given)
    assert "\n" not in str(raised.value)


def test_unknown_methods_are_told_in_one_line() -> None:
    with pytest.raises(UserError, match="unknown method 'dann': choose one of none, recentre"):
        adapt("dann", GOOD)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (["a", "b"], ["a", "c"], "'b' in the source alone; 'c' in the target alone"),
        (["a", "b", "c"], ["a", "b"], "'c' in the source alone; have the same in both"),
        (["a", "b"], ["b", "a"], "in different orders"),
        (["a"], ["a", "b"], "the source has 1 classes (a)"),
        (["a", "b"], [], "the target has 0 classes"),
    ],
)
def test_classes_that_differ_are_named(source: list, target: list, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        check_same_classes(source, target)
    check_same_classes(["a", "b"], ["a", "b"])


def test_few_labelled_images_are_as_many_of_each_class() -> None:
    y = np.array([0, 1, 1, 0, 2, 2, 2, 0])
    found = few_of_each(y, 2, ("a", "b", "c"))
    assert np.bincount(y[found]).tolist() == [2, 2, 2]
    assert len(set(found.tolist())) == 6
    np.testing.assert_array_equal(found, few_of_each(y, 2, ("a", "b", "c")))
    said = "3 labelled images a class, but 'b' has 2: give 2 or fewer"
    with pytest.raises(UserError, match=said):
        few_of_each(y, 3, ("a", "b", "c"))
    with pytest.raises(UserError, match="give 1 or more"):
        few_of_each(y, 0, ("a", "b", "c"))


@pytest.mark.parametrize("name", METHODS)
def test_labelled_images_of_the_target_join_the_source(name: str) -> None:
    given = domains()
    found = adapt(name, given)
    few = (given.target_z[:6], np.arange(6) % CLASSES)
    joined = training_set(found, given.source_y, CLASSES, few, weight=3.0)
    np.testing.assert_array_equal(joined.z[:60], found.source)
    np.testing.assert_allclose(joined.z[60:], found.transform(few[0]), atol=1e-12)
    np.testing.assert_array_equal(joined.y, [*given.source_y, *few[1]])
    np.testing.assert_array_equal(joined.images, [*found.weights, *[3.0] * 6])
    alone = training_set(found, given.source_y, CLASSES)
    np.testing.assert_array_equal(alone.z, found.source)


def test_labelled_images_of_the_target_are_checked() -> None:
    found = adapt(NONE, GOOD)
    with pytest.raises(UserError, match="labelled target label 3 of 3 classes"):
        training_set(found, GOOD.source_y, CLASSES, (GOOD.target_z, np.full(6, 3)))
    with pytest.raises(UserError, match="weigh 0: give a number above 0"):
        training_set(found, GOOD.source_y, CLASSES, (GOOD.target_z, np.zeros(6, int)), 0)
