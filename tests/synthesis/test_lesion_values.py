"""Requested and measured values of a lesion in words, from hand-written records."""

from typing import Any

import pytest

from medsmith.synthesis.lesion_values import NOT_MEASURED, LesionValue, lesion_values, said_density, unmeasured

SOLID = "isodense soft tissue mass"
CALCIFIED, SPICULATED = "presence of increased density areas", "spiculated margins"
OFF = "off by at most 15% of each edge, or 2 voxels"


def verdict(attribute: str, requested: Any, measured: Any, passed: bool) -> dict[str, Any]:
    return {"attribute": attribute, "requested": requested, "measured": measured, "passed": passed}


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("features", [CALCIFIED], ("feature", CALCIFIED)),
        ("features", ["stone"], ("feature", "stone")),
        ("density", "ring enhancement", ("density", "ring enhancement")),
        ("density_variation", "heterogeneous", ("density variation", "heterogeneous")),
        ("surface", "ill-defined margin", ("surface", "ill-defined margin")),
        ("shape", ["irregular"], ("shape", "irregular")),
    ],
)
def test_what_was_measured_and_not_requested_is_marked(attribute: str, value: Any, said: tuple[str, str]) -> None:
    lesion = {"requested": {"organ": "liver"}, "measured": {"organ": "liver", attribute: value}, "verdicts": []}
    assert lesion_values(lesion) == (LesionValue(said[0], "not asked", said[1], "", None),)


def test_what_was_asked_for_and_not_measured_is_listed() -> None:
    """A margin in coarse voxels has no verdict, and stood nowhere."""
    requested = {"organ": "liver", "surface": "ill-defined margin", "shape": ["irregular"], "density": "hypodense"}
    lesion = {"requested": requested, "measured": {"organ": "liver"}, "drawn": ["density"]}
    lesion["verdicts"] = [verdict("shape", "irregular", "irregular", True)]
    assert unmeasured(lesion) == ("surface",)
    found = [value for value in lesion_values(lesion) if value.attribute == "surface"]
    assert found == [LesionValue("surface", "ill-defined margin", NOT_MEASURED, "", None)]
    requested["surface"] = "serosal surface irregularity"
    requested["density_variation"] = "homogeneous"
    assert unmeasured(lesion) == ("density_variation", "surface")


def test_areas_that_a_small_lesion_cannot_show_are_listed() -> None:
    areas = "presence of decreased density areas"
    stone = verdict("features", "stone", "stone", True)
    lesion = {"requested": {"features": ["stone", areas]}, "measured": {"features": ["stone"]}, "verdicts": [stone]}
    assert unmeasured(lesion) == ("features",)
    assert LesionValue("feature", areas, NOT_MEASURED, "", None) in lesion_values(lesion)
    assert unmeasured(lesion | {"drawn": ["features"]}) == ()
    assert unmeasured(lesion | {"verdicts": [stone, verdict("features", areas, "", False)]}) == ()


@pytest.mark.parametrize(
    ("organ", "cavity", "said"),
    [
        ("soft_tissue", "within the parenchymal organ", "within the soft tissue"),
        ("kidney_left", "protruding from the parenchymal organ", "protruding from the left kidney"),
        (None, "within the parenchymal organ", "within the parenchymal organ"),
        ("colon", "wall thickening", "wall thickening"),
    ],
)
def test_a_place_is_said_with_the_name_of_what_is_known(organ: str | None, cavity: str, said: str) -> None:
    measured = {"organ": organ, "cavity": cavity}
    assert lesion_values({"requested": {}, "measured": measured, "verdicts": []}) == (
        LesionValue("place in the organ", "not asked", said, "", None),
    )
    asked = {"requested": {"organ": organ, "cavity": cavity}, "measured": measured}
    found = lesion_values({**asked, "verdicts": [verdict("cavity", cavity, cavity, True)]})
    assert found == (LesionValue("place in the organ", said, said, said, True),)


def test_features_beside_a_requested_one_are_marked_and_not_told_as_its_measure() -> None:
    found = verdict("features", SPICULATED, f"{CALCIFIED}, {SPICULATED}", True)
    lesion = {
        "requested": {"organ": "lung", "features": [SPICULATED]},
        "measured": {"organ": "lung_left", "features": [CALCIFIED, SPICULATED]},
        "verdicts": [found],
    }
    assert lesion_values(lesion) == (
        LesionValue("feature", SPICULATED, SPICULATED, SPICULATED, True),
        LesionValue("feature", "not asked", CALCIFIED, "", None),
    )


def test_a_denied_feature_is_told_once_whether_it_was_found_or_not() -> None:
    verdicts = [verdict("without", CALCIFIED, CALCIFIED, False), verdict("without", SPICULATED, "", True)]
    lesion = {"requested": {}, "measured": {"features": [CALCIFIED]}, "verdicts": verdicts}
    assert lesion_values(lesion) == (
        LesionValue("denied", CALCIFIED, CALCIFIED, "its absence", False),
        LesionValue("denied", SPICULATED, "none", "its absence", True),
    )


