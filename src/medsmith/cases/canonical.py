"""Cases in canonical RAS+ orientation: x to the right, y anterior, z superior.

Axes: i j k voxel axes in file order; x y z along right, anterior, superior.

Voxel axes are permuted and flipped, never resampled; for an oblique scan, the nearest patient axes are used. A single
slice keeps its third axis, of length 1; its two in-plane axes are ordered and flipped towards the nearest patient
axes. An image without known orientation is unchanged. Views share memory with their array.
"""

from dataclasses import replace
from itertools import permutations

import numpy as np
from jaxtyping import Float32, Shaped

from medsmith.cases.case import Case
from medsmith.formats.volume import Region
from medsmith.geometry import Geometry

AxisOrder = tuple[tuple[int, int, int], tuple[bool, bool, bool]]
"""Per canonical axis: its voxel axis in the file, and whether that axis is flipped."""
AS_STORED: AxisOrder = ((0, 1, 2), (False, False, False))


def _axis_order(geometry: Geometry) -> AxisOrder:
    """The order and flips of the voxel axes that best match the patient axes.

    Maximizes the sum of absolute cosines, so that the result does not depend on the stored axis order.
    """
    if not geometry.spacing_known:
        return AS_STORED
    cosines = geometry.affine[:3, :3] / np.asarray(geometry.spacing)
    i, j, k = max(permutations(range(3)), key=lambda order: sum(abs(cosines[axis, order[axis]]) for axis in range(3)))
    if geometry.dimensions == 2:
        patient = {voxel: axis for axis, voxel in enumerate((i, j, k))}
        first, second = sorted((0, 1), key=lambda voxel: patient[voxel])
        flipped = [bool(cosines[patient[voxel], voxel] < 0) for voxel in (first, second)]
        return (first, second, 2), (flipped[0], flipped[1], False)
    return (i, j, k), (bool(cosines[0, i] < 0), bool(cosines[1, j] < 0), bool(cosines[2, k] < 0))


def canonical_view(array: Shaped[np.ndarray, "i j k"], geometry: Geometry) -> Shaped[np.ndarray, "x y z"]:
    """The array with its axes along right, anterior and superior, as a view.

    Args:
        array: voxels of the scan, axes in file order.
        geometry: the grid of ``array``.
    """
    order, flipped = _axis_order(geometry)
    step = tuple(slice(None, None, -1) if back else slice(None) for back in flipped)
    view: Shaped[np.ndarray, "x y z"] = array.transpose(order)[step]
    return view


def region_in_file(region: Region, geometry: Geometry) -> Region:
    """A region of ``canonical_view`` as a region of its array.

    Args:
        region: slices along right, anterior, superior.
        geometry: the grid of the array, axes in file order.
    """
    order, flipped = _axis_order(geometry)

    def along(axis: int) -> slice:
        position = order.index(axis)
        part, length = region[position], geometry.shape[axis]
        return slice(length - part.stop, length - part.start) if flipped[position] else part

    return along(0), along(1), along(2)


def canonical_geometry(geometry: Geometry) -> Geometry:
    """The grid of ``canonical_view``: the same voxels at the same places, indexed along right, anterior, superior."""
    order, flipped = _axis_order(geometry)
    if (order, flipped) == AS_STORED:
        return geometry
    shape = geometry.shape[order[0]], geometry.shape[order[1]], geometry.shape[order[2]]
    affine = geometry.affine.copy()
    affine[:3, :3] = geometry.affine[:3, order]
    for axis in range(3):
        if flipped[axis]:
            affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
            affine[:3, axis] *= -1
    return replace(geometry, shape=shape, affine=affine + 0.0)  # no negative zeros


def canonical_case(case: Case) -> Case:
    """The case in canonical orientation, with a memory layout that does not depend on how it was stored.

    Floating-point sums depend on the order in memory, so a fixed layout gives reproducible results. Arrays that have
    this layout are not copied.
    """
    image, labels = case.image, case.labels
    order, flipped = _axis_order(case.geometry)
    if image is not None:
        step = tuple(slice(None, None, -1) if back else slice(None) for back in flipped)
        image = _fortran_channels(image.transpose(0, *(1 + axis for axis in order))[:, *step])
    if labels is not None:
        labels = np.ascontiguousarray(canonical_view(labels, case.geometry))
    return replace(case, image=image, labels=labels, geometry=canonical_geometry(case.geometry))


def _fortran_channels(image: Float32[np.ndarray, "c x y z"]) -> Float32[np.ndarray, "c x y z"]:
    """The image with each channel in Fortran order, as in NIfTI files (x varies fastest)."""
    return np.ascontiguousarray(image.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1)
