"""The released JSON form: both samples are read, reports come back whole, nothing is dropped in silence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsmith.errors import FileError, RequestError
from medsmith.reports.organs import V1, members_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.sampling import check_report, sample_report
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.writing.authors import FIELDS, from_released, read_released, to_released


def form(organ: str, boxes: Any, **fields: str) -> dict[str, Any]:
    return {organ: [fields.get("shape", ""), "", {"lesion location": organ, **fields}, boxes]}


def test_a_record_like_the_released_one_of_the_bladder() -> None:
    fields = {
        "enhancement status": "enhanced CT,",
        "shape": "round-like,protrusion into the lumen,",
        "size": "[[23 18 24]] pixel",
        "density": "isodense lesion,",
        "density variations": "homogeneous,",
        "CT value": "Mean density of the lesion region is approximately 35.0 HU,",
        "surface characteristics": "serosal surface irregularity,",
        "relationship with adjacent organs": "no close relationship with surrounding organs,",
        "specific features": "",
    }
    parsed = from_released(form("104", [[[[76, 191, 146]]], [[[23, 18, 24]]]], **fields), "bladder cancer")
    assert parsed.report.lesions == (
        LesionReport(
            lesion_type="bladder cancer",
            enhancement="enhanced CT",
            organ="urinary_bladder",
            shape=("round-like", "protrusion into the lumen"),
            size_mm=(23, 18, 24),
            density="isodense",
            density_variation="homogeneous",
            ct_value_hu=35.0,
            surface="serosal surface irregularity",
            relationship="no close relationship with surrounding organs",
        ),
    )
    assert parsed.unplaced == ()
    check_report(parsed.report.lesions[0])


def test_a_record_like_the_released_one_of_the_liver() -> None:
    fields = {
        "shape": "irregular,",
        "size": "[[28 29 26]] pixel,",
        "density": "low density lesion,",
        "specific features": "presence of increased density areas,presence of decreased density areas,",
    }
    (lesion,) = from_released(form("5", [[[261, 179, 107]], [[28, 29, 26]]], **fields)).report.lesions
    assert (lesion.organ, lesion.density, lesion.size_mm) == ("liver", "hypodense", (28, 29, 26))
    assert lesion.features == ("presence of increased density areas", "presence of decreased density areas")


@pytest.mark.parametrize(
    ("title", "text", "attribute", "value"),
    [
        ("shape", "irregular wall thickening,", "shape", ("irregular", "wall thickening")),
        ("shape", "irregular,wall thickening,", "shape", ("irregular", "wall thickening")),
        ("shape", "nodular,", "shape", ("punctate",)),
        ("density", "hypoattenuating fluid-like lesion,", "density", "hypodense fluid-like"),
        ("density", "isodense soft tissue mass,", "density", "isodense soft tissue mass"),
        ("specific features", "calculus,", "features", ("stone",)),
        ("enhancement status", "non-contrast ct,", "enhancement", "non-contrast CT"),
        ("cavity", "wall thickening,", "cavity", "wall thickening"),
        ("CT value", "-12.5 HU,", "ct_value_hu", -12.5),
    ],
)
def test_phrases_of_the_form(title: str, text: str, attribute: str, value: object) -> None:
    parsed = from_released(form("5", [[], []], **{title: text}))
    assert getattr(parsed.report.lesions[0], attribute) == value
    assert parsed.unplaced == ()


@pytest.mark.parametrize(
    ("title", "text", "phrase"),
    [
        ("shape", "star-shaped,", "star-shaped"),
        ("density", "hypodense lesion,hyperdense lesion,", "hyperdense lesion"),
        ("CT value", "dark,", "dark"),
        ("size", "large", "large"),
        ("colour", "red,", "red"),
    ],
)
def test_what_the_form_says_otherwise_is_listed(title: str, text: str, phrase: str) -> None:
    parsed = from_released(form("5", [[], []], **{title: text}))
    assert [(item.phrase, item.reason) for item in parsed.unplaced] == [(phrase, f"in '{title}'")]


def test_several_boxes_are_several_lesions() -> None:
    boxes = [[[1, 2, 3], [4, 5, 6]], [[10, 10, 12], [7, 8, 9]]]
    lesions = from_released(form("1", boxes, density="hypodense lesion,")).report.lesions
    assert [lesion.size_mm for lesion in lesions] == [(10, 10, 12), (7, 8, 9)]
    lesions = from_released(form("1", [], size="[[10 10 12] [7 8 9]] pixel,")).report.lesions
    assert [lesion.size_mm for lesion in lesions] == [(10, 10, 12), (7, 8, 9)]


@pytest.mark.parametrize("name", LESION_TYPES)
def test_reports_come_back_whole(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        organs = [organ for organ in members_of(LESION_TYPES[name].organ) if organ in V1.values()]
        size = tuple(float(round(edge)) for edge in sample_report(name, rng).size_mm or ())
        drawn = sample_report(name, rng, {"organ": str(rng.choice(organs))}).model_copy(update={"size_mm": size})
        value = to_released(ScanReport(lesions=(drawn,)), centres=[(50.0, 60.0, 70.0)])
        path = tmp_path / "type.json"
        path.write_text(json.dumps(value))
        parsed = read_released(path, name)
        assert parsed.report.lesions == (drawn,)
        assert parsed.unplaced == ()
        ((key, entry),) = value.items()
        assert entry[2]["lesion location"] == key
        assert entry[2].keys() == FIELDS.keys()
        assert entry[3][0] == [[50, 60, 70]]


def test_two_lesions_of_one_organ_share_their_words() -> None:
    one = LesionReport(organ="liver", density="hypodense", size_mm=(10, 10, 10))
    value = to_released(ScanReport(lesions=(one, one.model_copy(update={"size_mm": (5.4, 5.6, 0.2)}))))
    assert value["5"][2]["size"] == "[[10 10 10] [5 6 1]] pixel,"
    assert value["5"][3] == [[], [[10, 10, 10], [5, 6, 1]]]
    other = one.model_copy(update={"density": "hyperdense"})
    with pytest.raises(RequestError, match="two lesions of the liver differ"):
        to_released(ScanReport(lesions=(one, other)))


@pytest.mark.parametrize("organ", ["kidney", "prostate", None])
def test_organs_without_a_number_are_refused(organ: str | None) -> None:
    with pytest.raises(RequestError, match="104 organs, no groups"):
        to_released(ScanReport(lesions=(LesionReport(organ=organ),)))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"105": []}, "organ '105'; TotalSegmentator 1 numbers organs from 1 to 104"),
        ({"liver": []}, "organ 'liver'; TotalSegmentator 1"),
        ({"9" * 5000: []}, "TotalSegmentator 1 numbers"),
        ({"5": {}}, "organ '5'; expected"),
        ({"5": ["", "", {"shape": 3}]}, "organ '5'; expected"),
        ({"5": ["", "", {}, [[], [[0, 1, 1]]]]}, "organ '5'; must be greater than 0"),
    ],
)
def test_files_of_another_form_are_refused(value: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "type.json"
    path.write_text(json.dumps(value))
    with pytest.raises(FileError) as caught:
        read_released(path)
    assert said in caught.value.line
    assert caught.value.line.startswith(str(path))
