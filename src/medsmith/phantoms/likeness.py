"""Phantoms that a network can learn from beside the cases of a cohort: with its labels, channels and gray values.

Half of each batch from such phantoms is the one use of synthetic cases that has been shown to beat strong
augmentation and copy-paste (benchmarks/recipes).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from medsmith.cases.case import Case, Json
from medsmith.cases.cohort import Cohort
from medsmith.cases.hounsfield import is_ct
from medsmith.cases.stretching import stretch
from medsmith.errors import CohortError
from medsmith.phantoms.family import PhantomFamily
from medsmith.reports.organs import is_lesion

PERCENTILES = (0.5, 99.5)
"""Of the gray values of a phantom, that become 0 and 255 where the images of the cohort are stored in 8 bits."""
LIKE = "like"
"""Key of the provenance of phantoms that take something over; others lack it."""


@final
@dataclass(frozen=True)
class Likeness:
    """What phantoms take over from a cohort.

    Attributes:
        values: label of the family -> value in the cohort; the family's other labels become background.
        label_names: of the cohort.
        channel_names: of the cohort.
        eight_bit: whether gray values, which have no unit, are stretched to 8 bits.
    """

    values: Mapping[str, int]
    label_names: Mapping[str, int]
    channel_names: tuple[str, ...]
    eight_bit: bool

    @classmethod
    def of(cls, family: PhantomFamily, cohort: Cohort) -> "Likeness":
        """What phantoms of a family take over from a cohort.

        Labels go by their names. The only label of a cohort is that of the family's lesions, if the family has no
        such label.

        Raises:
            CohortError: the cohort has no image, other channels or dimensions, or a label that the family lacks.
        """
        if not cohort.ids_with_image:
            raise CohortError(cohort.root, "no images", "phantoms are made for images and labels", "choose another")
        first = cohort[cohort.ids_with_image[0]]
        theirs = {"channels": len(cohort.channel_names), "dimensions": first.geometry.dimensions}
        ours = {"channels": len(family.channel_names), "dimensions": family.dimensions}
        for what, number in ours.items():
            if theirs[what] != number:
                limit = f"{family.name} phantoms have {number}"
                raise CohortError(cohort.root, f"{theirs[what]} {what}", limit, "choose another family")
        if (cohort.file_ending == ".png") != (family.file_ending == ".png"):
            limit = f"{family.name} phantoms are {family.file_ending} files, whose axes have directions"
            cure = "make them without --like, and pictures of them by `medsmith prepare --pictures`"
            raise CohortError(cohort.root, f"{cohort.file_ending} files", limit, cure)
        in_hu, shows_hu = (any(map(is_ct, names)) for names in (cohort.channel_names, family.channel_names))
        if in_hu != shows_hu:
            found = f"channel {', '.join(cohort.channel_names)}"
            limit = f"{family.name} phantoms have {', '.join(family.channel_names)}"
            raise CohortError(cohort.root, found, limit, "choose another family")
        eight_bit = first.stored == np.uint8 and family.file_ending != ".png" and not in_hu
        values = _values(family, cohort)
        return cls(values, cohort.label_names, cohort.channel_names, eight_bit)

    @property
    def record(self) -> Json:
        """For the provenance of a phantom."""
        return {"label_names": dict(self.label_names), "eight_bit": self.eight_bit}

    def case(self, phantom: Case) -> Case:
        """A phantom as a case of the cohort; without its report where gray values change."""
        labels = np.zeros_like(phantom.require_labels())
        for name, value in self.values.items():
            labels[phantom.require_labels() == phantom.label_names[name]] = value
        like = replace(
            phantom,
            labels=labels,
            label_names=self.label_names,
            channel_names=self.channel_names,
            provenance={**(phantom.provenance or {}), LIKE: self.record},
        )
        return replace(stretch(like, PERCENTILES), report=None) if self.eight_bit else like


def _values(family: PhantomFamily, cohort: Cohort) -> Mapping[str, int]:
    """Label of the family -> value in the cohort."""
    wanted = {name: value for name, value in cohort.label_names.items() if value > 0}
    lacking = [name for name in wanted if name not in family.label_names]
    lesions = list(filter(is_lesion, family.label_names))
    if len(wanted) == 1 and lacking and len(lesions) == 1:
        return {lesions[0]: wanted[lacking[0]]}
    if lacking or not wanted:
        shown = ", ".join(name for name, value in family.label_names.items() if value > 0)
        found = f"label {lacking[0]!r}" if lacking else "no labels"
        raise CohortError(cohort.root, found, f"{family.name} phantoms show {shown}", "choose another family")
    return wanted
