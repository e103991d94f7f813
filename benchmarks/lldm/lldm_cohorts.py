"""The cohorts of the 3D-LLDM benchmark: MR of the hippocampus, and liver phantoms.

    python benchmarks/lldm/lldm_cohorts.py hippocampus FOLDER WORK
    python benchmarks/lldm/lldm_cohorts.py liver WORK [--size 64]

FOLDER has images/ and labels/ with a case per file. WORK then holds train and test (every fifth case), pairs, and
images, those of train without labels. A call that was interrupted is continued.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.errors import MedsmithError
from medsmith.phantoms.families import find_family
from medsmith.phantoms.family import write_phantom
from medsmith.preparation import PrepareOptions, prepare

HIPPOCAMPUS = {"anterior": 1, "posterior": 2}
EVERY, PHANTOMS, SEED = 5, 200, 3
CLEANED = (0.5, 99.5)
"""Percentiles that become the range of gray values, which has no unit in MR."""


def subset(cohort: Cohort, ids: Iterable[str], out: Path, *, images_alone: bool = False) -> Cohort:
    """Some cases as a cohort of their own."""
    names: Mapping[str, int] = {"background": 0} if images_alone else cohort.label_names
    written = Cohort.create(out, channel_names=cohort.channel_names, label_names=names, file_ending=cohort.file_ending)
    for id in ids:
        if id not in written:
            case = cohort.stored(id)
            written.write(_without_labels(case) if images_alone else case)
    written.finish()
    print(f"{out.name}: {len(written)} cases")
    return Cohort.open(out)


def _without_labels(case: Case) -> Case:
    return replace(case, labels=None, label_names={"background": 0})


def make_cohorts(cohort: Cohort, work: Path) -> None:
    """Every fifth case for testing, the others for training."""
    test = set(cohort.ids[::EVERY])
    train = subset(cohort, [id for id in cohort.ids if id not in test], work / "train")
    subset(cohort, sorted(test), work / "test")
    subset(train, train.ids, work / "images", images_alone=True)


def hippocampus(folder: Path, work: Path) -> None:
    """MR of the hippocampus, gray values stretched per case."""
    if not (work / "all" / "dataset.json").exists():
        options = PrepareOptions(channel_names=("MR",), label_names=HIPPOCAMPUS, percentiles=CLEANED)
        prepare(folder, work / "all", options, report=print)
    make_cohorts(Cohort.open(work / "all"), work)


def liver(work: Path, size: int) -> None:
    """Phantoms of the liver with portal vein, hepatic vein and tumors."""
    family = find_family("liver-mr")
    make_cohorts(write_phantom(family, work / "all", PHANTOMS, SEED, size=size), work)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="data", required=True)
    real = commands.add_parser("hippocampus")
    real.add_argument("folder", type=Path)
    real.add_argument("work", type=Path)
    phantoms = commands.add_parser("liver")
    phantoms.add_argument("work", type=Path)
    phantoms.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    try:
        if arguments.data == "hippocampus":
            hippocampus(arguments.folder, arguments.work)
        else:
            liver(arguments.work, arguments.size)
    except MedsmithError as error:
        sys.exit(error.line)
