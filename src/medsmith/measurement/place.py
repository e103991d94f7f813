"""Location of a lesion: its organ, depth and nearest other organ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from scipy import ndimage

from medsmith.measurement.surface import Spacing
from medsmith.measurement.wall import depth_share, encircled_share
from medsmith.reports.lesion_label import organ_named
from medsmith.reports.organs import GROUPS, find_organ, is_hollow, is_lesion, labels_of, share_outside

NEAR_MM = 3.0
"""Thickness of the shell in which the organ is searched if no organ touches the lesion."""
REACH_MM = 15.0
"""Distance within which other organs are searched."""
TISSUES = frozenset(("soft_tissue", "fat", "air"))
"""Labels that fill the body around the organs: a lesion lies in one of them only where no organ is next to it."""
LEAST_SHARE = 0.05
"""Smallest share of the shell that the lesion's organ must fill."""


@final
@dataclass(frozen=True)
class PlaceMeasures:
    """Location of one lesion.

    Attributes:
        organ: the organ with the lesion; None if no label is next to it.
        share_outside: share of its surface that does not lie against the organ; None without organ.
        border_distance_mm: from its surface to the organ's border, 0 if it reaches it; None without organ.
        neighbour: the nearest other organ within 15 mm.
        neighbour_distance_mm: gap to it.
        neighbours_known: whether any other organ is labeled at all.
        encircled_share: largest share, over planes, of the directions around the lumen that the lesion covers; 1 for a
            ring. None unless the organ is hollow.
        depth_share: mean depth below the organ's outer surface over the lesion's longest edge: small for a plaque in
            the wall, large for a polyp in the lumen. None unless the organ is hollow.
    """

    organ: str | None
    share_outside: float | None
    border_distance_mm: float | None
    neighbour: str | None
    neighbour_distance_mm: float | None
    neighbours_known: bool
    encircled_share: float | None
    depth_share: float | None


def organ_mask(
    organ: str, labels: UInt8[np.ndarray, "x y z"], label_names: Mapping[str, int]
) -> Bool[np.ndarray, "x y z"]:
    """Voxels of an organ or of the members of a group."""
    return np.isin(labels, labels_of(organ, label_names))


def measure_place(
    mask: Bool[np.ndarray, "x y z"],
    labels: UInt8[np.ndarray, "x y z"],
    label_names: Mapping[str, int],
    spacing: Spacing,
    label: str = "lesion",
    known: str | None = None,
) -> PlaceMeasures:
    """Location measures of one lesion.

    Args:
        mask: one connected lesion.
        labels: organs and lesions, at least 15 mm around the lesion.
        label_names: label name -> value.
        spacing: voxel edges in mm.
        label: name of the lesion's own label; "liver tumour" names its organ.
        known: the organ, group or tissue that the lesion was put into: if it is next to the lesion it counts, although
            more of the lesion's surface may lie against another one.
    """
    labeled = {name: value for name, value in label_names.items() if value and not is_lesion(name)}
    organs = {name: value for name, value in labeled.items() if name not in TISSUES}
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    own = {} if known is None else _of_organ(known, labeled)
    choices = (_organ(label, labels, each, distance, max(spacing)) for each in (own, organs, labeled))
    organ = next((each for each in choices if each is not None), None)
    organ_voxels = None if organ is None else organ_mask(organ, labels, label_names)
    neighbour, gap = _neighbour(distance, labels, organs, organ, spacing)
    hollow = organ_voxels is not None and organ is not None and is_hollow(organ)
    return PlaceMeasures(
        organ=organ,
        share_outside=None if organ_voxels is None else _share_outside(mask, organ_voxels, spacing),
        border_distance_mm=None if organ_voxels is None else _border_distance(mask, organ_voxels, spacing),
        neighbour=neighbour,
        neighbour_distance_mm=gap,
        neighbours_known=len(organs) > 1,
        encircled_share=encircled_share(mask, organ_voxels, spacing) if hollow and organ_voxels is not None else None,
        depth_share=depth_share(mask, organ_voxels, spacing) if hollow and organ_voxels is not None else None,
    )


def _of_organ(organ: str, labeled: Mapping[str, int]) -> dict[str, int]:
    values = labels_of(organ, labeled)
    return {name: value for name, value in labeled.items() if value in values}


def _organ(
    label: str,
    labels: UInt8[np.ndarray, "x y z"],
    organs: Mapping[str, int],
    distance: Float64[np.ndarray, "x y z"],
    edge: float,
) -> str | None:
    """The organ that the label names; else the one that fills most of the shell around the lesion."""
    named = organ_named(label)
    if named is not None:
        return named
    for reach in (1.01 * edge, NEAR_MM + edge):
        shell = (distance > 0) & (distance <= reach)
        counts = np.bincount(labels[shell], minlength=256)
        name = max(organs, key=lambda key: counts[organs[key]], default=None)
        if name is not None and counts[organs[name]] >= max(1, LEAST_SHARE * shell.sum()):
            return _canonical_name(name)
    return None


def _related_organs(organ: str | None) -> frozenset[str]:
    """An organ, its members and those that share a group with it: lobes of a lung are not neighbors of each other."""
    groups = [members for name, members in GROUPS.items() if organ == name or organ in members]
    return frozenset(member for members in groups for member in members) | {str(organ)}


def _neighbour(
    distance: Float64[np.ndarray, "x y z"],
    labels: UInt8[np.ndarray, "x y z"],
    organs: Mapping[str, int],
    organ: str | None,
    spacing: Spacing,
) -> tuple[str | None, float | None]:
    own = {_canonical_name(name) for name in (organ, *_related_organs(organ)) if name}
    others = {value: name for name, value in organs.items() if _canonical_name(name) not in own}
    near = np.isin(labels, list(others)) & (distance <= REACH_MM + max(spacing))
    if not near.any():
        return None, None
    nearest = int(np.argmin(np.where(near, distance, np.inf)))
    name = others[int(labels.ravel()[nearest])]
    # The centers of touching voxels are one edge apart, which is no gap.
    return find_organ(name) or name, max(0.0, float(distance.ravel()[nearest]) - min(spacing))


def _canonical_name(name: str) -> str:
    return find_organ(name) or name


def _share_outside(mask: Bool[np.ndarray, "x y z"], organ_voxels: Bool[np.ndarray, "x y z"], spacing: Spacing) -> float:
    """The organ is dilated by one voxel, so that a gap of one voxel in the annotation does not count."""
    near = ndimage.binary_dilation(organ_voxels)
    return share_outside(mask, near, spacing)


def _border_distance(
    mask: Bool[np.ndarray, "x y z"], organ_voxels: Bool[np.ndarray, "x y z"], spacing: Spacing
) -> float:
    depth = ndimage.distance_transform_edt(organ_voxels | mask, sampling=spacing)
    return max(0.0, float(depth[mask].min()) - min(spacing))
