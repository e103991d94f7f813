"""LIDC's ratings as reports: each row of the table, several readers."""

from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.errors import ContentError
from medsmith.reports.ratings import Ratings, ratings_from_row, report_from_ratings
from medsmith.reports.sampling import check_report
from medsmith.reports.schema import LesionReport

PLAIN = Ratings(
    subtlety=4,
    internal_structure=1,
    calcification=6,
    sphericity=4,
    margin=4,
    lobulation=1,
    spiculation=1,
    texture=5,
    malignancy=3,
)
COLUMNS: tuple[str, ...] = ("subtlety", "internalStructure", "calcification", "sphericity", "margin")
COLUMNS += ("lobulation", "spiculation", "texture", "malignancy")
MORE = "presence of increased density areas"


def said(**changes: int) -> dict[str, Any]:
    report = report_from_ratings([replace(PLAIN, **changes)])
    check_report(report)
    return report.model_dump(exclude_defaults=True, exclude={"measured"})


def test_a_plain_nodule() -> None:
    assert said() == {
        "organ": "lung",
        "shape": ("round-like",),
        "density": "isodense soft tissue mass",
        "surface": "well-defined margin",
    }


@pytest.mark.parametrize(
    ("changes", "attribute", "value"),
    [
        ({"sphericity": 3}, "shape", ("round-like",)),
        ({"sphericity": 2}, "shape", ("irregular",)),
        ({"lobulation": 3}, "shape", ("round-like",)),
        ({"lobulation": 4}, "shape", ("irregular",)),
        ({"spiculation": 4}, "shape", ("irregular",)),
        ({"spiculation": 4}, "features", ("spiculated margins",)),
        ({"spiculation": 3}, "features", None),
        ({"margin": 3}, "surface", None),
        ({"margin": 2}, "surface", "ill-defined margin"),
        ({"texture": 2}, "density", "low-density ground-glass opacity"),
        (
            {"texture": 3},
            "density",
            "isodense soft tissue mass with peripheral low-density ground-glass opacity",
        ),
        ({"texture": 3}, "density_variation", "heterogeneous"),
        ({"texture": 4}, "density", "isodense soft tissue mass"),
        ({"calcification": 3}, "density", "hyperdense"),
        ({"calcification": 3}, "density_variation", "homogeneous"),
        ({"calcification": 3}, "features", None),
        ({"calcification": 1}, "features", (MORE,)),
        ({"calcification": 5, "spiculation": 5}, "features", (MORE, "spiculated margins")),
        ({"calcification": 5}, "density_variation", "heterogeneous"),
        ({"internal_structure": 2}, "density", "hypodense fluid-like"),
        ({"internal_structure": 3}, "density", "hypodense"),
        ({"internal_structure": 4}, "features", ("presence of decreased density areas",)),
        ({"malignancy": 5}, "lesion_type", None),
    ],
)
def test_the_table(changes: dict[str, int], attribute: str, value: object) -> None:
    assert said(**changes).get(attribute) == value


def test_readers_are_joined() -> None:
    readers = [replace(PLAIN, margin=margin, calcification=c) for margin, c in ((1, 3), (2, 6), (5, 6), (2, 3))]
    report = report_from_ratings(readers, contrast_used=True)
    assert report.surface == "ill-defined margin"
    assert report.measured["rating_margin"] == 2
    assert report.measured["rating_calcification"] == 6
    assert report.density == "isodense soft tissue mass"
    assert report.enhancement == "enhanced CT"
    assert report_from_ratings(readers, contrast_used=False).enhancement == "non-contrast CT"
    assert set(report.measured) == {f"rating_{column}" for column in COLUMNS}
    with pytest.raises(ValueError, match="no ratings"):
        report_from_ratings([])


SCALES = {name: st.integers(1, 6 if name == "calcification" else 5) for name in asdict(PLAIN)}


@given(st.lists(st.fixed_dictionaries(SCALES), min_size=1, max_size=4))
@settings(deadline=None)
def test_any_ratings_give_a_report_that_makes_sense(values: list[dict[str, int]]) -> None:
    report = report_from_ratings([Ratings(**value) for value in values])
    check_report(report)
    assert LesionReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize("row", [{"subtlety": 0}, {"calcification": 7}, {"margin": 6}, {"texture": None}])
def test_values_outside_the_scales_are_refused(row: dict[str, Any]) -> None:
    (name,) = row
    with pytest.raises(ContentError, match=f"rating '{name}'"):
        ratings_from_row(dict(zip(COLUMNS, asdict(PLAIN).values(), strict=True)) | row)
