"""How many sentences in the style of radiology reports the parser reads without a mistake.

A sentence is right if its lesions have exactly the expected attributes and nothing is left unplaced, or if it is
refused where it has to be. development.jsonl was used to write the parser, kept_aside.jsonl was not looked at before
the parser was finished. Run: python benchmarks/reports/parsing_score.py
"""

import json
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from medsmith.reports.parsing.report import parse_report

SENTENCES = Path(__file__).parents[2] / "tests" / "reports" / "sentences"


def is_right(sentence: dict[str, Any]) -> bool:
    """Whether a sentence is read as expected; lesions that are None stand for a refusal."""
    parsed = parse_report(sentence["text"])
    if sentence["lesions"] is None:
        return bool(parsed.unplaced)
    found = [lesion.model_dump(mode="json", exclude_defaults=True) for lesion in parsed.report.lesions]
    return found == sentence["lesions"] and not parsed.unplaced


def score(name: str) -> tuple[int, int, list[str]]:
    """The number of right sentences of a file, that of all, and the texts of the others."""
    sentences = [json.loads(line) for line in (SENTENCES / f"{name}.jsonl").read_text().splitlines()]
    wrong = [sentence["text"] for sentence in sentences if not is_right(sentence)]
    return len(sentences) - len(wrong), len(sentences), wrong


def main() -> None:
    for name in ("development", "kept_aside"):
        right, n, wrong = score(name)
        interval = binomtest(right, n).proportion_ci(0.95, method="wilson")
        print(f"{name}: {right} of {n} ({right / n:.0%}, 95 % interval {interval.low:.0%} to {interval.high:.0%})")
        for text in wrong:
            print(f"  not as expected: {text}")


if __name__ == "__main__":
    main()
