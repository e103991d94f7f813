"""The conditioning context of a lesion: organs and box as channels of a cube around the lesion.

Axes: x y z voxel axes of the scan along right, anterior, superior; s s s those of the cube; g channels of other organs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float32, Integer, UInt8
from scipy.ndimage import distance_transform_edt

from medsmith.insertion.box import Box
from medsmith.insertion.frame import Frame
from medsmith.reports.organs import V1, is_hollow, is_lesion, labels_of

OrganEncoding = Literal["id", "groups"]
"""How organs become channels: one channel of ids over 104, or a channel each for parenchymal, hollow and others."""
GROUPS = 3
"""Parenchymal organs, hollow organs, everything else that is labeled."""
_CLASSES_OF_TOTALSEGMENTATOR = 104
_PARENCHYMAL = ("liver", "kidney", "pancreas", "spleen", "lung", "brain", "prostate", "thyroid", "adrenal")
_NO_ORGANS = frozenset(("soft_tissue", "fat", "air"))
"""Labels that only completion by density adds. They are left out of the channels, as in training."""
_CLOSING = 0.35
"""Radius of the closing that fills the lesion's voxels in its organ, as a share of the cube's edge."""


@final
@dataclass(frozen=True, eq=False)
class LesionContext:
    """The context of one lesion in a cube.

    Attributes:
        target: 1 inside the target organ; 1 everywhere if the organ is unknown.
        others: the other organs, as their encoding says.
        box: 1 inside the lesion's box.
    """

    target: UInt8[np.ndarray, "1 s s s"]
    others: Float32[np.ndarray, "g s s s"]
    box: UInt8[np.ndarray, "1 s s s"]


def context_channels(encoding: OrganEncoding) -> int:
    """Channels of a context: target organ, other organs and box."""
    return 1 + (1 if encoding == "id" else GROUPS) + 1


def context_of(
    labels: Integer[np.ndarray, "x y z"],
    label_names: Mapping[str, int],
    frame: Frame,
    box: Box,
    organ: str | None,
    encoding: OrganEncoding,
) -> LesionContext:
    """The context of a lesion.

    An existing lesion covers part of its organ. A closing restores that part from the organ's outline alone, so that
    the context does not reveal the mask to be learned.

    Args:
        labels: organ map of the scan, canonical; lesions may be in it.
        label_names: name -> value.
        frame: the cube.
        box: bounds of the lesion in the scan.
        organ: the organ with the lesion; None if unknown.
        encoding: of the other organs.
    """
    cube_labels = frame.resample_labels_in(labels)
    lesions = [value for name, value in label_names.items() if is_lesion(name)]
    values = labels_of(organ, label_names) if organ else ()
    target = np.isin(cube_labels, values)
    lesion = np.isin(cube_labels, lesions)
    if target.any() and lesion.any():
        target = target | (lesion & closing(target, _CLOSING * frame.size))
    elif not target.any():
        target = np.ones_like(target)
    others = np.where(target | lesion, 0, cube_labels)
    return LesionContext(
        target=target[None].astype(np.uint8),
        others=_encoded(others, label_names, encoding),
        box=frame.inside(box)[None].astype(np.uint8),
    )


def closing(mask: Bool[np.ndarray, "s s s"], radius: float) -> Bool[np.ndarray, "s s s"]:
    """Morphological closing by a ball, with the mask padded beyond the cube by its edge values."""
    reach = int(np.ceil(radius))
    padded = np.pad(mask, reach, mode="edge")
    grown = distance_transform_edt(~padded) <= radius
    closed = distance_transform_edt(np.pad(grown, 1, constant_values=True)) > radius
    inner = slice(reach + 1, -reach - 1)
    return np.asarray(closed[inner, inner, inner])


def _encoded(
    labels: Integer[np.ndarray, "s s s"], label_names: Mapping[str, int], encoding: OrganEncoding
) -> Float32[np.ndarray, "g s s s"]:
    """The other organs as one channel of ids (the released code) or one channel per group."""
    if encoding == "id":
        ids = {name: number for number, name in V1.items()}
        table = np.zeros(256, np.float32)
        for name, value in label_names.items():
            table[value] = ids.get(name, 0) / _CLASSES_OF_TOTALSEGMENTATOR
        return np.asarray(table[labels][None])
    groups = np.zeros((GROUPS, 256), np.float32)
    for name, value in label_names.items():
        if value > 0 and name not in _NO_ORGANS:
            groups[_group(name), value] = 1
    return np.asarray(groups[:, labels])


def _group(name: str) -> int:
    if is_hollow(name):
        return 1
    return 0 if name.startswith(_PARENCHYMAL) else 2
