"""Lesions of few voxels, all of them partial volumes, and edges beside the gas of a hollow organ."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.insertion.edge import SOFT_EDGE_MM, margin_mm, sharp_beside_gas, with_edge
from medsmith.insertion.intensities import HETEROGENEOUS_HU, lesion_intensities, shift_for_partial_volumes
from medsmith.insertion.write_back import blend
from medsmith.measurement.adherence import CT_VALUE_HU
from medsmith.measurement.density import border_mm, measure_density, zones_of
from medsmith.reports.schema import LesionReport

WHOLE = (slice(None),) * 3


def ball(radius, edge=20):
    """The distance of each voxel's center to the surface of a ball, positive inside, voxels."""
    return radius - np.sqrt(((np.indices((edge,) * 3) - (edge - 1) / 2) ** 2).sum(axis=0))


@settings(max_examples=40, deadline=None)
@given(
    radius=st.floats(0.9, 2.2),
    step=st.sampled_from([0.7, 2.0]),
    asked=st.integers(-50, 1400),
    around=st.integers(-850, 170),
    painted=st.integers(-100, 900),
)
def test_a_small_lesion_measures_as_asked_whatever_it_is_mixed_with(radius, step, asked, around, painted):
    share = np.clip(ball(radius) + 0.5, 0, 1).astype(np.float32)
    mask, spacing = share >= 0.5, (step,) * 3
    before, image = (np.full(share.shape, value, np.float32) for value in (around, painted))
    offset = shift_for_partial_volumes(image, before, share, mask, spacing, (asked, asked))
    after = before.copy()
    blend(after, WHOLE, image + np.float32(offset), share)
    if not zones_of(mask, None, spacing, border_mm(spacing)).clear:
        inside = zones_of(mask, None, spacing, border_mm(spacing)).inside
        assert after[inside].mean() == pytest.approx(asked, abs=0.01)
        assert abs(around + (painted + offset - around) - asked) <= abs(asked - around) + 1e-3  # twice the contrast
    else:
        assert offset == 0


@pytest.mark.parametrize("diameter", [5.5, 7.0, 9.0, 12.0])
@pytest.mark.parametrize("asked", [-200.0, 90.0, 360.0])
def test_a_small_lesion_with_a_soft_edge_measures_as_asked(diameter, asked):
    """Its border, which the measurement leaves out, is wider than that of a sharp one."""
    spacing, allowed = (0.7,) * 3, np.ones((40, 40, 40), bool)
    distance = diameter / 2 - 0.7 * np.linalg.norm(np.indices(allowed.shape) - 19.6, axis=0)
    covered = np.clip(distance / 0.7 + 0.5, 0, 1).astype(np.float32)
    share, mask = with_edge(covered, allowed, spacing, SOFT_EDGE_MM), covered >= 0.5
    before, image = np.full(share.shape, 60, np.float32), np.full(share.shape, asked, np.float32)
    wanted = (asked, asked)
    image += np.float32(shift_for_partial_volumes(image, before, share, mask, spacing, wanted, margin_mm(SOFT_EDGE_MM)))
    after = before.copy()
    blend(after, WHOLE, image, share)
    after += np.random.default_rng(0).normal(0, 5, after.shape).astype(np.float32)
    measured = measure_density(after, mask, None, spacing)
    assert measured.mean_hu == pytest.approx(asked, abs=CT_VALUE_HU)


def test_a_range_and_silence_leave_a_small_lesion_alone():
    share = np.clip(ball(1.5) + 0.5, 0, 1).astype(np.float32)
    before, image = np.zeros_like(share), np.full_like(share, 100)
    for wanted in (None, (0.0, 300.0)):
        assert shift_for_partial_volumes(image, before, share, share >= 0.5, (1.0,) * 3, wanted) == 0


def test_an_edge_is_soft_beside_tissue_and_sharp_beside_gas():
    covered = (ball(6) > 0).astype(np.float32)
    before = np.where(np.indices(covered.shape)[0] < 10, 40.0, -900.0).astype(np.float32)
    soft = with_edge(covered, np.ones(covered.shape, bool), (1.0,) * 3, SOFT_EDGE_MM)
    share = sharp_beside_gas(soft, covered, before)
    np.testing.assert_array_equal(share[:10], soft[:10])
    np.testing.assert_array_equal(share[10:], covered[10:])
    np.testing.assert_array_equal(share >= 0.5, covered >= 0.5)
    after = before.copy()
    blend(after, WHOLE, np.full_like(before, 60.0), share)
    assert after[covered > 0].min() >= 40


@pytest.mark.parametrize("step", [1.0, 2.0])
def test_a_texture_is_as_asked_where_it_is_measured(step):
    """A lesion that is uneven near its border alone, where voxels are left out of the measurement."""
    depth = ball(9, 30) * step
    mask, spacing = depth > 0, (step,) * 3
    middle = (np.indices(mask.shape)[0] - 14.5) / 15
    image = (50 + np.where(depth < 6, 40.0, 8.0) * middle).astype(np.float32)
    asked = LesionReport(organ="liver", density_variation="heterogeneous")
    made = lesion_intensities(image, mask, spacing, asked)
    inside = zones_of(mask, None, spacing, border_mm(spacing)).inside
    assert made[inside].std() == pytest.approx(HETEROGENEOUS_HU, rel=0.02)
    measured = measure_density(np.where(mask, made, 50.0), mask, None, spacing)
    assert measured.heterogeneity_hu == pytest.approx(HETEROGENEOUS_HU, rel=0.3)
