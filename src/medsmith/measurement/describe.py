"""Reports from images: every lesion of a case is measured and described in the words of a report."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.cases.case import Case
from medsmith.cases.hounsfield import check_units, is_ct
from medsmith.geometry import Geometry
from medsmith.measurement.density import measure_density
from medsmith.measurement.lesions import Lesion, box_around, find_lesions
from medsmith.measurement.margin import resolves_margin
from medsmith.measurement.measures import Measures
from medsmith.measurement.place import REACH_MM, measure_place, organ_mask
from medsmith.measurement.shape import measure_outline, measure_shape
from medsmith.measurement.spiculation import resolves_spicules, spicule_share
from medsmith.measurement.words import THRESHOLDS, Thresholds, words_from
from medsmith.reports.organs import is_hollow
from medsmith.reports.schema import LesionReport, ScanReport
from medsmith.reports.vocabulary import Enhancement

ENHANCED_FROM_HU: Final[Mapping[str, float]] = {
    "aorta": 95.0,
    "portal_vein_and_splenic_vein": 95.0,
    "kidney": 85.0,
    "spleen": 75.0,
    "liver": 80.0,
}
"""Organ -> median HU at or above which the scan counts as enhanced; the first labeled organ decides."""
_FEWEST = 50


@final
@dataclass(frozen=True, eq=False)
class LabeledScan:
    """An image with labels, in which lesions are measured.

    Attributes:
        image: HU; None without CT.
        labels: organs and lesions on the grid.
        label_names: label name -> value.
        geometry: the grid.
        of_whole_scan: enhancement of the scan that this is a part of; None takes it from this image.
    """

    image: Float32[np.ndarray, "x y z"] | None
    labels: UInt8[np.ndarray, "x y z"]
    label_names: Mapping[str, int]
    geometry: Geometry
    of_whole_scan: Enhancement | None = None

    @classmethod
    def of(cls, case: Case) -> "LabeledScan":
        """The scan of a case; only a channel named CT is taken as Hounsfield units.

        Raises:
            ContentError: the case has no labels, or a channel named CT is not in Hounsfield units.
        """
        pairs = () if case.image is None else zip(case.channel_names, check_units(case).require_image(), strict=True)
        image = next((channel for name, channel in pairs if is_ct(name)), None)
        return cls(image, case.require_labels(), case.label_names, case.geometry)

    @cached_property
    def enhancement(self) -> Enhancement | None:
        """Whether contrast agent was given, by the density of vessels and organs; None if none is labeled."""
        if self.of_whole_scan is not None or self.image is None:
            return self.of_whole_scan
        for organ, limit in ENHANCED_FROM_HU.items():
            values = self.image[organ_mask(organ, self.labels, self.label_names)]
            if len(values) >= _FEWEST:
                return "enhanced CT" if float(np.median(values)) >= limit else "non-contrast CT"
        return None


def describe_case(case: Case, thresholds: Thresholds = THRESHOLDS) -> ScanReport:
    """The report of a case: one entry per lesion, the largest first (see `find_lesions`).

    Args:
        case: CT and labels, or labels alone.
        thresholds: between words.

    Raises:
        ContentError: the case has no labels, or a channel named CT is not in Hounsfield units.
    """
    scan = LabeledScan.of(case)
    lesions = find_lesions(scan.labels, case.label_names, case.geometry.spacing)
    return ScanReport(lesions=tuple(describe_lesion(scan, lesion, thresholds) for lesion in lesions))


def describe_lesion(scan: LabeledScan, lesion: Lesion, thresholds: Thresholds = THRESHOLDS) -> LesionReport:
    """The report of one lesion."""
    return words_from(measure_lesion(scan, lesion), thresholds)


def measure_lesion(scan: LabeledScan, lesion: Lesion, organ: str | None = None) -> Measures:
    """All measures of one lesion, from its box with a margin of 15 mm.

    Args:
        scan: with the lesion in its labels.
        lesion: one of it.
        organ: that it is known to lie in (``measure_place``).
    """
    spacing = scan.geometry.spacing
    box = box_around(lesion.box, scan.geometry.shape, REACH_MM, spacing)
    mask, labels = lesion.within(box), scan.labels[box]
    flat = scan.geometry.dimensions == 2
    shape = measure_outline(mask, spacing) if flat else measure_shape(mask, spacing)
    place = measure_place(mask, labels, scan.label_names, spacing, lesion.label, organ)
    around = None if place.organ is None else organ_mask(place.organ, labels, scan.label_names)
    in_wall = place.organ is not None and is_hollow(place.organ)
    return Measures(
        label=lesion.label,
        size_mm=_along_patient(shape.edges_mm, scan.geometry),
        shape=shape,
        spicule_share=spicule_share(mask[:, :, 0], spacing[:2]) if flat else spicule_share(mask, spacing),
        place=place,
        density=None if scan.image is None else measure_density(scan.image[box], mask, around, spacing, in_wall),
        enhancement=scan.enhancement,
        spacing_known=scan.geometry.spacing_known,
        margin_resolved=resolves_margin(spacing[:2] if flat else spacing),
        spicules_resolved=flat or resolves_spicules(shape.equivalent_diameter_mm / 2, spacing),
    )


def _along_patient(edges_mm: tuple[float, float, float], geometry: Geometry) -> tuple[float, float, float]:
    """Edges along voxel axes, reordered to the nearest patient axes (a one-to-one assignment)."""
    turned = np.abs(geometry.affine[:3, :3]) / np.asarray(geometry.spacing)
    found: dict[int, float] = {}
    for _ in range(3):
        patient, voxel = np.unravel_index(int(np.argmax(turned)), turned.shape)
        found[int(patient)] = round(edges_mm[int(voxel)], 1)
        turned[patient], turned[:, voxel] = -1, -1
    return found[0], found[1], found[2]
