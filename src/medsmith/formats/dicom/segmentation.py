"""DICOM segmentations (PS3.3 A.51): binary, fractional and label maps, frame by frame onto the grid of their series.

Writers leave out empty frames, so a frame is placed by its position, never by its number.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from medsmith.errors import FileError, GeometryError
from medsmith.formats.dicom.decoding import make_decodable
from medsmith.formats.dicom.headers import COPY_AGAIN
from medsmith.formats.dicom.series import Series
from medsmith.formats.packages import quiet
from medsmith.geometry import BETWEEN_RAS_AND_LPS, Geometry

ON_GRID_MM = 0.01
"""Largest distance in mm between a frame's corner and the voxel that it is for; positions are decimal strings."""
_SHARED_CURE = "resample it to the series, or give the series that it was drawn on"
Masks = Iterator[tuple[int, Bool[np.ndarray, "x y z"]]]
Frame = tuple[int, int]
"""Index of a frame, and of its slice in the grid."""
_MISPLACED = (AttributeError, KeyError, TypeError, ValueError, IndexError, StopIteration, OverflowError)
"""What comes of frames whose place is missing, or holds something else than finite numbers."""


def read_segments(
    series: Series, grid: Geometry, numbers: Sequence[int], fraction: float
) -> tuple[Masks, tuple[str, ...]]:
    """The masks of some segments, one after the other, and notes.

    Args:
        series: of one segmentation file.
        grid: of its source series.
        numbers: of the segments.
        fraction: threshold for fractional segments.

    Raises:
        FileError: the file is damaged.
        GeometryError: a frame is off the grid.
    """
    with quiet():
        image = _open(series)
        frames = _frames_by_segment(image, grid, series.subject)
    kind = str(image.SegmentationType)
    notes = (f"fractional segments are taken from {fraction:g} on",) if kind == "FRACTIONAL" else ()
    return _masks(image, frames, grid, numbers, fraction, series), notes


def _open(series: Series) -> Any:
    from highdicom.seg import Segmentation
    from pydicom import dcmread

    header = series.first
    try:
        data = dcmread(header.path, force=True)
        make_decodable(data, header.place)
        data.SegmentationType  # noqa: B018  # which highdicom takes for granted
        return Segmentation.from_dataset(data, copy=False)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # highdicom and pydicom raise whatever a wrong value causes
        found = f"is no segmentation that can be read ({type(error).__name__})"
        raise FileError(header.place, found, cure=COPY_AGAIN) from None


def _frames_by_segment(image: Any, grid: Geometry, subject: str) -> dict[int, list[Frame]]:
    """Frames of each segment; those of a label map hold every segment and stand under 0."""
    shared = image.get("SharedFunctionalGroupsSequence") or [{}]
    frames: dict[int, list[Frame]] = defaultdict(list)
    try:
        groups = list(image.PerFrameFunctionalGroupsSequence)
        for index, group in enumerate(groups):
            both = (group, shared[0])
            position = _item(both, "PlanePositionSequence").ImagePositionPatient
            axes = _item(both, "PlaneOrientationSequence").ImageOrientationPatient
            spacing = _item(both, "PixelMeasuresSequence").PixelSpacing
            place = _slice_of(_plane(position, axes, spacing), (int(image.Columns), int(image.Rows)), grid, subject)
            known = group.get("SegmentIdentificationSequence") or shared[0].get("SegmentIdentificationSequence")
            frames[int(known[0].ReferencedSegmentNumber) if known else 0].append((index, place))
    except _MISPLACED as error:
        found = f"does not say where its frames lie ({type(error).__name__})"
        raise FileError(subject, found, "each frame has a position, axes and spacing", "export it again") from None
    return frames


def _item(groups: Sequence[Any], name: str) -> Any:
    return next(group.get(name) for group in groups if group.get(name))[0]


def _plane(position: Any, axes: Any, spacing: Any) -> Float64[np.ndarray, "4 3"]:
    """Columns along x and along y, and origin, of a frame in RAS+."""
    rows, columns = np.array(axes, dtype=np.float64).reshape(2, 3)
    plane = np.zeros((4, 3))
    plane[:3] = np.column_stack(
        [rows * float(spacing[1]), columns * float(spacing[0]), np.array(position, dtype=float)]
    )
    plane[:3] = BETWEEN_RAS_AND_LPS @ plane[:3]
    plane[3, 2] = 1
    return plane


def _slice_of(plane: Float64[np.ndarray, "4 3"], size: tuple[int, int], grid: Geometry, subject: str) -> int:
    """Index of the slice of the grid on which a frame lies.

    Raises:
        GeometryError: its corners are not those of a slice.
    """
    if size != grid.shape[:2]:
        found = f"frames of {size[0]} x {size[1]}, while the series has {grid.shape[0]} x {grid.shape[1]}"
        raise GeometryError(subject, found, "a segmentation has the grid of its series", _SHARED_CURE)
    index = np.linalg.solve(grid.affine, plane[:, 2])[:3]
    place = round(float(index[2]))
    corners = np.array(
        [[0, 0, 1], [size[0] - 1, 0, 1], [0, size[1] - 1, 1], [size[0] - 1, size[1] - 1, 1]], dtype=float
    )
    own = corners @ plane.T
    voxels = np.column_stack([corners[:, :2], np.full(4, place), np.ones(4)]) @ grid.affine.T
    off = float(np.linalg.norm((own - voxels)[:, :3], axis=1).max())
    if off > ON_GRID_MM or not 0 <= place < grid.shape[2]:
        found = (
            f"a frame lies {off:.3g} mm off the slices of its series"
            if off > ON_GRID_MM
            else "a frame lies beyond them"
        )
        raise GeometryError(subject, found, f"at most {ON_GRID_MM:g} mm", _SHARED_CURE)
    return place


def _masks(
    image: Any, frames: dict[int, list[Frame]], grid: Geometry, numbers: Sequence[int], fraction: float, series: Series
) -> Masks:
    if 0 in frames:
        yield from _masks_of_label_map(image, frames[0], grid, numbers, series)
        return
    most = float(image.get("MaximumFractionalValue") or 1)
    fractional = str(image.SegmentationType) == "FRACTIONAL"
    for number in numbers:
        mask = np.zeros(grid.shape[::-1], dtype=bool)  # z y x: a frame is one block of memory
        for index, place in frames.get(number, ()):
            pixels = _pixels(image, index, series)
            mask[place] |= pixels / most >= fraction if fractional else pixels > 0
        yield number, mask.transpose(2, 1, 0)


def _masks_of_label_map(
    image: Any, frames: Sequence[Frame], grid: Geometry, numbers: Sequence[int], series: Series
) -> Masks:
    """As ``_masks``; a frame holds every segment, and is decoded once."""
    if len({place for _, place in frames}) < len(frames):
        raise GeometryError(
            series.subject, "two frames lie on one slice", "one frame of a label map", "export it again"
        )
    values = np.zeros(grid.shape[::-1], dtype=np.uint16)
    for index, place in frames:
        values[place] = _pixels(image, index, series)
    for number in numbers:
        yield number, (values == number).transpose(2, 1, 0)


def _pixels(image: Any, index: int, series: Series) -> Shaped[np.ndarray, "y x"]:
    with quiet():
        try:
            pixels: Shaped[np.ndarray, "y x"] = image.get_stored_frame(index + 1)
        except MemoryError:
            raise
        except Exception as error:
            found = f"frame {index + 1} cannot be decoded ({type(error).__name__})"
            raise FileError(series.first.place, found, cure=COPY_AGAIN) from None
    return pixels
