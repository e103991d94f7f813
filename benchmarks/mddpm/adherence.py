"""Do images obey their maps? A segmenter that has seen real labels alone, on the rows of rows.py.

    python benchmarks/mddpm/adherence.py WORK [--steps 1500] [--name adherence] [ROW ...]

Segmenters (two seeds) learn from WORK/labeled with strong augmentation. Dice per class with the requested map, beside
their Dice on real slices of other patients (WORK/test) on the same grid of 64 pixels. A class that is absent in the map
is left out of its mean. Intervals: over images, for real slices over patients. The result goes to NAME.json beside
this file.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from cohorts import patient
from intervals import interval
from jaxtyping import Float64
from torch import nn

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.cases.label_names import foreground_names
from medsmith.data.scaling import to_grid
from medsmith.errors import MedsmithError
from medsmith.evaluation.downstream.augmentation import StrongAugmentation
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort, load_cohort
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, dice_of_cases, train_segmenter
from medsmith.formats.atomic import write_json
from medsmith.geometry import Geometry
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
EDGE, SEEDS = 64, 2
ROWS = ("anatomy", "anatomy-texture", "anatomy-texture-round")


def on_grid(work: Path) -> Cohort:
    """The test slices at the size of the generated ones, so that small organs have as few pixels in both."""
    source = Cohort.open(work / "test")
    names = dict(source.label_names)
    out = Cohort.create(work / "test-64", channel_names=source.channel_names, label_names=names, file_ending=".png")
    for id in source.ids:
        if id not in out:
            case, size = source[id], (EDGE, EDGE)
            image = to_grid(torch.from_numpy(case.require_image()[..., 0]), size).numpy()[..., None]
            shares = [to_grid(torch.from_numpy((case.require_labels()[..., 0] == value).astype(np.float32))[None], size)
                      for value in range(len(names))]  # fmt: skip
            labels = torch.cat(shares).argmax(0).to(torch.uint8).numpy()[..., None]
            grid = Geometry.plain((EDGE, EDGE, 1))
            out.write(Case(id, image.round(), labels, grid, case.channel_names, names, np.dtype(np.uint8)))
    out.finish()
    return Cohort.open(out.root)


def loaded(cohort: Cohort) -> LoadedCohort:
    """All cases on the segmenter's grid."""
    with ConsoleProgress().task("read", len(cohort)) as advance:
        return load_cohort(cohort, EDGE, advance)


def scores(networks: Sequence[nn.Module], cohort: LoadedCohort, classes: int) -> Float64[np.ndarray, "n labels"]:
    """Mean Dice over the networks; NaN where the map has no such class."""
    there = np.array([[(truth == value).any() for value in range(1, classes)] for truth in cohort.truth])
    found = np.mean([dice_of_cases(network, cohort, classes) for network in networks], axis=0)
    return np.where(there, found, np.nan)


def row_of(found: Float64[np.ndarray, "n labels"], names: Sequence[str], groups: Sequence[str]) -> Mapping[str, object]:
    """Dice per class with its interval and number of maps."""
    counts = {name: int((~np.isnan(found[:, index])).sum()) for index, name in enumerate(names)}
    cells = {name: interval(found[:, index], groups) for index, name in enumerate(names) if counts[name]}
    return {"dice": cells, "n": counts}


def main(work: Path, rows: Sequence[str], steps: int, name: str) -> None:
    """Train, then measure on real slices and every row."""
    real = loaded(Cohort.open(work / "labeled"))
    names = foreground_names(Cohort.open(work / "test").label_names)
    classes, config, networks = len(names) + 1, SegmenterConfig(steps=steps), []
    for seed in range(SEEDS):
        with ConsoleProgress().task(f"segmenter {seed}", steps) as advance:
            phases = [(real.images, real.labels)]
            networks.append(train_segmenter(phases, classes, config, seed, advance, StrongAugmentation()))
    test = loaded(on_grid(work))
    result = {"real, other patients": row_of(scores(networks, test, classes), names, [patient(id) for id in test.ids])}
    for row in rows:
        cohort = loaded(Cohort.open(work / "rows" / row))
        # A transplanted nodule is a label that the segmenter does not know.
        truth = tuple(np.where(each < classes, each, 0).astype(np.uint8) for each in cohort.truth)
        result[row] = row_of(scores(networks, replace(cohort, truth=truth), classes), names, cohort.ids)
    for row, found in result.items():
        print(row, found)
    write_json(HERE / f"{name}.json", {"rows": result, "steps": steps, "seeds": SEEDS, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("rows", nargs="*", default=ROWS)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--name", default="adherence")
    arguments = parser.parse_intermixed_args()
    try:
        main(arguments.work, arguments.rows or ROWS, arguments.steps, arguments.name)
    except MedsmithError as error:
        sys.exit(error.line)
