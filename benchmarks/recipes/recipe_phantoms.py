"""Procedural phantoms beside the real cases of a data set: with its labels, stored as its images are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from scipy import ndimage

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.geometry import Geometry
from medsmith.phantoms.families import find_family
from medsmith.phantoms.family import write_phantom
from medsmith.preparation.stretching import stretch
from medsmith.progress import ConsoleProgress

PHANTOMS = "phantoms"
"""Name of the folder."""
SEED, HALF = 23, 0.5
STRETCHED = (0.5, 99.5)
"""Percentiles that become the range of gray values, which have no unit in MR and pictures."""
Names = Mapping[str, int]


@final
@dataclass(frozen=True)
class Procedural:
    """A family of phantoms that looks like a data set.

    Attributes:
        family: of the phantoms.
        edge: of their grid.
        like_real: (phantom, labels of the data set) -> the same as a case of the data set; None where it is one.
        count: of them; 0 for as many as there are synthetic cases of the other sources.
    """

    family: str
    edge: int = 64
    like_real: Callable[[Case, Names], Case] | None = None
    count: int = 0

    def write(self, work: Path, count: int, real: Cohort) -> Cohort:
        """The phantoms, in WORK/phantoms and WORK/phantoms-like-real; an interrupted call is continued.

        Args:
            work: folder of the experiment.
            count: phantoms, where the family has no number of its own.
            real: cohort whose labels, channels and file type they take.
        """
        family = find_family(self.family)
        made = write_phantom(family, work / PHANTOMS, self.count or count, SEED, self.edge, ConsoleProgress())
        if self.like_real is None:
            return made
        out = work / f"{PHANTOMS}-like-real"
        written = Cohort.create(
            out, channel_names=real.channel_names, label_names=real.label_names, file_ending=real.file_ending
        )
        for id in made.ids:
            if id not in written:
                written.write(self.like_real(made.stored(id), real.label_names))
        written.finish()
        return Cohort.open(out)


def selected_labels(labels: np.ndarray, theirs: Names, ours: Names) -> np.ndarray:
    """Labels of the names that both have, with our values; the others become background."""
    found = np.zeros_like(labels)
    for name in ours.keys() & theirs.keys() - {"background"}:
        found[labels == theirs[name]] = ours[name]
    return found


def lesions_alone(phantom: Case, names: Names) -> Case:
    """Lesions have the one label of the data set."""
    (value,) = (value for name, value in names.items() if name != "background")
    labels = (phantom.require_labels() == phantom.label_names["lesion"]).astype(np.uint8) * value
    return replace(phantom, labels=labels, label_names=names, report=None)


def stretched_lesions(phantom: Case, names: Names) -> Case:
    """As ``lesions_alone``, the gray values stretched as those of the real images."""
    return stretch(lesions_alone(phantom, names), STRETCHED)


def chest_picture(phantom: Case, names: Names) -> Case:
    """A slice of the chest in 8 bits, the patient's left on the left, the front at the top, without spacing.

    A root of the aorta inside the heart is part of the heart, as whoever drew the real ones has it.
    """
    made = stretch(phantom, STRETCHED)
    labels = selected_labels(made.require_labels(), made.label_names, names)
    heart, aorta = labels == names["heart"], labels == names["aorta"]
    parts, count = ndimage.label(aorta)
    for number in range(1, count + 1):
        part = parts == number
        around = ndimage.binary_dilation(part) & ~part
        if heart[around].mean() > HALF:
            labels[part] = names["heart"]
    return Case(
        made.id,
        made.require_image()[:, :, ::-1],
        labels[:, ::-1],
        Geometry.plain(made.geometry.shape),
        ("gray",),
        names,
        np.dtype(np.uint8),
        provenance=made.provenance,
    )
