"""Segmentations of 3D Slicer (.seg.nrrd): segments with names, in layers that may overlap.

Fields as of Slicer 5: ``SegmentN_Name``, ``SegmentN_Layer``, ``SegmentN_LabelValue``, ``SegmentN_Extent``; before 4.11
every segment had a layer of its own. The array may be cropped to the segments: ``on_grid`` restores the scan's grid.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Shaped, UInt8

from medsmith.errors import ContentError, FileError, GeometryError
from medsmith.formats.raw_header import RawHeader
from medsmith.formats.volume import LabelFile
from medsmith.geometry import Geometry

_NAME = re.compile(r"Segment(\d+)_Name")
_MOST_LABELS = 255
_ON_GRID_MM = 1e-3


@final
@dataclass(frozen=True)
class Segment:
    """One segment: its name, and the layer and value that its voxels have."""

    name: str
    layer: int
    value: int


def segments_of(header: RawHeader) -> tuple[Segment, ...]:
    """The segments that a header names, in its order.

    Raises:
        FileError: it names none, or more than a label map can hold.
    """
    fields = header.fields
    places = sorted(int(match[1]) for key in fields if (match := _NAME.fullmatch(key)))
    if not 0 < len(places) <= _MOST_LABELS:
        raise FileError(header.path, f"{len(places)} segments", f"1 to {_MOST_LABELS}", "save it from 3D Slicer")
    shared = any(f"Segment{place}_Layer" in fields for place in places)
    rows = (
        (fields[f"Segment{place}_Name"], fields.get(f"Segment{place}_Layer", "0" if shared else str(index)),
         fields.get(f"Segment{place}_LabelValue", "1"))
        for index, place in enumerate(places)
    )  # fmt: skip
    segments = tuple(Segment(name.strip(), *map(_whole, numbers)) for name, *numbers in rows)
    if any(not 0 <= one.layer < header.components or one.value < 1 for one in segments):
        found = "a segment has a layer or a value that the array has not"
        raise FileError(header.path, found, f"layers 0 to {header.components - 1}", "save it from 3D Slicer")
    return segments


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def joined_segments(
    layers: Shaped[np.ndarray, "x y z c"], segments: Sequence[Segment], names: Sequence[str], path: Path
) -> UInt8[np.ndarray, "x y z"]:
    """One label map of the segments that are named, as labels 1, 2, ... in the order of the names.

    Args:
        layers: the array.
        segments: in it.
        names: of the segments to take, in upper or lower case, or their numbers from 1; () takes all in their order.
        path: of the file, for the message.

    Raises:
        ContentError: two segments share a name or a voxel.
    """
    labels = np.zeros(layers.shape[:3], dtype=np.uint8)
    for label, segment in _numbered(segments, names, path):
        mask = layers[..., segment.layer] == segment.value
        if clash := int((mask & (labels > 0)).sum()):
            found = f"segment {label} shares {clash} voxels with an earlier one"
            raise ContentError(path, found, "a voxel has one label", "choose segments with --label NAME=SEGMENT")
        labels[mask] = label
    return labels


def _numbered(segments: Sequence[Segment], names: Sequence[str], path: Path) -> list[tuple[int, Segment]]:
    if not names:
        return list(enumerate(segments, start=1))
    chosen = []
    for label, name in enumerate(names, start=1):
        fitting = [one for one in segments if one.name.casefold() == name.strip().casefold()]
        if not fitting and name.isdecimal():
            fitting = list(segments[int(name) - 1 : int(name)]) if int(name) else []
        if len(fitting) > 1:
            raise ContentError(
                path, f"{len(fitting)} segments are called {name}", "one", "rename them, or choose by number"
            )
        chosen += [(label, one) for one in fitting]
    return chosen


def on_grid(labels: LabelFile, grid: Geometry, path: Path) -> LabelFile:
    """A cropped segmentation on the grid of its scan; one that covers this grid is returned as it is.

    Raises:
        GeometryError: the two grids do not share their voxels, or labeled voxels lie outside.
    """
    if labels.geometry.shape == grid.shape:
        return labels
    own = labels.geometry
    first = np.linalg.solve(grid.affine, own.affine[:, 3])[:3]
    start = np.rint(first).astype(int)
    moved = grid.affine.copy()
    moved[:3, 3] = (grid.affine @ [*start, 1])[:3]
    shift = own.displacement(Geometry(own.shape, moved))
    if shift > _ON_GRID_MM:
        found = f"its voxels lie {shift:.4g} mm off those of the image"
        raise GeometryError(path, found, f"at most {_ON_GRID_MM:g} mm", "resample it to the image in 3D Slicer")
    low, high = np.maximum(start, 0), np.minimum(start + own.shape, grid.shape)
    part = tuple(slice(a, b) for a, b in zip(low - start, np.maximum(high, low) - start, strict=True))
    if np.count_nonzero(labels.values[part]) < np.count_nonzero(labels.values):
        raise GeometryError(path, "labeled voxels lie outside the image", "all lie inside", "is it of another scan?")
    whole = np.zeros(grid.shape, dtype=np.uint8)
    whole[tuple(slice(a, b) for a, b in zip(low, np.maximum(high, low), strict=True))] = labels.values[part]
    return LabelFile(whole, grid, labels.notes)
