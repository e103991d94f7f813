"""Do volumes follow their label maps? A segmenter that has seen real cases alone, on the rows of lldm_rows.py.

    python benchmarks/lldm/label_adherence.py WORK [--steps 1000] [--edge 48] [--data hippocampus] [ROW ...]

Segmenters (two seeds) learn from the pairs of WORK/train with flips alone. Dice per class with the requested map,
beside their Dice on WORK/test, and beside what images reach that follow no map: organs are much alike, so that what is
found in one image is also compared with the map of the next case ("other maps"). A class that is absent in a map is
left out of its mean. Intervals: BCa bootstrap over cases. The result goes to label_adherence-DATA.json beside this
file.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from lldm_shared import estimate, loaded
from torch import nn

from medsmith import Cohort
from medsmith.cases.label_names import foreground_names
from medsmith.data.resizing import resize_labels
from medsmith.errors import MedsmithError
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, dice_of_cases, train_segmenter
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
Labels = UInt8[np.ndarray, "x y z"]
ROWS, SEEDS, BATCH = ("lldm", "lldm-deformed", "lldm-real-maps"), 2, 4


def resampled_like(maps: Sequence[Labels], like: Sequence[Labels]) -> tuple[Labels, ...]:
    """Maps on the grids of others."""
    return tuple(resize_labels(one, other.shape) for one, other in zip(maps, like, strict=True))


def dice_by_class(
    networks: Sequence[nn.Module], cases: LoadedCohort, names: Sequence[str]
) -> Mapping[str, Mapping[str, float | int | str]]:
    """Dice of every class, mean over networks, with its interval over the cases that have it."""
    there = np.array([[(truth == value + 1).any() for value in range(len(names))] for truth in cases.truth])
    dice = np.mean([dice_of_cases(network, cases, len(names) + 1) for network in networks], axis=0)
    dice = np.where(there, dice, np.nan)
    return {name: estimate(dice[:, index]) for index, name in enumerate(names)}


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
        others = replace(cases, truth=resampled_like([*cases.truth[1:], cases.truth[0]], cases.truth))
        for name, compared in ((row, cases), (f"{row}, other maps", others)):
            found[name] = dice_by_class(networks, compared, names)
            print(name, found[name], flush=True)
    about = {"steps": steps, "seeds": SEEDS, "edge": edge, "trained_on": len(real)}
    write_json(HERE / f"label_adherence-{data}.json", {"rows": found, **about, "facts": facts()})


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
