"""The cohorts of the mDDPM benchmark from the chest CT slices: patients labeled, unlabeled and held out.

python benchmarks/mddpm/cohorts.py SLICES WORK

SLICES: a folder with images/ and labels/ whose file names begin with Patient_NN. WORK then holds
    all         every slice with its labels
    labeled    slices of 6 patients, with labels
    unlabeled  slices of 15 others, images alone
    images      the slices of these 21 patients, images alone: what the diffusion model is trained on
    test        the slices of the 6 patients left, with labels; no model sees them in training
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from medsmith.anatomy import ShapeSpace
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import MedsmithError
from medsmith.preparation import PrepareOptions, prepare
from medsmith.progress import ConsoleProgress

LABELED, UNLABELED = 6, 15
LABELS = {"esophagus": 1, "heart": 2, "trachea": 3, "aorta": 4}


def patient(id: str) -> str:
    """The patient of a slice; a phantom is its own."""
    return "_".join(id.split("_")[:2])


def fitted_space(work: Path) -> ShapeSpace:
    """The shape space of the labeled slices, fitted where that is not done yet."""
    path = work / "space.safetensors"
    if not path.exists():
        ShapeSpace.fit(Cohort.open(work / "labeled"), progress=ConsoleProgress()).save(path)
    return ShapeSpace.load(path)


def make_cohorts(slices: Path, work: Path) -> None:
    """Prepare all slices and write the four cohorts, by patient every fifth one in turn."""
    if not (work / "all" / "dataset.json").exists():
        # The slices are 8-bit by the extremes of each scan: soft tissue lies between 7 and 83 of 255.
        options = PrepareOptions(channel_names=("gray",), label_names=LABELS, percentiles=(0.5, 99.5))
        prepare(slices, work / "all", options, report=print)
    cohort = Cohort.open(work / "all")
    patients = sorted({patient(id) for id in cohort.ids})
    # A fixed shuffle without a random generator: every fifth patient in turn.
    order = [patients[index] for start in range(5) for index in range(start, len(patients), 5)]
    labeled, unlabeled = order[:LABELED], order[LABELED : LABELED + UNLABELED]
    test = order[LABELED + UNLABELED :]
    write_patients(cohort, labeled, work / "labeled", images_alone=False)
    write_patients(cohort, unlabeled, work / "unlabeled", images_alone=True)
    write_patients(cohort, [*labeled, *unlabeled], work / "images", images_alone=True)
    write_patients(cohort, test, work / "test", images_alone=False)


def write_patients(cohort: Cohort, patients: Iterable[str], out: Path, *, images_alone: bool) -> None:
    """The slices of some patients as a cohort; a call that was interrupted is continued."""
    chosen = set(patients)
    names = {"background": 0} if images_alone else dict(cohort.label_names)
    written = Cohort.create(out, channel_names=cohort.channel_names, label_names=names, file_ending=".png")
    for id in cohort.ids:
        if patient(id) in chosen and id not in written:
            case = cohort.stored(id)
            written.write(_without_labels(case) if images_alone else case)
    written.finish()
    print(f"{out.name}: {len(written)} slices of {', '.join(sorted(chosen))}")


def _without_labels(case: Case) -> Case:
    return replace(case, labels=None, label_names={"background": 0})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", type=Path)
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    try:
        make_cohorts(arguments.slices, arguments.work)
    except MedsmithError as error:
        sys.exit(error.line)
