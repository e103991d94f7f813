"""Texts about several lesions: one report for each, each with its own organ, size and words."""

from typing import Any

import pytest

from medsmith.reports.parsing.report import parse_report

FLUID = "hypodense fluid-like"
SOFT_TISSUE = "isodense soft tissue mass"
GROUND_GLASS = "low-density ground-glass opacity"
PART_SOLID = "isodense soft tissue mass with peripheral low-density ground-glass opacity"


def lesions(text: str) -> list[tuple[str | None, str | None, Any]]:
    """Type, organ and size of each lesion: one number for a cube."""
    parsed = parse_report(text)
    assert parsed.unplaced == ()
    return [(lesion.lesion_type, lesion.organ, _size(lesion.size_mm)) for lesion in parsed.report.lesions]


def _size(edges: tuple[float, float, float] | None) -> Any:
    return edges[0] if edges and len(set(edges)) == 1 else edges


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("two liver metastases, 12 and 15 mm", [12, 15]),
        ("Liver: 3 cysts (12, 15 and 18 mm)", [12, 15, 18]),
        ("Liver: 3 cysts (12, 15, 18 mm)", [12, 15, 18]),
        ("liver cysts of 8 mm, 12 mm and 14 mm", [8, 12, 14]),
        ("liver cyst of 8 mm, 12 mm and 14 mm", [(8, 12, 14)]),
        ("12 mm and 15 mm liver metastases", [12, 15]),
        ("Two liver cysts. One measures 12 mm, the other 15 mm.", [12, 15]),
        ("Two liver cysts, the larger 18 mm", [18, None]),
        ("two liver cysts, 5 mm", [5, 5]),
        ("liver cysts measuring 12 x 10 mm and 8 x 7 mm", [(12, 10, 11), (8, 7, 7.5)]),
        ("A 12 mm and a 5 mm cyst in the liver", [12, 5]),
        ("liver metastasis 2 cm and a second one in segment II (11 mm)", [20, 11]),
        ("one 12 mm and two 5 mm cysts in the liver", [12, 5, 5]),
    ],
)
def test_every_lesion_has_its_own_size(text: str, sizes: list[Any]) -> None:
    assert [size for _, _, size in lesions(text)] == sizes
    assert {organ for _, organ, _ in lesions(text)} == {"liver"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "3 cm HCC in segment 7 and a simple cyst 1 cm left kidney",
            [("liver cancer", "liver", 30), ("kidney cyst", "kidney_left", 10)],
        ),
        (
            "cyst right kidney 12 mm, cyst left kidney 14 mm",
            [("kidney cyst", "kidney_right", 12), ("kidney cyst", "kidney_left", 14)],
        ),
        ("8 mm nodule RUL, 6 mm RLL", [(None, "lung_upper_lobe_right", 8), (None, "lung_lower_lobe_right", 6)]),
        (
            "Bilateral renal cysts, 20 mm on the left and 12 mm on the right",
            [("kidney cyst", "kidney_left", 20), ("kidney cyst", "kidney_right", 12)],
        ),
        (
            "Bilateral adrenal nodules of 12 and 15 mm",
            [(None, "adrenal_gland_right", 12), (None, "adrenal_gland_left", 15)],
        ),
        (
            "Renal calculi bilaterally, the largest 6 mm on the left",
            [("kidney stone", "kidney_left", 6), ("kidney stone", "kidney_right", None)],
        ),
        (
            "Left kidney: 12 mm cyst, 4 mm stone.",
            [("kidney cyst", "kidney_left", 12), ("kidney stone", "kidney_left", 4)],
        ),
        (
            "a cyst and a 4 mm stone in the left kidney",
            [("kidney cyst", "kidney_left", None), ("kidney stone", "kidney_left", 4)],
        ),
        (
            "Two stones: one in the left kidney, 4 mm, and one in the right kidney, 6 mm.",
            [("kidney stone", "kidney_left", 4), ("kidney stone", "kidney_right", 6)],
        ),
        (
            "Two lesions in the liver: a 12 mm cyst and a 3 cm HCC.",
            [("liver cyst", "liver", 12), ("liver cancer", "liver", 30)],
        ),
        (
            "Liver: 12 mm cyst. Kidneys: 4 mm stone left. Spleen is normal.",
            [("liver cyst", "liver", 12), ("kidney stone", "kidney_left", 4)],
        ),
        (
            "Liver mass 3 cm. Well-defined, 12 mm cyst in the left kidney.",
            [(None, "liver", 30), ("kidney cyst", "kidney_left", 12)],
        ),
        (
            "Two right renal cysts (1.2 cm and 1.8 cm) and a left renal stone (5 mm).",
            [
                ("kidney cyst", "kidney_right", 12),
                ("kidney cyst", "kidney_right", 18),
                ("kidney stone", "kidney_left", 5),
            ],
        ),
        ("Cholelithiasis. The largest stone measures 14 mm.", [("gallstone", "gallbladder", 14)]),
        ("Liver lesion 2 cm. Another lesion of 11 mm.", [(None, "liver", 20), (None, "liver", 11)]),
    ],
)
def test_every_lesion_has_its_own_organ_and_type(text: str, expected: list[Any]) -> None:
    assert lesions(text) == expected


