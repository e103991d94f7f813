"""A structure on the grid of the image that it is pasted into: scaled, mirrored and deformed in millimeters.

Axes: c channels, x y z voxel axes of the template, u v w those of a crop of the donor, all canonical.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from scipy import ndimage

from medsmith.data.deformation import Deformation, DeformationConfig, draw_deformation
from medsmith.methods.copypaste.structures import Structure, Triple

_FURTHER = 1.3
"""Edge of the patch over that of the structure, scaled and turned, so that a deformed one is not cut."""
_HALF = 0.5
_COARSE = 25
"""Most voxels along an axis of the grid that displacements are drawn on."""
_LEVELS = (0.3, 0.7)
"""Range of the share of a voxel from which on it counts as of the structure."""


@final
@dataclass(frozen=True)
class Transform:
    """How a structure is changed.

    Attributes:
        scale: factor on its size.
        mirrored: whether left and right change places.
        config: how far it is deformed besides.
        seed: of the deformation.
    """

    scale: float
    mirrored: bool
    config: DeformationConfig
    seed: int


@final
@dataclass(frozen=True, eq=False)
class Patch:
    """A structure with its surroundings on the grid of a template.

    Attributes:
        labels: label values of the structure, 0 outside; voxels of which it has about half.
        around: voxels that show its surroundings.
        cut: whether a part of the structure lies outside the patch, and is missing.
        record: of the transform, for the provenance.
        sample: gives ``image``.
    """

    labels: UInt8[np.ndarray, "x y z"]
    around: Bool[np.ndarray, "x y z"]
    cut: bool
    record: Mapping[str, Any]
    sample: Callable[[], Float32[np.ndarray, "c x y z"]]

    @property
    def inside(self) -> Bool[np.ndarray, "x y z"]:
        """Voxels of the structure."""
        return self.labels > 0

    @cached_property
    def image(self) -> Float32[np.ndarray, "c x y z"]:
        """The donor's gray values, in stored units; they take the most time, and are needed only where it fits."""
        return self.sample()


def transformed(structure: Structure, transform: Transform, spacing: Triple, reach_mm: float) -> Patch:
    """A structure on another grid.

    Args:
        structure: of a donor.
        transform: how it is changed.
        spacing: of the template, mm.
        reach_mm: surroundings that the patch has around the structure.
    """
    shape = _shape(structure, transform, spacing, reach_mm)
    space = shape[:2] if structure.labels.shape[2] == 1 else shape
    axes = len(space)
    deformation, sources = _deformed(space, transform, spacing)
    ratio = (np.array(structure.facts.spacing) / spacing)[:axes]
    blur = _HALF * np.sqrt(np.maximum(1 / ratio / transform.scale, 1) ** 2 - 1)  # a coarser grid does not alias
    sources = _in_crop(sources, structure, transform, spacing)
    voxels = transform.scale**axes * np.prod(deformation.stretch) * (structure.labels > 0).sum() * np.prod(ratio)
    labels = _labels(structure, sources, blur, float(voxels))
    cut = any(labels.take(end, axis).any() for axis in range(axes) for end in (0, -1))
    near = _near(labels > 0, reach_mm, spacing)
    labels, sources = labels[near], sources[:, *near]
    around = _sampled(structure.around, sources, np.zeros(axes), order=1, outside=0.0) > _HALF
    grid = (*labels.shape, 1) if axes == 2 else labels.shape

    def sample() -> Float32[np.ndarray, "c x y z"]:
        channels = [_sampled(channel, sources, blur, order=3) for channel in structure.image]
        return np.stack(channels).reshape(len(channels), *grid)

    return Patch(
        labels=labels.reshape(grid),
        around=(around & (labels == 0)).reshape(grid),
        cut=cut,
        record={"scale": round(transform.scale, 4), "mirrored": transform.mirrored, **deformation.record},
        sample=sample,
    )


def _deformed(
    shape: tuple[int, ...], transform: Transform, spacing: Triple
) -> tuple[Deformation, Float64[np.ndarray, "d *space"]]:
    """A deformation, and where each voxel of the patch comes from, in voxels of the patch.

    Displacements are smooth on the scale of the patch, so that a coarse grid suffices to draw them.
    """
    coarse = tuple(min(count, _COARSE) for count in shape)
    steps = [(count - 1) / max(few - 1, 1) for count, few in zip(shape, coarse, strict=True)]
    voxel = [mm * step for mm, step in zip(spacing, steps, strict=False)]
    deformation = draw_deformation(coarse, transform.config, transform.seed, voxel)
    sources = np.stack([
        ndimage.zoom(axis * step, [count / few for count, few in zip(shape, coarse, strict=True)], order=1)
        for axis, step in zip(deformation.sources, steps, strict=True)
    ])  # fmt: skip
    return deformation, sources


