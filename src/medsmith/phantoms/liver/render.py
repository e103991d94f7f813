"""Rendering of a liver: the noise-free image and the share of every class in each voxel."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy.ndimage import label as connected

from medsmith.phantoms.canvas import blend, paint, ramp_mm
from medsmith.phantoms.liver.anatomy import LiverAnatomy
from medsmith.phantoms.liver.courses import CONTINUED_MM
from medsmith.phantoms.liver.organ import FIELD_MM
from medsmith.phantoms.liver.tumors import Tumor
from medsmith.phantoms.liver.veins import Tree
from medsmith.phantoms.solids import Tubes
from medsmith.phantoms.space import Field, Grid, Part, cover, stream
from medsmith.phantoms.tissue import Textures, plain, smooth_noise

CLASSES = ("liver", "portal_vein", "hepatic_vein", "tumor")
"""In the order of their label values, from 1."""
Shares = Float32[np.ndarray, "4 x y z"]
Labels = UInt8[np.ndarray, "x y z"]

SAMPLES = 96
"""Fewest samples along x."""
VEIN_MM = 1.35
"""Coarsest sample of the veins, along x and y."""
AXIS_SHARE = 0.25
"""Least share of a vein in a voxel on its axis that is labeled as the vein."""
TEXTURE_MM = (4.0, 12.0)
"""Knots of the textures."""
NEAR = np.ones((3, 3, 3), np.bool_)
"""Voxels that touch count as connected."""


def slices(size: int) -> int:
    """Voxels along z: 0.4 times those along x, rounded up to a multiple of 8 for networks that halve them thrice."""
    return 8 * int(np.ceil(size * 0.4 / 8))


def samples_per_voxel(size: int) -> int:
    """Samples along each edge of a voxel."""
    return int(np.ceil(SAMPLES / size))


@final
@dataclass(frozen=True, eq=False)
class Rendered:
    """A liver on the voxels of an image.

    Attributes:
        signal: noise-free, without the receive field.
        shares: of the classes in each voxel, in the order of `CLASSES`.
        labels: truth, 0 outside the liver and its vessels.
        tumors: share of each tumor in each voxel, before veins are painted over it.
    """

    signal: Field
    shares: Shares
    labels: Labels
    tumors: tuple[Field, ...]

    def volume_ml(self, share: Field) -> float:
        """Volume of a structure with this share of each voxel."""
        return float(share.sum(dtype=np.float64)) * float(np.prod(FIELD_MM)) / share.size / 1000


def render(anatomy: LiverAnatomy, size: int) -> Rendered:
    """Renders a liver on a grid of size x size x slices(size) voxels over the field of view."""
    factor = samples_per_voxel(size)
    shape = (size * factor, size * factor, slices(size) * factor)
    spacing = FIELD_MM[0] / shape[0]
    grid = Grid.over(anatomy.warp, anatomy.corner, shape, spacing, FIELD_MM[2] / shape[2] / spacing)
    textures = _textures(anatomy, grid)
    fat = plain(anatomy.levels["fat"], 0.15 * anatomy.levels["fat"])
    image = paint(grid, anatomy.layers, textures, fat, air=0.0).image
    shares, tumors = _paint_liver(anatomy, grid, textures, image)
    signal = _means(np.maximum(image, 0), factor)
    shares = np.stack([_means(share, factor) for share in shares])
    return Rendered(signal, shares, labels_of(anatomy, shares), tuple(_means(share, factor) for share in tumors))


def _textures(anatomy: LiverAnatomy, grid: Grid) -> Textures:
    rng = stream(anatomy.seed, "textures")
    fine, coarse = (smooth_noise(rng, grid, anatomy.corner, (k, k, k), FIELD_MM[0]) for k in TEXTURE_MM)
    return Textures(fine, coarse)


def _paint_liver(anatomy: LiverAnatomy, grid: Grid, textures: Textures, image: Field) -> tuple[Shares, list[Field]]:
    """Paints liver, tumors, then veins into the image, in place; the share of every class and tumor in each sample."""
    shares = np.zeros((len(CLASSES), *grid.shape), np.float32)
    level, width = np.float32(anatomy.levels["liver"]), ramp_mm(grid.spacing)
    nodular = np.float32(anatomy.shape.nodular)
    liver = anatomy.liver.distance(grid) - nodular * textures.coarse
    shares[0] = cover(liver, width)
    tissue = level * (1 + np.float32(0.025) * textures.fine + np.float32(0.02 + 0.015 * nodular) * textures.coarse)
    blend(image, tissue, shares[0])
    tumors = [_paint_tumor(tumor, grid, textures, liver, float(level), image) for tumor in anatomy.tumors]
    for share in tumors:
        _overlay(shares, 3, share)
    _paint_veins(anatomy, grid, textures, image, shares)
    return shares, tumors


def _paint_tumor(tumor: Tumor, grid: Grid, textures: Textures, liver: Field, level: float, image: Field) -> Field:
    """Paints the part of one tumor inside the liver, in place; its share of each sample.

    Args:
        tumor: to paint.
        grid: the samples.
        textures: on them.
        liver: distance to the liver's surface on them.
        level: signal of the liver.
        image: to paint on.
    """
    share, width = np.zeros(grid.shape, np.float32), ramp_mm(grid.spacing)
    reach = tumor.body.reach + 2 * width
    part = grid.part(tumor.body.center - reach, tumor.body.center + reach)
    if part is not None:
        distance = np.maximum(tumor.body.distance(grid.crop(part)), liver[part])
        share[part] = cover(distance, width)
        own = Textures(textures.fine[part], textures.coarse[part])
        blend(image[part], tumor.signal(distance, own, level), share[part])
    return share


def _overlay(shares: Shares, index: int, share: Field) -> None:
    """Puts a class over those below it, in place."""
    shares *= 1 - share
    shares[index] += share


def _paint_veins(anatomy: LiverAnatomy, grid: Grid, textures: Textures, image: Field, shares: Shares) -> None:
    """Paints both trees; the hepatic veins end in the cava, the label of the portal vein near the liver."""
    blood = np.float32(anatomy.levels["vessels"]) * (1 + np.float32(0.03) * textures.coarse)
    factor = int(np.ceil(grid.spacing / VEIN_MM))
    for name, index in (("portal", 1), ("hepatic", 2)):
        part, share = vein_share(anatomy.trees[name].tubes(), grid, factor)
        blend(image[part], blood[part], share)
        own = grid.crop(part)
        if name == "hepatic":
            kept = 1 - cover(anatomy.cava.distance(own), ramp_mm(grid.spacing))
        else:
            kept = anatomy.liver.distance(own) < np.float32(CONTINUED_MM)
        _overlay(shares[(slice(None), *part)], index, np.asarray(share * kept, np.float32))


def vein_share(tubes: Tubes, grid: Grid, factor: int) -> tuple[Part, Field]:
    """The samples that hold a tree, and its share of each: the mean over factor^3 finer samples."""
    solid = tubes.solid()
    part = grid.part(solid.low - 2 * max(grid.steps), solid.high + 2 * max(grid.steps))
    assert part is not None
    x, y, z = (
        (axis[cut][:, None] + (np.arange(factor) - (factor - 1) / 2) * (step / factor)).ravel()
        for axis, cut, step in zip(grid.axes, part, grid.steps, strict=True)
    )
    spacing = grid.spacing / factor
    # Tubes are in patient space: anatomical positions are not needed.
    fine = Grid((x, y, z), spacing, np.empty((3, 0, 0, 0), np.float32), stretch=grid.stretch)
    # No wider than a sample, since a wide ramp thickens thin tubes: by a twentieth of its square in radius^2.
    width = spacing
    return part, _means(cover(tubes.nearest(fine, width)[0], width), factor)


def _means(samples: Field, factor: int) -> Float32[np.ndarray, "u v w"]:
    """The mean over blocks of factor^3 samples."""
    x, y, z = samples.shape
    blocks = samples.reshape(x // factor, factor, y // factor, factor, z // factor, factor)
    # One axis at a time: strided sums over three axes at once are several times slower.
    means: Float32[np.ndarray, "u v w"] = blocks.mean(axis=5).mean(axis=3).mean(axis=1)
    return means


def labels_of(anatomy: LiverAnatomy, shares: Shares) -> Labels:
    """The class with the largest share of each voxel; veins are unbroken.

    A voxel on the axis of a vein belongs to it from a share of `AXIS_SHARE`. Twigs that are nevertheless cut off from
    their trunk, because they are thinner than the voxels, are left to the liver.
    """
    outside = 1 - shares.sum(axis=0)
    labels = _largest(outside, shares)
    for name, value in (("portal", 2), ("hepatic", 3)):
        tree = anatomy.trees[name]
        on_axis = _axis_voxels(anatomy, tree.axis_points(0.5)[0], labels.shape) & (shares[value - 1] >= AXIS_SHARE)
        np.copyto(labels, value, where=on_axis)
    for name, value in (("portal", 2), ("hepatic", 3)):
        vein = labels == value
        cut = vein & ~_with_trunk(anatomy, anatomy.trees[name], vein)
        rest = shares.copy()
        rest[value - 1] = 0
        labels[cut] = _largest(outside, rest)[cut]
    return labels


def _largest(outside: Field, shares: Shares) -> Labels:
    return np.asarray(np.argmax(np.concatenate([outside[None], shares]), axis=0), np.uint8)


def _axis_voxels(anatomy: LiverAnatomy, points: np.ndarray, shape: tuple[int, ...]) -> Bool[np.ndarray, "x y z"]:
    """The voxels that hold points in patient mm."""
    voxels = np.floor((points - anatomy.corner) / (np.array(FIELD_MM) / shape)).astype(np.int64)
    x, y, z = voxels[((voxels >= 0) & (voxels < shape)).all(axis=1)].T
    found = np.zeros(shape, np.bool_)
    found[x, y, z] = True
    return found


def _with_trunk(anatomy: LiverAnatomy, tree: Tree, vein: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """The components of a vein that hold most of one of its trunks each."""
    components, _ = connected(vein, NEAR)
    kept = np.zeros(vein.shape, np.bool_)
    for points in tree.trunks():
        on = components[_axis_voxels(anatomy, points, vein.shape)]
        counts = np.bincount(on[on > 0])
        if counts.size:
            kept |= components == int(np.argmax(counts))
    return kept
