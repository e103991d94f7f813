"""Writes README.md of this folder from recipes-DATA.json and notes.md.

python benchmarks/recipes/write_recipes.py
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recipe_data import DATA

from medsmith.evaluation.multiple_tests import holm
from medsmith.formats.atomic import write_bytes
from medsmith.formats.json_file import read_json
from medsmith.formats.markdown import number, source, table

HERE = Path(__file__).parent
HEAD = """# Recipes: which use of synthetic cases helps?

Segmentation networks on few real cases, tested on cases of other scenes or patients. Generators learned from the real
cases of their row alone, where the table does not say otherwise; half of each batch is synthetic. Intervals are 95 %
over subsets, seeds and test scenes or patients, in points of Dice. Synthetic research data, not for diagnosis.

```
python benchmarks/recipes/compare_recipes.py breast FOLDER WORK
python benchmarks/recipes/compare_recipes.py chest FOLDER WORK
python benchmarks/recipes/compare_recipes.py hippocampus FOLDER WORK
python benchmarks/recipes/compare_recipes.py sarcoma FOLDER WORK
python benchmarks/recipes/compare_recipes.py sarcoma-ct FOLDER WORK
python benchmarks/recipes/write_recipes.py
```
"""
P = "p over R"
CONTROLS = ("R, flips only", "R, twice the steps")
"""Arms that are no recipe."""
P_COLUMN = 5
SETTINGS = ("grid", "steps of a generator", "synthetic")


def gain(row: Mapping[str, Any], over: str) -> str:
    """A gain with its interval, in points."""
    found = row.get(f"over {over}")
    if found is None:
        return ""
    return f"{number(found['value'])} ({number(found['low'])} to {number(found['high'])})"


def corrected_p(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The p-value of each gain over R, corrected for all of the table; empty for R and the controls."""
    compared = [P in row and row["arm"] not in CONTROLS for row in rows]
    found = iter(holm(np.array([row[P] for row, each in zip(rows, compared, strict=True) if each], np.float64)))
    return [number(float(next(found))) if each else "" for each in compared]


def page(name: str, result: Mapping[str, Any]) -> str:
    """The table of a data set."""
    rows: list[tuple[str, ...]] = [
        (str(row["cases"]), str(row["subsets"]), row["arm"], number(row["dice"]["value"]), gain(row, "R"), corrected,
         gain(row, "R + copy-paste"))
        for row, corrected in zip(result["rows"], corrected_p(result["rows"]), strict=True)
    ]  # fmt: skip
    head: tuple[str, ...] = ("real cases", "subsets", "trained on", "Dice", "over R", "p, Holm", "over R + copy-paste")
    if not any(row[P_COLUMN] for row in rows):  # results of earlier versions hold none
        rows, head = [row[:P_COLUMN] + row[P_COLUMN + 1 :] for row in rows], head[:P_COLUMN] + head[P_COLUMN + 1 :]
    about = ", ".join(f"{key} {result[key]}" for key in SETTINGS)
    course = "segmentation networks: {architecture}, {steps} steps of {batch} cases".format(**result["segmenter"])
    tested = f"{result['rows'][0]['dice']['n']} test scenes or patients"
    missing = {
        f"{subset}: {reason}" for row in result["rows"] for subset, each in row["left_out"].items()
        for reason in each.values()
    }  # fmt: skip
    unseen = "".join(f"\n\n{line}" for row in result["rows"] for line in _unseen(row))
    refused = "".join(f"\n- {line}" for line in sorted(missing))
    short = f"\n\nGenerators whose cases the checks refused:\n{refused}" if refused else ""
    title = DATA[name].title
    calls = dict.fromkeys(source(result["calls"][size]) for size in sorted(result["calls"], key=int))
    below = f"{tested}, {about}; {course}. {' '.join(calls)}{unseen}{short}"
    return f"\n## {title[0].upper()}{title[1:]}\n\n{table(head, rows)}\n\n{below}\n"


def _unseen(row: Mapping[str, Any]) -> Iterator[str]:
    """The gains over patients whose images nobody looked at before the phantoms were designed."""
    for base in ("R", "R + copy-paste"):
        key = f"{base}, patients not looked at"
        if f"over {key}" in row:
            count = row[f"over {key}"]["n"]
            yield (
                f"{row['arm']} over {base}, in the {count} patients whose images nobody looked at before the phantoms "
                f"were designed: {gain(row, key)}."
            )


def main() -> None:
    """Every data set that was measured."""
    results = {
        name: read_json(HERE / f"recipes-{name}.json") for name in DATA if (HERE / f"recipes-{name}.json").exists()
    }
    notes = (HERE / "notes.md").read_text()
    missing = "".join(f"\n## {data.title}\n\nNot measured yet.\n" for name, data in DATA.items() if name not in results)
    write_bytes(
        HERE / "README.md", (HEAD + "\n" + notes + "".join(page(*each) for each in results.items()) + missing).encode()
    )


if __name__ == "__main__":
    main()
