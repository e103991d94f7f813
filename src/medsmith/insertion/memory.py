"""Estimate of the memory that lesion insertion needs, before it starts."""

from pathlib import Path
from typing import Any

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.formats.nifti import read_header

_PROGRAM_BYTES = 500 * 2**20
"""The interpreter with its libraries, and the crop around a lesion of typical size."""
_NIFTI = (".nii", ".nii.gz")
_LABEL_MAPS = 3
"""Label maps of one byte per voxel: the scan's labels, its organ map, and the map by density that completes it."""


def estimate_memory(shape: tuple[int, int, int], stored: np.dtype[Any]) -> int:
    """Upper bound in bytes of the memory for inserting lesions into a scan, without networks.

    One float32 image and the label maps are held, plus one array in the dtype on disk while the scan is read or
    written.

    Args:
        shape: voxels of the scan.
        stored: dtype of the image on disk.
    """
    voxels = int(np.prod(shape, dtype=np.int64))
    return _PROGRAM_BYTES + voxels * (np.dtype(np.float32).itemsize + _LABEL_MAPS + stored.itemsize)


def memory_needed(folder: Path) -> int:
    """Upper bound in bytes of one worker's memory for the largest scan of a cohort, without networks; 0 for pictures.

    Raises:
        FileError: the folder is no cohort, or a header cannot be read.
    """
    cohort = Cohort.open(folder)
    paths = (cohort.files(id).channels[0].path for id in cohort.ids_with_image)
    headers = (read_header(path) for path in paths if path.name.endswith(_NIFTI))
    shapes = ((header.shape[:3], header.dtype) for header in headers if len(header.shape) >= 3)
    return max((estimate_memory((shape[0], shape[1], shape[2]), dtype) for shape, dtype in shapes), default=0)
