"""Where a case lies for the viewer, and which place it shows first.

NiiVue draws what a NIfTI file says, so pictures, whose y runs down, get an affine that makes it draw them as they are.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64

from medsmith.cases.case import Case
from medsmith.cases.label_names import foreground_names
from medsmith.geometry import Geometry
from medsmith.reports.organs import is_lesion

_PLANES = ("sagittal", "coronal", "axial")
"""Planes across the patient's axes."""
_AS_DISPLAYED = np.diag([-1.0, -1.0, 1.0, 1.0])
"""In radiological display, x of this affine runs right and y down."""
Position = tuple[float, float, float]


def drawn_geometry(geometry: Geometry) -> Geometry:
    """The grid as it is embedded: that of a picture is turned so that x is drawn to the right and y down."""
    return geometry if geometry.spacing_known else replace(geometry, affine=_AS_DISPLAYED.copy())


def plane_of(geometry: Geometry) -> str:
    """The plane that a single slice lies in; "volume" for more than one slice."""
    if geometry.dimensions == 3:
        return "volume"
    if not geometry.spacing_known:
        return "axial"
    return _PLANES[int(np.abs(geometry.affine[:3, 2]).argmax())]


def position_of(geometry: Geometry, voxel: Float64[np.ndarray, " 3"]) -> Position:
    """The place of a voxel in the grid that is drawn, mm.

    Raises:
        ValueError: it is not finite.
    """
    place = drawn_geometry(geometry).affine[:3] @ np.append(voxel, 1.0)
    if not np.isfinite(place).all():
        raise ValueError("not a place in the grid")
    x, y, z = place
    return round(float(x), 3), round(float(y), 3), round(float(z), 3)


def focus_of(case: Case) -> Position:
    """The place that is shown first: in the lesions, else in the labels, else the middle of the grid, mm."""
    return position_of(case.geometry, _middle_of_labels(case) if case.labels is not None else _middle(case.geometry))


def _middle(geometry: Geometry) -> Float64[np.ndarray, " 3"]:
    return (np.array(geometry.shape, np.float64) - 1) / 2


def _middle_of_labels(case: Case) -> Float64[np.ndarray, " 3"]:
    labels, names = case.require_labels(), foreground_names(case.label_names)
    lesions = [case.label_names[name] for name in names if is_lesion(name)]
    found = np.isin(labels, lesions) if lesions else labels > 0
    if not found.any():
        found = labels > 0
    return _largest_slice_middle(found) if found.any() else _middle(case.geometry)


def _largest_slice_middle(found: Bool[np.ndarray, "x y z"]) -> Float64[np.ndarray, " 3"]:
    """The voxel nearest to the middle of the slice with most of them, so that it is one of them."""
    level = int(found.sum((0, 1)).argmax())
    inside = np.argwhere(found[:, :, level])
    nearest = inside[((inside - inside.mean(0)) ** 2).sum(1).argmin()]
    return np.array([*nearest, level], np.float64)
