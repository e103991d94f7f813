"""The data sets that recipes are compared on: how each is prepared and split, and how synthetic cases are made."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from recipe_phantoms import (
    PHANTOMS,
    STRETCHED,
    Procedural,
    chest_picture,
    selected_labels,
)

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.data.scenes import scenes_of
from medsmith.preparation import PrepareOptions, prepare, split
from medsmith.progress import ConsoleProgress

CHEST_LABELS: Mapping[str, int] = {"esophagus": 1, "heart": 2, "trachea": 3, "aorta": 4}
SLICES = 4
"""Of a patient's chest; neighboring ones are nearly equal."""
INTACT = 0.6
"""Least correlation of neighboring voxels: intact volumes of the hippocampus have .88 to .95, the others at most .4."""
SMALL_3D = (
    "network.channels=[32,48,64]", "training.batch=4", "training.learning_rate=1e-3", "diffusion.prediction=clean",
    "sampling.steps=10",
)  # fmt: skip
"""Settings of a generator that trains in minutes on one core. A network that predicts the velocity instead of the clean
image leaves more noise after 600 steps than the checks allow."""

LOOKED_AT = frozenset(f"STS_{number:03d}" for number in (5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22))
INSERTED: Mapping[str, Any] = {"reports": str(Path(__file__).parent / "sarcoma_reports.jsonl"), "label_as": "tumor"}
"""Hypodense masses of 25 to 60 mm; larger ones find no room in the crops."""


@final
@dataclass(frozen=True)
class Source:
    """How synthetic cases are made from a subset.

    Attributes:
        method: that is trained on it.
        request: for every case.
        stages: that share the steps.
        unlabeled: whether the images of the other real cases are learned from too, without their labels.
        settings: of the method, beside its grid.
        grid: whether the method has a grid, which is then that of the generators.
        shipped: whether the shipped weights are taken as they are, and nothing is trained.
        inserts: whether lesions are inserted into the scans of the subset.
    """

    method: str
    request: Mapping[str, Any] = field(default_factory=dict)
    stages: int = 1
    unlabeled: bool = False
    settings: tuple[str, ...] = ()
    grid: bool = True
    shipped: bool = False
    inserts: bool = False


@final
@dataclass(frozen=True)
class Sizes:
    """How much is drawn, made and trained by default; the same names are options of the command.

    Attributes:
        sizes: real cases of a subset, separated by commas.
        edge: of the grid of generators and segmentation networks.
        steps: of a generator, over its stages.
        count: synthetic cases of each source.
        course: steps of a segmentation network.
        batch: cases of each.
    """

    sizes: str
    edge: int
    steps: int
    count: int
    course: int
    batch: int


@final
@dataclass(frozen=True)
class DataSet:
    """Real cases with labels.

    Attributes:
        title: for the page of results.
        prepared: (folder as it is shared, WORK) -> the cohort WORK/all, or WORK/train where ``test_share`` is None.
        dimensions: axes of space.
        scenes: id -> what must lie on one side of the split: scene or patient.
        test_share: of the cases, seen by no generator. None tests each case by networks that learned from others, in a
            cross-validation that is repeated with other partitions.
        parts: of the cross-validation.
        looked_at: cases whose images the designer of the phantoms has seen; the gain over the others stands beside.
        sources: name of the folder -> what is made from a subset.
        sizes: by default.
        window: gray values to which images are clipped for the segmentation networks; None clips none.
        phantoms: procedural phantoms of the same kind; None without a family of them.
    """

    title: str
    prepared: Callable[[Path, Path], Cohort]
    dimensions: int
    scenes: Callable[[Cohort], Mapping[str, int]]
    test_share: float | None
    sources: Mapping[str, Source]
    sizes: Sizes
    window: tuple[float, float] | None = None
    phantoms: Procedural | None = None
    parts: int = 3
    looked_at: frozenset[str] = frozenset()

    @property
    def makes(self) -> frozenset[str]:
        """Names of all that synthetic cases are made by."""
        return frozenset((*self.sources, *(() if self.phantoms is None else (PHANTOMS,))))


def similar_images(cohort: Cohort) -> Mapping[str, int]:
    """Cases whose images are near-duplicates are one scene."""
    return scenes_of(cohort, progress=ConsoleProgress())


def in_groups(ids: Sequence[str], group_of: Callable[[str], str]) -> dict[str, list[str]]:
    """Ids by their group."""
    found: dict[str, list[str]] = {}
    for id in ids:
        found.setdefault(group_of(id), []).append(id)
    return found


def patient_of(id: str) -> str:
    """The patient of a chest slice, Patient_NN_SLICE."""
    return id.rsplit("_", 1)[0]


def slices_of_patients(cohort: Cohort) -> Mapping[str, int]:
    """The slices of a patient are one scene."""
    groups = in_groups(cohort.ids, patient_of)
    return {id: number for number, ids in enumerate(groups.values()) for id in ids}


def each_alone(cohort: Cohort) -> Mapping[str, int]:
    """Every case is a patient."""
    return {id: number for number, id in enumerate(cohort.ids)}


def breast(source: Path, work: Path) -> Cohort:
    """Pictures in 8 bits."""
    return prepare(source, work / "all", PrepareOptions(("ultrasound",), {"lesion": 1}), report=print)


