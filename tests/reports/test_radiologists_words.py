"""What radiologists write: terms, negations, sizes now and then, and what a report cannot hold."""

import json
from pathlib import Path
from time import thread_time
from typing import Any

import pytest

from medsmith.reports.parsing.report import ParsedReport, parse_report

SENTENCES = Path(__file__).parent / "sentences"
GROUND_GLASS = "low-density ground-glass opacity"
SOLID = "isodense soft tissue mass"
PART_SOLID = f"{SOLID} with peripheral {GROUND_GLASS}"


def only(text: str) -> tuple[dict[str, Any], ParsedReport]:
    """What the only lesion of a text says, where everything was understood."""
    parsed = parse_report(text)
    assert parsed.unplaced == ()
    assert len(parsed.report.lesions) == 1
    return parsed.report.lesions[0].model_dump(mode="json", exclude_defaults=True), parsed


@pytest.mark.parametrize("line", (SENTENCES / "development.jsonl").read_text().splitlines())
def test_sentences_of_reports(line: str) -> None:
    sentence = json.loads(line)
    parsed = parse_report(sentence["text"])
    if sentence["lesions"] is None:
        assert parsed.unplaced
    else:
        found = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in parsed.report.lesions]
        assert found == sentence["lesions"]
        assert parsed.unplaced == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RUL nodule", {"organ": "lung_upper_lobe_right"}),
        ("RML nodule", {"organ": "lung_middle_lobe_right"}),
        ("RLL nodule", {"organ": "lung_lower_lobe_right"}),
        ("LUL nodule", {"organ": "lung_upper_lobe_left"}),
        ("LLL nodule", {"organ": "lung_lower_lobe_left"}),
        ("nodule of the right lung, upper lobe", {"organ": "lung_upper_lobe_right"}),
        ("HCC", {"lesion_type": "liver cancer", "organ": "liver"}),
        ("RCC on the left", {"lesion_type": "kidney cancer", "organ": "kidney_left"}),
        ("GGN", {"organ": "lung", "density": GROUND_GLASS}),
        ("GGO in the RLL", {"organ": "lung_lower_lobe_right", "density": GROUND_GLASS}),
        ("nonsolid lung nodule", {"organ": "lung", "density": GROUND_GLASS}),
        ("solid lung nodule", {"organ": "lung", "density": SOLID}),
        ("subsolid lung nodule", {"organ": "lung", "density": PART_SOLID}),
        ("solid hypodense liver mass", {"organ": "liver", "density": "hypodense"}),
        ("hepatic metastases", {"lesion_type": "liver cancer", "organ": "liver"}),
        ("liver mets", {"lesion_type": "liver cancer", "organ": "liver"}),
        ("Rt renal calculus", {"lesion_type": "kidney stone", "organ": "kidney_right"}),
        ("L kidney cyst", {"lesion_type": "kidney cyst", "organ": "kidney_left"}),
        ("noncalcified lung nodule", {"organ": "lung"}),
        ("liver hypodensity", {"organ": "liver", "density": "hypodense"}),
        ("splenic cyst", {"organ": "spleen", "shape": ["cystic"], "density": "hypodense fluid-like"}),
        ("bladder stone", {"organ": "urinary_bladder", "features": ["stone"]}),
        ("splenic tumour", {"organ": "spleen"}),
        ("colon polyp", {"organ": "colon", "shape": ["protrusion into the lumen"]}),
    ],
)
def test_terms_and_abbreviations(text: str, said: dict[str, Any]) -> None:
    assert only(text)[0] == said


@pytest.mark.parametrize("numeral", ["7", "VII", "vii", "4a", "IVb", "7/8", "V and VI"])
@pytest.mark.parametrize("word", ["segment", "seg."])
def test_segments_are_parts_of_the_liver(numeral: str, word: str) -> None:
    said, parsed = only(f"12 mm lesion, {word} {numeral}")
    assert said == {"organ": "liver", "size_mm": [12, 12, 12]}
    (note,) = parsed.notes
    assert note.endswith("' is read as the liver, of which a report tells no parts apart")
    assert parsed.set_aside == ()


@pytest.mark.parametrize(
    ("text", "said", "excluded"),
    [
        ("Non-enhancing round cyst in the liver", {"shape": ["round-like"]}, ["ring enhancement"]),
        ("non enhancing hypodense cyst of the liver", {"density": "hypodense"}, ["ring enhancement"]),
        ("non-obstructing hypodense cyst of the liver", {"density": "hypodense"}, []),
        ("no change in the round cyst of the liver", {"shape": ["round-like"]}, []),
        ("No significant interval growth of the liver cyst", {}, []),
        ("liver cyst without hydronephrosis, ascites or calcification", {}, ["presence of increased density areas"]),
        ("liver cyst; no lymphadenopathy", {}, []),
    ],
)
def test_a_negation_reaches_what_it_denies(text: str, said: dict[str, Any], excluded: list[str]) -> None:
    found, parsed = only(text)
    assert found == {"lesion_type": "liver cyst", "organ": "liver", **said}
    assert parsed.excluded == (tuple(excluded),)


