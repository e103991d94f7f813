"""Converts between NIfTI header fields and a Geometry in mm, RAS+.

nifti1.h: sform is used where its code is set, else qform; "method 1" (voxel sizes alone) gives no orientation
and is used only with --assume-spacing.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from medsmith.errors import GeometryError
from medsmith.formats.nifti_header import Header
from medsmith.formats.volume import ReadOptions
from medsmith.geometry import Geometry

MIN_AXIS_VOXELS = 8
"""Minimum number of voxels along an axis."""
SPACINGS_MM = (0.05, 20.0)
_UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Code in the low three bits of xyzt_units -> mm: unknown (taken as mm), metre, mm, micrometre."""
_SHEAR = 1e-3
_FORMS_AGREE_MM = 0.01
_ASSUMED_CODE = 2
_HALF_TURN = 1e-7
_LONGEST_QUATERNION = 1.001
_LONGEST_AXIS = 32767
Affine = Float64[np.ndarray, "4 4"]
Grid = tuple[int, int, int]


def read_geometry(header: Header, shape: Grid, path: Path, options: ReadOptions) -> tuple[Geometry, tuple[str, ...]]:
    """The grid that a header describes, and notes on irregularities.

    Raises:
        GeometryError: no orientation, a sheared, singular or non-finite affine, an absurd spacing, or fewer
            than ``MIN_AXIS_VOXELS`` voxels along an axis.
    """
    check_shape(shape, path)
    codes = int(header.fields["sform_code"]), int(header.fields["qform_code"])
    _check_pixdim(header, path)
    affine, notes = _affine(header, codes, shape, path, options)
    affine, unit_notes = _in_mm(affine, int(header.fields["xyzt_units"]) & 7)
    check_affine(affine, shape, path)
    kept = codes if any(code > 0 for code in codes) else (_ASSUMED_CODE, _ASSUMED_CODE)
    return Geometry(shape, affine, kept), notes + unit_notes


def check_shape(shape: Grid, path: Path | str) -> None:
    """Checks the minimum grid size; a single slice along z is a 2-D image.

    Raises:
        GeometryError: an axis has fewer than ``MIN_AXIS_VOXELS`` voxels.
    """
    if min(shape[:2]) < MIN_AXIS_VOXELS or 1 < shape[2] < MIN_AXIS_VOXELS:
        found = f"{shape[0]} x {shape[1]} x {shape[2]} voxels"
        limit = f"at least {MIN_AXIS_VOXELS} along each axis, or a single slice along z"
        raise GeometryError(path, found, limit, "use a larger crop")


def _check_pixdim(header: Header, path: Path) -> None:
    for axis in range(min(3, len(header.shape))):
        size = float(header.fields["pixdim"][axis + 1])
        if not np.isfinite(size) or size <= 0:
            found = f"pixdim[{axis + 1}] = {size:g}"
            raise GeometryError(path, found, "voxel sizes are positive", "correct the header")


def _affine(
    header: Header, codes: tuple[int, int], shape: Grid, path: Path, options: ReadOptions
) -> tuple[Affine, tuple[str, ...]]:
    sform = np.asarray(header.fields.get_sform(), dtype=np.float64)
    if codes[0] > 0:
        return sform, _disagreement(sform, header, shape, path) if codes[1] > 0 else ()
    if codes[1] > 0:
        return _qform(header, path), ()
    sizes = np.array([header.fields["pixdim"][i] for i in (1, 2, 3)], dtype=np.float64)
    said = " x ".join(f"{size:g}" for size in sizes)
    if not options.assume_spacing:
        found = "sform and qform codes are 0: no orientation is given"
        raise GeometryError(path, found, f"voxel sizes {said} mm", "pass --assume-spacing to take these as R, A, S")
    return np.diag([*sizes, 1.0]), (f"no orientation: {said} mm along R, A, S assumed",)


def _qform(header: Header, path: Path) -> Affine:
    """The affine of a quaternion (nifti1.h, "method 2"; the limits are those of its nifti1_io.c)."""
    fields = header.fields
    vector = np.array([fields[name] for name in ("quatern_b", "quatern_c", "quatern_d")], dtype=np.float64)
    squared = float(vector @ vector)
    if not squared <= _LONGEST_QUATERNION:
        raise GeometryError(path, "the qform's quaternion is not a rotation", cure="correct the header")
    first = _first_component(vector)
    if first == 0:
        vector = vector / squared**0.5
    flip = -1.0 if fields["pixdim"][0] < 0 else 1.0
    sizes = np.array([fields["pixdim"][1], fields["pixdim"][2], flip * fields["pixdim"][3]], dtype=np.float64)
    affine = np.eye(4)
    affine[:3, :3] = _rotation(first, *vector) * sizes
    affine[:3, 3] = [fields[name] for name in ("qoffset_x", "qoffset_y", "qoffset_z")]
    return affine