def test_a_requested_feature_that_was_not_found_says_so() -> None:
    found = verdict("features", SPICULATED, CALCIFIED, False)
    lesion = {"requested": {"features": [SPICULATED]}, "measured": {"features": [CALCIFIED]}, "verdicts": [found]}
    assert [value.measured for value in lesion_values(lesion)] == ["none", CALCIFIED]


def test_numbers_have_units_and_what_was_requested_is_not_marked() -> None:
    verdicts = [
        verdict("size_mm", [8.0, 9.0, 10.0], [8.2, 9.0, 10.0], True),
        verdict("ct_value_hu", 20.0, 31.4, True),
        verdict("density", "hypodense", "isodense", False),
    ]
    requested = {
        "organ": "liver",
        "size_mm": [8.0, 9.0, 10.0],
        "density": "hypodense",
        "surface": "well-defined margin",
    }
    measured = {"organ": "liver", "size_mm": [8.2, 9.0, 10.0], "density": "isodense", "surface": "ill-defined margin"}
    assert lesion_values({"requested": requested, "measured": measured, "verdicts": verdicts}) == (
        LesionValue("size", "8 x 9 x 10 mm", "8 x 9 x 10 mm", OFF, True),
        LesionValue("mean CT value", "20 HU", "31 HU", "0 to 40 HU", True),
        LesionValue("density", "hypodense", "isodense", "hypodense or hypodense fluid-like", False),
    )


@pytest.mark.parametrize(
    ("organ", "edge", "said"),
    [("lung_left", 20.0, "solid nodule"), ("lung_left", 31.0, "solid mass"), ("colon", 20.0, SOLID)],
)
def test_densities_are_named_by_organ_and_size(organ: str, edge: float, said: str) -> None:
    report = {"organ": organ, "size_mm": [edge, 10.0, 10.0], "density": SOLID}
    (value,) = lesion_values(
        {"requested": report, "measured": report, "verdicts": [verdict("density", SOLID, SOLID, True)]}
    )
    assert (value.requested, value.measured) == (said, said)
    assert said_density(report) == said


NUMBERS = {
    "sphericity": 0.976,
    "contrast_hu": -99.45,
    "mean_hu": 6.55,
    "low_hu": -6.834,
    "high_hu": 46.6,
    "heterogeneity_hu": 0.04,
    "margin_width_mm": 1.691,
    "share_outside": 0.07,
    "spicule_share": 0.00808,
    "rim_minus_core_hu": 3.795,
}
ROUND = "round-like or cystic or punctate"
WITHIN = "within the parenchymal organ"


@pytest.mark.parametrize(
    ("attribute", "requested", "measured", "said", "met_by"),
    [
        ("shape", "cystic", "round-like", "round-like (sphericity 0.98)", ROUND),
        ("density", "hyperdense", "hypodense", "hypodense (-99 HU against its surroundings)", "hyperdense"),
        ("density", "ring enhancement", "hypodense", "hypodense (rim +4 HU against the core)", "ring enhancement"),
        (
            "density_variation",
            "homogeneous",
            "homogeneous",
            "homogeneous (spread 0.0 HU, noise subtracted)",
            "homogeneous",
        ),
        (
            "surface",
            "clear boundary with the renal parenchyma",
            "well-defined margin",
            "well-defined margin (edge 1.7 mm wide)",
            "well-defined margin or clear boundary with the renal parenchyma",
        ),
        ("features", CALCIFIED, "", f"{CALCIFIED} (95th percentile 40 HU above the mean)", CALCIFIED),
        ("cavity", WITHIN, WITHIN, "within the left kidney (7% of its surface outside)", "within the left kidney"),
    ],
)
def test_a_measured_word_stands_beside_its_number_and_all_that_would_satisfy_the_request(
    attribute: str, requested: str, measured: str, said: str, met_by: str
) -> None:
    report = {"organ": "kidney_left", "measured": NUMBERS}
    lesion = {"requested": {}, "measured": report, "verdicts": [verdict(attribute, requested, measured, True)]}
    (value,) = lesion_values(lesion)
    assert (value.measured, value.met_by) == (said, met_by)


def test_in_the_lung_and_in_walls_the_mean_decides_the_density() -> None:
    for organ in ("lung_left", "colon"):
        report = {"organ": organ, "measured": NUMBERS, "density": SOLID}
        (value,) = lesion_values({"requested": {}, "measured": report, "verdicts": []})
        assert value.measured.endswith("(mean 7 HU)")


def test_a_lesion_that_was_not_made_has_no_values() -> None:
    assert lesion_values({"requested": {"organ": "liver"}}) == ()
    assert said_density({"organ": "liver"}) is None
