"""The intensities of a lesion: those of its inside, with the texture and the mean that are asked for."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medsmith.errors import RequestError
from medsmith.insertion.ct_values import check_ct_value, fitted_ct_value, organ_level, wanted_ct_values
from medsmith.insertion.intensities import (
    AREAS_HU,
    EVEN_HU,
    EXTENSION_MM,
    HETEROGENEOUS_HU,
    HOMOGENEOUS_HU,
    MOST_HETEROGENEOUS_HU,
    lesion_intensities,
    limited_beside,
    mask_to_synthesize,
    shift_to_ct_values,
)
from medsmith.measurement.words import THRESHOLDS
from medsmith.reports.schema import LesionReport

MM = (1.0, 1.0, 1.0)


def ball(radius, edge=40):
    x, y, z = np.indices((edge,) * 3) - (edge - 1) / 2
    return np.sqrt(x**2 + y**2 + z**2) <= radius


def blobs(spread, seed=0, edge=40):
    made = gaussian_filter(np.random.default_rng(seed).standard_normal((edge,) * 3), 3.0)
    return (spread * made / made.std()).astype(np.float32)


def report(**said):
    return LesionReport(organ="liver", size_mm=(20.0, 20.0, 20.0), **said)


def test_the_soft_edge_of_a_network_does_not_reach_the_lesion():
    """A nodule that a network paints at 40 HU, fading to -850 HU of lung from two millimeters inside the border on."""
    mask = ball(9)
    depth = distance_transform_edt(mask) - distance_transform_edt(~mask)
    image = (-850 + 890 * np.clip((depth + 2) / 3, 0, 1)).astype(np.float32)
    image[depth < -2] = -850
    made = lesion_intensities(image, mask, MM, report(density_variation="homogeneous"))
    assert np.ptp(made) < 6 * HOMOGENEOUS_HU
    assert made[mask].mean() == pytest.approx(40, abs=15)


@pytest.mark.parametrize("radius", [0.9, 2.0, 12.0])
def test_they_are_extended_over_the_whole_region(radius):
    mask = ball(radius)
    made = lesion_intensities(np.where(mask, 70, -100).astype(np.float32), mask, MM, report())
    np.testing.assert_allclose(made, 70, atol=1e-3)


@pytest.mark.parametrize(
    ("painted", "variation", "found"),
    [
        (20.0, "homogeneous", HOMOGENEOUS_HU),
        (2.0, "homogeneous", 1.8),
        (7.0, "heterogeneous", HETEROGENEOUS_HU),
        (20.0, "heterogeneous", 18.0),
        (1.0, "heterogeneous", 2.8),
        (90.0, "heterogeneous", EVEN_HU / 1.645),
        (90.0, None, EVEN_HU / 1.645),
    ],
)
def test_a_texture_is_scaled_to_what_is_asked_for(painted, variation, found):
    made = lesion_intensities(60 + blobs(painted), ball(16), MM, report(density_variation=variation))
    assert made[ball(14)].std() == pytest.approx(found, rel=0.2)


def test_a_texture_of_both_areas_is_no_larger_than_any_lesion_has():
    areas = ("presence of increased density areas", "presence of decreased density areas")
    made = lesion_intensities(60 + blobs(90.0), ball(16), MM, report(features=areas))
    assert made[ball(14)].std() == pytest.approx(MOST_HETEROGENEOUS_HU, rel=0.2)


@pytest.mark.parametrize("sign", [1, -1])
def test_without_areas_a_texture_ends_before_them(sign):
    made = lesion_intensities(60 + blobs(90.0), ball(16), MM, report(density_variation="heterogeneous"))
    values = made[ball(14)]
    assert np.percentile(sign * (values - values.mean()), 95) == pytest.approx(EVEN_HU, rel=0.2)


@pytest.mark.parametrize(("feature", "sign"), [("increased", 1), ("decreased", -1)])
def test_areas_of_another_density_are_as_far_from_the_mean_as_they_are_measured(feature, sign):
    asked = report(density_variation="heterogeneous", features=(f"presence of {feature} density areas",))
    made = lesion_intensities(60 + blobs(15), ball(16), MM, asked)
    values = sign * (made[ball(14)] - made[ball(14)].mean())
    assert np.percentile(values, 95) == pytest.approx(AREAS_HU, rel=0.05)
    assert np.percentile(values, 5) > -0.8 * AREAS_HU


def test_a_lesion_is_synthesized_over_its_border():
    mask = ball(5)
    painted = mask_to_synthesize(mask, MM)
    np.testing.assert_array_equal(painted, distance_transform_edt(~mask) <= EXTENSION_MM)


@pytest.mark.parametrize(
    ("wanted", "moved"), [((20.0, 90.0), -10), ((120.0, 150.0), 20), ((80.0, 120.0), 0), (None, 0)]
)
def test_a_mean_is_moved_to_the_nearest_end_of_a_range(wanted, moved):
    mask = ball(6)
    image = np.where(mask, 100.0, 40.0).astype(np.float32)
    assert shift_to_ct_values(image, mask, MM, wanted) == pytest.approx(moved, abs=1e-4)


@pytest.mark.parametrize(
    ("said", "level", "low", "high"),
    [
        ({"ct_value_hu": 31.0, "density": "hypodense"}, 20.0, 31, 31),
        ({"density": "hypodense"}, 60.0, 0, 38),  # by the rules up to 88 HU, but less dense than this liver
        ({"density": "hypodense"}, 150.0, 0, 78),
        ({"density": "hyperdense"}, 160.0, 182, 182),
        ({"density": "isodense"}, 30.0, 35, 35),
        ({"density": "mixed-density"}, 150.0, 145, 145),  # by the rules at most 100 HU: no part would be denser
        ({}, 60.0, None, None),
    ],
)
def test_a_density_is_seen_against_the_organ(said, level, low, high):
    assert wanted_ct_values(LesionReport(organ="liver", **said), level) == (None if low is None else (low, high))


@pytest.mark.parametrize(
    ("density", "level", "low", "high"),
    [
        ("hyperdense", 40.0, 62, 160),
        ("hyperdense", 300.0, 322, 322),
        ("hypodense", 50.0, 0, 28),
        ("isodense", 50.0, 45, 55),
    ],
)
def test_lesions_of_organs_without_rules_are_as_dense_as_those_of_others(density, level, low, high):
    """Not as dense as the network likes: a hyperdense mass of muscle came out as bone."""
    assert wanted_ct_values(LesionReport(organ="soft_tissue", density=density), level) == (low, high)


@pytest.mark.parametrize(
    ("density", "level", "sampled", "fitted"),
    [
        ("hypodense", 60.0, 70.0, 38.0),
        ("hypodense", 60.0, 20.0, 20.0),
        ("hyperdense", 160.0, 90.0, 182.0),
        ("mixed-density", 110.0, 50.0, 105.0),
    ],
)
def test_a_sampled_ct_value_is_fitted_to_the_organ_of_the_scan(density, level, sampled, fitted):
    image, labels = np.full((4, 4, 4), level, np.float32), np.ones((4, 4, 4), np.uint8)
    image[2:], labels[2:] = -900.0, 0
    report = LesionReport(organ="liver", density=density, ct_value_hu=sampled)
    assert fitted_ct_value(report, image, labels, {"background": 0, "liver": 1}).ct_value_hu == fitted
    assert fitted_ct_value(report, image, labels, {"background": 0, "spleen": 1}) == report
    without = report.model_copy(update={"ct_value_hu": None})
    assert fitted_ct_value(without, image, labels, {"liver": 1}) == without


@pytest.mark.parametrize(
    ("density", "value", "limit"),
    [
        ("hypodense", 120.0, "at most 48 HU"),
        ("hypodense", 49.0, "at most 48 HU"),
        ("hypodense", 48.0, None),
        ("hyperdense", 71.0, "at least 72 HU"),
        ("hyperdense", 72.0, None),
        ("isodense", 72.0, "48 to 72 HU"),
        ("isodense", 71.0, None),
        ("mixed-density", 200.0, None),
        ("hypodense", None, None),
    ],
)
def test_a_requested_value_of_another_density_in_this_organ_is_refused_by_name(density, value, limit):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:3] = 1
    image = np.where(labels == 1, 60, -100).astype(np.float32)
    asked = report(density=density, ct_value_hu=value)
    check_ct_value(asked, image, labels, {"spleen": 1})
    if limit is None:
        check_ct_value(asked, image, labels, {"liver": 1})
        return
    with pytest.raises(RequestError) as refused:
        check_ct_value(asked, image, labels, {"liver": 1})
    expected = (
        f"'{density}' contradicts a mean of {value:g} HU; the liver of this scan has 60 HU, so that it is {limit}"
    )
    assert refused.value.line.startswith(f"report: {expected}; leave one of them out")


def test_a_lesion_of_mixed_density_has_areas_of_both():
    asked = LesionReport(organ="colon", density="mixed-density", density_variation="heterogeneous")
    made = lesion_intensities(60 + blobs(20.0), ball(12), MM, asked)[ball(12)]
    assert made.mean() - np.percentile(made, 5) > THRESHOLDS.decreased_hu
    assert np.percentile(made, 95) - made.mean() > THRESHOLDS.increased_hu


def test_in_the_lung_a_density_is_absolute():
    asked = LesionReport(organ="lung_left", density="low-density ground-glass opacity")
    assert wanted_ct_values(asked, -850.0) == wanted_ct_values(asked, None) == (-770, -440)


def test_the_level_of_the_organ_is_not_that_of_the_fat_beside_it():
    before = np.full((40, 40, 40), 110.0, np.float32)
    before[20:] = -100
    organ = before > 0
    assert organ_level(before, ball(8), organ, MM) == 110


def test_a_vessel_beside_the_lesion_fades_no_more_than_the_organ():
    mask = ball(6)
    before = np.full(mask.shape, -850.0, np.float32)
    before[:, 10:, 30:] = 120.0
    image = np.full(mask.shape, -600.0, np.float32)
    made = limited_beside(image, before, ~mask, 250.0)
    np.testing.assert_array_equal(made[mask], -600)
    assert np.unique(made[~mask & (before < 0)]) == -600
    assert np.unique(made[~mask & (before > 0)]) == -130
