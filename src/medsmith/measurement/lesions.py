"""The individual lesions of a label map."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from medsmith.formats.volume import Region
from medsmith.measurement.surface import Spacing
from medsmith.reports.organs import is_lesion

SMALLEST_MM3 = 4.0
"""Volume of the smallest lesion that is described, about that of a 2 mm stone."""
FEWEST_VOXELS = 3


@final
@dataclass(frozen=True, eq=False)
class Lesion:
    """One connected part of a lesion's label.

    Attributes:
        label: name of its label.
        box: tight box in the label map.
        mask: its voxels in that box.
    """

    label: str
    box: Region
    mask: Bool[np.ndarray, "x y z"]

    def within(self, box: Region) -> Bool[np.ndarray, "u v w"]:
        """The lesion's mask in a larger box."""
        whole = np.zeros([part.stop - part.start for part in box], dtype=bool)
        inner = tuple(
            slice(own.start - part.start, own.stop - part.start) for own, part in zip(self.box, box, strict=True)
        )
        whole[inner] = self.mask
        return whole


def find_lesions(
    labels: UInt8[np.ndarray, "x y z"], label_names: Mapping[str, int], spacing: Spacing
) -> tuple[Lesion, ...]:
    """The lesions of a label map, largest first, as reports order them.

    Lesions are 26-connected components. Components smaller than 4 mm^3 or 3 voxels are ignored as annotation debris.

    Args:
        labels: label map.
        label_names: label name -> value; the names tell which labels are lesions.
        spacing: voxel edges in mm.
    """
    least = max(FEWEST_VOXELS, SMALLEST_MM3 / float(np.prod(spacing)))
    found = []
    for name, value in label_names.items():
        if value and is_lesion(name):
            found += [part for part in _parts(labels == value, name) if part.mask.sum() >= least]
    # Ties are broken by position, so that the order does not depend on the names.
    return tuple(sorted(found, key=lambda part: (-int(part.mask.sum()), [edge.start for edge in part.box])))


def _parts(mask: Bool[np.ndarray, "x y z"], name: str) -> list[Lesion]:
    if not mask.any():
        return []
    whole = ndimage.find_objects(mask.astype(np.uint8))[0]
    numbered, _ = ndimage.label(mask[whole], structure=np.ones((3, 3, 3), dtype=bool))
    found = []
    for number, inner in enumerate(ndimage.find_objects(numbered), start=1):
        x, y, z = (slice(part.start + own.start, part.start + own.stop) for part, own in zip(whole, inner, strict=True))
        found.append(Lesion(name, (x, y, z), np.asarray(numbered[inner] == number)))
    return found


def box_around(box: Region, shape: tuple[int, ...], reach_mm: float, spacing: Spacing) -> Region:
    """A box with a margin in mm, clipped to the image."""
    steps = [int(np.ceil(reach_mm / edge)) for edge in spacing]
    x, y, z = (
        slice(max(0, part.start - step), min(size, part.stop + step))
        for part, step, size in zip(box, steps, shape, strict=True)
    )
    return x, y, z
