"""Completion of an organ map by density: unlabeled voxels become air, fat, soft tissue, bone or lung.

A segmentation of organs usually lacks bone and air, which lesions must avoid, and soft tissue, which a report without
an organ refers to.
"""

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.errors import ContentError
from medsmith.insertion.coarse_map import coarse_map
from medsmith.insertion.organ_map import LABEL_VALUES, OrganMap
from medsmith.reports.organs import labels_of


def completed(organ_map: OrganMap, image: Float32[np.ndarray, "x y z"]) -> OrganMap:
    """An organ map in which every voxel has a label; existing labels are kept.

    If the given map has lungs, voxels that only the coarse map calls lung become air (airways).

    Args:
        organ_map: the map to complete; it is not modified.
        image: Hounsfield units, canonical, on its grid.

    Raises:
        ContentError: no voxel is as dense as tissue, or the map has no label values left.
    """
    coarse = coarse_map(image, organ_map.geometry)
    names = _names(organ_map, coarse)
    table = np.zeros(LABEL_VALUES, dtype=np.uint8)
    for name, value in coarse.names.items():
        table[value] = names[name] if name in names else names["air"]
    added = tuple(name for name in names if name not in organ_map.names)
    source = f"{organ_map.source}; the rest a {coarse.source}"
    labels = _filled(organ_map.labels, coarse.labels, table)
    return OrganMap(labels, {**organ_map.names, **names}, organ_map.geometry, source, added)


def _names(organ_map: OrganMap, coarse: OrganMap) -> dict[str, int]:
    """Name -> value of the labels added by density; without lungs if the map has lungs."""
    lungs = labels_of("lung", {name: organ_map.names[name] for name in organ_map.present})
    wanted = [name for name in ("air", *coarse.names) if not (lungs and labels_of("lung", {name: 1}))]
    free = [value for value in range(1, LABEL_VALUES) if value not in organ_map.names.values()]
    new = [name for name in dict.fromkeys(wanted) if name not in organ_map.names]
    if len(new) > len(free):
        found = f"{len(organ_map.names)} labels"
        raise ContentError("organ map", found, f"at most {LABEL_VALUES - 1 - len(new)}", "leave labels out")
    fresh = dict(zip(new, free, strict=False))
    return {name: organ_map.names.get(name, fresh.get(name, 0)) for name in dict.fromkeys(wanted)}


def _filled(
    labels: UInt8[np.ndarray, "x y z"], by_density: UInt8[np.ndarray, "x y z"], table: UInt8[np.ndarray, "256"]
) -> UInt8[np.ndarray, "x y z"]:
    """The labels, with unlabeled voxels filled by density; slice by slice, to avoid a mask of the whole scan."""
    filled = labels.copy(order="K")
    slowest = int(np.argmax(np.abs(labels.strides)))
    for part, coarse in zip(np.moveaxis(filled, slowest, 0), np.moveaxis(by_density, slowest, 0), strict=True):
        unknown = part == 0
        part[unknown] = table[coarse[unknown]]
    return filled