def _near(inside: Bool[np.ndarray, "*space"], reach_mm: float, spacing: Triple) -> tuple[slice, ...]:
    """The box of a structure with a reach around it."""
    bounds = ndimage.find_objects(inside.astype(np.uint8))
    if not bounds:
        return (slice(None),) * inside.ndim
    return tuple(
        slice(max(part.start - int(np.ceil(reach_mm / mm)), 0), part.stop + int(np.ceil(reach_mm / mm)))
        for part, mm in zip(bounds[0], spacing, strict=False)
    )


def _shape(structure: Structure, transform: Transform, spacing: Triple, reach_mm: float) -> tuple[int, int, int]:
    """Voxels of the patch: odd, so that its center is that of a voxel; one along the third axis of a slice."""
    extent = np.array(structure.facts.extent) * transform.scale
    dimensions = 2 if structure.labels.shape[2] == 1 else 3
    turned = np.sin(np.deg2rad(min(2 * transform.config.rotation, 90)))
    others = np.array([np.delete(extent[:dimensions], axis).sum() for axis in range(dimensions)])
    edges = _FURTHER * (extent[:dimensions] + turned * others) + 2 * reach_mm
    counts = [2 * int(np.ceil(edge / mm / 2)) + 1 for edge, mm in zip(edges, spacing, strict=False)]
    x, y, z = (*counts, *[1] * (3 - dimensions))
    return x, y, z


def _in_crop(
    sources: Float64[np.ndarray, "d *space"], structure: Structure, transform: Transform, spacing: Triple
) -> Float64[np.ndarray, "d *space"]:
    """Places in the patch as places in the crop of the donor, in its voxels."""
    axes, shape = len(sources), np.array(sources.shape[1:])

    def column(values: object) -> Float64[np.ndarray, "d *ones"]:
        return np.asarray(values, np.float64)[:axes].reshape(-1, *[1] * axes)

    signs = np.array([-1.0 if transform.mirrored else 1.0, 1.0, 1.0])
    away_mm = (sources - column((shape - 1) / 2)) * column(spacing) * column(signs) / transform.scale
    return np.asarray(away_mm / column(structure.facts.spacing) + column(structure.facts.center))


def _sampled(
    volume: Float32[np.ndarray, "u v w"] | Bool[np.ndarray, "u v w"],
    sources: Float64[np.ndarray, "d *space"],
    blur: Float64[np.ndarray, "d"],
    *,
    order: Literal[1, 3],
    outside: float | None = None,
) -> Float32[np.ndarray, "*space"]:
    """A volume at the voxels of the patch, within its own range; from outside the crop, a value or the nearest."""
    values = np.asarray(volume[..., 0] if len(sources) == 2 else volume, np.float32)
    low, high = values.min(), values.max()
    smooth = ndimage.gaussian_filter(values, blur, mode="nearest") if blur.any() else values
    mode: Literal["nearest", "constant"] = "nearest" if outside is None else "constant"
    found = ndimage.map_coordinates(smooth, sources, order=order, mode=mode, cval=outside or 0.0)
    return np.asarray(np.clip(found, low, high), np.float32)


def _labels(
    structure: Structure, sources: Float64[np.ndarray, "d *space"], blur: Float64[np.ndarray, "d"], voxels: float
) -> UInt8[np.ndarray, "*space"]:
    """The label with the largest share of each voxel of which the structure has about half.

    Half of a smoothed share makes what is convex smaller, so the level is that of the wanted volume, within limits.

    Args:
        structure: of a donor.
        sources: in its crop.
        blur: deviation of the filter along each axis.
        voxels: volume of the structure on the grid.
    """
    values = sorted(structure.facts.labels)
    shares = np.stack([_sampled(structure.labels == value, sources, blur, order=1, outside=0.0) for value in values])
    labels: UInt8[np.ndarray, "*space"] = np.array(values, np.uint8)[shares.argmax(0)]
    whole = shares.sum(0)
    wanted = int(np.clip(round(voxels), 1, whole.size))
    level = np.clip(np.partition(whole.ravel(), -wanted)[-wanted], *_LEVELS)
    labels[whole < level] = 0
    return labels