def _first_component(vector: Float64[np.ndarray, "3"]) -> float:
    remainder = 1 - float(vector @ vector)
    return float(remainder**0.5) if remainder >= _HALF_TURN else 0.0


def _rotation(a: float, b: float, c: float, d: float) -> Float64[np.ndarray, "3 3"]:
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )


def _disagreement(sform: Affine, header: Header, shape: Grid, path: Path) -> tuple[str, ...]:
    qform = _qform(header, path)
    if not (np.isfinite(sform).all() and np.isfinite(qform).all()):
        return ()
    grid = Geometry(shape, sform)
    shift = grid.displacement(Geometry(shape, qform))
    extent = float(np.linalg.norm(np.ptp(grid.corners(), axis=0)))
    if shift <= _FORMS_AGREE_MM + extent * _quaternion_precision(header):
        return ()
    return (f"sform and qform disagree by {_angle(sform, qform):.2f} degrees and {shift:.3g} mm; sform is used",)


def _quaternion_precision(header: Header) -> float:
    """Rotation error of a qform in radians, from float32 precision.

    The first component is not stored: a = sqrt(1 - b^2 - c^2 - d^2) loses precision as a approaches 0 (180 degrees).
    """
    vector = [float(header.fields[name]) for name in ("quatern_b", "quatern_c", "quatern_d")]
    least: float = _HALF_TURN**0.5
    return 4 * float(np.finfo(np.float32).eps) / max(_first_component(np.array(vector)), least)


def _angle(one: Affine, other: Affine) -> float:
    """Largest angle in degrees between corresponding axes of two affines."""
    unit = [form[:3, :3] / np.maximum(np.linalg.norm(form[:3, :3], axis=0), 1e-12) for form in (one, other)]
    cosines = np.clip((unit[0] * unit[1]).sum(axis=0), -1, 1)
    return float(np.degrees(np.arccos(cosines)).max())


def _in_mm(affine: Affine, unit: int) -> tuple[Affine, tuple[str, ...]]:
    factor = _UNITS.get(unit)
    if factor is None:
        return affine, (f"the unit of length is {unit}, which means nothing; mm assumed",)
    if factor == 1.0:
        return affine, ()
    scaled = affine.copy()
    scaled[:3] *= factor
    return scaled, (f"lengths in {'metres' if unit == 1 else 'micrometres'} were converted to mm",)


def check_affine(affine: Affine, shape: Grid, path: Path | str) -> None:
    """Checks an affine to mm, RAS+.

    Raises:
        GeometryError: it is sheared, singular or not finite, or voxels are absurdly small or large.
    """
    if not np.isfinite(affine).all():
        raise GeometryError(path, "the affine has NaN or infinite numbers", cure="correct the header")
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if edges.min() == 0:
        axis = "xyz"[int(edges.argmin())]
        raise GeometryError(path, f"the affine has a zero column: no extent along {axis}", cure="correct the header")
    low, high = SPACINGS_MM
    for axis, edge, count in zip("xyz", edges, shape, strict=True):
        if count > 1 and not low <= edge <= high:
            cure = "correct the header's voxel sizes or units"
            raise GeometryError(path, f"voxels of {edge:g} mm along {axis}", f"{low} to {high:g} mm", cure)
    _check_shear(affine[:3, :3] / edges, path)


def _check_shear(axes: Float64[np.ndarray, "3 3"], path: Path | str) -> None:
    cosines = np.abs(axes.T @ axes - np.eye(3))
    if cosines.max() > _SHEAR:
        found = f"the axes are not at right angles (cosine {cosines.max():.3g}; a tilted gantry?)"
        raise GeometryError(path, found, f"at most {_SHEAR:g}", "correct the tilt, for example with dcm2niix")


def fill_geometry(fields: Any, geometry: Geometry, path: Path) -> None:
    """Writes a grid to a new NIfTI-1 header: sform and qform from one affine, codes kept, mm.

    Raises:
        GeometryError: an axis is longer than NIfTI-1 allows.
    """
    if max(geometry.shape) > _LONGEST_AXIS:
        raise GeometryError(path, f"shape {geometry.shape}", f"NIfTI-1 ends at {_LONGEST_AXIS}", "crop the image")
    fields.set_data_shape(geometry.shape)
    sform_code, qform_code = geometry.codes if any(geometry.codes) else (_ASSUMED_CODE, _ASSUMED_CODE)
    fields.set_qform(geometry.affine, code=qform_code)
    fields.set_sform(geometry.affine, code=sform_code)
    fields.set_xyzt_units("mm")
