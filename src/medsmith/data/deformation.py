"""Random affine and elastic deformations of label maps, so that few maps give many.

Axes: ``*space`` = x y or x y z.
"""

from collections.abc import Sequence
from typing import final

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


def deformed(labels: Map, config: DeformationConfig, seed: int, voxel: Sequence[float]) -> Map:
    """A deformed map; each voxel takes the nearest label, and voxels from outside the map are background.

    Args:
        labels: the map.
        config: how far.
        seed: of the amounts.
        voxel: edges of a voxel, in any unit, so that a rotation keeps shapes.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    sizes = np.array(labels.shape, dtype=np.float64)
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float64) for n in labels.shape], indexing="ij"))
    center = ((sizes - 1) / 2).reshape(-1, *[1] * labels.ndim)
    turned = np.einsum("ij,j...->i...", _matrix(np.array(voxel, np.float64), config, rng), grid - center)
    shift = (_clipped(rng, (labels.ndim,)) * config.shift * sizes).reshape(-1, *[1] * labels.ndim)
    source = turned + center + shift + _displacement(labels.shape, config, rng)
    return np.asarray(ndimage.map_coordinates(labels, source, order=0, mode="constant", cval=0), np.uint8)


def _matrix(
    voxel: Float64[np.ndarray, "d"], config: DeformationConfig, rng: np.random.Generator
) -> Float64[np.ndarray, "d d"]:
    """Rotation and scale of indices."""
    dimensions = len(voxel)
    angles = _clipped(rng, (3,)) * config.rotation
    if dimensions == 2:
        angles[:2] = 0
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()[:dimensions, :dimensions]
    rotation = rotation * voxel / voxel[:, None]
    return np.asarray(rotation * np.exp(_clipped(rng, (dimensions,)) * config.scale))


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