@pytest.mark.parametrize(
    "text",
    [
        "No stone in the left kidney, 6 mm stone in the right kidney",
        "No stone on the left; 6 mm stone in the right kidney",
        "No cyst in the left kidney. Stone of 6 mm in the right kidney.",
        "Left kidney: no cyst, no stone. Right kidney: 6 mm stone.",
        "Left kidney is unremarkable. 6 mm stone in the right kidney.",
        "The liver shows no lesion. 6 mm stone in the right kidney.",
        "Cyst in the left kidney has resolved. 6 mm stone in the right kidney.",
        "Left renal cyst is no longer seen, 6 mm stone in the right kidney",
    ],
)
def test_a_denied_lesion_says_nothing_of_the_next(text: str) -> None:
    said, parsed = only(text)
    assert said == {"lesion_type": "kidney stone", "organ": "kidney_right", "size_mm": [6, 6, 6]}
    assert parsed.excluded == ((),)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("increased from 12 mm to 18 mm", [18, 18, 18]),
        ("grown from 2 to 3 cm", [30, 30, 30]),
        ("previously 12, now 18 mm", [18, 18, 18]),
        ("measured 12 mm previously and now measures 18 mm", [18, 18, 18]),
        ("18 mm (previously 12 mm)", [18, 18, 18]),
        ("18 mm (was 12 mm)", [18, 18, 18]),
        ("18 mm, up from 12 mm", [18, 18, 18]),
        ("18 mm, increased by 3 mm", [18, 18, 18]),
        ("was 12 mm, now 18 mm", [18, 18, 18]),
        ("8 mm from the pleura, 14 mm", [14, 14, 14]),
        ("14 mm, 8 mm from the capsule", [14, 14, 14]),
        ("14 mm, slice thickness 3 mm", [14, 14, 14]),
        ("14 mm, solid component 6 mm", [14, 14, 14]),
        ("14 mm, with ductal dilatation to 6mm", [14, 14, 14]),
        ("measuring 2,5 cm", [25, 25, 25]),
        ("1,2 x 1,4 cm", [12, 14, 13]),
        ("3.4 cm AP x 2.1 cm TR x 4.0 cm CC", [21, 34, 40]),
        ("3.4 x 2.1 x 4.0 cm (AP x TR x CC)", [21, 34, 40]),
        ("CC 4.0 x AP 3.4 x TR 2.1 cm", [21, 34, 40]),
        ("3.4 (AP) x 2.1 (TR) x 4.0 (CC) cm", [21, 34, 40]),
        ("34 mm AP, 21 mm TR, 40 mm CC", [21, 34, 40]),
        ("3.0 cm (CC) x 2.0 cm (AP)", [24.5, 20, 30]),
        ("2 x 3 x 4 cm", [20, 30, 40]),
        ("14 mm in segment 7 (series 4, image 32)", [14, 14, 14]),
    ],
)
def test_the_size_is_that_of_the_lesion_now(text: str, size: list[float]) -> None:
    said, _ = only(f"liver lesion {text}")
    assert said["size_mm"] == size


@pytest.mark.parametrize(
    ("text", "aside"),
    [
        ("liver cyst close to the stomach", "stomach"),
        ("nodule of the left lung abutting the heart", "heart"),
        ("2 cm liver cyst, 3 mm from the gallbladder", "gallbladder"),
        ("left liver cyst", "left"),
        ("large liver cyst", "large"),
        ("liver cyst, upper pole", "upper pole"),
    ],
)
def test_what_no_report_can_hold_is_set_aside(text: str, aside: str) -> None:
    said, parsed = only(text)
    assert said["organ"] in ("liver", "lung_left")
    assert aside in [item.phrase for item in parsed.set_aside]
    assert any(remark.startswith(f"set aside: '{aside}' (") for remark in parsed.remarks)


@pytest.mark.parametrize(
    "text",
    [
        "There is a cyst seen in the liver, measuring approximately 20 mm",
        "A 20 mm cyst is noted within the right lobe of the liver.",
        "Impression: 1. Known cyst of the liver, currently 20 mm in diameter, most likely benign.",
        "65-year-old woman with a liver cyst of about 20 mm, unchanged since 2019.",
    ],
)
def test_ordinary_words_are_no_reason_to_refuse(text: str) -> None:
    said, _ = only(text)
    assert said["lesion_type"] == "liver cyst"
    assert said["size_mm"] == [20, 20, 20]


