"""Requests as radiologists write them: what each becomes, and what is told of the words that are not obeyed."""

import json
from pathlib import Path

import pytest

from medsmith.errors import RequestError
from medsmith.reports.parsing.hedges import hedged_claims
from medsmith.reports.parsing.lexicon import nearest_options
from medsmith.reports.parsing.report import parse_report
from medsmith.reports.parsing.sentence import read_sentence
from medsmith.reports.parsing.spelling import misspelled, slips
from medsmith.reports.reading import read_report

SENTENCES = (Path(__file__).parent / "sentences" / "requests.jsonl").read_text().splitlines()
SPOKEN = (Path(__file__).parent / "sentences" / "spoken.jsonl").read_text().splitlines()
CERTAIN = "a report holds no doubt; read as certain"


@pytest.mark.parametrize("line", SENTENCES)
def test_what_a_request_becomes_and_what_is_told(line: str) -> None:
    sentence = json.loads(line)
    parsed = read_report(sentence["text"])
    found = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in parsed.report.lesions]
    assert found == sentence["lesions"]
    assert sorted(parsed.remarks) == sentence["told"]


@pytest.mark.parametrize("line", SPOKEN)
def test_requests_with_slips_inches_lists_and_limits(line: str) -> None:
    sentence = json.loads(line)
    if "refused" in sentence:
        with pytest.raises(RequestError) as refused:
            read_report(sentence["text"])
        assert refused.value.line == sentence["refused"]
    else:
        test_what_a_request_becomes_and_what_is_told(line)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "2 cm hemangioma in the liver",
            "'hemangioma': there are no rules for it: say how it looks, such as 'hypodense'",
        ),
        (
            "5 cm abscess of the liver",
            "'abscess': there are no rules for it: say how it looks, such as 'ring enhancement'",
        ),
        ("14 mm nodul in the left lung", "'nodul' is not understood; nearest: nodule; say it"),
        ("12 mm nodule in the rigth lung", "'rigth' is not understood; nearest: right; say it"),
        ("hypodnese 2 cm lesion in the liver", "'hypodnese' is not understood; nearest: hypodense; say it"),
        ("12 mm kidny cyst", "'kidny' is not understood; nearest: kidney; name the organ"),
        (
            "4 cm consolidation in the right lung",
            "'consolidation' is not understood; a report can say cyst, stone, cancer, hemorrhage or lesion, organ, "
            "size, shape, density, CT value, margin and features; say it in words of docs/reports.md",
        ),
        (
            "3 cm mass in the left breast",
            "'breast' is not understood; the organs are those of TotalSegmentator, soft tissue and bone; name",
        ),
    ],
)
def test_refusals(text: str, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_report(text)
    assert refused.value.line.startswith(f"report: {said}")


@pytest.mark.parametrize("text", ["4 cm mass", "a round 12 mm nodule", "two lesions, 8 and 12 mm"])
def test_a_lesion_without_any_place_is_refused_unless_lenient(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_report(text)
    limit = "the lesion would be put into any soft tissue, between organs as well"
    cure = "name its organ, such as 'in the liver' or 'in the soft tissue', or go on without one: --lenient"
    assert refused.value.line == f"report: no organ is named; {limit}; {cure}"
    assert "no organ is named: such a lesion is put into any soft tissue, between organs as well" in (
        read_report(text, lenient=True).remarks
    )
    (lesion,) = read_report("4 cm mass in the soft tissue").report.lesions
    assert lesion.organ == "soft_tissue"


@pytest.mark.parametrize(
    "word",
    [
        "consolidation",
        "perifissural",
        "effusion",
        "mediastinum",
        "cirrhotic",
        "thigh",
        "elbow",
        "tree",
        "plaque",
        "node",
    ],
)
def test_no_term_is_offered_for_a_word_that_resembles_none(word: str) -> None:
    assert nearest_options(word) in ((), (word,))


def test_a_diagnosis_without_rules_and_looks_is_left_out_if_lenient() -> None:
    parsed = read_report("2 cm hemangioma in the liver", lenient=True)
    assert parsed.report.lesions[0].model_dump(exclude_defaults=True) == {"organ": "liver", "size_mm": (20, 20, 20)}
    assert parsed.remarks == (
        "not placed: 'hemangioma' (there are no rules for it: say how it looks, such as 'hypodense')",
    )


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("", "ab", 2), ("abc", "abc", 0), ("rigth", "right", 1), ("kidny", "kidney", 1), ("sarcoma", "carcinoma", 3)],
)
def test_slips_of_the_pen(one: str, other: str, count: int) -> None:
    assert slips(one, other) == slips(other, one) == count


def test_longer_words_may_have_more_slips() -> None:
    assert misspelled("lnug", ["lung"]) == ["lung"]
    assert misspelled("rcc", ["rcd"]) == []
    assert misspelled("sarcoma", ["carcinoma"]) == []
    assert misspelled("homogenius", ["heterogeneous", "homogeneous"]) == ["homogeneous"]


def test_doubt_belongs_to_the_next_phrase_or_else_to_the_one_before() -> None:
    assert [*hedged_claims(read_sentence("a likely calcified nodule"))] == ["likely calcified nodule"]
    assert [*hedged_claims(read_sentence("HCC in the liver is most likely"))] == ["HCC in the liver is most likely"]
    assert [*hedged_claims(read_sentence("no cyst suspicious for RCC"))] == []
    assert [*hedged_claims(read_sentence("the cyst is likely unchanged"))] == []


def test_a_doubt_is_told_once_for_equal_lesions() -> None:
    parsed = parse_report("two liver lesions of 2 cm, likely HCC")
    assert [each.lesion_type for each in parsed.report.lesions] == ["liver cancer"] * 2
    assert parsed.remarks.count(f"'likely HCC': {CERTAIN}") == 1
