"""The one grid on which a study shows every image.

Where the images of both cohorts already lie on one grid, nothing is resampled. Otherwise all of them are downsampled,
the smallest ones too: an image that keeps its pixels among images that lost theirs would look sharper, and an image
that was enlarged would look smoother.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32

from medsmith.data.resizing import resize
from medsmith.errors import CohortError, RequestError
from medsmith.evaluation.reader_study.plan import DEFAULT_SLICES, StudyPlan
from medsmith.geometry import Geometry

LEAST_EDGE = 32
_EDGE_OF_IMAGES, _EDGE_OF_STACKS = 512, 256
_SHRINK = 0.8
"""Share of the pixels of the smallest image that is left where grids differ: enough to filter every image."""
Triple = tuple[float, float, float]


@final
@dataclass(frozen=True)
class Grid:
    """A common field of view and its pixels.

    Attributes:
        extent: of the field of view along x, y, z; mm, or shares of the shorter edge where no voxel size is stored.
        shape: pixels along x, y, z.
        in_millimeters: the unit of ``extent``.
        resampled: whether images are resampled, or only cropped.
    """

    extent: Triple
    shape: tuple[int, int, int]
    in_millimeters: bool
    resampled: bool

    @property
    def description(self) -> str:
        """One line for the key file and the report."""
        unit = "mm" if self.in_millimeters else "shorter edges"
        pixels, lengths = " x ".join(map(str, self.shape)), " x ".join(f"{length:.4g}" for length in self.extent)
        filtered = "every image downsampled by one antialiased linear filter" if self.resampled else "not resampled"
        return f"{pixels} pixels over {lengths} {unit} about the center; {filtered}"

    def crop(self, image: Float32[np.ndarray, "x y z"], geometry: Geometry, level: int) -> Float32[np.ndarray, "u v w"]:
        """The image on this grid.

        Args:
            image: in canonical orientation.
            geometry: its grid.
            level: index along z of the slice in the middle of the stack, as far as the image reaches.
        """
        counts = _voxels(self.extent, geometry)
        centers = (image.shape[0] // 2, image.shape[1] // 2, level)
        starts = [
            min(max(center - count // 2, 0), edge - count)
            for center, count, edge in zip(centers, counts, image.shape, strict=True)
        ]
        part = image[tuple(slice(start, start + count) for start, count in zip(starts, counts, strict=True))]
        return resize(part, self.shape)


def common_grid(geometries: Sequence[Geometry], plan: StudyPlan) -> Grid:
    """The largest field of view that every image covers.

    Args:
        geometries: grids of all images shown, canonical.
        plan: for the number of slices and the largest edge.

    Raises:
        CohortError: the images share less than ``LEAST_EDGE`` pixels.
        RequestError: ``size`` is below that.
    """
    spacings = [_spacing(geometry) for geometry in geometries]
    lengths = np.array([np.multiply(g.shape, s) for g, s in zip(geometries, spacings, strict=True)])
    x, y, depth = (float(length) for length in lengths.min(axis=0))
    slices = plan.slices if plan.slices is not None else DEFAULT_SLICES
    thickest = max(spacing[2] for spacing in spacings)
    extent = (x, y, min(depth, slices * thickest))
    counts = np.array([_voxels(extent, geometry) for geometry in geometries])
    levels = int(counts[:, 2].min())
    cap = plan.size or (_EDGE_OF_IMAGES if levels == 1 else _EDGE_OF_STACKS)
    if cap < LEAST_EDGE:
        raise RequestError("--size", f"{cap} pixels", f"at least {LEAST_EDGE}", "show more")
    uniform = bool((counts[:, :2] == counts[0, :2]).all()) and int(counts[0, :2].max()) <= cap
    width, height = (int(edge) for edge in counts[0, :2]) if uniform else _reduced(extent, counts, cap)
    if min(width, height) < LEAST_EDGE:
        found = f"the smallest image leaves {width} x {height} pixels"
        raise CohortError("study", found, f"at least {LEAST_EDGE} x {LEAST_EDGE}", "leave the small images out")
    resampled = not uniform or bool((counts[:, 2] != levels).any())
    return Grid(extent, (width, height, levels), all(g.spacing_known for g in geometries), resampled)


def _reduced(extent: Triple, counts: np.ndarray, cap: int) -> tuple[int, int]:
    """Square pixels, larger than those of every image."""
    edge = max(length / (_SHRINK * count) for length, count in zip(extent[:2], counts[:, :2].min(axis=0), strict=True))
    edge = max(edge, max(extent[:2]) / cap)
    return max(1, round(extent[0] / edge)), max(1, round(extent[1] / edge))


def _spacing(geometry: Geometry) -> Triple:
    """Voxel edges in mm, or in shares of the shorter edge where none are stored."""
    if geometry.spacing_known:
        return geometry.spacing
    pixel = 1 / min(geometry.shape[:2])
    return pixel, pixel, 1.0


def _voxels(extent: Triple, geometry: Geometry) -> tuple[int, int, int]:
    """How many voxels of an image the field of view takes along each axis."""
    x, y, z = (
        min(max(1, round(length / spacing)), edge)
        for length, spacing, edge in zip(extent, _spacing(geometry), geometry.shape, strict=True)
    )
    return x, y, z
