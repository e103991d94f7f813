"""Adherence: requested against measured."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.measurement.adherence import COUNTS_AS, IN_WORDS, MEASURED_BY, compare
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.sampling import sample_report
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import SYNONYMS, Density, Feature

ONE = (1.0, 1.0, 1.0)


def passed(requested, measured, spacing=ONE):
    return {verdict.attribute: verdict.passed for verdict in compare(requested, measured, spacing)}


@pytest.mark.parametrize(
    ("requested", "measured", "spacing", "within"),
    [
        ((20.0, 20.0, 20.0), (23.0, 17.0, 20.0), ONE, True),
        ((20.0, 20.0, 20.0), (23.1, 20.0, 20.0), ONE, False),
        ((6.0, 6.0, 6.0), (8.0, 6.0, 6.0), ONE, True),
        ((6.0, 6.0, 6.0), (8.0, 6.0, 6.0), (0.5, 0.5, 5.0), False),
        ((6.0, 6.0, 6.0), (6.0, 6.0, 15.0), (0.5, 0.5, 5.0), True),
    ],
)
def test_a_size_may_be_off_by_its_share_or_two_voxels(requested, measured, spacing, within):
    found = passed(LesionReport(size_mm=requested), LesionReport(size_mm=measured), spacing)
    assert found == {"size_mm": within}


def test_a_mean_density_may_be_off_by_twenty_units():
    asked = LesionReport(ct_value_hu=40.0)
    assert passed(asked, LesionReport(ct_value_hu=60.0)) == {"ct_value_hu": True}
    assert passed(asked, LesionReport(ct_value_hu=60.5)) == {"ct_value_hu": False}


@pytest.mark.parametrize(
    ("attribute", "requested", "measured", "counts"),
    [
        ("shape", ("cystic",), ("round-like",), True),
        ("shape", ("round-like",), ("irregular",), False),
        ("density", "hypodense", "hypodense fluid-like", True),
        ("density", "hypodense fluid-like", "hypodense", False),
        ("surface", "clear serosal surface", "well-defined margin", True),
        ("surface", "serosal surface irregularity", "well-defined margin", False),
        ("density_variation", "homogeneous", "homogeneous", True),
        ("features", ("spiculated margins",), (), False),
        ("features", ("spiculated margins",), ("spiculated margins", "presence of decreased density areas"), True),
        ("cavity", "within the parenchymal organ", "protruding from the parenchymal organ", False),
    ],
)
def test_words_count_as_what_an_image_can_show(attribute, requested, measured, counts):
    assert passed(LesionReport(**{attribute: requested}), LesionReport(**{attribute: measured})) == {attribute: counts}


def test_what_was_not_asked_or_cannot_be_measured_is_not_judged():
    everything = LesionReport(
        shape=("round-like",), density="hyperdense", surface="well-defined margin", size_mm=(9.0, 9.0, 9.0)
    )
    assert not compare(LesionReport(enhancement="enhanced CT", organ="liver"), everything, ONE)
    walls = LesionReport(shape=("irregular", "wall thickening"))
    assert not compare(walls, LesionReport(shape=("luminal narrowing",)), ONE)
    assert not compare(LesionReport(features=("retention of pancreatic fluid",)), everything, ONE)
    assert not compare(LesionReport(surface="ill-defined margin"), LesionReport(), ONE)


def test_every_word_that_counts_is_a_word_of_reports_and_counts_as_itself():
    for word, others in COUNTS_AS.items():
        assert word in SYNONYMS
        assert set(others) <= set(SYNONYMS)
        if word not in ("clear serosal surface", "serosal surface irregularity"):
            assert word in others


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(sorted(LESION_TYPES)), seed=st.integers(0, 10_000))
def test_a_report_that_is_got_as_asked_passes(kind, seed):
    report = sample_report(kind, np.random.default_rng(seed))
    verdicts = compare(report, report, ONE)
    assert verdicts
    assert all(verdict.passed for verdict in verdicts)
    assert all(set(verdict.as_json()) == {"attribute", "requested", "measured", "passed"} for verdict in verdicts)


@pytest.mark.parametrize(
    ("denied", "measured", "verdict"),
    [
        ("presence of increased density areas", {"features": ("presence of increased density areas",)}, False),
        ("presence of increased density areas", {"features": ("presence of decreased density areas",)}, True),
        ("stone", {"features": ("stone",)}, False),
        ("round-like", {"shape": ("punctate",)}, False),
        ("round-like", {"shape": ("irregular",)}, True),
        ("heterogeneous", {}, None),
        ("luminal narrowing", {"shape": ("luminal narrowing",)}, None),
    ],
)
def test_a_denied_word_must_not_be_measured(denied, measured, verdict):
    found = [each.passed for each in compare(LesionReport(), LesionReport(**measured), ONE, (denied,))]
    assert found == ([] if verdict is None else [verdict])


@pytest.mark.parametrize("name", IN_WORDS)
def test_every_judged_attribute_says_how_it_is_measured(name):
    assert MEASURED_BY[name]


AREAS: Feature = "presence of decreased density areas"
MIXED: Density = "mixed-density"
RING: Density = "ring enhancement"
PART_SOLID: Density = "isodense soft tissue mass with peripheral low-density ground-glass opacity"


@pytest.mark.parametrize(
    ("numbers", "judged"),
    [
        ({"mean_hu": 40.0, "equivalent_diameter_mm": 9.0}, [RING, "spiculated margins"]),
        ({"heterogeneity_hu": 3.0, "equivalent_diameter_mm": 9.0}, [AREAS, RING, "spiculated margins"]),
        ({"heterogeneity_hu": 3.0, "equivalent_diameter_mm": 7.0}, [AREAS, RING]),
        ({}, [AREAS, RING, "spiculated margins"]),
    ],
)
def test_what_a_small_lesion_cannot_show_is_not_judged(numbers, judged):
    """Areas need voxels clear of the border, spicules a radius of 3.6 voxels."""
    measured = LesionReport(measured=numbers, density="hypodense")
    asked = LesionReport(features=(AREAS, "spiculated margins"), density=RING)
    words = [verdict.requested for verdict in compare(asked, measured, ONE)]
    assert sorted(words) == sorted(judged)


def test_a_part_solid_nodule_without_a_core_clear_of_its_border_is_not_judged():
    asked = LesionReport(density=PART_SOLID)
    solid: Density = "isodense soft tissue mass"
    assert not compare(asked, LesionReport(density=solid, measured={"mean_hu": -300.0}), ONE)
    assert passed(asked, LesionReport(density=solid, measured={"heterogeneity_hu": 1.0})) == {"density": False}


def test_mixed_density_is_judged_where_both_parts_can_be_measured():
    asked = LesionReport(density=MIXED)
    assert not compare(asked, LesionReport(density="hypodense", measured={"mean_hu": 40.0}), ONE)
    assert passed(asked, LesionReport(density="hypodense", measured={"heterogeneity_hu": 1.0})) == {"density": False}
    assert passed(asked, LesionReport(density=MIXED, measured={"heterogeneity_hu": 20.0})) == {"density": True}


def test_a_round_lesion_with_spicules_may_measure_as_irregular():
    asked = LesionReport(shape=("round-like",), features=("spiculated margins",))
    spiculated = LesionReport(shape=("irregular",), features=("spiculated margins",))
    assert passed(asked, spiculated) == {"shape": True, "features": True}
    assert passed(asked, LesionReport(shape=("irregular",))) == {"shape": False, "features": False}
    assert passed(LesionReport(shape=("round-like",)), spiculated) == {"shape": False}


@pytest.mark.parametrize(
    ("density", "variation", "contrast", "counts"),
    [
        ("isodense", "heterogeneous", 5.0, True),
        ("isodense", "heterogeneous", 20.0, False),
        ("isodense", None, 5.0, False),
        ("hypodense", "heterogeneous", -20.0, True),
        ("hypodense", "heterogeneous", -5.0, False),
        ("hypodense", "homogeneous", -20.0, False),
        ("hypodense fluid-like", "heterogeneous", -20.0, False),
        ("hyperdense", "heterogeneous", 20.0, True),
        ("hyperdense", "heterogeneous", -20.0, False),
        ("hyperdense", "heterogeneous", None, False),
    ],
)
def test_the_mean_of_a_heterogeneous_lesion_is_as_asked_though_parts_lie_on_either_side(
    density, variation, contrast, counts
):
    asked = LesionReport(density=density, density_variation=variation)
    numbers = {"heterogeneity_hu": 18.0} | ({} if contrast is None else {"contrast_hu": contrast})
    assert passed(asked, LesionReport(density=MIXED, measured=numbers)) == {"density": counts}


DECREASED, INCREASED = "presence of decreased density areas", "presence of increased density areas"


@pytest.mark.parametrize(
    ("organ", "features", "mixed"),
    [
        ("colon", (DECREASED, INCREASED), True),
        ("colon", (DECREASED,), False),
        ("colon", (), False),
        ("liver", (DECREASED, INCREASED), False),
    ],
)
def test_mixed_density_in_a_wall_has_areas_of_both_densities(organ, features, mixed):
    measured = LesionReport(organ=organ, density="isodense soft tissue mass", features=features)
    assert passed(LesionReport(organ=organ, density="mixed-density"), measured) == {"density": mixed}
    assert passed(LesionReport(organ=organ, density="isodense soft tissue mass"), measured) == {"density": True}
