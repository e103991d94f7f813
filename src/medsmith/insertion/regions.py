"""Allowed positions of a lesion in and around its organ, by the kind of organ and the location in it.

| location | the center of the box lies | its voxels may lie |
|---|---|---|
| within | in the parenchymal organ | in the organ |
| protruding | in a voxel on the organ's border | in the organ and its soft surroundings |
| lumen | deeper than the wall of the hollow organ | in the organ |
| wall | in the wall of the hollow organ | in the organ and, ``WALL_MM`` about it, its soft surroundings |

These are the three locations of LesionDiffusion's box step (Tian et al. 2025) and the protruding lesion of its released
code. Soft surroundings are soft tissue, fat, and unlabeled voxels. Existing lesions, bone, air and all other labeled
organs are never allowed.
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from scipy.ndimage import binary_erosion, distance_transform_edt

from medsmith.errors import RequestError
from medsmith.formats.volume import Region
from medsmith.insertion.organ_map import AIR, Chosen, OrganMap, absent, chosen_values, selected, to_name
from medsmith.insertion.stand_ins import to_ask_for
from medsmith.reports.organs import cavity_of, is_hollow, labels_of
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Cavity

WALL_MM = 5.0
"""Thickness of the wall of a hollow organ, whose label covers wall and content (the released code's five voxels of
1 mm)."""
SOFT_TISSUE = "soft_tissue"
SURROUNDINGS = (SOFT_TISSUE, "fat")
"""Names of labels that a lesion may grow into from its organ."""
OUTSIDE_OF_PROTRUDING = (0.35, 0.7)
"""Least and largest share of a protruding lesion's ellipsoid outside its organ; shapes fill less than the ellipsoid."""
Location = Literal["within", "protruding", "lumen", "wall"]
Spacing = tuple[float, float, float]
_OF_CAVITY: dict[Cavity, Location] = {
    "within the parenchymal organ": "within",
    "protruding from the parenchymal organ": "protruding",
    "within the lumen of a hollow organ": "lumen",
    "wall thickening": "wall",
}


@final
@dataclass(frozen=True, eq=False)
class Target:
    """The requested location, in the labels of one organ map.

    Attributes:
        name: of the organ; "soft tissue" if the report names none.
        location: where in the organ.
        organ: labels of the organ.
        surroundings: labels beyond it that the lesion may grow into.
    """

    name: str
    location: Location
    organ: Chosen
    surroundings: Chosen

    @property
    def halo_mm(self) -> float:
        """Margin around a region that is needed to compute its allowed voxels, mm."""
        return WALL_MM if self.location == "wall" else 0.0

    def allowed(self, labels: UInt8[np.ndarray, "x y z"], spacing: Spacing) -> Bool[np.ndarray, "x y z"]:
        """Voxels where the lesion may lie; unreliable within ``halo_mm`` of the array's faces."""
        organ, surroundings = selected(labels, self.organ), selected(labels, self.surroundings)
        if self.location == "wall":
            surroundings &= _distance(~organ, spacing) <= WALL_MM
        together: Bool[np.ndarray, "x y z"] = organ | surroundings
        return together

    def centers(
        self, organ: Bool[np.ndarray, "x y z"], spacing: Spacing, depths: tuple[float, float]
    ) -> Bool[np.ndarray, "x y z"]:
        """Voxels that may be the center of the box.

        Args:
            organ: voxels of the organ.
            spacing: edges of a voxel, mm.
            depths: centers in the lumen lie deeper than the first, centers in the wall not deeper than the second, mm.
        """
        if self.location == "within":
            return organ
        if self.location == "protruding":
            eroded: Bool[np.ndarray, "x y z"] = binary_erosion(organ, border_value=1)
            border: Bool[np.ndarray, "x y z"] = organ & ~eroded
            return border
        depth = _distance(organ, spacing)
        return depth > depths[0] if self.location == "lumen" else organ & (depth <= depths[1])


def _distance(mask: Bool[np.ndarray, "x y z"], spacing: Spacing) -> Float64[np.ndarray, "x y z"]:
    """Distance in mm of each voxel of a mask to the nearest voxel outside it; infinite if there is none."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    distance: Float64[np.ndarray, "x y z"] = distance_transform_edt(mask, sampling=spacing)
    return distance


def location_of(report: LesionReport, subject: str = "report") -> Location:
    """Location of a report's lesion in its organ; the usual one if the report does not say.

    Raises:
        RequestError: the location does not match the kind of organ.
    """
    if report.organ is None:
        return "within"
    kind = " ".join(filter(None, (report.lesion_type, *report.features)))
    location = _OF_CAVITY[report.cavity or cavity_of(report.organ, kind)]
    if is_hollow(report.organ) != (location in ("lumen", "wall")):
        hollow = "a hollow" if is_hollow(report.organ) else "a parenchymal"
        found = f"'{report.cavity}' in {report.organ}, {hollow} organ"
        raise RequestError(subject, found, cure="name a place that goes with the organ, or leave it out")
    return location


def target_of(report: LesionReport, organ_map: OrganMap, subject: str = "report") -> Target:
    """The requested location in an organ map.

    Args:
        report: of the lesion.
        organ_map: organs of the scan.
        subject: name of the lesion in error lines.

    Raises:
        RequestError: the organ map has no such organ, or the location does not match the kind of organ.
    """
    location = location_of(report, subject)
    name, wanted = (report.organ, report.organ) if report.organ else ("soft tissue", SOFT_TISSUE)
    values = () if name == AIR else labels_of(wanted, organ_map.names)
    organ = chosen_values(values)
    if organ_map.extent(organ) is None:
        found = absent(name, organ_map.source)
        limit = f"it has {to_name(organ_map.present)}"
        known = {each: organ_map.names[each] for each in organ_map.present}
        cure = f"{to_ask_for(wanted, known)}, take another scan, or give a map that has it: --organ-map"
        raise RequestError(subject, found, limit, cure)
    return Target(name, location, organ, _surroundings(report, location, organ_map) & ~organ)


def _surroundings(report: LesionReport, location: Location, organ_map: OrganMap) -> Chosen:
    soft = tuple(value for name in SURROUNDINGS for value in labels_of(name, organ_map.names))
    if report.organ is None:
        return chosen_values(soft)
    return chosen_values(() if location in ("within", "lumen") else (0, *soft))


def allowed_region(organ_map: OrganMap, report: LesionReport, region: Region) -> Bool[np.ndarray, "x y z"]:
    """Voxels of a region of the scan where a lesion may lie.

    Args:
        organ_map: organs of the scan.
        report: of the lesion.
        region: voxels of the scan, canonical, such as a frame's ``region``.

    Raises:
        RequestError: the organ map has no such organ, or the location does not match the kind of organ.
    """
    target = target_of(report, organ_map)
    spacing = organ_map.geometry.spacing
    wide, inner = widened(region, organ_map, target.halo_mm)
    return target.allowed(organ_map.labels[wide], spacing)[inner]


def widened(region: Region, organ_map: OrganMap, margin_mm: float) -> tuple[Region, Region]:
    """A region with a margin, clipped to the scan, and the original region relative to it."""
    wide, inner = [], []
    for part, count, edge in zip(region, organ_map.geometry.shape, organ_map.geometry.spacing, strict=True):
        margin = int(np.ceil(margin_mm / edge))
        first = max(part.start - margin, 0)
        wide.append(slice(first, min(part.stop + margin, count)))
        inner.append(slice(part.start - first, part.stop - first))
    return (wide[0], wide[1], wide[2]), (inner[0], inner[1], inner[2])
