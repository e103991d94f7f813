"""From measures to words: every threshold from both sides, and no report that contradicts itself."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.measurement.adherence import COUNTS_AS
from medsmith.measurement.density import DensityMeasures
from medsmith.measurement.measures import Measures
from medsmith.measurement.place import PlaceMeasures
from medsmith.measurement.shape import ShapeMeasures
from medsmith.measurement.words import LUNG, THRESHOLDS, words_from
from medsmith.reports.organs import is_hollow, members_of
from medsmith.reports.rules import LESION_TYPES, check_anatomy
from medsmith.reports.schema import LesionReport

SHAPE = ShapeMeasures(4000.0, 19.7, (20.0, 20.0, 20.0), 0.97, 0.99)
PLACE = PlaceMeasures("liver", 0.0, 6.0, "stomach", 8.0, True, None, None)
DENSITY = DensityMeasures(60.0, 52.0, 68.0, 100.0, -40.0, 10.0, 3.0, 2.0, 1.0)
LESION = Measures("lesion", (20.0, 20.0, 20.0), SHAPE, 0.02, PLACE, DENSITY, "enhanced CT")
WALL = replace(PLACE, organ="stomach", neighbour="liver", encircled_share=0.0, depth_share=0.1)
STEP = 0.001
PART_SOLID = "isodense soft tissue mass with peripheral low-density ground-glass opacity"


def said(name, **changes):
    """The word of one attribute; shape_, place_ and density_ change the measures of that part."""
    parts: dict[str, dict[str, Any]] = {"shape": {}, "place": {}, "density": {}, "whole": {}}
    for key, value in changes.items():
        part, _, field = key.partition("_")
        parts[part if part in parts else "whole"][field if part in parts else key] = value
    lesion = replace(
        LESION,
        shape=replace(SHAPE, **parts["shape"]),
        place=replace(LESION.place if "organ" not in parts["whole"] else WALL, **parts["place"]),
        density=replace(DENSITY, **parts["density"]),
        **{key: value for key, value in parts["whole"].items() if key != "organ"},
    )
    return getattr(words_from(lesion), name)


def test_a_round_dark_lesion_in_the_liver():
    report = words_from(LESION)
    assert (report.organ, report.shape, report.density) == ("liver", ("round-like",), "hypodense")
    assert (report.density_variation, report.surface) == ("homogeneous", "well-defined margin")
    assert report.cavity == "within the parenchymal organ"
    assert report.relationship == "no close relationship with surrounding organs"
    assert (report.lesion_type, report.enhancement, report.ct_value_hu) == ("liver cancer", "enhanced CT", 60.0)
    assert report.size_mm == (20.0, 20.0, 20.0)
    assert report.measured["sphericity"] == 0.97
    assert report.measured["border_distance_mm"] == 6.0


T = THRESHOLDS


@pytest.mark.parametrize(
    ("attribute", "change", "below", "at"),
    [
        ("shape", ("shape_sphericity", T.round_sphericity), ("irregular",), ("round-like",)),
        ("density_variation", ("density_heterogeneity_hu", T.heterogeneous_hu), "homogeneous", "heterogeneous"),
        ("surface", ("density_margin_width_mm", T.ill_defined_mm), "well-defined margin", "ill-defined margin"),
        ("density", ("density_contrast_hu", T.density_hu), "isodense", "hyperdense"),
        ("density", ("density_rim_minus_core_hu", T.ring_hu), "hypodense", "ring enhancement"),
        (
            "relationship",
            ("place_neighbour_distance_mm", T.close_mm),
            "close relationship with adjacent organs",
            "no close relationship with surrounding organs",
        ),
    ],
)
def test_each_threshold_parts_two_words(attribute, change, below, at):
    name, limit = change
    assert said(attribute, **{name: limit - STEP}) == below
    assert said(attribute, **{name: limit}) == at


def test_dark_lesions_and_water():
    assert said("density", density_contrast_hu=-T.density_hu + STEP) == "isodense"
    assert said("density", density_contrast_hu=-T.density_hu) == "hypodense"
    assert said("density", density_mean_hu=5.0, density_contrast_hu=-95.0) == "hypodense fluid-like"
    assert said("density", density_mean_hu=5.0, density_heterogeneity_hu=30.0) == "hypodense"
    assert said("density", density_mean_hu=-60.0) == "hypodense"
    assert said("shape", density_mean_hu=5.0) == ("round-like", "cystic")
    assert said("lesion_type", density_mean_hu=5.0) == "liver cyst"
    assert said("lesion_type", label="cyst") == "liver cyst"
    assert said("lesion_type", label="tumour", density_mean_hu=5.0) == "liver cancer"


def test_dark_and_bright_parts():
    uneven = {"density_heterogeneity_hu": 25.0, "density_low_hu": 70.0, "density_high_hu": 130.0}
    assert said("density", **uneven, density_mean_hu=98.0, density_contrast_hu=-2.0) == "mixed-density"
    dark = {"density_heterogeneity_hu": 25.0, "density_low_hu": 60.0 - T.decreased_hu}
    assert said("features", **dark) == ("presence of decreased density areas",)
    bright = {"density_heterogeneity_hu": 25.0, "density_high_hu": 60.0 + T.increased_hu}
    assert said("features", **bright) == ("presence of increased density areas",)
    assert said("features", **(bright | {"density_heterogeneity_hu": 3.0})) == ()
    small = {"size_mm": (T.punctate_mm,) * 3}
    assert said("shape", **small) == ("punctate",)
    assert said("features", **small, **dark) == ()


def test_the_lung_has_words_of_its_own():
    lung = {"place_organ": "lung_left", "place_neighbour": None}
    assert said("density", **lung, density_mean_hu=30.0) == "isodense soft tissue mass"
    assert said("density", **lung, density_mean_hu=-600.0) == "low-density ground-glass opacity"
    assert said("density", **lung, density_rim_minus_core_hu=-300.0) == PART_SOLID
    assert said("features", **lung, spicule_share=T.spicule_share) == ("spiculated margins",)
    assert said("features", **lung, spicule_share=T.spicule_share - STEP, shape_convexity=0.3) == ()
    assert said("features", **lung, spicule_share=0.3, spicules_resolved=False) == ()
    assert said("features", spicule_share=0.3) == ()
    assert said("lesion_type", **lung) == "lung cancer"


def test_the_walls_of_hollow_organs():
    assert said("shape", organ="stomach") == ("wall thickening",)
    assert said("shape", organ="stomach", place_encircled_share=T.narrowing_encircled) == ("luminal narrowing",)
    polyp = {"organ": "stomach", "place_depth_share": 0.9}
    assert said("shape", **polyp) == ("round-like", "protrusion into the lumen")
    assert said("cavity", **polyp) == "wall thickening"
    for mean, word in ((60.0, "isodense soft tissue mass"), (300.0, "hyperdense"), (0.0, "hypodense fluid-like")):
        assert said("density", organ="stomach", density_mean_hu=mean) == word


def named_absolutely():
    """Appearances of lesion types in the lung and in hollow organs, whose words name absolute densities."""
    for kind in LESION_TYPES.values():
        organ = members_of(kind.organ)[0]
        if organ in LUNG or is_hollow(organ):
            for look in kind.appearances:
                if look.density not in ("mixed-density", PART_SOLID):
                    yield pytest.param(kind.name, organ, look, id=f"{kind.name}-{look.density}-{look.variation}")


@pytest.mark.parametrize(("name", "organ", "look"), [*named_absolutely()])
def test_values_that_the_rules_give_a_word_are_measured_as_that_word(name, organ, look):
    spread = {"heterogeneous": T.heterogeneous_hu, "homogeneous": 0.0}[look.variation]
    for _, ends in look.phases():
        for mean in ends:
            density = {"density_mean_hu": float(mean), "density_heterogeneity_hu": spread}
            assert said("density", place_organ=organ, **density) in COUNTS_AS[look.density], (name, mean)


def test_stones():
    gall = {"place_organ": "gallbladder", "place_encircled_share": 0.0, "place_depth_share": 1.0}
    for change in ({"density_mean_hu": T.stone_hu}, {"label": "stone"}):
        assert said("features", **gall, **change) == ("stone",)
        assert said("lesion_type", **gall, **change) == "gallstone"
        assert said("cavity", **gall, **change) == "within the lumen of a hollow organ"
        assert said("shape", **gall, **change) == ("round-like",)
    assert said("features", label="stone") == ()


def test_a_wide_margin_is_not_called_ill_defined_where_voxels_are_as_wide():
    assert said("surface", density_margin_width_mm=3.5) == "ill-defined margin"
    assert said("surface", density_margin_width_mm=3.5, margin_resolved=False) is None
    assert said("surface", density_margin_width_mm=1.5, margin_resolved=False) == "well-defined margin"


def test_nothing_is_said_of_what_was_not_measured():
    bare = Measures(
        "nodule",
        (9.0, 9.0, 9.0),
        SHAPE,
        0.02,
        PlaceMeasures(None, None, None, None, None, False, None, None),
        None,
        None,
    )
    report = words_from(bare)
    assert report.shape == ("round-like",)
    unsaid = (
        "organ",
        "density",
        "density_variation",
        "surface",
        "relationship",
        "cavity",
        "enhancement",
        "ct_value_hu",
    )
    assert [getattr(report, name) for name in unsaid] == [None] * len(unsaid)
    assert (report.features, report.lesion_type) == ((), None)
    assert set(report.measured) == {"volume_mm3", "equivalent_diameter_mm", "sphericity", "convexity", "spicule_share"}
    assert said("surface", density_margin_width_mm=None) is None
    assert said("density_variation", density_heterogeneity_hu=None) is None
    assert said("density", density_surroundings_hu=None) is None


hu = st.floats(-1000, 2000)
maybe_hu = st.none() | hu
share = st.none() | st.floats(0, 1)


@settings(max_examples=80, deadline=None)
@given(
    label=st.sampled_from(["lesion", "cyst", "tumour", "stone", "nodule", "hemorrhage"]),
    organ=st.sampled_from([None, "liver", "kidney_left", "lung_right", "stomach", "gallbladder", "esophagus", "brain"]),
    edges=st.tuples(*[st.floats(1, 300)] * 3),
    ratios=st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)),
    shares=st.tuples(share, share, share),
    gap=st.none() | st.floats(0, 15),
    values=st.tuples(hu, hu, hu, maybe_hu, maybe_hu, st.floats(0, 100), st.none() | st.floats(0, 300), maybe_hu),
    width=st.none() | st.floats(0.2, 17),
    enhancement=st.sampled_from([None, "enhanced CT", "non-contrast CT"]),
    dense=st.booleans(),
)
def test_no_report_contradicts_itself(label, organ, edges, ratios, shares, gap, values, width, enhancement, dense):
    hollow = organ is not None and is_hollow(organ)
    place = PlaceMeasures(
        organ,
        None if organ is None else shares[0] or 0.0,
        None if organ is None else 1.0,
        None,
        gap,
        organ is not None,
        shares[1] if hollow else None,
        shares[2] if hollow else None,
    )
    shape = ShapeMeasures(100.0, 5.8, edges, *ratios)
    density = DensityMeasures(*[*values, width]) if dense else None
    report = words_from(Measures(label, edges, shape, 0.1, place, density, enhancement))
    check_anatomy(report)
    assert LesionReport.model_validate_json(report.model_dump_json()) == report
