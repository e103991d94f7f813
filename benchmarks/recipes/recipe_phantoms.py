"""Procedural phantoms beside the real cases of a data set: with its labels, stored as its images are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from scipy import ndimage

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.cases.stretching import stretch
from medsmith.geometry import Geometry
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
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
        like_real: (phantom, labels of the data set) -> the same as a case of the data set; None where the labels and
            gray values are all that is taken over (`medsmith phantom --like`).
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
        like = real if self.like_real is None else None
        made = write_phantom(family, work / PHANTOMS, self.count or count, SEED, self.edge, ConsoleProgress(), like)
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