def chest(source: Path, work: Path) -> Cohort:
    """Four slices of every patient, evenly spaced, without the trachea, which eight of all slices show."""
    out = work / "all"
    if (out / "dataset.json").exists():
        return Cohort.open(out)
    options = PrepareOptions(("gray",), CHEST_LABELS, percentiles=STRETCHED)
    whole = prepare(source, work / "whole", options, report=print)
    names = {"background": 0, "esophagus": 1, "heart": 2, "aorta": 3}
    written = Cohort.create(out, channel_names=("gray",), label_names=names, file_ending=whole.file_ending)
    shown = {id: whole.stored(id) for id in whole.ids}
    plain = [id for id, case in shown.items() if not (case.require_labels() == CHEST_LABELS["trachea"]).any()]
    for ids in in_groups(plain, patient_of).values():
        for place in sorted(set(np.linspace(0, len(ids) - 1, 2 + SLICES).round().astype(int)[1:-1])):
            case = shown[ids[place]]
            if case.id not in written:
                labels = selected_labels(case.require_labels(), whole.label_names, names)
                written.write(replace(case, labels=labels, label_names=names))
    written.finish()
    return Cohort.open(out)


def hippocampus(source: Path, work: Path) -> Cohort:
    """The intact volumes, gray values stretched per case.

    The folder holds the label maps in images/ and the gray values in labels/. 149 of 184 volumes were stored in 8 bits
    without their scale factors, so that gray values above 255 start again from 0, and look like noise.
    """
    if not (work / "whole" / "dataset.json").exists():
        for kind, shared in (("images", "labels"), ("labels", "images")):
            shutil.copytree(source / shared, work / "source" / kind, copy_function=shutil.copyfile, dirs_exist_ok=True)
    options = PrepareOptions(("MR",), {"anterior": 1, "posterior": 2}, percentiles=STRETCHED)
    whole = prepare(work / "source", work / "whole", options, report=print)
    intact = [id for id in whole.ids if likeness_of_neighbors(whole.stored(id)) > INTACT]
    return split(whole, work / "wrapped", work / "all", patients=intact, report=print)[1]


def likeness_of_neighbors(case: Case) -> float:
    """Correlation of the gray values of neighboring voxels, mean over the axes."""
    image = case.require_image()[0]
    pairs = ((np.delete(image, -1, axis).ravel(), np.delete(image, 0, axis).ravel()) for axis in range(image.ndim))
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


def sarcoma(source: Path, work: Path) -> Cohort:
    """T1 images, gray values stretched per case."""
    options = PrepareOptions(("T1",), {"tumor": 1}, percentiles=STRETCHED)
    return prepare(source, work / "train", options, report=print)


def sarcoma_ct(source: Path, work: Path) -> Cohort:
    """CT in Hounsfield units."""
    return prepare(source, work / "train", PrepareOptions(("CT",), {"tumor": 1}), report=print)


def segguided(unlabeled: bool = False, settings: tuple[str, ...] = ()) -> Source:
    """Images for deformed maps of the subset."""
    return Source("segguided", {"augment_labels": {}}, unlabeled=unlabeled, settings=settings)


DATA: Mapping[str, DataSet] = {
    "breast": DataSet(
        "breast ultrasound (BUSI)",
        breast,
        2,
        similar_images,
        0.35,
        {
            "copypaste": Source("copypaste", grid=False),
            "pig": Source("pig", stages=2),
            "segguided": segguided(),
            "segguided-unlabeled": segguided(unlabeled=True),
        },
        Sizes("20,40,80,160", edge=64, steps=2000, count=200, course=2000, batch=16),
        phantoms=Procedural("breast"),
    ),
    "chest": DataSet(
        "organs in chest CT slices (SegTHOR)",
        chest,
        2,
        slices_of_patients,
        0.5,
        {"segguided": segguided()},
        Sizes("12,24", edge=96, steps=2000, count=200, course=2000, batch=8),
        phantoms=Procedural("chest-healthy", edge=128, like_real=chest_picture),
    ),
    "hippocampus": DataSet(
        "hippocampus, MR crops (Medical Segmentation Decathlon, task 4)",
        hippocampus,
        3,
        each_alone,
        0.35,
        {
            "copypaste": Source("copypaste", settings=('structures=["anterior","posterior"]',), grid=False),
            "segguided": segguided(settings=SMALL_3D),
            "segguided-unlabeled": segguided(unlabeled=True, settings=SMALL_3D),
        },
        Sizes("6,12", edge=32, steps=500, count=50, course=400, batch=4),
    ),
    "sarcoma": DataSet(
        "soft-tissue sarcoma, T1 MR crops (IBSI validation set)",
        sarcoma,
        3,
        each_alone,
        None,
        {"copypaste": Source("copypaste", grid=False), "segguided": segguided(settings=SMALL_3D)},
        Sizes("8", edge=32, steps=500, count=50, course=400, batch=4),
        phantoms=Procedural("limb-mr", edge=48, count=200),
        looked_at=LOOKED_AT,
    ),
    "sarcoma-ct": DataSet(
        "soft-tissue sarcoma, CT crops (IBSI validation set)",
        sarcoma_ct,
        3,
        each_alone,
        None,
        {
            "copypaste": Source("copypaste", grid=False),
            "lesiondiffusion": Source("lesiondiffusion", INSERTED, grid=False, shipped=True, inserts=True),
            "segguided": segguided(settings=SMALL_3D),
        },
        Sizes("8", edge=32, steps=500, count=40, course=400, batch=4),
        window=(-160, 240),
        phantoms=Procedural("limb-ct", edge=48, count=200),
    ),
}
