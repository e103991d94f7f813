"""Distances against closed forms, brute force and a second library."""

from time import thread_time

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.kid import poly_mmd

from medsmith.evaluation.fidelity.comparison import ComparisonPlan, compare
from medsmith.evaluation.fidelity.coverage import COVERAGE, DENSITY, Coverage, Density
from medsmith.evaluation.fidelity.frechet import FRECHET, Frechet, frechet_distance
from medsmith.evaluation.fidelity.kernel import GAUSSIAN, KID, gaussian, kernel_distance
from medsmith.evaluation.fidelity.masks import KOLMOGOROV_SMIRNOV
from medsmith.evaluation.fidelity.statistic import value_between


def rows(n, d, seed, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) * scale + shift


def dense_frechet(x, y):
    s_x, s_y = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    root = scipy.linalg.sqrtm(s_x @ s_y)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s_x + s_y - 2 * np.real(root))


@pytest.mark.parametrize(("n", "m", "d"), [(60, 60, 8), (200, 90, 16), (40, 300, 5), (30, 30, 29)])
def test_frechet_equals_the_dense_form(n, m, d):
    x, y = rows(n, d, 0), rows(m, d, 1, 1.3, 0.2) @ rows(d, d, 2, 0.5)
    assert frechet_distance(x, y) == pytest.approx(dense_frechet(x, y), rel=1e-8)


def test_frechet_with_fewer_cases_than_features_equals_the_dense_form():
    # sqrtm of a singular product is inexact; the root of a symmetric matrix by its eigenvectors is not.
    x, y = rows(12, 40, 3), rows(15, 40, 4, 0.8)
    s_x, s_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(s_x)
    half = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    eigenvalues = np.sort(np.linalg.eigvalsh(half @ s_y @ half))[-11:]
    dense = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s_x + s_y) - 2 * np.sqrt(eigenvalues).sum()
    assert frechet_distance(x, y) == pytest.approx(dense, rel=1e-8)


def test_products_of_rows_give_the_same_as_the_rows():
    z = rows(40, 50, 8, shift=3.0)
    of_x, of_y = np.arange(20)[None], np.arange(20, 38)[None]
    few, padded = Frechet(z[:, :18])(of_x, of_y), Frechet(np.pad(z[:, :18], ((0, 0), (0, 9))))(of_x, of_y)
    assert few.values == pytest.approx(padded.values, rel=1e-12)
    for ours, expected in ((few.of_x, padded.of_x), (few.of_y, padded.of_y)):
        np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_the_products_of_many_cases_are_not_kept():
    few, many = (Frechet(rows(count, 8, 41)) for count in (32, 33))
    for frechet in (few, many):
        frechet(np.arange(6)[None], np.arange(6, 12)[None])
    assert "_products" in vars(few)
    assert "_products" not in vars(many)


def test_frechet_of_scaled_and_shifted_copies_has_a_closed_form():
    x = rows(50, 30, 5)
    scale = np.linspace(0.5, 2, 30)
    trace = np.cov(x, rowvar=False).trace()
    assert frechet_distance(x, 3 * x) == pytest.approx((4 * x.mean(0) ** 2).sum() + 4 * trace, rel=1e-10)
    assert frechet_distance(x, x + scale) == pytest.approx((scale**2).sum(), rel=1e-10)


def test_frechet_of_uncorrelated_features_has_a_closed_form():
    signs = scipy.linalg.hadamard(16)[:, 1:].astype(float)
    a, b = np.linspace(1, 2, 15), np.linspace(3, 0.5, 15)
    # Columns of a Hadamard matrix are uncorrelated: standard deviations alone count.
    expected = 16 / 15 * ((a - b) ** 2).sum()
    assert frechet_distance(signs * a, signs * b) == pytest.approx(expected, rel=1e-12)


def test_subsets_equal_their_own_samples():
    z = np.concatenate([rows(20, 200, 6), rows(25, 200, 7)])
    part, other = np.array([np.arange(3, 15), np.arange(4, 16)]), np.array([np.arange(25, 42), np.arange(20, 37)])
    expected = [frechet_distance(z[a], z[b]) for a, b in zip(part, other, strict=True)]
    assert Frechet(z)(part, other).values == pytest.approx(expected, rel=1e-12)


