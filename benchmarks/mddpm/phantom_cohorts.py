"""The cohorts of the mDDPM benchmark at 128 pixels from chest phantoms, whose truth is exact.

    python benchmarks/mddpm/phantom_cohorts.py WORK [--size 128]

WORK then holds images (600 phantoms without labels), unlabeled (100 of them), labeled (60 others, labels heart, aorta,
trachea, esophagus) and test (60 others), as 8-bit pictures like those of cohorts.py, so that rows.py and table.py take
it. Then

    medsmith train mddpm WORK/images --run WORK/run --set size=[128,128] --set network.channels=[48,64,96,128] \\
        --set network.attention=[false,false,false,true] --set training.batch=8 --set training.ema=0.999 \\
        --set training.steps=8000 --set training.precision=float32 --max-minutes 40
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from cohorts import LABELS

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.cases.stretching import stretch
from medsmith.errors import MedsmithError
from medsmith.geometry import Geometry
from medsmith.phantoms.families import find_family
from medsmith.phantoms.family import case_seed
from medsmith.progress import ConsoleProgress

FAMILY = "chest-healthy"
COUNTS = {"images": 600, "labeled": 60, "test": 60}
UNLABELED = 100


def picture(index: int, size: int, seed: int) -> Case:
    """One phantom as an 8-bit picture: the patient's right on the left, the front at the top, without spacing."""
    family, id = find_family(FAMILY), f"phantom-{seed}-{index:04d}"
    made = stretch(family.make(case_seed(FAMILY, seed, index), id, size), (0.5, 99.5))
    labels = np.zeros_like(made.require_labels())
    for name, value in LABELS.items():
        labels[made.require_labels() == family.label_names[name]] = value
    return Case(
        id,
        made.require_image()[:, ::-1, ::-1],
        labels[::-1, ::-1],
        Geometry.plain(made.geometry.shape),
        ("gray",),
        {"background": 0, **LABELS},
        np.dtype(np.uint8),
        provenance=made.provenance,
    )


def write(out: Path, count: int, size: int, seed: int, *, images_alone: bool) -> None:
    """A cohort of phantoms; a call that was interrupted is continued."""
    names = {"background": 0} if images_alone else {"background": 0, **LABELS}
    cohort = Cohort.create(out, channel_names=("gray",), label_names=names, file_ending=".png")
    with ConsoleProgress().task(out.name, count, len(cohort)) as advance:
        for index in range(count):
            if f"phantom-{seed}-{index:04d}" not in cohort:
                case = picture(index, size, seed)
                cohort.write(replace(case, labels=None, label_names=names) if images_alone else case)
                advance(1, case.id)
    cohort.finish()


def main(work: Path, size: int) -> None:
    """All cohorts; no phantom is in two of them, but for the unlabeled."""
    for seed, (name, count) in enumerate(COUNTS.items(), start=1):
        write(work / name, count, size, seed, images_alone=name == "images")
    write(work / "unlabeled", UNLABELED, size, 1, images_alone=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    try:
        main(arguments.work, arguments.size)
    except MedsmithError as error:
        sys.exit(error.line)
