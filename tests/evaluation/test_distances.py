"""Distances against closed forms, brute force and a second library; promise P25."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.kid import poly_mmd

from medsmith.evaluation.fidelity.comparison import ComparisonPlan, compare
from medsmith.evaluation.fidelity.coverage import COVERAGE, DENSITY, coverage, density
from medsmith.evaluation.fidelity.frechet import FRECHET, frechet, frechet_distance
from medsmith.evaluation.fidelity.kernel import KID, kernel, kernel_distance


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


def test_parts_in_the_common_span_are_exact():
    x, y = rows(20, 200, 6), rows(25, 200, 7)
    part, other = np.arange(3, 15), np.arange(5, 22)
    assert frechet(x, y)(part, other) == pytest.approx(frechet_distance(x[part], y[other]), rel=1e-12)


def test_a_row_chosen_twice_counts_twice():
    x, y, chosen = rows(20, 8, 6), rows(25, 8, 7), np.array([0, 3, 3, 3, 7, 9, 9, 1])
    expected = dense_frechet(x[chosen], y)
    assert frechet(x, y)(chosen, np.arange(25)) == pytest.approx(expected, rel=1e-6)


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


def test_a_case_drawn_twice_is_not_compared_with_itself():
    x, y = rows(8, 4, 0), rows(8, 4, 1)
    statistic, all_y = kernel(x, y), np.arange(8)
    assert statistic(np.repeat(np.arange(8), 2), all_y) == pytest.approx(statistic(np.arange(8), all_y), rel=1e-12)


def brute_density_and_coverage(x, y, k):
    radius = [sorted(np.linalg.norm(x - a, axis=1))[k] for a in x]
    inside = np.array([[np.linalg.norm(a - b) <= r for b in y] for a, r in zip(x, radius, strict=True)])
    return inside.sum() / (k * len(y)), inside.any(axis=1).mean()


@pytest.mark.parametrize(("n", "m", "d", "scale"), [(40, 40, 3, 1.0), (30, 55, 10, 0.5), (55, 30, 2, 1.4)])
def test_density_and_coverage_equal_brute_force(n, m, d, scale):
    x, y = rows(n, d, 0), rows(m, d, 1, scale)
    ours = density(x, y)(np.arange(n), np.arange(m)), coverage(x, y)(np.arange(n), np.arange(m))
    assert ours == pytest.approx(brute_density_and_coverage(x, y, 5), rel=1e-12)


def test_density_and_coverage_on_equal_laws():
    n = 600
    x, y, every = rows(n, 16, 0), rows(n, 16, 1), np.arange(n)
    assert density(x, y)(every, every) == pytest.approx(1, abs=0.1)
    assert coverage(x, y)(every, every) == pytest.approx(1 - 2**-5, abs=0.03)


def test_repeated_real_cases_leave_the_density_on_scale():
    n = 400
    x, y = rows(n, 8, 0), rows(n, 8, 1)
    drawn = np.random.default_rng(0).choice(n, n)
    assert density(x, y)(drawn, np.arange(n)) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("distance", [FRECHET, KID, DENSITY, COVERAGE], ids=lambda d: d.name)
def test_equal_laws_are_at_the_floor(distance):
    compared = compare(distance, rows(120, 12, 0), rows(90, 12, 1), ComparisonPlan())
    assert compared.synthetic.n == compared.floor.n == 60
    assert compared.whole.n == 90
    assert compared.excess.value == pytest.approx(compared.synthetic.value - compared.floor.value)
    assert compared.excess.low < 0 < compared.excess.high


@pytest.mark.parametrize("distance", [FRECHET, KID], ids=lambda d: d.name)
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


@pytest.mark.slow
@pytest.mark.parametrize("distance", [FRECHET, KID], ids=lambda d: d.name)
@pytest.mark.parametrize("d", [4, 64])
def test_intervals_of_a_distance_hold_its_mean_at_that_size(distance, d):
    # The mean over many samples of 40 is what an estimate from one pair of samples of 40 stands for.
    pairs = [(rows(80, d, 2 * s), rows(40, d, 2 * s + 1, 1.5, 0.5)) for s in range(60)]
    every = np.arange(40)
    truth = np.mean([distance.prepare(x, y)(every, every) for x, y in pairs])
    found = [compare(distance, x, y, ComparisonPlan(splits=2, resamples=60)).synthetic for x, y in pairs]
    assert 0.85 <= np.mean([e.low <= truth <= e.high for e in found]) <= 1