def test_the_dense_root_of_many_features_takes_ten_times_as_long():
    x, y = rows(60, 300, 0), rows(60, 300, 1, 1.2)

    def seconds(distance):
        """Of the processor: what else the machine does takes none of them."""
        started = thread_time()
        distance(x, y)
        return thread_time() - started

    assert min(seconds(frechet_distance) for _ in range(3)) < seconds(dense_frechet) / 10


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 30), st.integers(0, 99))
def test_frechet_is_symmetric_and_zero_only_for_equal_samples(n, m, d, seed):
    x, y = rows(n, d, seed), rows(m, d, seed + 100)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) > 0


def test_kernel_distance_equals_a_double_loop():
    x, y = rows(9, 4, 0), rows(7, 4, 1, 1.5, 0.3)

    def k(a, b):
        return (a @ b / 4 + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(9) for j in range(9) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * across, rel=1e-12)


def test_kernel_distance_equals_torchmetrics():
    x, y = rows(40, 64, 2), rows(40, 64, 3, 1.2, 0.1)
    theirs = poly_mmd(torch.from_numpy(x), torch.from_numpy(y), degree=3, gamma=None, coef=1.0)
    assert kernel_distance(x, y) == pytest.approx(float(theirs), rel=1e-9)


def test_kernel_distance_is_unbiased_on_equal_laws():
    values = np.array([kernel_distance(rows(30, 64, 2 * s), rows(30, 64, 2 * s + 1)) for s in range(400)])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(400)
    moved = np.array([kernel_distance(rows(30, 64, s), rows(30, 64, s + 999, 1.2, 0.2)) for s in range(50)])
    assert moved.mean() > 3 * moved.std() / np.sqrt(50)


