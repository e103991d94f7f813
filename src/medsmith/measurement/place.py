"""Where a lesion lies: in which organ, how deep, and what is next to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from scipy import ndimage

from medsmith.measurement.surface import Spacing
from medsmith.measurement.wall import depth_share, encircled_share
from medsmith.reports.organs import GROUPS, find_organ, is_hollow, is_lesion, labels_of, share_outside

NEAR_MM = 3.0
"""Where no organ touches the lesion, thickness of the shell whose organ is the lesion's."""
REACH_MM = 15.0
"""How far other organs are looked for."""
LEAST_SHARE = 0.05
"""Share of the shell that an organ fills at least to be the lesion's."""


@final
@dataclass(frozen=True)
class PlaceMeasures:
    """Where one lesion lies.

    Attributes:
        organ: the organ that has it; None where no label is next to it.
        share_outside: share of its surface that does not lie against the organ; None without organ.
        border_distance_mm: from its surface to the organ's border; 0 where it reaches it; None without organ.
        neighbour: the nearest other organ within 15 mm.
        neighbour_distance_mm: gap to it.
        neighbours_known: whether any other organ is labeled at all.
        encircled_share: share of the directions around the lumen, in the plane that shows most, in which the lesion
            lies: a ring has all. None unless the organ is hollow.
        depth_share: mean depth below the organ's outer surface over the lesion's longest edge: a plaque keeps to the
            wall, a polyp reaches into the lumen. None unless the organ is hollow.
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
) -> PlaceMeasures:
    """Place of one lesion.

    Args:
        mask: one connected lesion.
        labels: organs and lesions, at least 15 mm around the lesion.
        label_names: label name -> value.
        spacing: voxel edges in mm.
        label: name of the lesion's own label; "liver tumour" says which organ has it.
    """
    organs = {name: value for name, value in label_names.items() if value and not is_lesion(name)}
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    organ = _organ(label, labels, organs, distance, max(spacing))
    home = None if organ is None else organ_mask(organ, labels, label_names)
    neighbour, gap = _neighbour(distance, labels, organs, organ, spacing)
    hollow = home is not None and organ is not None and is_hollow(organ)
    return PlaceMeasures(
        organ=organ,
        share_outside=None if home is None else _share_outside(mask, home, spacing),
        border_distance_mm=None if home is None else _border_distance(mask, home, spacing),
        neighbour=neighbour,
        neighbour_distance_mm=gap,
        neighbours_known=len(organs) > 1,
        encircled_share=encircled_share(mask, home, spacing) if hollow and home is not None else None,
        depth_share=depth_share(mask, home, spacing) if hollow and home is not None else None,
    )


def _organ(
    label: str,
    labels: UInt8[np.ndarray, "x y z"],
    organs: Mapping[str, int],
    distance: Float64[np.ndarray, "x y z"],
    edge: float,
) -> str | None:
    """What the label says; else the organ with the largest share of what touches the lesion, or is near it."""
    said = find_organ(" ".join(word for word in label.replace("_", " ").split() if not is_lesion(word)))
    if said is not None:
        return said
    for reach in (1.01 * edge, NEAR_MM + edge):
        shell = (distance > 0) & (distance <= reach)
        counts = np.bincount(labels[shell], minlength=256)
        name = max(organs, key=lambda key: counts[organs[key]], default=None)
        if name is not None and counts[organs[name]] >= max(1, LEAST_SHARE * shell.sum()):
            return _named(name)
    return None


def _kin(organ: str | None) -> frozenset[str]:
    """An organ, its members and those that share a group with it: the lobes of a lung are no neighbours."""
    groups = [members for name, members in GROUPS.items() if organ == name or organ in members]
    return frozenset(member for members in groups for member in members) | {str(organ)}


def _neighbour(
    distance: Float64[np.ndarray, "x y z"],
    labels: UInt8[np.ndarray, "x y z"],
    organs: Mapping[str, int],
    organ: str | None,
    spacing: Spacing,
) -> tuple[str | None, float | None]:
    own = {_named(name) for name in (organ, *_kin(organ)) if name}
    others = {value: name for name, value in organs.items() if _named(name) not in own}
    near = np.isin(labels, list(others)) & (distance <= REACH_MM + max(spacing))
    if not near.any():
        return None, None
    nearest = int(np.argmin(np.where(near, distance, np.inf)))
    name = others[int(labels.ravel()[nearest])]
    # Voxels that touch lie one edge apart and leave no gap.
    return find_organ(name) or name, max(0.0, float(distance.ravel()[nearest]) - min(spacing))


def _named(name: str) -> str:
    return find_organ(name) or name


def _share_outside(mask: Bool[np.ndarray, "x y z"], home: Bool[np.ndarray, "x y z"], spacing: Spacing) -> float:
    """Closed first, so that a lesion drawn a voxel apart from its organ still lies against it."""
    near = ndimage.binary_dilation(home)
    return share_outside(mask, near, spacing)


def _border_distance(mask: Bool[np.ndarray, "x y z"], home: Bool[np.ndarray, "x y z"], spacing: Spacing) -> float:
    depth = ndimage.distance_transform_edt(home | mask, sampling=spacing)
    return max(0.0, float(depth[mask].min()) - min(spacing))
