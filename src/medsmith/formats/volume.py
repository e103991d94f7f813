"""Options and results of reading single files."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.errors import GeometryError
from medsmith.geometry import Geometry

Region = tuple[slice, slice, slice]
"""Part of a grid: one slice per axis, with start and stop inside the grid."""
SYNTHETIC_MARK = "synthetic, not for diagnosis (medsmith)"
"""Written into every synthetic image and label file."""


@final
@dataclass(frozen=True)
class ReadOptions:
    """How to handle missing or ambiguous information in a file.

    Attributes:
        assume_spacing: take the voxel sizes as stored and the axes as R, A, S where the file gives no
            orientation.
        volume: the volume to take of a four-dimensional file, counted from 0.
        nan_fill: replacement for NaN and infinite voxels; None refuses them.
        gray_of_color: read the luminance of pictures in color, instead of refusing them; never of label maps.
        segments: labels of the segments of a ``.seg.nrrd`` that become 1, 2, ... in this order; () takes the values.
    """

    assume_spacing: bool = False
    volume: int | None = None
    nan_fill: float | None = None
    gray_of_color: bool = False
    segments: tuple[str, ...] = ()


def check_only_volume(volume: int | None, subject: object) -> None:
    """Checks that of what has one volume no other is asked for.

    Args:
        volume: the one asked for, counted from 0; None takes the only one.
        subject: what has one volume.

    Raises:
        GeometryError: another is asked for.
    """
    if volume:
        cure = "leave out --volume, or prepare scans of several volumes apart"
        raise GeometryError(subject, f"has one volume, not volume {volume}", "volumes are counted from 0", cure)


@final
@dataclass(frozen=True, eq=False)
class ImageFile:
    """One channel as read.

    Attributes:
        values: x y z in stored units, rescaled by the file's slope and intercept.
        geometry: its grid in the patient.
        stored: the dtype on disk.
        notes: one line per accepted irregularity.
    """

    values: Float32[np.ndarray, "x y z"]
    geometry: Geometry
    stored: np.dtype[Any]
    notes: tuple[str, ...] = ()


@final
@dataclass(frozen=True, eq=False)
class LabelFile:
    """A label map as read: whole numbers from 0 to 255, never interpolated.

    Attributes:
        values: x y z.
        geometry: its grid in the patient.
        notes: one line per accepted irregularity.
    """

    values: UInt8[np.ndarray, "x y z"]
    geometry: Geometry
    notes: tuple[str, ...] = ()
