"""Random affine and elastic deformations of label maps, so that few maps give many.

Axes: ``*space`` = x y or x y z.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64, UInt8
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage
from scipy.spatial.transform import Rotation

Map = UInt8[np.ndarray, "*space"]


@final
class DeformationConfig(BaseModel):
    """How far a map is deformed; each amount is drawn from a normal distribution clipped at two deviations.

    Attributes:
        rotation: standard deviation of the angle about each axis, degrees.
        scale: of the logarithm of the size along each axis.
        shift: of the shift along each axis, as a share of the grid.
        elastic: of the displacement of a voxel, as a share of the grid.
        smoothness: standard deviation of the Gaussian that smooths displacements, as a share of the grid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rotation: float = Field(default=6.0, ge=0, le=45)
    scale: float = Field(default=0.06, ge=0, le=0.5)
    shift: float = Field(default=0.03, ge=0, le=0.5)
    elastic: float = Field(default=0.02, ge=0, le=0.2)
    smoothness: float = Field(default=0.12, gt=0, le=1)


@final
@dataclass(frozen=True, eq=False)
class Deformation:
    """A deformation of a grid, as the place that each of its voxels takes its value from.

    Attributes:
        sources: that place in voxels of the grid, one coordinate for each axis.
        rotation_degrees: angle about each axis, or the one in the plane; counted from a voxel to its source.
        stretch: factor by which what is on the grid grows along each axis.
        shift: mean way from a voxel to its source, as a share of the grid.
        elastic: largest displacement along any axis, as a share of the grid.
    """

    sources: Float64[np.ndarray, "d *space"]
    rotation_degrees: tuple[float, ...]
    stretch: tuple[float, ...]
    shift: tuple[float, ...]
    elastic: float

    def __call__(self, labels: Map) -> Map:
        """The deformed map; each voxel takes the nearest label, and voxels from outside the map are background."""
        return np.asarray(ndimage.map_coordinates(labels, self.sources, order=0, mode="constant", cval=0), np.uint8)

    @property
    def record(self) -> dict[str, Any]:
        """The amounts for the provenance, rounded."""
        several = {"rotation_degrees": self.rotation_degrees, "stretch": self.stretch, "shift": self.shift}
        rounded = {name: [round(value, 4) for value in values] for name, values in several.items()}
        return {**rounded, "elastic": round(self.elastic, 4)}


def draw_deformation(
    shape: tuple[int, ...], config: DeformationConfig, seed: int, voxel: Sequence[float]
) -> Deformation:
    """A random deformation of a grid.

    Args:
        shape: of the grid.
        config: how far.
        seed: of the amounts.
        voxel: edges of a voxel, in any unit, so that a rotation keeps shapes.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    sizes, dimensions = np.array(shape, dtype=np.float64), len(shape)
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float64) for n in shape], indexing="ij"))
    center = ((sizes - 1) / 2).reshape(-1, *[1] * dimensions)
    angles = _clipped(rng, (3,)) * config.rotation
    factors = np.exp(_clipped(rng, (dimensions,)) * config.scale)
    matrix = _rotation(angles, np.array(voxel, np.float64)) * factors
    turned = np.einsum("ij,j...->i...", matrix, grid - center)
    shift = _clipped(rng, (dimensions,)) * config.shift
    displacement = _displacement(shape, config, rng)
    reach = np.abs(displacement) / sizes.reshape(-1, *[1] * dimensions)
    return Deformation(
        sources=turned + center + (shift * sizes).reshape(-1, *[1] * dimensions) + displacement,
        rotation_degrees=tuple(float(angle) for angle in (angles if dimensions == 3 else angles[2:])),
        stretch=tuple(float(1 / factor) for factor in factors),
        shift=tuple(float(each) for each in shift),
        elastic=float(reach.max()),
    )


def _rotation(angles: Float64[np.ndarray, "3"], voxel: Float64[np.ndarray, "d"]) -> Float64[np.ndarray, "d d"]:
    """Rotation of indices by angles in degrees; in the plane, by the last of them alone."""
    dimensions = len(voxel)
    about = angles if dimensions == 3 else np.array([0.0, 0.0, angles[2]])
    rotation = Rotation.from_euler("xyz", about, degrees=True).as_matrix()[:dimensions, :dimensions]
    return np.asarray(rotation * voxel / voxel[:, None])


def _displacement(
    shape: tuple[int, ...], config: DeformationConfig, rng: np.random.Generator
) -> Float64[np.ndarray, "d *space"]:
    """Smooth noise along each axis with the wanted deviation."""
    fields = []
    for size in shape:
        noise = rng.standard_normal(shape)
        smooth = ndimage.gaussian_filter(noise, [config.smoothness * n for n in shape], mode="nearest")
        fields.append(smooth / max(smooth.std(), 1e-9) * config.elastic * size)
    return np.stack(fields)


def _clipped(rng: np.random.Generator, shape: tuple[int, ...]) -> Float64[np.ndarray, "..."]:
    return np.clip(rng.standard_normal(shape), -2, 2)
