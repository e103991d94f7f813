"""Do volumes obey their label maps? A segmenter that has seen real cases alone, on the rows of lldm_rows.py.

    python benchmarks/lldm/obey.py WORK [--steps 1000] [--edge 48] [--data hippocampus] [ROW ...]

Segmenters (two seeds) learn from WORK/train with flips alone. Dice per class with the requested map, beside their Dice
on WORK/test. A class that is absent in a map is left out of its mean. Intervals: BCa bootstrap over cases. The result
goes to obey-DATA.json beside this file.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from medsmith import Cohort
from medsmith.cases.label_names import foreground_names
from medsmith.errors import MedsmithError
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort, load_cohort
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, dice_of_cases, train_segmenter
from medsmith.evaluation.fidelity.bootstrap import mean_of_cases
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
ROWS, SEEDS, BATCH = ("lldm", "lldm-deformed", "lldm-real-maps"), 2, 4


def loaded(cohort: Cohort, edge: int) -> LoadedCohort:
    """All cases on the segmenter's grid."""
    with ConsoleProgress().task(f"read {cohort.root.name}", len(cohort)) as advance:
        return load_cohort(cohort, edge, advance)


def estimate(values: Float64[np.ndarray, " n"]) -> Mapping[str, float | int | str]:
    """Mean with its interval over the cases that have the class."""
    known = values[~np.isnan(values)]
    return mean_of_cases(known, seed=0).as_json() if len(known) > 1 else {"n": len(known)}


def main(work: Path, rows: Sequence[str], steps: int, edge: int, data: str) -> None:
    """Train, then measure on real cases and every row."""
    torch.set_num_threads(1)
    real, test = loaded(Cohort.open(work / "train"), edge), Cohort.open(work / "test")
    names, networks = foreground_names(test.label_names), []
    for seed in range(SEEDS):
        with ConsoleProgress().task(f"segmenter {seed}", steps) as advance:
            config = SegmenterConfig(steps=steps, batch=BATCH)
            networks.append(train_segmenter([(real.images, real.labels)], len(names) + 1, config, seed, advance))
    found = {}
    for row, cohort in {"real": test, **{row: Cohort.open(work / "rows" / row) for row in rows}}.items():
        cases = loaded(cohort, edge)
        there = np.array([[(truth == value + 1).any() for value in range(len(names))] for truth in cases.truth])
        dice = np.mean([dice_of_cases(network, cases, len(names) + 1) for network in networks], axis=0)
        dice = np.where(there, dice, np.nan)
        found[row] = {name: estimate(dice[:, index]) for index, name in enumerate(names)}
        print(row, found[row], flush=True)
    about = {"steps": steps, "seeds": SEEDS, "edge": edge, "trained_on": len(real)}
    write_json(HERE / f"obey-{data}.json", {"rows": found, **about, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("rows", nargs="*", default=ROWS)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--edge", type=int, default=48)
    parser.add_argument("--data", default="hippocampus", help="for the name of the result")
    arguments = parser.parse_intermixed_args()
    try:
        main(arguments.work, arguments.rows or ROWS, arguments.steps, arguments.edge, arguments.data)
    except MedsmithError as error:
        sys.exit(error.line)
