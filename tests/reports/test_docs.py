"""docs/reports.md: its tables are those of the code, and its example runs."""

import re
import subprocess
import sys
from pathlib import Path

from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.vocabulary import ATTRIBUTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reports.md").read_text()


def test_the_tables_are_in_step() -> None:
    subprocess.run([sys.executable, "docs/write_reports.py", "--check"], check=True, cwd=ROOT)
    assert len(re.findall("<!-- table: ", PAGE)) == 8


def test_the_template_says_what_feeds_what() -> None:
    for row in ATTRIBUTES.values():
        (line,) = re.findall(rf"^\| `{row.name}` \|.*$", PAGE, re.MULTILINE)
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        said = {name for name, cell in zip(("box", "mask", "image"), cells[-3:], strict=True) if cell == "yes"}
        assert said == row.feeds
        assert all(option in line for option in row.options)


def test_every_type_is_in_the_rules() -> None:
    assert all(len(re.findall(rf"^\| {name} \|", PAGE, re.MULTILINE)) >= 2 for name in LESION_TYPES)


def test_the_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("kidney cyst in the left kidney, 20 mm ('ruled out: enhanced CT',)")


def test_the_score_of_the_parser_is_that_of_its_sentences() -> None:
    command = [sys.executable, "benchmarks/reports/parsing_score.py"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    for name, row in (("development", "used for the parser"), ("kept_aside", "kept aside")):
        (score,) = re.findall(rf"^{name}: (\d+ of 30) ", done.stdout, re.MULTILINE)
        assert f"| {row} | {score} |" in PAGE
