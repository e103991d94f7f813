"""Any case seen along the patient's axes: x to the right, y to the front, z to the head.

Axes: i j k voxel axes in file order; x y z along right, anterior, superior.

The voxel axes are permuted and flipped, never resampled: an oblique scan is taken along the nearest patient axes. A
single slice keeps its third axis, of length 1; its two axes in the plane are ordered and flipped towards the nearest
patient axes. A picture whose place in the patient is unknown stays as it is. A view shares memory with its array, so
that what is written into the view is written into the array.
"""

from dataclasses import replace
from itertools import permutations

import numpy as np
from jaxtyping import Float32, Shaped

from medsmith.cases.case import Case
from medsmith.formats.volume import Region
from medsmith.geometry import Geometry

Turn = tuple[tuple[int, int, int], tuple[bool, bool, bool]]
"""Per canonical axis its voxel axis in the file, and whether it runs backwards there."""
AS_STORED: Turn = ((0, 1, 2), (False, False, False))


def _turn(geometry: Geometry) -> Turn:
    """The order and flips of the voxel axes that bring them nearest to the patient's.

    The largest sum of cosines decides, so that the answer does not depend on the order in which axes are stored.
    """
    if not geometry.spacing_known:
        return AS_STORED
    cosines = geometry.affine[:3, :3] / np.asarray(geometry.spacing)
    i, j, k = max(permutations(range(3)), key=lambda order: sum(abs(cosines[axis, order[axis]]) for axis in range(3)))
    if geometry.dimensions == 2:
        patient = {voxel: axis for axis, voxel in enumerate((i, j, k))}
        first, second = sorted((0, 1), key=lambda voxel: patient[voxel])
        backwards = [bool(cosines[patient[voxel], voxel] < 0) for voxel in (first, second)]
        return (first, second, 2), (backwards[0], backwards[1], False)
    return (i, j, k), (bool(cosines[0, i] < 0), bool(cosines[1, j] < 0), bool(cosines[2, k] < 0))


def canonical_view(array: Shaped[np.ndarray, "i j k"], geometry: Geometry) -> Shaped[np.ndarray, "x y z"]:
    """The array with its axes along right, anterior and superior, as a view.

    Args:
        array: voxels of the scan, axes in file order.
        geometry: the grid of ``array``.
    """
    order, backwards = _turn(geometry)
    step = tuple(slice(None, None, -1) if back else slice(None) for back in backwards)
    view: Shaped[np.ndarray, "x y z"] = array.transpose(order)[step]
    return view


def region_in_file(region: Region, geometry: Geometry) -> Region:
    """A region of ``canonical_view`` as a region of its array.

    Args:
        region: slices along right, anterior, superior.
        geometry: the grid of the array, axes in file order.
    """
    order, backwards = _turn(geometry)

    def along(axis: int) -> slice:
        place = order.index(axis)
        part, length = region[place], geometry.shape[axis]
        return slice(length - part.stop, length - part.start) if backwards[place] else part

    return along(0), along(1), along(2)


def canonical_geometry(geometry: Geometry) -> Geometry:
    """The grid of ``canonical_view``: the same voxels at the same places, indexed along right, anterior, superior."""
    order, backwards = _turn(geometry)
    if (order, backwards) == AS_STORED:
        return geometry
    shape = geometry.shape[order[0]], geometry.shape[order[1]], geometry.shape[order[2]]
    affine = geometry.affine.copy()
    affine[:3, :3] = geometry.affine[:3, order]
    for axis in range(3):
        if backwards[axis]:
            affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
            affine[:3, axis] *= -1
    return replace(geometry, shape=shape, affine=affine + 0.0)  # no negative zeros


def canonical_case(case: Case) -> Case:
    """The case along the patient's axes: true geometry, arrays laid out in memory alike however they were stored.

    Sums of floating-point numbers depend on their order in memory, so that one layout gives one result. What is laid
    out already is not copied.
    """
    image, labels = case.image, case.labels
    order, backwards = _turn(case.geometry)
    if image is not None:
        step = tuple(slice(None, None, -1) if back else slice(None) for back in backwards)
        image = _laid_out(image.transpose(0, *(1 + axis for axis in order))[:, *step])
    if labels is not None:
        labels = np.ascontiguousarray(canonical_view(labels, case.geometry))
    return replace(case, image=image, labels=labels, geometry=canonical_geometry(case.geometry))


def _laid_out(image: Float32[np.ndarray, "c x y z"]) -> Float32[np.ndarray, "c x y z"]:
    """Each channel as NIfTI files are, neighbours along x next to each other in memory."""
    return np.ascontiguousarray(image.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1)
