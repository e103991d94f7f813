"""An organ map from a file in TotalSegmentator's labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from medsmith.cases.canonical import canonical_geometry
from medsmith.cases.integrity import check_same_grid, first_of
from medsmith.errors import ContentError
from medsmith.formats.files import read_labels
from medsmith.formats.label_table import label_table
from medsmith.geometry import Geometry
from medsmith.insertion.organ_map import OrganMap, organ_map_from_labels
from medsmith.reports.organs import V1, V2

Version = Literal["v1", "v2"]
CLASSES: Mapping[Version, Mapping[int, str]] = {"v1": V1, "v2": V2}


def read_organ_map(path: Path, scan: Path, geometry: Geometry, version: Version = "v2") -> OrganMap:
    """Organs from a label map by TotalSegmentator (``--ml``), or with its label values.

    The table of names that TotalSegmentator 2 writes into the file takes precedence over ``version``.

    Args:
        path: the label map; its voxel axes may be permuted or flipped against the scan's.
        scan: the scan's file, for error lines.
        geometry: grid of the scan, axes in file order.
        version: class map of a file without a table of names: 104 classes of TotalSegmentator 1 or 117 of
            TotalSegmentator 2.

    Raises:
        FileError: the file cannot be read.
        GeometryError: it does not lie on the scan's grid.
        ContentError: values that are no labels or not in the class map, or no organ.
    """
    read = read_labels(path)
    check_same_grid(scan, canonical_geometry(geometry), path, canonical_geometry(read.geometry))
    written = label_table(path)
    known = written or CLASSES[version]
    counts = np.zeros(256, dtype=np.int64)
    for part in np.moveaxis(read.values, 2, 0):
        counts += np.bincount(part.ravel(), minlength=256)
    values = [int(value) for value in np.flatnonzero(counts) if value]
    unknown = [value for value in values if value not in known]
    if unknown:
        whose = "the table in the file" if written else f"TotalSegmentator {version} (1 to {max(known)})"
        cure = "give the right version, or a map in TotalSegmentator's labels"
        raise ContentError(path, f"label values {first_of(unknown)}", f"not in {whose}", cure)
    if not values:
        raise ContentError(path, "no organ is labeled", "at least one", "give the map that belongs to the scan")
    names = {known[value]: value for value in values}
    named = "names written in it" if written else f"TotalSegmentator {version}"
    return organ_map_from_labels(read.values, read.geometry, names, f"a label map, {named}")
