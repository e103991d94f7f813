"""Pixel sizes of images that are not placed in the patient: radiographs, mammograms, ultrasound."""

import math
from typing import Any

_PLANE, _CENTIMETERS = 1, 3
"""Codes of RegionSpatialFormat (two-dimensional) and of PhysicalUnits (PS3.3 C.8.5.5.1)."""
_AT_DETECTOR = "pixel sizes are those at the detector (ImagerPixelSpacing), without magnification"
_SEVERAL_SCALES = "its ultrasound regions have several scales: pixel sizes are not taken"


def pixel_spacing(data: Any) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Pixel sizes in mm along x (columns) and y (rows), None where none are stated, and notes on where they are from.

    Args:
        data: a pydicom dataset; of its attributes PixelSpacing comes first, then ImagerPixelSpacing, then the regions
            of an ultrasound image.
    """
    for name, notes in (("PixelSpacing", ()), ("ImagerPixelSpacing", (_AT_DETECTOR,))):
        sizes = [float(size) for size in data.get(name) or ()]
        if len(sizes) == 2 and _are_sizes(*sizes):
            return (sizes[1], sizes[0]), notes
    scales = {
        (round(10 * abs(float(region.PhysicalDeltaX)), 6), round(10 * abs(float(region.PhysicalDeltaY)), 6))
        for region in data.get("SequenceOfUltrasoundRegions") or ()
        if _is_measured_plane(region)
    }
    known = sorted(scale for scale in scales if _are_sizes(*scale))
    if len(known) > 1:
        return None, (_SEVERAL_SCALES,)
    return (known[0] if known else None), ()


def _is_measured_plane(region: Any) -> bool:
    units = [region.get(f"PhysicalUnits{axis}Direction") for axis in "XY"]
    deltas = [region.get(f"PhysicalDelta{axis}") for axis in "XY"]
    return region.get("RegionSpatialFormat") == _PLANE and units == [_CENTIMETERS] * 2 and None not in deltas


def _are_sizes(*sizes: float) -> bool:
    return all(math.isfinite(size) and size > 0 for size in sizes)
