"""The rim of a lesion: it stands out from the core and from the organ, and the mean stays where it is asked for."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medsmith.insertion.rim import RIMS, with_rim
from medsmith.measurement.density import border_mm, measure_density, zones_of
from medsmith.reports.vocabulary import Density
from narrowing import present

RING: Density = "ring enhancement"
PART_SOLID: Density = "isodense soft tissue mass with peripheral low-density ground-glass opacity"
MM = (1.0, 1.0, 1.0)


def ball(radius, edge=40):
    x, y, z = np.indices((edge,) * 3) - (edge - 1) / 2
    return np.sqrt(x**2 + y**2 + z**2) <= radius


def painted(mean, mask, spread=5.0):
    """A texture with this mean in the lesion."""
    made = gaussian_filter(np.random.default_rng(0).standard_normal(mask.shape), 3.0)
    made *= spread / made.std()
    return (mean + made - made[zones_of(mask, None, MM, border_mm(MM)).inside].mean()).astype(np.float32)


def levels(image, mask, spacing=MM):
    """Rim, core and mean as they are measured."""
    zones = zones_of(mask, None, spacing, border_mm(spacing))
    return tuple(float(image[zone].mean()) for zone in (zones.rim, zones.core, zones.inside))


@pytest.mark.parametrize("spacing", [MM, (0.8, 0.8, 2.0)])
@pytest.mark.parametrize("organ", [60.0, 108.0])
def test_a_ring_is_brighter_than_its_core_and_than_the_organ(organ, spacing):
    mask = ball(12)
    image = with_rim(painted(60, mask), mask, spacing, RING, organ, (50.0, 85.0))
    rim, core, mean = levels(image, mask, spacing)
    assert rim - core >= 36
    assert rim >= organ + 10
    assert core >= -5
    assert 50 - 1 <= mean <= 85 + 1
    scan = np.where(mask, image, organ)
    found = measure_density(scan, mask, None, spacing)
    assert present(found.rim_minus_core_hu) >= 30


def test_the_rim_of_a_part_solid_nodule_is_ground_glass_and_denser_than_the_lung():
    mask, lung = ball(9), -850.0
    image = with_rim(painted(-200, mask), mask, MM, PART_SOLID, lung, (-440.0, -30.0))
    rim, core, mean = levels(image, mask)
    assert image[mask].min() > lung + 100
    assert lung + 150 <= rim <= -350
    assert -100 <= core <= 75
    assert -445 <= mean <= -25


def test_a_mean_that_is_asked_for_stays():
    mask = ball(12)
    image = with_rim(painted(62, mask), mask, MM, RING, 120.0, (62.0, 62.0))
    rim, core, mean = levels(image, mask)
    assert mean == pytest.approx(62, abs=1)
    assert rim - core >= 36
    assert core >= -5


def test_what_the_network_has_painted_of_a_rim_is_replaced():
    mask = ball(12)
    dark, even = np.where(ball(9), 60.0, -100.0).astype(np.float32), np.full(mask.shape, 60.0, np.float32)
    first, second = (levels(with_rim(each, mask, MM, RING, 110.0, (50.0, 85.0)), mask) for each in (dark, even))
    assert first[0] - first[1] == pytest.approx(second[0] - second[1], rel=0.1)


def test_without_an_organ_the_rim_is_set_against_the_core_alone():
    mask = ball(12)
    for density, rim in RIMS.items():
        image = with_rim(painted(40, mask), mask, MM, density, None, None)
        found, core, mean = levels(image, mask)
        assert found - core == pytest.approx(rim.least, rel=0.35)
        assert mean == pytest.approx(40, abs=1)


@pytest.mark.parametrize(("density", "radius"), [("hypodense", 12), (RING, 1.5)])
def test_a_lesion_without_room_for_a_rim_or_of_another_density_stays(density, radius):
    mask = ball(radius)
    image = np.full(mask.shape, 70.0, np.float32)
    np.testing.assert_array_equal(with_rim(image, mask, MM, density, 110.0, (50.0, 85.0)), image)