def test_gaussian_distance_equals_a_double_loop():
    x, y = rows(9, 4, 0), rows(7, 4, 1, 1.5, 0.3)
    z = np.concatenate([x, y])
    width = np.median([np.linalg.norm(z[i] - z[j]) for i in range(16) for j in range(i)])

    def k(a, b):
        return np.exp(-((a - b) ** 2).sum() / (2 * width**2))

    within_x = np.mean([k(x[i], x[j]) for i in range(9) for j in range(9) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert value_between(gaussian, x, y) == pytest.approx(within_x + within_y - 2 * across, rel=1e-12)


def test_only_the_gaussian_distance_sees_a_law_of_equal_moments():
    # Two points and a normal law of the same mean and variance differ from the fourth moment on.
    values = np.random.default_rng(0).choice([-1.0, 1.0], (400, 1))
    assert value_between(gaussian, values, rows(400, 1, 1)) > 0.05


def left_out(distance, d, n=60):
    """The jackknife of a statistic, and what leaving out each case in turn gives."""
    z = np.concatenate([rows(n, d, 0), rows(n, d, 1, 1.3, 0.2)])
    statistic, of_x, of_y = distance.prepare(z), np.arange(n), n + np.arange(n)
    found = statistic(of_x[None], of_y[None])
    without_x = np.array([statistic(np.delete(of_x, i)[None], of_y[None]).values[0] for i in range(n)])
    without_y = np.array([statistic(of_x[None], np.delete(of_y, i)[None]).values[0] for i in range(n)])
    return [(found.of_x[0], without_x.mean() - without_x), (found.of_y[0], without_y.mean() - without_y)]


@pytest.mark.parametrize(("distance", "d"), [(DENSITY, 1), (DENSITY, 40), (COVERAGE, 3)])
def test_the_jackknife_of_counts_equals_leaving_each_case_out(distance, d):
    for ours, expected in left_out(distance, d):
        np.testing.assert_allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize("decimals", [9, 1], ids=["continuous", "with equal values"])
def test_the_jackknife_of_kolmogorov_smirnov_is_its_derivative_by_weights(decimals):
    # Of 40 and 37 cases no two differences of shares are equal, so that the largest one has a derivative.
    n, m, step = 40, 37, 1e-6
    z = np.concatenate([rows(n, 1, 0), rows(m, 1, 1, 1.3, 0.4)]).round(decimals)
    found = KOLMOGOROV_SMIRNOV.prepare(z)(np.arange(n)[None], n + np.arange(m)[None])

    def largest(weights_x, weights_y):
        return np.abs(weights_x @ (z[:n] <= z.T) - weights_y @ (z[n:] <= z.T)).max()

    equal_x, equal_y = np.full(n, 1 / n), np.full(m, 1 / m)
    assert found.values[0] == pytest.approx(largest(equal_x, equal_y), abs=1e-12)
    by_x = np.array([largest((1 - step) * equal_x + step * each, equal_y) for each in np.eye(n)]) / step
    by_y = np.array([largest(equal_x, (1 - step) * equal_y + step * each) for each in np.eye(m)]) / step
    for ours, theirs in ((found.of_x[0], by_x), (found.of_y[0], by_y)):
        np.testing.assert_allclose(ours, (theirs - theirs.mean()) / (len(theirs) - 1), atol=1e-8)


@pytest.mark.parametrize("distance", [FRECHET, KID, GAUSSIAN], ids=lambda d: d.name)
@pytest.mark.parametrize(("d", "alike"), [(1, 0.95), (10, 0.95), (100, 0.8)])
def test_the_jackknife_of_moments_is_that_of_first_order(distance, d, alike):
    # With more features than cases every case has directions of its own, and the second order is no longer small.
    for ours, expected in left_out(distance, d):
        assert np.corrcoef(ours, expected)[0, 1] > alike
        assert ours.std() == pytest.approx(expected.std(), rel=0.4)


def brute_density_and_coverage(x, y, k):
    radius = [sorted(np.linalg.norm(x - a, axis=1))[k] for a in x]
    inside = np.array([[np.linalg.norm(a - b) <= r for b in y] for a, r in zip(x, radius, strict=True)])
    return inside.sum() / (k * len(y)), inside.any(axis=1).mean()


@pytest.mark.parametrize(("n", "m", "d", "scale"), [(40, 40, 3, 1.0), (30, 55, 10, 0.5), (55, 30, 2, 1.4)])
def test_density_and_coverage_equal_brute_force(n, m, d, scale):
    x, y = rows(n, d, 0), rows(m, d, 1, scale)
    ours = value_between(Density, x, y), value_between(Coverage, x, y)
    assert ours == pytest.approx(brute_density_and_coverage(x, y, 5), rel=1e-12)


def test_density_and_coverage_on_equal_laws():
    n = 600
    x, y = rows(n, 16, 0), rows(n, 16, 1)
    assert value_between(Density, x, y) == pytest.approx(1, abs=0.1)
    assert value_between(Coverage, x, y) == pytest.approx(1 - 2**-5, abs=0.03)


@pytest.mark.parametrize("distance", [FRECHET, KID, GAUSSIAN, DENSITY, COVERAGE], ids=lambda d: d.name)
def test_equal_laws_are_at_the_floor(distance):
    compared = compare(distance, rows(120, 12, 0), rows(90, 12, 1), ComparisonPlan())
    assert compared.synthetic.n == compared.floor.n == 60
    assert compared.whole.n == 90
    assert compared.excess.value == pytest.approx(compared.synthetic.value - compared.floor.value)
    assert compared.excess.low < 0 < compared.excess.high


@pytest.mark.parametrize("distance", [FRECHET, KID, GAUSSIAN], ids=lambda d: d.name)
def test_other_laws_are_above_the_floor(distance):
    compared = compare(distance, rows(120, 12, 0), rows(120, 12, 1, 1.6, 0.5), ComparisonPlan())
    assert compared.excess.low > 0


def test_coverage_sees_a_collapse_and_density_does_not_call_it_bad():
    collapsed = rows(80, 12, 0)[:1] + rows(80, 12, 1, 0.01)
    assert compare(COVERAGE, rows(120, 12, 0), collapsed, ComparisonPlan()).synthetic.high < 0.5
    assert compare(DENSITY, rows(120, 12, 0), collapsed, ComparisonPlan()).synthetic.value > 0.5


def test_the_seed_decides_the_result():
    x, y = rows(40, 6, 0), rows(40, 6, 1)
    first, again, other = (compare(FRECHET, x, y, ComparisonPlan(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
