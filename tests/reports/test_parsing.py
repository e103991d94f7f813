"""Free text to reports: what is said is placed, ruled out or listed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.reports.parsing.report import ParsedReport, parse_report
from medsmith.reports.schema import ScanReport
from medsmith.reports.vocabulary import ATTRIBUTES, SYNONYMS

NOT_CLOSE = "no close relationship with surrounding organs"
CLOSE = "close relationship with adjacent organs"
LESS = "presence of decreased density areas"
MORE = "presence of increased density areas"
SPICULATED = "spiculated margins"


def only(text: str) -> tuple[dict[str, Any], ParsedReport]:
    """What the only lesion of a text says."""
    parsed = parse_report(text)
    assert len(parsed.report.lesions) == 1
    return parsed.report.lesions[0].model_dump(exclude_defaults=True), parsed


def test_the_request_of_the_front_page() -> None:
    text = "a 20 mm round-like hypodense cyst with a well-defined margin inside the right kidney"
    said, parsed = only(text)
    assert said == {
        "lesion_type": "kidney cyst",
        "organ": "kidney_right",
        "shape": ("round-like",),
        "size_mm": (20.0, 20.0, 20.0),
        "density": "hypodense",
        "surface": "well-defined margin",
        "cavity": "within the parenchymal organ",
    }
    assert parsed.remarks == ()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("cyst of 8 x 12 x 14 mm", (8, 12, 14)),
        ("cyst of 8×12×14mm", (8, 12, 14)),
        ("cyst, 8 mm by 12 mm by 14 mm", (8, 12, 14)),
        ("cyst measuring 8, 12 and 14 mm", (8, 12, 14)),
        ("cyst of 8 mm, 12 mm and 14 mm", (8, 12, 14)),
        ("cyst of 0.8 x 1.2 x 1.4 cm", (8, 12, 14)),
        ("cyst of 8 mm x 1.2 cm x 14 mm", (8, 12, 14)),
        ("2 cm cyst", (20, 20, 20)),
        ("20mm cyst", (20, 20, 20)),
        ("20-mm cyst", (20, 20, 20)),
        ("cyst of 2.5 centimetres in diameter", (25, 25, 25)),
        ("12 x 14 mm cyst", (12, 14, 13)),
        ("1/2 cm cyst", (5, 5, 5)),
        ("1 1/2 cm cyst", (15, 15, 15)),
        ("1-1/2 cm cyst", (15, 15, 15)),
        ("½ cm cyst", (5, 5, 5)),
        ("1½ cm cyst", (15, 15, 15)),
        ("2 ¾ cm cyst", (27.5, 27.5, 27.5)),
    ],
)
def test_sizes(text: str, size: tuple[float, ...]) -> None:
    assert only(f"{text} in the liver")[0]["size_mm"] == size


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("10-15 mm cyst", "10-15 mm"),
        ("cyst of 10 to 15 mm", "10 to 15 mm"),
        ("500 mm cyst", "500 mm"),
        ("0 mm cyst", "0 mm"),
        ("cyst of 20", "20"),
        ("cyst of 3 cm3", "3 cm3"),
        ("cyst of 3 cm³", "3 cm3"),
        ("20² mm cyst", "20²"),
        ("cyst of 10 to 20 HU", "10 to 20 HU"),
        ("cyst of 4000 HU", "4000 HU"),
        ("cyst of <20 HU", "<"),
    ],
)
def test_numbers_that_say_neither_size_nor_density_are_listed(text: str, phrase: str) -> None:
    said, parsed = only(f"{text} in the liver")
    assert "size_mm" not in said
    assert phrase in {item.phrase for item in parsed.unplaced}


@pytest.mark.parametrize(
    ("text", "hu"),
    [
        ("35 HU", 35),
        ("approximately -20 HU", -20),
        ("of \N{MINUS SIGN}20 HU", -20),
        ("minus 20 HU", -20),
        ("about 12.5 Hounsfield units", 12.5),
        ("HU of 35", 35),
        ("HU: -35", -35),
        ("Mean density of the lesion region is approximately 35.0 HU,", 35),
    ],
)
def test_ct_values(text: str, hu: float) -> None:
    said, parsed = only(f"liver cyst, {text}")
    assert said["ct_value_hu"] == hu
    assert parsed.unplaced == ()


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("no spiculation", [SPICULATED]),
        ("without calcification", [MORE]),
        ("not enhanced", ["enhanced CT"]),
        ("no evidence of spiculation", [SPICULATED]),
        ("no spiculation, calcification or necrosis", [SPICULATED, MORE, LESS]),
        ("without calcification and spiculation", [MORE, SPICULATED]),
        ("neither spiculated nor calcified", [SPICULATED, MORE]),
        ("calcification and spiculation are absent", [MORE, SPICULATED]),
        ("spiculation is not seen", [SPICULATED]),
        ("spiculation: none", [SPICULATED]),
        ("spiculation: no", [SPICULATED]),
        ("non-spiculated", [SPICULATED]),
        ("lack of calcifications", [MORE]),
        ("not round", ["round-like"]),
        ("the margin is not well-defined", ["well-defined margin"]),
        ("no stone", ["stone"]),
    ],
)
def test_what_is_denied_is_not_said(text: str, denied: list[str]) -> None:
    said, parsed = only(f"liver cancer, {text}")
    assert said == {"lesion_type": "liver cancer", "organ": "liver"}
    assert parsed.excluded == (tuple(denied),)
    assert parsed.unplaced == ()
    assert [said.split(" (")[-1].removesuffix(")") for said in parsed.ruled_out] == denied
    assert parsed.remarks == tuple(f"ruled out: {said}" for said in parsed.ruled_out)


def test_what_is_denied_is_told_in_the_words_of_the_text() -> None:
    parsed = parse_report("liver cancer, not enhanced, no Calcifications, no ring enhancement, no necrosis")
    assert parsed.remarks == (
        "ruled out: enhanced CT",
        f"ruled out: 'Calcifications' ({MORE})",
        "ruled out: ring enhancement",
        f"ruled out: 'necrosis' ({LESS})",
    )


@pytest.mark.parametrize(
    ("text", "said_too"),
    [
        ("no spiculation, well-defined margin", {"surface": "well-defined margin"}),
        ("no spiculation and a well-defined margin", {"surface": "well-defined margin"}),
        ("without calcification but with necrosis", {"features": (LESS,)}),
        ("not enhanced, homogeneous", {"density_variation": "homogeneous"}),
        ("non-enhanced CT", {"enhancement": "non-contrast CT"}),
        ("inhomogeneous", {"density_variation": "heterogeneous"}),
        ("no close relationship with surrounding organs", {"relationship": NOT_CLOSE}),
        ("not close to other organs", {"relationship": NOT_CLOSE}),
        ("no necrosis; spiculation", {"features": (SPICULATED,)}),
    ],
)
def test_a_negation_ends(text: str, said_too: dict[str, Any]) -> None:
    assert only(f"liver cancer, {text}")[0] == {"lesion_type": "liver cancer", "organ": "liver", **said_too}


@pytest.mark.parametrize(
    ("text", "lesion_type", "organ"),
    [
        ("kidney cyst", "kidney cyst", "kidney"),
        ("Renal cysts", "kidney cyst", "kidney"),
        ("a cyst inside the right kidney", "kidney cyst", "kidney_right"),
        ("a left-sided renal tumour", "kidney cancer", "kidney_left"),
        ("kidney cyst in the right kidney", "kidney cyst", "kidney_right"),
        ("renal calculus on the left", "kidney stone", "kidney_left"),
        ("stone in the gall bladder", "gallstone", "gallbladder"),
        ("gallstones", "gallstone", "gallbladder"),
        ("gallstone, stone", "gallstone", "gallbladder"),
        ("oesophageal carcinoma", "esophageal cancer", "esophagus"),
        ("bladder tumor", "bladder cancer", "urinary_bladder"),
        ("hepatocellular carcinoma", "liver cancer", "liver"),
        ("tumour of the middle lobe", "lung cancer", "lung_middle_lobe_right"),
        ("cancer in the left upper lobe", "lung cancer", "lung_upper_lobe_left"),
        ("intracerebral haematoma", "intracranial hemorrhage", "brain"),
        ("a lesion of the spleen", None, "spleen"),
        ("lung nodule", None, "lung"),
    ],
)
def test_types_and_organs(text: str, lesion_type: str | None, organ: str) -> None:
    said, parsed = only(text)
    assert said.get("features", ()) == (("stone",) if text.endswith(", stone") else ())
    assert (said.get("lesion_type"), said["organ"]) == (lesion_type, organ)
    assert parsed.unplaced == ()


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("a 5 mm stone in the left kidney; a liver cyst", ["kidney stone", "liver cyst"]),
        ("A cyst in the liver. A stone in the right kidney.", ["liver cyst", "kidney stone"]),
        ("a liver cyst and a kidney cyst", ["liver cyst", "kidney cyst"]),
        ("a liver cyst, another kidney cyst", ["liver cyst", "kidney cyst"]),
        ("Liver cyst. The cyst is round. It is homogeneous.", ["liver cyst"]),
        ("Liver cyst of 20 mm. Well-defined margin.", ["liver cyst"]),
        ("two cysts in the liver", ["liver cyst"] * 2),
        ("Three round liver cysts, and a gallstone.", ["liver cyst"] * 3 + ["gallstone"]),
        ("20 mm cyst left kidney and 5 mm stone right kidney", ["kidney cyst", "kidney stone"]),
        ("cyst of 8 mm, 12 mm and 14 mm in the liver", ["liver cyst"]),
        ("no liver cyst", []),
        ("No round hypodense liver cyst; a gallstone", ["gallstone"]),
        ("not enhanced hypodense liver cyst", ["liver cyst"]),
        ("", []),
    ],
)
def test_several_lesions(text: str, types: list[str]) -> None:
    parsed = parse_report(text)
    assert [lesion.lesion_type for lesion in parsed.report.lesions] == types
    assert len(parsed.excluded) == len(types)


def test_contrast_agent_is_given_to_the_whole_scan() -> None:
    parsed = parse_report("Contrast-enhanced CT: a cyst in the liver; a stone in the left kidney")
    assert [lesion.enhancement for lesion in parsed.report.lesions] == ["enhanced CT"] * 2


@pytest.mark.parametrize(
    ("text", "phrase", "nearest"),
    [
        ("hypodens liver cyst", "hypodens", "hypodense"),
        ("liver cyst with spiculatd margins", "spiculatd margins", SPICULATED),
        ("liver cyst, spiky contour", "spiky contour", "ill-defined margin"),
        ("liver cyst, homogenious", "homogenious", "homogeneous"),
        ("multiple liver cysts", "multiple", "two"),
        ("liver cyst, hyperdense, hypodense", "hypodense", "hyperdense"),
        ("liver cyst in the spleen", "spleen", "liver"),
        ("a cyst", "cyst", "kidney cyst"),
        ("stone in the spleen", "stone", "gallbladder"),
        ("cyst of the right left kidney", "right", "kidney_left"),
        ("liver cyst and stone", None, None),
    ],
)
def test_what_is_not_placed_is_listed(text: str, phrase: str | None, nearest: str | None) -> None:
    unplaced = only(text)[1].unplaced
    assert [item.phrase for item in unplaced] == ([phrase] if phrase else [])
    if nearest:
        assert nearest in unplaced[0].nearest
        assert unplaced[0].line.startswith(f"not placed: '{phrase}' (")


@pytest.mark.parametrize(
    ("option", "name"),
    [
        (option, row.name)
        for row in ATTRIBUTES.values()
        for option in row.options
        if (row.name, option) != ("cavity", "wall thickening")  # which is said as a shape
    ],
)
def test_every_option_and_synonym_is_understood(option: str, name: str) -> None:
    for phrase in (option, option.upper(), option.replace("-", " "), *SYNONYMS.get(option, ())):
        said, parsed = only(f"lesion, {phrase}.")
        value = said[name]
        assert (option in value) if isinstance(value, tuple) else value == option
        assert parsed.unplaced == ()


@given(st.text(st.sampled_from("abdeginoprstuvxy ,.;:-0123456789/()×½’\n") | st.characters(), max_size=60))
@settings(max_examples=40, deadline=None)
def test_any_text_is_read(text: str) -> None:
    parsed = parse_report(text)
    assert ScanReport.model_validate(parsed.report.model_dump()) == parsed.report


@given(st.lists(st.sampled_from(["zork", "blim", "quux", "fnord"]), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_unknown_words_are_all_listed(words: list[str]) -> None:
    parsed = parse_report(f"liver cyst, {', '.join(words)}, homogeneous {' '.join(words)}")
    listed = " ".join(item.phrase for item in parsed.unplaced)
    assert set(listed.split()) == set(words)


@pytest.mark.parametrize("words", ["hypodense", "isodense"])
@pytest.mark.parametrize(
    "order", ["a 20 mm {0} liver lesion with rim enhancement", "a 20 mm rim-enhancing {0} liver lesion"]
)
def test_the_density_of_the_core_of_a_ring_is_no_second_density(words, order):
    (lesion,) = parse_report(order.format(words)).report.lesions
    assert lesion.density == "ring enhancement"
