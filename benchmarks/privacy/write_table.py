"""Writes what is measured of copies and membership into docs/privacy.md.

Run: python benchmarks/privacy/write_table.py
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from medsmith.phantoms.families import FAMILIES

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "privacy.md"
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
            advantage, chance = row["membership"]["advantage"]["value"], row["membership"]["advantage_by_chance"]
            level = f"{advantage:.2f} ({chance:.2f})"
            lesions = share(row["lesion_regions"]) if row["lesion_regions"] else "-"
            cells = [share(row["flagged"]), share(row["training_cases_copied"]), lesions, level]
            yield _row(str(row["steps"]), cells)
        yield ""
        yield f"![Copies over training steps](../benchmarks/privacy/{path.stem}.png)"


def patients() -> Iterator[str]:
    """The false alarms of membership inference, by false_alarms_of_patients.json."""
    found = json.loads((HERE / "false_alarms_of_patients.json").read_text())
    measures = {"p_below_.05": "p below .05", "auc_interval_misses_.5": "interval of the AUC misses .5"}
    ways = ("without --group", "with --group")
    heads = [f"{said}, {way.replace('--group', '`--group`')}" for said in measures.values() for way in ways]
    yield _row("patients of either kind, slices of each", heads)
    yield "|---|" + "---|" * len(heads)
    for row in found["rows"]:
        cells = [percent(row[measure][way]) for measure in measures for way in ways]
        yield _row(f"{row['patients']}, {row['slices']}", cells)
    yield ""
    machine = found["machine"]
    yield f"{found['trials']:,} trials; {machine['machine']}, {machine['date']}; `{machine['command']}`."


def advantage() -> Iterator[str]:
    """How often the interval of the advantage holds the true one, by advantage_coverage.json."""
    found = json.loads((HERE / "advantage_coverage.json").read_text())
    heads = ["true advantage", "held", "held by plain resampling"]
    yield _row("cases of either kind", heads)
    yield "|---|" + "---|" * len(heads)
    for row in found["cases"]:
        shares = [percent(row[measure]) for measure in ("held", "held_by_plain_resampling")]
        yield _row(f"{row['cases']}, each of another patient", [f"{row['advantage']:g}", *shares])
    for row in found["patients"]:
        yield _row(
            f"{row['patients']} patients, {row['slices']} slices of each, `--group`",
            [f"{row['advantage']:g}", percent(row["held"]), "-"],
        )
    yield ""
    machine = found["machine"]
    yield f"{found['trials']:,} trials; {machine['machine']}, {machine['date']}; `{machine['command']}`."


def percent(estimate: Mapping[str, Any]) -> str:
    """A share with its interval."""
    value, low, high = (f"{100 * estimate[key]:.1f}" for key in ("value", "low", "high"))
    return f"{value} % ({low} to {high})"


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def replaced(page: str, name: str, new: Iterable[str]) -> str:
    """The page with another block of a name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    return before + begin + "\n" + "\n".join(new) + "\n" + end + rest.partition(end)[2]


def main() -> None:
    """Replace the blocks."""
    page = replaced(PAGE.read_text(), "patients", patients())
    page = replaced(page, "advantage", advantage())
    PAGE.write_text(replaced(page, "measured", (*lines(), *copying())))


if __name__ == "__main__":
    main()
