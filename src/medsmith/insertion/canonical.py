"""Any scan seen along the patient's axes: x to the right, y to the front, z to the head.

Axes: i j k voxel axes in file order; x y z along right, anterior, superior.

The voxel axes are permuted and flipped, never resampled: an oblique scan is taken along the nearest patient axes. A
view shares memory with its array, so that what is written into the view is written into the array.
"""

import nibabel as nib
import numpy as np
from jaxtyping import Float64, Shaped

from medsmith.case import Geometry
from medsmith.formats.volume import Region


def _orientation(geometry: Geometry) -> Float64[np.ndarray, "3 2"]:
    """Per voxel axis the nearest patient axis, and -1 where it runs backwards."""
    axes: Float64[np.ndarray, "3 2"] = nib.orientations.io_orientation(geometry.affine)
    return axes


def canonical_view(array: Shaped[np.ndarray, "i j k"], geometry: Geometry) -> Shaped[np.ndarray, "x y z"]:
    """The array with its axes along right, anterior and superior, as a view.

    Args:
        array: voxels of the scan, axes in file order.
        geometry: the grid of ``array``.
    """
    view: Shaped[np.ndarray, "x y z"] = nib.orientations.apply_orientation(array, _orientation(geometry))
    return view


def region_in_file(region: Region, geometry: Geometry) -> Region:
    """A region of ``canonical_view`` as a region of its array.

    Args:
        region: slices along right, anterior, superior.
        geometry: the grid of the array, axes in file order.
    """

    def along(axis: int) -> slice:
        place, direction = _orientation(geometry)[axis]
        part, length = region[int(place)], geometry.shape[axis]
        return part if direction > 0 else slice(length - part.stop, length - part.start)

    return along(0), along(1), along(2)


def canonical_geometry(geometry: Geometry) -> Geometry:
    """The grid of ``canonical_view``: the same voxels at the same places, indexed along right, anterior, superior."""
    axes = _orientation(geometry)
    to_file = nib.orientations.inv_ornt_aff(axes, geometry.shape)
    order = np.argsort(axes[:, 0])
    shape = geometry.shape[order[0]], geometry.shape[order[1]], geometry.shape[order[2]]
    return Geometry(shape, geometry.affine @ to_file, geometry.codes, geometry.spacing_known)
