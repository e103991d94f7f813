"""Writes the measured detection and the copying over training time into docs/privacy.md.

Run: python benchmarks/privacy/write_table.py
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medsmith.phantoms.families import FAMILIES

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "privacy.md"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
REGIONS = {"whole": "whole images", "lesion": "lesion regions"}


def share(estimate: Mapping[str, Any]) -> str:
    """Hits of n with the interval in percent."""
    hits = round(estimate["value"] * estimate["n"])
    return f"{hits} of {estimate['n']} ({100 * estimate['low']:.0f} to {100 * estimate['high']:.0f} %)"


def lines() -> Iterator[str]:
    """The section of the page."""
    yield "## Measured detection"
    yield ""
    yield "Planted copies that are found; false alarms among held-out cases, by a threshold that others of them set."
    yield "Wilson 95 % intervals; in brackets, the least similarity of that kind of copy. Cases are divided by scene."
    for path in sorted(HERE.glob("detection-*.json")):
        found = json.loads(path.read_text())
        name, machine = path.stem.removeprefix("detection-"), found["machine"]
        regions = [region for region in REGIONS if region in found]
        yield ""
        kind = "phantoms" if name in FAMILIES else "cases"
        yield f"**{name}**, {found['cases']} {kind}; {machine['machine']}, {machine['date']}; `{machine['command']}`:"
        yield ""
        yield "| | " + " | ".join(REGIONS[region] for region in regions) + " |"
        yield "|---|" + "---|" * len(regions)
        yield _row("training, held-out cases", [f"{found[r]['training']}, {found[r]['held_out']}" for r in regions])
        limits = [found[r]["threshold"]["limit"] for r in regions]
        yield _row("threshold", [f"{x['value']:.2f} ({x['low']:.2f} to {x['high']:.2f}), n = {x['n']}" for x in limits])
        yield _row("false alarms", [share(found[r]["false_alarms"]) for r in regions])
        for kind in found[regions[0]]["planted"]:
            cells = [found[r]["planted"][kind] for r in regions]
            yield _row(kind, [f"{share(each['found'])} [{each['least_similarity']:.2f}]" for each in cells])
        times = [f"{1000 * found[r]['seconds_per_query']:.0f}" for r in regions]
        yield _row("processor time per case searched, ms", times)


def copying() -> Iterator[str]:
    """The section on copying over training time, by copying-*.json."""
    yield ""
    yield "## When copying begins"
    yield ""
    yield "One training, continued step by step; cases drawn after each without any check. Copies lie above the limit"
    yield "of held-out real cases of other scenes. Membership advantage: beside it, in brackets, what chance reaches."
    yield "Intervals of the advantage that are called a percentile bootstrap in the record lie too high (see above)."
    for path in sorted(HERE.glob("copying-*.json")):
        found = json.loads(path.read_text())
        machine, size = found["facts"], found["size"]
        yield ""
        yield (
            f"**{found['method']}** on {found['training']} cases at {size} x {size}, {found['drawn']} drawn;"
            f" {machine['machine']}, {machine['date']}; `{machine['command']}`:"
        )
        yield ""
        yield "| steps of a stage | copies | training cases copied | copied lesion regions | membership advantage |"
        yield "|---|---|---|---|---|"
        for row in found["rows"]:
            advantage, chance = row["membership"]["advantage"], row["membership"]["advantage_by_chance"]
            level = f"{advantage['value']:.2f} ({advantage['low']:.2f} to {advantage['high']:.2f}; {chance:.2f})"
            lesions = share(row["lesion_regions"]) if row["lesion_regions"] else "-"
            cells = [share(row["flagged"]), share(row["training_cases_copied"]), lesions, level]
            yield _row(str(row["steps"]), cells)
        yield ""
        yield f"![Copies over training steps](../benchmarks/privacy/{path.stem}.png)"


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Replace the section."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2] if END in rest else rest
    PAGE.write_text(before + BEGIN + "\n" + "\n".join((*lines(), *copying())) + "\n" + END + after)


if __name__ == "__main__":
    main()
