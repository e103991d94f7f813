"""History, relatives, questions and what is gone make no lesions, even where unknown words are passed over."""

import json
from pathlib import Path

import pytest

from medsmith.errors import RequestError
from medsmith.reports.parsing.report import parse_report
from medsmith.reports.reading import read_report

SENTENCES = (Path(__file__).parent / "sentences" / "history.jsonl").read_text().splitlines()


@pytest.mark.parametrize("line", SENTENCES)
def test_only_what_is_in_the_scan_becomes_a_lesion(line: str) -> None:
    sentence = json.loads(line)
    parsed = parse_report(sentence["text"])
    assert sorted(parsed.remarks) == sentence["told"]
    if sentence["lesions"]:
        read = read_report(sentence["text"], lenient=True)
        found = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in read.report.lesions]
        assert found == sentence["lesions"]
    else:
        with pytest.raises(RequestError, match="describes no lesion; set aside: '"):
            read_report(sentence["text"], lenient=True)


@pytest.mark.parametrize(
    "text",
    [
        "12 mm nodule in the RUL, compared to the previous CT",
        "12 mm nodule in the RUL, post contrast",
        "12 mm nodule in the RUL, cannot rule out growth",
        "prior 8 mm nodule in the RUL now measures 12 mm",
        "previously 8 mm, now 12 mm nodule in the RUL",
    ],
)
def test_earlier_studies_sizes_and_contrast_are_no_history(text: str) -> None:
    (lesion,) = parse_report(text).report.lesions
    assert (lesion.organ, lesion.size_mm) == ("lung_upper_lobe_right", (12, 12, 12))
    assert "history" not in " ".join(parse_report(text).remarks)
