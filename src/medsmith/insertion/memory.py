"""What it takes to put lesions into a scan: said before anything is begun."""

from pathlib import Path
from typing import Any

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.formats.nifti import read_header

_PROGRAM_BYTES = 500 * 2**20
"""The interpreter with its libraries, and the crop about a lesion of usual size."""
_LABEL_MAPS = 3
"""Labels of the scan, its organ map, and the map by density that completes it: one byte per voxel each."""


def estimate_memory(shape: tuple[int, int, int], stored: np.dtype[Any]) -> int:
    """Bytes that are needed at most to put lesions into a scan, networks not counted.

    The image is held once in float32, with the label maps. Beside it there is, while it is read or written, one array
    as it is on disk.

    Args:
        shape: voxels of the scan.
        stored: dtype of the image on disk.
    """
    voxels = int(np.prod(shape, dtype=np.int64))
    return _PROGRAM_BYTES + voxels * (np.dtype(np.float32).itemsize + _LABEL_MAPS + stored.itemsize)


def memory_needed(folder: Path) -> int:
    """Bytes that one worker needs at most for the largest scan of a cohort, networks and libraries included.

    Raises:
        FileError: the folder is no cohort, or a header cannot be read.
    """
    cohort = Cohort.open(folder)
    headers = (read_header(cohort.files(id).channels[0].path) for id in cohort.ids_with_image)
    shapes = ((header.shape[:3], header.dtype) for header in headers if len(header.shape) >= 3)
    return max((estimate_memory((shape[0], shape[1], shape[2]), dtype) for shape, dtype in shapes), default=0)