@pytest.mark.parametrize(
    "text",
    [
        "a 20 mm lesion in the left elbow",
        "a 20 mm lesion in the uterus",
        "a 20 mm lesion in the head",
        "a 20 mm lesion on the left",
        "a 20 mm nodule abutting the pleura",
        "CT chest: a 20 mm nodule",
        "hematoma in the thigh",
        "a 20 mm lesion in the elbow. Liver cyst of 10 mm.",
        "liver cyst of 10 mm and a 20 mm lesion in the elbow",
    ],
)
def test_a_place_that_is_no_organ_is_never_anywhere(text: str) -> None:
    parsed = parse_report(text)
    assert parsed.unplaced
    assert parsed.unlocated
    assert {lesion.organ for lesion in parsed.report.lesions} <= {None, "liver"}


@pytest.mark.parametrize("text", ["liver cyst with wobble", "consolidation in the RUL", "liver hemangiomatosis 2 cm"])
def test_unknown_findings_are_not_placed(text: str) -> None:
    assert [item.reason for item in parse_report(text).unplaced] == ["not understood"]


@pytest.mark.parametrize(
    "text",
    [
        "Absence of liver lesions. 8 mm nodule in the LUL.",
        "No liver lesion. LUL nodule of 8 mm.",
        "The liver is free of lesions; 8 mm nodule in the LUL",
    ],
)
def test_a_denial_makes_no_lesion(text: str) -> None:
    said, _ = only(text)
    assert said == {"organ": "lung_upper_lobe_left", "size_mm": [8, 8, 8]}


def test_a_neighbor_that_is_not_touched_is_not_the_organ() -> None:
    said, parsed = only("the 3 cm mass in the pancreas does not invade the duodenum")
    assert said == {"organ": "pancreas", "size_mm": [30, 30, 30]}
    assert parsed.excluded == (("close relationship with adjacent organs",),)


def test_reading_a_long_text_takes_time_in_proportion() -> None:
    start = thread_time()
    parsed = parse_report("a 12 mm cyst in the liver, no calcification, " * 400)
    assert len(parsed.report.lesions) == 400
    assert thread_time() - start < 20  # a second on a free core; minutes if it grows with the square


@pytest.mark.parametrize(
    ("text", "organ", "size"),
    [
        ("Spleen 10.5 cm. Liver cyst of 2 cm.", "liver", 20),
        ("Liver is 15 cm in length. 2 cm liver cyst.", "liver", 20),
        ("Right kidney: normal size, 11.2 cm. No hydronephrosis. 3 mm stone in the lower pole.", "kidney_right", 3),
        (
            "Spleen: normal in size at 10.5 cm. 3 mm stone in the right lower pole (series 4, image #32)",
            "kidney_right",
            3,
        ),
    ],
)
def test_the_size_of_an_organ_is_not_that_of_a_lesion(text: str, organ: str, size: float) -> None:
    said, _ = only(text)
    assert (said["organ"], said["size_mm"]) == (organ, [size] * 3)


@pytest.mark.parametrize(
    ("text", "organ"),
    [
        ("12 mm stone in the left kidney, 5 mm stone on the right", "kidney_right"),
        ("12 mm stone in the left kidney and a 5 mm cyst", "kidney_left"),
    ],
)
def test_an_organ_is_taken_from_the_lesion_beside_it_with_the_own_side(text: str, organ: str) -> None:
    parsed = parse_report(text)
    assert parsed.report.lesions[1].organ == organ
    assert parsed.unplaced == ()


@pytest.mark.parametrize(
    "text", ["liver cyst and a nodule abutting the pleura", "liver cyst of 2 cm and a cyst on the left"]
)
def test_an_organ_is_not_taken_where_the_place_is_another(text: str) -> None:
    parsed = parse_report(text)
    assert parsed.report.lesions[1].organ is None
    assert parsed.unlocated


@pytest.mark.parametrize("text", ["renal mass on the left, RCC ruled out", "left renal mass, unlikely RCC"])
def test_what_is_doubtful_is_not_said(text: str) -> None:
    assert only(text)[0] == {"organ": "kidney_left"}


@pytest.mark.parametrize("measure", ["density", "attenuation"])
@pytest.mark.parametrize(
    ("degree", "feature"),
    [
        ("increased", "presence of increased density areas"),
        ("high", "presence of increased density areas"),
        ("decreased", "presence of decreased density areas"),
        ("low", "presence of decreased density areas"),
    ],
)
def test_areas_of_another_density_are_a_feature(degree: str, feature: str, measure: str) -> None:
    said, _ = only(f"a 20 mm hypodense liver mass with areas of {degree} {measure}")
    assert said["density"] == "hypodense"
    assert said["features"] == [feature]
