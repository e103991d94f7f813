"""An organ map completed by density: what nobody labeled is air, fat, soft tissue, bone or lung.

A map of organs alone does not say where bone and air are, into which no lesion grows, and knows no soft tissue for a
report that names no organ.
"""

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.errors import ContentError
from medsmith.insertion.coarse_map import coarse_map
from medsmith.insertion.organ_map import LABEL_VALUES, OrganMap
from medsmith.reports.organs import labels_of


def completed(organ_map: OrganMap, image: Float32[np.ndarray, "x y z"]) -> OrganMap:
    """A map in which every voxel has a label, those of the given map kept.

    Where the given map has lungs, a lung by density that they leave out is air (an airway).

    Args:
        organ_map: as somebody labeled it; nothing is written into it.
        image: Hounsfield units, canonical, on its grid.

    Raises:
        ContentError: nothing in the image is as dense as tissue, or the map has no label values left.
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
    """Names by density with their values in the completed map; lungs are left out where the map has some."""
    drawn = labels_of("lung", {name: organ_map.names[name] for name in organ_map.present})
    wanted = [name for name in ("air", *coarse.names) if not (drawn and labels_of("lung", {name: 1}))]
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
    """The labels, and where there are none those by density; slice by slice, so that no mask of the scan is made."""
    filled = labels.copy(order="K")
    slowest = int(np.argmax(np.abs(labels.strides)))
    for part, coarse in zip(np.moveaxis(filled, slowest, 0), np.moveaxis(by_density, slowest, 0), strict=True):
        unknown = part == 0
        part[unknown] = table[coarse[unknown]]
    return filled
