"""What the rules say of intensities where a report has a word and no number."""

import pytest

from medsmith.reports.rules import combinations
from medsmith.reports.schema import LesionReport
from medsmith.reports.typical import ct_values_elsewhere, typical_ct_values, typically_homogeneous

GROUND_GLASS = "low-density ground-glass opacity"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"organ": "lung_left", "density": GROUND_GLASS}, (-780, -430)),
        ({"organ": "lung", "density": GROUND_GLASS, "enhancement": "non-contrast CT"}, (-780, -450)),
        ({"lesion_type": "lung cancer", "density": "isodense soft tissue mass"}, (0, 100)),
        ({"organ": "lung"}, None),
        ({"density": GROUND_GLASS}, None),
        ({"organ": "liver", "density": GROUND_GLASS}, None),
        ({"organ": "kidney_left", "density": "hyperdense"}, (42, 90)),  # no stone is asked for
        ({"organ": "kidney_left", "density": "hyperdense", "features": ["stone"]}, (42, 1500)),
        ({"lesion_type": "kidney stone", "density": "hyperdense"}, (250, 1500)),
    ],
)
def test_the_range_of_a_density_in_an_organ(asked, expected):
    assert typical_ct_values(LesionReport.model_validate(asked)) == expected


def test_an_organ_without_rules_has_the_range_of_others():
    report = LesionReport(organ="soft_tissue", density="hyperdense")
    assert typical_ct_values(report) is None
    assert ct_values_elsewhere(report) == (42, 170)


@pytest.mark.parametrize("kind", ["lung cancer", "liver cancer", "kidney cyst", "kidney stone"])
def test_the_range_holds_every_combination_of_the_rules(kind):
    for choice in combinations(kind):
        report = LesionReport(lesion_type=kind, density=choice.density, enhancement=choice.enhancement)
        low, high = typical_ct_values(report) or (0.0, 0.0)
        assert low <= choice.hu[0] <= choice.hu[1] <= high


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"organ": "lung", "density": GROUND_GLASS}, True),
        ({"organ": "lung", "density": GROUND_GLASS, "density_variation": "heterogeneous"}, False),
        ({"organ": "lung", "density": "isodense soft tissue mass"}, True),
        (
            {
                "organ": "lung",
                "density": "isodense soft tissue mass",
                "features": ["presence of decreased density areas"],
            },
            False,
        ),
        ({"organ": "liver", "lesion_type": "liver cancer", "density": "hypodense"}, False),
        ({"organ": "lung", "density_variation": "homogeneous"}, True),
        ({}, False),
    ],
)
def test_which_lesions_are_homogeneous(asked, expected):
    assert typically_homogeneous(LesionReport.model_validate(asked)) is expected
