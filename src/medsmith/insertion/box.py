"""The box that bounds a lesion."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import find_objects

from medsmith.formats.volume import Region

Index = tuple[int, int, int]


@final
@dataclass(frozen=True)
class Box:
    """A half-open box of voxels in canonical axes.

    Attributes:
        low: first voxel along right, anterior, superior.
        high: one past the last voxel.
    """

    low: Index
    high: Index

    def __post_init__(self) -> None:
        if any(high <= low for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"a box from {self.low} to {self.high} holds no voxel")

    @property
    def shape(self) -> Index:
        """Voxels along each axis."""
        return self.high[0] - self.low[0], self.high[1] - self.low[1], self.high[2] - self.low[2]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index of a canonical array."""
        return slice(self.low[0], self.high[0]), slice(self.low[1], self.high[1]), slice(self.low[2], self.high[2])

    @property
    def center(self) -> tuple[float, float, float]:
        """Its middle in voxel coordinates (the center of voxel i lies at i)."""
        first, second, third = ((low + high - 1) / 2 for low, high in zip(self.low, self.high, strict=True))
        return first, second, third

    def within(self, region: Region) -> "Box":
        """The same box in the voxels of a region, which it may leave."""
        starts = [part.start for part in region]
        low, high = ([place - start for place, start in zip(end, starts, strict=True)] for end in (self.low, self.high))
        return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def overlaps(self, other: "Box") -> bool:
        """Whether the two boxes share a voxel."""
        axes = zip(self.low, self.high, other.low, other.high, strict=True)
        return all(low < other_high and other_low < high for low, high, other_low, other_high in axes)


def bounding_box(mask: Bool[np.ndarray, "x y z"]) -> Box:
    """The bounds of a mask that is not empty."""
    x, y, z = find_objects(mask.astype(np.uint8))[0]
    return Box((x.start, y.start, z.start), (x.stop, y.stop, z.stop))


def intersection(first: Region, second: Region) -> tuple[Region, Region]:
    """The voxels that two regions share, as a part of the first and as a part of the second."""
    low = [max(a.start, b.start) for a, b in zip(first, second, strict=True)]
    high = [min(a.stop, b.stop) for a, b in zip(first, second, strict=True)]

    def part_of(region: Region) -> Region:
        x, y, z = (
            slice(start - part.start, stop - part.start) for start, stop, part in zip(low, high, region, strict=True)
        )
        return x, y, z

    return part_of(first), part_of(second)
