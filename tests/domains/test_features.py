"""Methods that change features, against their formulas."""

import numpy as np
import pytest
from scipy.linalg import eigh, fractional_matrix_power, subspace_angles

from metalearn.domains import tca as components
from metalearn.domains.alignment import subspace
from metalearn.domains.centring import none, recentre, z_score
from metalearn.domains.coral import coral, power
from metalearn.domains.distance import mean_discrepancy
from metalearn.domains.kernels import Kernel, median_distance, squared_distances
from metalearn.domains.tca import tca
from metalearn.domains.types import Domains
from metalearn.errors import UserError
from tests.domains.made import domains


def test_nothing_is_adapted_by_none() -> None:
    given = domains()
    found = none(given)
    np.testing.assert_array_equal(found.source, given.source_z)
    np.testing.assert_array_equal(found.transform(given.target_z), given.target_z)


def test_recentring_moves_both_means_to_zero_and_new_images_by_the_targets() -> None:
    given = domains()
    found = recentre(given)
    np.testing.assert_allclose(found.source.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(found.transform(given.target_z).mean(0), 0, atol=1e-12)
    new = found.transform(np.ones((1, 4)))
    np.testing.assert_allclose(new[0], 1 - given.target_z.mean(0))


def test_z_scores_have_mean_0_and_deviation_1_in_each_domain() -> None:
    given = domains()
    given.source_z[:, 3] = 5.0
    found = z_score(given)
    for z in (found.source[:, :3], found.transform(given.target_z)[:, :3]):
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(z.std(0), 1)
    assert (found.source[:, 3] == 0).all()
    assert "1 features of a domain do not vary" in found.note


def test_coral_is_its_formula_on_standardised_features() -> None:
    given = domains()
    scaled = z_score(given)
    target = scaled.transform(given.target_z)
    # One deviation a feature by the divisor that the covariance has
    scaled_source = scaled.source * np.sqrt(59 / 60)
    target = target * np.sqrt(47 / 48)
    found = coral(given._replace(source_z=scaled_source, target_z=target))
    parts = [np.cov(z, rowvar=False) + np.eye(4) for z in (scaled_source, target)]
    (whitened, coloured) = (
        fractional_matrix_power(part, power) for part, power in zip(parts, (-0.5, 0.5), strict=True)
    )
    np.testing.assert_allclose(found.source, scaled_source @ whitened @ coloured, atol=1e-10)


def test_coral_makes_moments_equal_but_for_its_regularisation() -> None:
    given = domains()
    found = coral(given, regularisation=0.0)
    expected = np.cov(given.target_z, rowvar=False)
    np.testing.assert_allclose(np.cov(found.source, rowvar=False), expected, atol=1e-10)
    np.testing.assert_allclose(found.source.mean(0), given.target_z.mean(0))
    some = [np.cov(coral(given, r).source, rowvar=False) for r in (0.1, 1.0)]
    errors = [np.linalg.norm(each - expected) for each in some]
    assert 0 < errors[0] < errors[1] < np.linalg.norm(np.cov(given.source_z.T) - expected)


@pytest.mark.parametrize("images", [2, 6, 9, 30])
def test_powers_of_covariances_are_those_of_the_whole_matrix(images: int) -> None:
    z = np.random.default_rng(images).normal(size=(images, 9))
    for exponent in (-0.5, 0.5):
        expected = fractional_matrix_power(np.cov(z.T) + 0.1 * np.eye(9), exponent)
        np.testing.assert_allclose(power(z, 0.1, exponent), expected, atol=1e-10)


def test_coral_takes_singular_covariances_unless_nothing_is_added() -> None:
    """More features than images."""
    given = domains(12, 9, 30)
    assert np.isfinite(coral(given).source).all()
    with pytest.raises(UserError, match="singular: give coral a larger regularisation"):
        coral(given, regularisation=0.0)


def columns(given: Domains, kernel: str) -> np.ndarray:
    """X of all images: scaled features, or a kernel's matrix."""
    z = np.concatenate([given.source_z, given.target_z])
    if kernel == "none":
        return z / np.sqrt(np.square(z).sum(1).mean())
    return Kernel(kernel, z)(z, z)


def matrices(x: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """X' H X and X' L X."""
    size = len(x)
    signs = np.repeat([1 / number, -1 / (size - number)], [number, size - number])
    centring = np.eye(size) - 1 / size
    return x.T @ centring @ x, x.T @ np.outer(signs, signs) @ x


def solved(x: np.ndarray, number: int, dimensions: int, mu: float, whiten: bool) -> np.ndarray:
    apart = x[:number].mean(0) - x[number:].mean(0)
    return components.components(x - x.mean(0), apart, dimensions, mu, whiten)


@pytest.mark.parametrize("kernel", ["none", "linear", "rbf"])
@pytest.mark.parametrize("dimensions", [3, 40])
@pytest.mark.parametrize("mu", [0.1, 10.0])
def test_components_solve_the_generalised_eigenproblem(
    kernel: str, dimensions: int, mu: float
) -> None:
    x = columns(domains(), kernel)
    (varied, apart) = matrices(x, 60)
    penalised = apart + mu * np.eye(len(varied))
    values = eigh(varied, penalised, eigvals_only=True)[::-1]
    for whiten in (True, False):
        w = solved(x, 60, dimensions, mu, whiten)
        assert w.shape[1] == (dimensions if kernel == "rbf" else min(dimensions, 4))
        constraint = varied if whiten else penalised
        np.testing.assert_allclose(w.T @ constraint @ w, np.eye(w.shape[1]), atol=1e-6)
        for column, value in zip(w.T, values, strict=False):
            residual = varied @ column - value * penalised @ column
            assert np.linalg.norm(residual) < 1e-6 * np.linalg.norm(varied @ column)


def test_all_and_some_eigenvectors_span_the_same_space(monkeypatch: pytest.MonkeyPatch) -> None:
    x = columns(domains(), "rbf")
    some = solved(x, 60, 5, 1.0, False)
    monkeypatch.setattr(components, "FULL", 10**6)
    whole = solved(x, 60, 5, 1.0, False)
    assert subspace_angles(some, whole).max() < 1e-5


@pytest.mark.parametrize("kernel", ["none", "linear", "rbf"])
@pytest.mark.parametrize("lengths", [False, True])
def test_images_are_the_same_in_and_out_of_the_sample(kernel: str, lengths: bool) -> None:
    given = domains()
    found = tca(given, kernel, 4, lengths=lengths)
    np.testing.assert_allclose(found.transform(given.source_z), found.source, atol=1e-6)
    one_by_one = [found.transform(row[None])[0] for row in given.target_z]
    np.testing.assert_allclose(found.transform(given.target_z), one_by_one, atol=1e-6)
    assert found.transform(given.target_z[:0]).shape == (0, 4)
    assert "4 components" in found.note


def test_components_are_those_of_the_features_less_their_mean() -> None:
    given = domains()
    x = columns(given, "rbf")
    w = solved(x, 60, 3, 0.1, True)
    expected = (x - x.mean(0)) @ w
    found = tca(given, "rbf", 3, 0.1, whiten=True, lengths=True)
    np.testing.assert_allclose(found.source, expected[:60], atol=1e-8)
    np.testing.assert_allclose(found.transform(given.target_z), expected[60:], atol=1e-8)
    short = tca(given, "rbf", 3, 0.1, whiten=True)
    rows = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(short.source, rows[:60], atol=1e-8)


@pytest.mark.parametrize("kernel", ["none", "rbf"])
def test_discrepancy_falls_in_the_components(kernel: str) -> None:
    given = domains()
    before = mean_discrepancy(given.source_z, given.target_z)
    found = tca(given, kernel, 2, mu=0.01)
    after = mean_discrepancy(found.source, found.transform(given.target_z))
    assert after < 0.5 * before


def test_components_do_not_change_with_the_unit_of_features() -> None:
    given = domains()
    large = given._replace(source_z=1e3 * given.source_z, target_z=1e3 * given.target_z)
    for kernel in ("none", "linear", "rbf"):
        (one, other) = (tca(each, kernel, 3).source for each in (given, large))
        np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-6)


def test_subspaces_are_aligned_by_their_formula() -> None:
    given = domains()
    found = subspace(given, 2)
    (source, target) = (z - z.mean(0) for z in (given.source_z, given.target_z))
    (of_source, of_target) = (eigh(z.T @ z)[1][:, ::-1][:, :2] for z in (source, target))
    aligned = source @ of_source @ (of_source.T @ of_target)
    (signs, seen) = (None, target @ of_target)
    new = found.transform(given.target_z)
    signs = np.sign((seen * new).sum(0))  # an axis may point either way
    np.testing.assert_allclose(new, signs * seen, atol=1e-9)
    np.testing.assert_allclose(found.source, signs * aligned, atol=1e-9)


def test_subspaces_hold_95_percent_of_the_variance() -> None:
    random = np.random.default_rng(0)
    z = random.normal(size=(400, 5)) * [10, 10, 10, 0.1, 0.1]
    given = Domains(z, np.arange(400) % 2, z + 1, 2)
    assert subspace(given).note == "3 dimensions"
    assert subspace(given, 6).note == "5 dimensions"
    with pytest.raises(UserError, match="-1 dimensions of subspaces: give 1 or more"):
        subspace(given, -1)


def test_distances_and_their_median() -> None:
    z = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    expected = np.square(z[:, None] - z).sum(-1)
    np.testing.assert_allclose(squared_distances(z, z), expected, atol=1e-12)
    assert median_distance(z) == pytest.approx(np.sqrt(18))
    assert median_distance(np.array([[0.0]] * 5 + [[3.0]])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "settings",
    [{"kernel": "cubic"}, {"width": 0.0, "kernel": "rbf"}, {"mu": 0.0}, {"dimensions": 0}],
)
def test_settings_of_components_are_checked(settings: dict) -> None:
    with pytest.raises(UserError) as raised:
        tca(domains(), **settings)
    assert "\n" not in str(raised.value)
