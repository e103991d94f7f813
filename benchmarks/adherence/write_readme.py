"""Writes README.md of this folder, and the table of adherence in the page of each method, from METHOD.json.

python benchmarks/adherence/write_readme.py
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsmith.formats.atomic import write_bytes
from medsmith.formats.markdown import source, table

HERE = Path(__file__).parent
METHODS = HERE.parents[1] / "docs" / "methods"
BLOCK = re.compile(r"(<!-- table: adherence -->\n).*?(<!-- end -->)", re.DOTALL)
Json = Mapping[str, Any]
TRAINING = "segmenter's training cohort"

HEAD = """# Adherence

Whether cases are what was asked for: pairs of requests that differ in one attribute, made from one seed, measured by
`medsmith adherence` ([page](../../docs/adherence.md)). Intervals are 95 %. Nothing is made again where it misses its
request. Synthetic research data, not for diagnosis.

```
python benchmarks/adherence/run.py RUN WORK --templates COHORT
python benchmarks/adherence/coverage.py
python benchmarks/adherence/write_readme.py
```
"""
COVERAGE = """
## Does the interval hold what it says?

Share of the intervals of the AUC that hold the true value, {trials} trials each (standard error about 0.7 points),
pairs of normal values; file `coverage.json`.

{table}

{source}
"""


def estimate(found: Json) -> str:
    """A value with its interval."""
    return f"{found['value']:.3g} ({found['low']:.3g} to {found['high']:.3g})"


def labels(result: Json) -> str:
    """The label fidelity: a row for each structure."""
    found = result["label_fidelity"]
    head = ["structure", "Dice, real", "Dice, its own map", "Dice, another's map", "AUC", "shuffled", "difference",
            "p, Holm", "cases", "verdict"]  # fmt: skip
    rows = [
        [
            name,
            estimate(each["dice_on_real_test_cases"]),
            f"{each['means'][1]:.3g}",
            f"{each['means'][0]:.3g}",
            estimate(each["auc"]),
            "{low:.2f} to {high:.2f}".format(**each["shuffled_auc"]),
            estimate(each["difference"]),
            f"{each['p_value_holm']:.2g}",
            str(each["pairs"]),
            f"**{each['verdict']}**",
        ]
        for name, each in found["structures"].items()
    ]
    course = "{architecture}, {steps} steps of {batch} cases".format(**json.loads(result["facts"]["segmenter"]))
    return f"{table(head, rows)}\n\nTwo segmenters ({course}) on {result['facts'][TRAINING]}."


def verdicts(result: Json) -> str:
    """The tables of a method, and where its figures are from."""
    parts = [attributes(result)] if result["attributes"] else []
    parts += [labels(result)] if result["label_fidelity"] else []
    learned = [f"The generator learned from {result['training']}."] if "training" in result else []
    return "\n\n".join((*parts, *learned, source(result["measured"])))


def attributes(result: Json) -> str:
    """A row for each attribute."""
    head = [
        "attribute",
        "asked for",
        "measured",
        "AUC",
        "shuffled",
        "difference",
        "order",
        "p, Holm",
        "pairs",
        "verdict",
    ]
    rows = [
        [
            name,
            ", ".join(each["levels"]) + (f" (enforced: {each['enforced']})" if each["enforced"] else ""),
            each["measured"],
            estimate(each["auc"]),
            "{low:.2f} to {high:.2f}".format(**each["shuffled_auc"]),
            estimate(each["difference"]),
            estimate(each["order"]) if each["order"] else "",
            f"{each['p_value_holm']:.2g}",
            str(each["pairs"]),
            f"**{each['verdict']}**",
        ]
        for name, each in result["attributes"].items()
    ]
    return table(head, rows)


def main() -> None:
    """Write the pages."""
    parts = [HEAD]
    for path in sorted(HERE.glob("*.json")):
        if path.name == "coverage.json":
            continue
        result = json.loads(path.read_text())
        about = f"Weights `{result['facts']['weights'][:16]}`; templates: {result['facts'].get('templates', 'none')}."
        parts.append(f"\n## {result['method']}\n\n{about}\n\n{verdicts(result)}\n")
        page = METHODS / f"{result['method']}.md"
        text = page.read_text()
        block = f"\\g<1>{verdicts(result)}\n\\g<2>"
        new, found = BLOCK.subn(block, text)
        if not found:
            raise SystemExit(f"{page}: no place for the table of adherence")
        write_bytes(page, new.encode())
    if (HERE / "coverage.json").exists():
        found = json.loads((HERE / "coverage.json").read_text())
        rows = [[*(f"{row[key]:g}" for key in ("pairs", "shift", "correlation")), f"{row['held']:.1%}"]
                for row in found["rows"]]  # fmt: skip
        cells = table(["pairs", "shift", "correlation", "held"], rows)
        parts.append(COVERAGE.format(trials=found["trials"], table=cells, source=source(found["facts"])))
    write_bytes(HERE / "README.md", "".join(parts).encode())


if __name__ == "__main__":
    main()
