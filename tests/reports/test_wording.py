"""Reports as text: whatever words can say is read back whole."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.reports.organs import ORGANS, find_organ, members_of
from medsmith.reports.parsing.report import ANYWHERE, parse_report
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.vocabulary import ATTRIBUTES
from medsmith.reports.wording import density_words, describe, organ_words, to_text

GROUND_GLASS = "low-density ground-glass opacity"

EDGE = st.integers(1, 400_000).map(lambda number: number / 1000)
PLACES = [(None, None), *((None, organ) for organ in ORGANS)]
TYPED_PLACES = [(row.name, organ) for row in LESION_TYPES.values() for organ in members_of(row.organ)]
LESIONS = st.fixed_dictionaries(
    {
        **{name: st.none() | st.sampled_from(row.options) for name, row in ATTRIBUTES.items() if row.options},
        **{
            name: st.lists(st.sampled_from(ATTRIBUTES[name].options), unique=True).map(tuple)
            for name in ("shape", "features")
        },
        "enhancement": st.none(),
        "place": st.sampled_from(PLACES) | st.sampled_from(TYPED_PLACES),
        "size_mm": st.none() | st.tuples(EDGE, EDGE, EDGE),
        "ct_value_hu": st.none() | st.integers(-1_024_000, 3_071_000).map(lambda number: number / 1000),
    }
)


def scan_of(fields: list[dict[str, Any]], enhancement: str | None) -> ScanReport:
    """Any report that words can say, sensible or not."""
    found = []
    for said in fields:
        lesion_type, organ = said["place"]
        rest = {name: value for name, value in said.items() if name != "place"}
        found.append(LesionReport(lesion_type=lesion_type, organ=organ, **{**rest, "enhancement": enhancement}))
    return ScanReport(lesions=tuple(found))


@given(st.lists(LESIONS, min_size=1, max_size=3), st.none() | st.sampled_from(ATTRIBUTES["enhancement"].options))
@settings(max_examples=50, deadline=None)
def test_a_rendered_report_is_read_back_whole(fields: list[dict[str, Any]], enhancement: str | None) -> None:
    report = scan_of(fields, enhancement)
    parsed = parse_report(to_text(report))
    assert parsed.report == report
    placed = all(lesion.organ or lesion.lesion_type for lesion in report.lesions)
    assert parsed.remarks == (() if placed else (ANYWHERE,))


@pytest.mark.parametrize("organ", ["lung", "lung_right", "lung_upper_lobe_left"])
@pytest.mark.parametrize(
    ("density", "edge", "said"),
    [
        ("isodense soft tissue mass", 30.0, "solid nodule"),
        ("isodense soft tissue mass", 30.5, "solid mass"),
        ("isodense soft tissue mass", None, "solid"),
        (f"isodense soft tissue mass with peripheral {GROUND_GLASS}", 12.0, "part-solid nodule"),
        (f"isodense soft tissue mass with peripheral {GROUND_GLASS}", 40.0, "part-solid mass"),
        (GROUND_GLASS, 12.0, "ground-glass nodule"),
        (GROUND_GLASS, 40.0, "ground-glass mass"),
        (GROUND_GLASS, None, "ground-glass"),
    ],
)
def test_densities_of_the_lung_are_said_as_radiologists_do(
    organ: str, density: Any, edge: float | None, said: str
) -> None:
    size = None if edge is None else (edge, 10.0, 10.0)
    lesion = LesionReport(organ=organ, density=density, size_mm=size, features=("spiculated margins",))
    assert said in describe(lesion).split(", ")
    assert parse_report(to_text(ScanReport(lesions=(lesion, lesion)))).report.lesions == (lesion, lesion)
    elsewhere = "colon" if "soft" in density else None
    assert density_words(density, elsewhere, size) == density


@pytest.mark.parametrize("organ", ORGANS)
def test_organs_are_named_as_they_are_found(organ: str) -> None:
    assert find_organ(organ_words(organ)) == organ


def test_a_whole_sentence() -> None:
    report = LesionReport(
        lesion_type="kidney cyst",
        organ="kidney_right",
        shape=("round-like",),
        size_mm=(20, 20, 20),
        ct_value_hu=-3.5,
        features=("stone",),
        cavity="within the parenchymal organ",
    )
    said = "kidney cyst in the right kidney, round-like, 20 mm, about -3.5 HU, stone, within the right kidney"
    assert to_text(ScanReport(lesions=(report,))) == said
    assert to_text(ScanReport(lesions=(LesionReport(), report))) == f"lesion; {said}"
