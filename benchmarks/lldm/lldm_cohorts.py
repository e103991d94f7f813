"""The cohorts of the 3D-LLDM benchmark: MR of the hippocampus and of sarcomas, and liver phantoms.

    python benchmarks/lldm/lldm_cohorts.py hippocampus FOLDER WORK
    python benchmarks/lldm/lldm_cohorts.py sarcoma FOLDER WORK
    python benchmarks/lldm/lldm_cohorts.py liver WORK [--size 80]

FOLDER is the data as it is shared: its images/ holds the label maps, its labels/ the gray values. WORK then holds train
and test, pairs, and images, those of train without labels. Every fifth phantom is for testing. Of 184 volumes of the
hippocampus 149 look like noise: they were stored in 8 bits without their scale factors, so that gray values above 255
start again from 0. Of these the label maps alone are used, for training; every third of the others is for testing. A
call that was interrupted is continued. Sarcomas are cropped around the tumor; every fourth is for testing.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.errors import MedsmithError
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
from medsmith.preparation import PrepareOptions, prepare
from medsmith.preparation.crop import CropOptions, crop
from medsmith.progress import ConsoleProgress

HIPPOCAMPUS = {"anterior": 1, "posterior": 2}
PHANTOMS, SEED = 200, 3
TESTED = {"liver": 5, "hippocampus": 3, "sarcoma": 4}
"""Every so many cases are for testing."""
SARCOMA_MM = (120.0, 120.0, 144.0)
"""Edges of the crop; 15 of 37 tumors reach beyond it."""
LIVER_MM = (224.0, 160.0, 154.0)
"""Edges of the crop: 56 x 40 x 26 voxels of phantoms of size 80."""
INTACT = 0.6
"""Least correlation of neighboring voxels: the intact volumes have .8 to .95, the others at most .4."""
CLEANED = (0.5, 99.5)
"""Percentiles that become the range of gray values, which has no unit in MR."""


def subset(cohort: Cohort, ids: Iterable[str], out: Path, change: Callable[[Case], Case] = lambda case: case) -> Cohort:
    """Some cases as a cohort of their own.

    Args:
        cohort: all cases.
        ids: of those that are written.
        out: folder.
        change: of every case.
    """
    chosen = list(ids)
    names = change(cohort.stored(chosen[0])).label_names
    written = Cohort.create(out, channel_names=cohort.channel_names, label_names=names, file_ending=cohort.file_ending)
    for id in chosen:
        if id not in written:
            written.write(change(cohort.stored(id)))
    written.finish()
    print(f"{out.name}: {len(written)} cases")
    return Cohort.open(out)


def without_labels(case: Case) -> Case:
    """The image alone."""
    return replace(case, labels=None, label_names={"background": 0})


def without_noise(case: Case) -> Case:
    """The label map alone where the image looks like noise."""
    return case if is_intact(case) else replace(case, image=None)


def is_intact(case: Case) -> bool:
    """Whether neighboring voxels are alike."""
    image = case.require_image()[0]
    pairs = ((np.delete(image, -1, axis).ravel(), np.delete(image, 0, axis).ravel()) for axis in range(image.ndim))
    return bool(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]) > INTACT)


def make_cohorts(cohort: Cohort, work: Path, every: int) -> None:
    """Some intact cases for testing, the others for training."""
    intact = [id for id in cohort.ids if is_intact(cohort.stored(id))]
    test = intact[::every]
    subset(cohort, [id for id in cohort.ids if id not in test], work / "train", without_noise)
    subset(cohort, test, work / "test")
    subset(cohort, [id for id in intact if id not in test], work / "images", without_labels)


def hippocampus(folder: Path, work: Path) -> None:
    """MR of the hippocampus, gray values stretched per case."""
    if not (work / "all" / "dataset.json").exists():
        options = PrepareOptions(channel_names=("MR",), label_names=HIPPOCAMPUS, percentiles=CLEANED)
        for kind, shared in (("images", "labels"), ("labels", "images")):
            shutil.copytree(folder / shared, work / "source" / kind, dirs_exist_ok=True)
        prepare(work / "source", work / "all", options, report=print)
    make_cohorts(Cohort.open(work / "all"), work, TESTED["hippocampus"])


def sarcoma(folder: Path, work: Path) -> None:
    """T1 of soft-tissue sarcomas, gray values stretched per case."""
    if not (work / "whole" / "dataset.json").exists():
        options = PrepareOptions(channel_names=("T1",), label_names={"tumor": 1}, percentiles=CLEANED)
        prepare(folder, work / "whole", options, report=print)
    cropped = crop(work / "whole", work / "all", CropOptions(SARCOMA_MM), report=print, progress=ConsoleProgress())
    make_cohorts(cropped, work, TESTED["sarcoma"])


def liver(work: Path, size: int) -> None:
    """Phantoms of the liver with portal vein, hepatic vein and tumors, cropped around the liver."""
    whole = write_phantom(find_family("liver-mr"), work / "whole", PHANTOMS, SEED, size=size)
    cropped = crop(whole.root, work / "all", CropOptions(LIVER_MM), report=print, progress=ConsoleProgress())
    make_cohorts(cropped, work, TESTED["liver"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="data", required=True)
    for name in ("hippocampus", "sarcoma"):
        real = commands.add_parser(name)
        real.add_argument("folder", type=Path)
        real.add_argument("work", type=Path)
    phantoms = commands.add_parser("liver")
    phantoms.add_argument("work", type=Path)
    phantoms.add_argument("--size", type=int, default=80)
    arguments = parser.parse_args()
    try:
        if arguments.data == "hippocampus":
            hippocampus(arguments.folder, arguments.work)
        elif arguments.data == "sarcoma":
            sarcoma(arguments.folder, arguments.work)
        else:
            liver(arguments.work, arguments.size)
    except MedsmithError as error:
        sys.exit(error.line)
