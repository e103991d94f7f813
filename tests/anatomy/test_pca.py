"""Components of complete and incomplete vectors."""

import numpy as np
import pytest

from anatomy_slices import circle
from medsmith.anatomy.pca import fit_components, impute
from medsmith.anatomy.splines import control_points


def ellipses(count, seed=0):
    """Control points of ellipses about one center whose axes vary independently: linear in the two axes."""
    rng = np.random.default_rng(seed)
    wide, high = (
        control_points(circle(radii=(1, 0), center=(0, 0)), 24),
        control_points(circle(radii=(0, 1), center=(0, 0)), 24),
    )
    axes = rng.normal((0.3, 0.2), (0.03, 0.01), (count, 2))
    return (axes[:, :1, None] * wide + axes[:, 1:, None] * high + 0.5).reshape(count, -1), axes


def test_a_linear_family_of_ellipses_has_two_components():
    vectors, axes = ellipses(200)
    found = fit_components(vectors, np.ones_like(vectors, bool), 1 - 1e-9)
    assert len(found.variances) == 2
    np.testing.assert_allclose(found.reconstructed(vectors), vectors, atol=1e-9)
    assert found.shares.sum() == pytest.approx(1)
    wide = control_points(circle(radii=(1, 0), center=(0, 0)), 24).ravel()
    covariance = np.cov(axes.T)
    basis = np.stack([wide, control_points(circle(radii=(0, 1), center=(0, 0)), 24).ravel()])
    total = np.trace(covariance @ basis @ basis.T)
    assert found.variances.sum() == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize(("variance", "count"), [(0.5, 1), (0.9, 1), (0.95, 2), (1.0, 2)])
def test_the_fewest_components_with_the_share_are_kept(variance, count):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(300, 2))
    scores = (scores - scores.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(scores.T)).T)
    vectors = scores * np.sqrt([0.92, 0.08])
    found = fit_components(vectors, np.ones_like(vectors, bool), variance)
    assert len(found.variances) == count
    np.testing.assert_allclose(found.shares, [0.92, 0.08][:count], atol=1e-9)


def test_constant_vectors_have_no_components():
    vectors = np.full((5, 4), 0.3)
    found = fit_components(vectors, np.ones_like(vectors, bool), 0.98)
    assert found.directions.shape == (0, 4)
    np.testing.assert_allclose(found.mean, 0.3)


def test_missing_entries_of_a_linear_family_are_found_again():
    vectors, _ = ellipses(120)
    present = np.ones_like(vectors, bool)
    present[::4, :20] = present[1::5, 30:] = False
    incomplete = np.where(present, vectors, np.nan)
    filled = impute(np.where(present, incomplete, 7.0), present, 0.999)
    error = np.abs(filled - vectors)[~present].max()
    by_means = np.abs(vectors - vectors.mean(axis=0))[~present].max()
    assert error < 0.05 * by_means
    assert np.array_equal(filled[present], vectors[present])


def test_values_of_missing_entries_are_ignored():
    vectors, _ = ellipses(40)
    present = np.ones_like(vectors, bool)
    present[::3, :10] = False
    one, other = (impute(np.where(present, vectors, value), present, 0.98) for value in (0.0, 1e6))
    np.testing.assert_array_equal(one, other)


def test_a_rare_entry_is_not_overfitted():
    """Entries that four cases have are predicted from one component, not from as many as there are cases."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 12))
    present = np.ones_like(vectors, bool)
    present[4:, 9:] = False
    filled = impute(vectors, present, 1.0)
    assert np.abs(filled[4:, 9:]).max() < 3 * np.abs(vectors[:4, 9:]).max()
