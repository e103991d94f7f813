"""Does it help? Organs of patients that nothing saw, segmented by networks with and without generated slices.

    python benchmarks/mddpm/help.py WORK [--steps 1500] [--seeds 2]

Real: WORK/labeled, 6 patients. Tested on WORK/test, 6 others. Arms: real alone without augmentation and with strong
augmentation; with it also real and generated (WORK/rows/anatomy), and real and the labels of each turn of the loop
(WORK/annotation/turn-N/labels, from annotation.py). Every arm takes the same number of gradient steps; half of each
batch is real. Mean Dice of the classes that a slice has, gain over real with strong augmentation, both with intervals
over patients. The result goes to help.json beside this file; an arm that was interrupted is trained again.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from adherence import loaded, scores
from cohorts import patient
from intervals import interval
from made_by import facts
from torch import Tensor

from medsmith import Cohort
from medsmith.errors import MedsmithError
from medsmith.evaluation.downstream.augmentation import Augment, StrongAugmentation
from medsmith.evaluation.downstream.segmenter import Cases, SegmenterConfig, mixed, train_segmenter
from medsmith.formats.atomic import write_json
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent


def unchanged(images: Tensor, labels: Tensor, _rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """No augmentation."""
    return images, labels


def arms(work: Path) -> Mapping[str, tuple[Cases, Augment]]:
    """Name -> training cases and augmentation."""

    def cases(folder: Path) -> Cases:
        cohort = loaded(Cohort.open(folder))
        return cohort.images, cohort.labels

    real, strong = cases(work / "labeled"), StrongAugmentation()
    found: dict[str, tuple[Cases, Augment]] = {
        "real, no augmentation": (real, unchanged),
        "real, strong augmentation": (real, strong),
        "real + generated": (mixed(real, cases(work / "rows" / "anatomy")), strong),
    }
    # Whole turns, not the one that the loop chose: it chose by the patients that are tested on.
    for turn in sorted((work / "annotation").glob("turn-*")):
        if (turn / "labels" / "dataset.json").exists():
            found[f"real + labels of {turn.name}"] = (mixed(real, cases(turn / "labels")), strong)
    return found


def main(work: Path, steps: int, seeds: int) -> None:
    """Train every arm and compare it with real slices and strong augmentation."""
    test = loaded(Cohort.open(work / "test"))
    groups, classes = [patient(id) for id in test.ids], len(Cohort.open(work / "test").label_names)
    dice = {}
    for name, (cases, augment) in arms(work).items():
        networks = []
        for seed in range(seeds):
            with ConsoleProgress().task(f"{name}, seed {seed}", steps) as advance:
                config = SegmenterConfig(steps=steps)
                networks.append(train_segmenter([cases], classes, config, seed, advance, augment))
        dice[name] = np.nanmean(scores(networks, test, classes), axis=1)
    base = dice["real, strong augmentation"]
    rows = {
        name: {"dice": interval(found, groups), "gain": interval(found - base, groups)} for name, found in dice.items()
    }
    for name, row in rows.items():
        print(name, row)
    about = {"steps": steps, "seeds": seeds, "slices": len(test), "patients": len(set(groups))}
    write_json(HERE / "help.json", {"rows": rows, **about, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    try:
        main(arguments.work, arguments.steps, arguments.seeds)
    except MedsmithError as error:
        sys.exit(error.line)
