"""Requests as radiologists write them: what each becomes, and what is told of the words that are not obeyed."""

from typing import Any

import pytest

from medsmith.errors import RequestError
from medsmith.reports.parsing.hedges import hedged_claims
from medsmith.reports.parsing.lexicon import nearest_options
from medsmith.reports.parsing.report import parse_report
from medsmith.reports.parsing.sentence import read_sentence
from medsmith.reports.parsing.spelling import misspelled, slips
from medsmith.reports.reading import read_report

SOLID = "isodense soft tissue mass"
GROUND_GLASS = "low-density ground-glass opacity"
DARK = "presence of decreased density areas"
BRIGHT = "presence of increased density areas"
CLOSE = "close relationship with adjacent organs"
FLUID = "hypodense fluid-like"
PART = "(a report does not tell parts of an organ apart)"
NOT_HELD = "(a report does not hold it)"
CERTAIN = "a report holds no doubt; read as certain"
NO_CAVITY = f"is read as {DARK}: no cavity filled with air is made"


def cube(edge: float) -> list[float]:
    return [edge] * 3


def lesion(organ: str, edge: float | None = None, **attributes: Any) -> dict[str, Any]:
    return {"organ": organ, **({} if edge is None else {"size_mm": cube(edge)}), **attributes}


def typed(kind: str, organ: str, edge: float | None = None, **attributes: Any) -> dict[str, Any]:
    return lesion(organ, edge, lesion_type=kind, **attributes)


