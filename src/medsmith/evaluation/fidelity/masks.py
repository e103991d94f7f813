"""Size, position and shape of every label.

Measured on the grid common to both cohorts, because the discretization bias of a shape measure depends on resolution
(the solidity of a ball is .7 at a radius of 3 voxels and .9 at 12 voxels).
"""

from collections.abc import Mapping
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy import ndimage
from scipy.spatial import ConvexHull

from medsmith.evaluation.fidelity.statistic import Distance, Kind, Sampled, centered
from medsmith.evaluation.fidelity.views import View

_CORNERS = np.array(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5], indexing="ij")).reshape(3, -1).T


@final
class Measure:
    """Names of the measures of a label in one case; elongation and solidity are of its largest component."""

    SIZE = "share of the image (%)"
    DIAMETER = "equivalent diameter"
    COMPONENTS = "components"
    CENTER_X = "center, left to right (%)"
    CENTER_Y = "center, top to bottom (%)"
    CENTER_Z = "center, first to last slice (%)"
    BORDER = "on the image's border (% of its voxels)"
    ELONGATION = "elongation"
    SOLIDITY = "solidity"


def measure_label(view: View, label: int) -> Mapping[str, float] | None:
    """Size, position and shape of one label in one case; None if the case lacks the label.

    Equivalent diameter: of the disc or ball of equal area or volume, in the view's unit. Elongation: ratio of the
    longest to the shortest principal axis. Solidity: area or volume relative to the convex hull.
    """
    region = view.labels == label
    if not region.any():
        return None
    flat = region.shape[2] == 1
    parts, count = ndimage.label(region, structure=np.ones((3, 3, 3), dtype=bool))
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    center = 100 * (np.argwhere(region).mean(axis=0) + 0.5) / region.shape
    measures = {
        Measure.SIZE: 100 * float(region.mean()),
        Measure.DIAMETER: _equivalent_diameter(int(region.sum()), view.edges, flat),
        Measure.COMPONENTS: float(count),
        Measure.CENTER_X: float(center[0]),
        Measure.CENTER_Y: float(center[1]),
        Measure.BORDER: _percent_on_border(region, flat),
        Measure.ELONGATION: _elongation(largest, view.edges, flat),
        Measure.SOLIDITY: _solidity(largest, flat),
    }
    return measures if flat else measures | {Measure.CENTER_Z: float(center[2])}


def _equivalent_diameter(voxels: int, edges: tuple[float, float, float], flat: bool) -> float:
    if flat:
        return float(2 * np.sqrt(voxels * edges[0] * edges[1] / np.pi))
    return float(np.cbrt(6 * voxels * np.prod(edges) / np.pi))


def _percent_on_border(region: Bool[np.ndarray, "x y z"], flat: bool) -> float:
    """Percentage of the region's voxels on the image border."""
    inner = tuple(slice(1, -1) for _ in range(2 if flat else 3))
    return 100 * (1 - float(region[inner].sum()) / float(region.sum()))


def _elongation(region: Bool[np.ndarray, "x y z"], edges: tuple[float, float, float], flat: bool) -> float:
    """Square root of the ratio of the extreme variances of position; a voxel's extent adds edge^2 / 12 (Sheppard)."""
    axes = 2 if flat else 3
    positions = (np.argwhere(region) * edges)[:, :axes]
    offsets = positions - positions.mean(axis=0)
    spread = offsets.T @ offsets / len(offsets) + np.diag(np.square(edges[:axes])) / 12
    variances = np.linalg.eigvalsh(spread)
    return float(np.sqrt(variances[-1] / variances[0]))


def _solidity(region: Bool[np.ndarray, "x y z"], flat: bool) -> float:
    """Area or volume relative to that of the convex hull of the voxel corners."""
    axes = 2 if flat else 3
    surface = region & ~ndimage.binary_erosion(region, structure=np.ones((3, 3, 1 if flat else 3), dtype=bool))
    corners = (np.argwhere(surface)[:, None] + _CORNERS)[..., :axes].reshape(-1, axes)
    return float(region.sum() / ConvexHull(np.unique(corners, axis=0)).volume)


@final
class KolmogorovSmirnov:
    """Largest difference of the two cumulative distributions, 0 (equal) to 1 (disjoint), between subsets.

    Args:
        rows: the measure of all cases.
    """

    def __init__(self, rows: Float64[np.ndarray, "n 1"]) -> None:
        self._values = rows[:, 0]

    def __call__(self, of_x: Int[np.ndarray, "s i"], of_y: Int[np.ndarray, "s j"]) -> Sampled:
        """The distance and its infinitesimal jackknife, where the difference is largest, for every pair of subsets."""
        x, y = self._values[of_x], self._values[of_y]
        at, apart = _largest_difference(x, y)
        return Sampled(
            np.abs(apart),
            centered(np.sign(apart)[:, None] * (x <= at[:, None])) / max(x.shape[1] - 1, 1),
            centered(-np.sign(apart)[:, None] * (y <= at[:, None])) / max(y.shape[1] - 1, 1),
        )


def _largest_difference(
    x: Float64[np.ndarray, "s n"], y: Float64[np.ndarray, "s m"]
) -> tuple[Float64[np.ndarray, " s"], Float64[np.ndarray, " s"]]:
    """Where the cumulative distributions of x and y differ most, and by how much."""
    values = np.concatenate([x, y], axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    of_x = np.cumsum(order < x.shape[1], axis=1)
    of_y = np.arange(1, values.shape[1] + 1) - of_x
    apart = of_x / x.shape[1] - of_y / y.shape[1]
    # Equal values are counted all at once.
    apart[:, :-1][values[:, :-1] == values[:, 1:]] = 0
    largest = np.abs(apart).argmax(1)[:, None]
    return np.take_along_axis(values, largest, axis=1)[:, 0], np.take_along_axis(apart, largest, axis=1)[:, 0]


KOLMOGOROV_SMIRNOV = Distance("Kolmogorov-Smirnov", KolmogorovSmirnov, (0.0, 1.0), Kind.LARGEST)
