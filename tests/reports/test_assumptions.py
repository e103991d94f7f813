"""What a text leaves open is noted: sizes without a number, the organ, the type and the number of lesions."""

import json

import pytest

from medsmith.cli import main
from medsmith.reports.parsing.approximations import IRREGULAR, ROUND
from medsmith.reports.parsing.filler import SIZE_WORDS
from medsmith.reports.parsing.report import ANYWHERE, parse_report

UNCOUNTED = "the number of lesions is not said"


@pytest.mark.parametrize("word", [*SIZE_WORDS, "very large", "rather small", "quite big", "extremely large"])
def test_every_word_of_size_without_a_number_is_set_aside(word: str) -> None:
    parsed = parse_report(f"a {word} hypodense cyst in the left kidney")
    (lesion,) = parsed.report.lesions
    assert (lesion.lesion_type, lesion.density, lesion.size_mm) == ("kidney cyst", "hypodense", None)
    (remark,) = parsed.remarks
    assert remark.startswith("set aside: '")
    assert remark.endswith("' (only sizes in mm, cm or inches are read)")


@pytest.mark.parametrize("text", ["nodule", "a lesion", "a 10 mm nodule", "smooth, hypodense"])
def test_a_lesion_without_an_organ_says_where_it_is_put(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["report", "parse", text, "--lenient"])
    output = capsys.readouterr()
    assert output.err == f"{ANYWHERE}\n"
    assert len(json.loads(output.out)["lesions"]) == 1


@pytest.mark.parametrize("text", ["a nodule in the liver", "a liver lesion and a nodule", "a 10 mm cyst", "HCC"])
def test_a_named_implied_or_refused_place_is_not_noted(text: str) -> None:
    assert ANYWHERE not in parse_report(text).notes


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("a metastasis in the liver", "'metastasis' is read as liver cancer, the only type of tumor in this organ"),
        ("two liver mets", "'mets' is read as liver cancer, the only type of tumor in this organ"),
        ("a renal tumour", "'tumour' is read as kidney cancer, the only type of tumor in this organ"),
        ("a neoplasm of the lung", "'neoplasm' is read as lung cancer, the only type of tumor in this organ"),
        ("a lobulated liver lesion", f"'lobulated' is read as {IRREGULAR}"),
        ("a liver lesion with lobulated margins", f"'lobulated margins' is read as {IRREGULAR}"),
        ("an ovoid liver lesion", f"'ovoid' is read as {ROUND}"),
        ("an oval liver lesion", f"'oval' is read as {ROUND}"),
        ("a hematoma", "no organ is named: brain is taken, the only one with a type for 'hematoma'"),
    ],
)
def test_a_narrower_type_an_assumed_organ_and_an_approximated_shape_are_noted(text: str, note: str) -> None:
    assert note in parse_report(text).notes


@pytest.mark.parametrize("text", ["a carcinoma of the liver", "a renal cyst", "a hematoma in the brain", "RCC"])
def test_a_type_that_its_noun_says_is_not_noted(text: str) -> None:
    assert parse_report(text).notes == ()


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("metastases in the liver", f"{UNCOUNTED}: one is taken"),
        ("a cluster of nodules in the right lung", f"{UNCOUNTED}: one is taken"),
        ("a number of liver cysts", f"{UNCOUNTED}: one is taken"),
        ("bilateral renal cysts", f"{UNCOUNTED}: one on each side is taken"),
        ("cysts in both kidneys", f"{UNCOUNTED}: one on each side is taken"),
    ],
)
def test_a_plural_without_a_number_is_noted(text: str, note: str) -> None:
    assert note in parse_report(text).notes


@pytest.mark.parametrize(
    "text", ["liver cysts, 8 and 12 mm", "two liver cysts", "a cyst in each kidney", "a calculi, 4 mm"]
)
def test_a_number_that_is_said_is_not_noted(text: str) -> None:
    assert not any(note.startswith(UNCOUNTED) for note in parse_report(text).notes)