LUNG = [
    ("12 mm solid nodule in the left lower lobe", [lesion("lung_lower_lobe_left", 12.0, density=SOLID)], []),
    ("8 mm ground glass nodule LLL", [lesion("lung_lower_lobe_left", 8.0, density=GROUND_GLASS)], []),
    (
        "1.4 cm nodule in the lingula",
        [lesion("lung_upper_lobe_left", 14.0)],
        [f"set aside: 'lingula' {PART}"],
    ),
    (
        "4 mm calcified granuloma in the right upper lobe",
        [lesion("lung_upper_lobe_right", 4.0, features=[BRIGHT])],
        ["there are no rules for 'granuloma': a lesion without a type, of what else is said of it"],
    ),
    (
        "3 cm cavitary mass with thick walls in the right upper lobe",
        [lesion("lung_upper_lobe_right", 30.0, features=[DARK])],
        [f"'cavitary' {NO_CAVITY}", f"set aside: 'thick walls' {NOT_HELD}"],
    ),
    (
        "Thick-walled cavity in the left upper lobe measuring 4 cm",
        [lesion("lung_upper_lobe_left", 40.0, features=[DARK])],
        [f"'cavity' {NO_CAVITY}", f"set aside: 'Thick-walled' {NOT_HELD}"],
    ),
    (
        "3.5 cm cavitating lesion, RLL, the walls are thin",
        [lesion("lung_lower_lobe_right", 35.0, features=[DARK])],
        [f"'cavitating' {NO_CAVITY}", f"set aside: 'thin' {NOT_HELD}"],
    ),
    (
        "Right hilar mass measuring 4 cm",
        [lesion("lung_right", 40.0)],
        ["no organ is named: lung is taken for 'hilar'", f"set aside: 'hilar' {PART}"],
    ),
    (
        "15 mm apical nodule on the right",
        [lesion("lung_right", 15.0)],
        ["no organ is named: lung is taken for 'apical'", f"set aside: 'apical' {PART}"],
    ),
    ("Apical 9 mm nodule, right lung", [lesion("lung_right", 9.0)], [f"set aside: 'Apical' {PART}"]),
    (
        "6 mm subpleural nodule",
        [lesion("lung", 6.0)],
        ["no organ is named: lung is taken for 'subpleural'", f"set aside: 'subpleural' {PART}"],
    ),
    (
        "5 cm mass in the left upper lobe, invading the chest wall",
        [lesion("lung_upper_lobe_left", 50.0, relationship=CLOSE)],
        [
            f"'invading' is read as {CLOSE}: no invasion is made",
            "set aside: 'chest' (a report does not name neighbors)",
        ],
    ),
    ("8 mm SPN in the RUL", [lesion("lung_upper_lobe_right", 8.0)], []),
    (
        "Suspicious 2 cm nodule in the right upper lobe",
        [lesion("lung_upper_lobe_right", 20.0)],
        [f"set aside: 'Suspicious' {NOT_HELD}"],
    ),
    ("No cavitation. 2 cm nodule LLL.", [lesion("lung_lower_lobe_left", 20.0)], [f"ruled out: {DARK}"]),
    (
        "Two nodules: 8 mm in the RUL and 5 mm in the LLL",
        [lesion("lung_upper_lobe_right", 8.0), lesion("lung_lower_lobe_left", 5.0)],
        [],
    ),
    ("9 mm nodule, probably unchanged, right lung", [lesion("lung_right", 9.0)], []),
    (
        "8 mm fat-containing nodule in the LLL, likely hamartoma",
        [lesion("lung_lower_lobe_left", 8.0, features=[DARK])],
        [
            f"'fat-containing' is read as {DARK}: fat is not told apart",
            f"'likely hamartoma': {CERTAIN}",
            "there are no rules for 'hamartoma': a lesion without a type, of what else is said of it",
        ],
    ),
]
DOUBTS = [
    (
        "2 cm lesion in the right kidney suspicious for RCC",
        [typed("kidney cancer", "kidney_right", 20.0)],
        [f"'suspicious for RCC': {CERTAIN}"],
    ),
    (
        "3 cm hypodense liver lesion, likely metastasis",
        [typed("liver cancer", "liver", 30.0, density="hypodense")],
        [
            f"'likely metastasis': {CERTAIN}",
            "'metastasis' is read as liver cancer, the only type of tumor in this organ",
        ],
    ),
    ("Possible 12 mm HCC", [typed("liver cancer", "liver", 12.0)], [f"'Possible 12 mm HCC': {CERTAIN}"]),
    (
        "2.5 cm mass of the pancreas concerning for adenocarcinoma",
        [typed("pancreas cancer", "pancreas", 25.0)],
        [f"'concerning for adenocarcinoma': {CERTAIN}"],
    ),
    (
        "r/o abscess: 4 cm ring enhancing fluid collection in the liver",
        [lesion("liver", 40.0, density="ring enhancement")],
        [
            f"'rule out abscess': {CERTAIN}",
            "there are no rules for 'abscess': a lesion without a type, of what else is said of it",
        ],
    ),
    (
        "RCC is suspected in the left kidney, 3 cm",
        [typed("kidney cancer", "kidney_left", 30.0)],
        [f"'RCC is suspected': {CERTAIN}"],
    ),
    (
        "3 cm mass of the left kidney, RCC?",
        [typed("kidney cancer", "kidney_left", 30.0)],
        [f"'RCC suspected': {CERTAIN}"],
    ),
    (
        "2 cm mass in the urinary bladder, ?TCC",
        [typed("bladder cancer", "urinary_bladder", 20.0)],
        [f"'possible TCC': {CERTAIN}"],
    ),
    (
        "2 cm liver lesion, HCC vs cholangiocarcinoma",
        [typed("liver cancer", "liver", 20.0)],
        [f"'HCC vs cholangiocarcinoma': {CERTAIN}"],
    ),
    (
        "renal mass on the left, RCC cannot be excluded",
        [typed("kidney cancer", "kidney_left")],
        [f"'RCC cannot be excluded': {CERTAIN}"],
    ),
    (
        "stable 2 cm adrenal nodule on the right, 8 HU, consistent with adenoma",
        [lesion("adrenal_gland_right", 20.0, ct_value_hu=8.0)],
        [
            f"'consistent with adenoma': {CERTAIN}",
            "there are no rules for 'adenoma': a lesion without a type, of what else is said of it",
        ],
    ),
    ("12 mm nodule, likely benign, left lung", [lesion("lung_left", 12.0)], [f"set aside: 'benign' {NOT_HELD}"]),
    ("left renal mass, unlikely RCC", [lesion("kidney_left")], ["set aside: 'unlikely RCC' (a negated lesion)"]),
    ("3 cm renal mass, RCC unlikely", [lesion("kidney", 30.0)], ["set aside: 'RCC unlikely' (a negated lesion)"]),
    (
        "3 cm liver lesion, metastasis ruled out",
        [lesion("liver", 30.0)],
        ["set aside: 'metastasis ruled out' (a negated lesion)"],
    ),
    (
        "8 mm nodule in the left lung, no evidence suspicious for malignancy",
        [lesion("lung_left", 8.0)],
        ["set aside: 'no evidence suspicious for malignancy' (a negated lesion)"],
    ),
    (
        "No evidence of metastasis. 2 cm cyst in the left kidney.",
        [typed("kidney cyst", "kidney_left", 20.0)],
        ["set aside: 'No evidence of metastasis' (a negated lesion)"],
    ),
    (
        "Hepatic cyst 2 cm, no suspicious features",
        [typed("liver cyst", "liver", 20.0)],
        ["set aside: 'suspicious' (denied)"],
    ),
]
ELSEWHERE = [
    (
        "Bosniak IIF cyst of the left kidney, 3.4 cm",
        [typed("kidney cyst", "kidney_left", 34.0)],
        [f"set aside: 'Bosniak IIF' {NOT_HELD}"],
    ),
    (
        "4.5 cm AML of the left kidney, -60 HU",
        [lesion("kidney_left", 45.0, ct_value_hu=-60.0)],
        ["there are no rules for 'AML': a lesion without a type, of what else is said of it"],
    ),
    (
        "R kidney: 3 cm cyst. L kidney: 4 mm stone.",
        [typed("kidney cyst", "kidney_right", 30.0), typed("kidney stone", "kidney_left", 4.0)],
        [],
    ),
    ("2.3 cm lesion in the caudate lobe", [lesion("liver", 23.0)], [f"set aside: 'caudate lobe' {PART}"]),
    (
        "18 mm hypoenhancing lesion in segment 6, LI-RADS 5",
        [lesion("liver", 18.0, enhancement="enhanced CT", density="hypodense")],
        [f"set aside: 'LI-RADS 5' {NOT_HELD}", f"set aside: 'segment 6' {PART}"],
    ),
    ("fluid collection 5 cm in the liver", [lesion("liver", 50.0, density=FLUID)], []),
    (
        "5 cm pseudocyst of the pancreas",
        [typed("pancreas cyst", "pancreas", 50.0)],
        ["'pseudocyst' is read as a cyst, without what sets it apart from one"],
    ),
    (
        "17 mm IPMN with ductal dilation",
        [typed("pancreas cyst", "pancreas", 17.0, features=["retention of pancreatic fluid"])],
        ["'IPMN' is read as a cyst, without what sets it apart from one"],
    ),
    (
        "1.6 cm hypodense mass, uncinate process",
        [lesion("pancreas", 16.0, density="hypodense")],
        [f"set aside: 'uncinate process' {PART}"],
    ),
    ("3 cm mass in the right psoas muscle", [lesion("iliopsoas_right", 30.0)], []),
    ("2 cm sclerotic lesion in the right iliac bone", [lesion("hip_right", 20.0, density="hyperdense")], []),
    ("20 mm lytic lesion of the L3 vertebral body", [lesion("vertebrae_L3", 20.0, density="hypodense")], []),
    ("5 mm gall stone", [typed("gallstone", "gallbladder", 5.0)], []),
    (
        "2.4 cm cyst with septations in the left kidney",
        [typed("kidney cyst", "kidney_left", 24.0)],
        [f"set aside: 'septations' {NOT_HELD}"],
    ),
]


@pytest.mark.parametrize(("text", "lesions", "told"), [*LUNG, *DOUBTS, *ELSEWHERE])
def test_requests(text: str, lesions: list[dict[str, Any]], told: list[str]) -> None:
    parsed = read_report(text)
    assert [each.model_dump(mode="json", exclude_defaults=True) for each in parsed.report.lesions] == lesions
    assert sorted(parsed.remarks) == sorted(told)


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
    assert [*hedged_claims(read_sentence("a likely calcified nodule"))] == ["likely calcified"]
    assert [*hedged_claims(read_sentence("HCC in the liver is most likely"))] == ["HCC in the liver is most likely"]
    assert [*hedged_claims(read_sentence("no cyst suspicious for RCC"))] == []
    assert [*hedged_claims(read_sentence("the cyst is likely unchanged"))] == []


def test_a_doubt_is_told_once_for_equal_lesions() -> None:
    parsed = parse_report("two liver lesions of 2 cm, likely HCC")
    assert [each.lesion_type for each in parsed.report.lesions] == ["liver cancer"] * 2
    assert parsed.remarks.count(f"'likely HCC': {CERTAIN}") == 1