def test_modifiers_before_a_noun_are_those_of_its_lesion() -> None:
    first, second = parse_report(
        "a smooth liver cyst and a round, hyperdense, 5 mm lesion in the spleen"
    ).report.lesions
    assert (first.organ, first.surface, first.density) == ("liver", "well-defined margin", None)
    assert (second.organ, second.shape, second.density) == ("spleen", ("round-like",), "hyperdense")


def test_words_about_all_are_said_of_each() -> None:
    found = parse_report("two nodules in the RUL, 5 mm and 7 mm, both spiculated").report.lesions
    assert [lesion.features for lesion in found] == [("spiculated margins",)] * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("multiple liver cysts", "how many is not said"),
        ("two liver cysts, 12, 15 and 18 mm", "it says 2 lesions and describes 3"),
        ("liver cyst of 12 x 10 mm and 8 x 7 mm", "sizes of several lesions, and one is named"),
        ("five liver metastases, 1-3 cm", "a range"),
    ],
)
def test_numbers_that_do_not_fit_are_not_placed(text: str, reason: str) -> None:
    assert [item.reason for item in parse_report(text).unplaced] == [reason]


def test_a_plural_without_a_number_is_one_lesion_and_says_so() -> None:
    parsed = parse_report("liver metastases, hypodense")
    assert len(parsed.report.lesions) == 1
    assert parsed.notes[-1] == "the number of lesions is not said: one is taken"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a 15 mm part-solid nodule in the left upper lobe and a 20 mm mass in the right lower lobe",
            [("lung_upper_lobe_left", 15, PART_SOLID), ("lung_lower_lobe_right", 20, None)],
        ),
        (
            "8 mm GGO in the right upper lobe and a 12 mm solid nodule in the left lower lobe",
            [("lung_upper_lobe_right", 8, GROUND_GLASS), ("lung_lower_lobe_left", 12, SOFT_TISSUE)],
        ),
        (
            "Part-solid nodule of 15 mm in the left upper lobe. Cyst in the liver, 20 mm.",
            [("lung_upper_lobe_left", 15, PART_SOLID), ("liver", 20, None)],
        ),
        (
            "a 20 mm soft tissue mass in the pancreas and a 10 mm cyst in the left kidney",
            [("pancreas", 20, SOFT_TISSUE), ("kidney_left", 10, None)],
        ),
        (
            "a 20 mm subsolid nodule in the left upper lobe and a 9 mm subsolid nodule in the right upper lobe",
            [("lung_upper_lobe_left", 20, PART_SOLID), ("lung_upper_lobe_right", 9, PART_SOLID)],
        ),
    ],
)
def test_a_lesion_called_by_its_density_stays_beside_others(text: str, expected: list[Any]) -> None:
    parsed = parse_report(text)
    found = [(lesion.organ, _size(lesion.size_mm), lesion.density) for lesion in parsed.report.lesions]
    assert found == expected
    assert parsed.set_aside == ()
