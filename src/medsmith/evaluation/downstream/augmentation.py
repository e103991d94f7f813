"""Strong augmentation of images and their label maps, for segmentation networks that have few real cases.

Axes: b cases, c channels, d directions, ``*space`` = x y or x y z. Coordinates run from -1 to 1 along each axis, so
that a shift of .15 moves an image by 7.5 % of its edge.
"""

import math
from collections.abc import Callable
from itertools import combinations
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate, one_hot

Images = Float[Tensor, "b c *space"]
Labels = Int64[Tensor, "b *space"]
Augment = Callable[[Images, Labels, torch.Generator], tuple[Images, Labels]]
"""(images, labels, generator) -> the same, changed at random."""


def mirroring(probability: float) -> Augment:
    """Flips of each case left to right, with a probability, and no other change."""

    def augment(images: Images, labels: Labels, rng: torch.Generator) -> tuple[Images, Labels]:
        return _flipped(images, labels, torch.rand(len(images), generator=rng) < probability)

    return augment


random_flip = mirroring(0.5)
"""Flips each case left to right with probability 1/2; the other flips are implausible in some modality."""


@final
class StrongAugmentation(BaseModel):
    """Strong augmentation; each case draws every change anew, uniformly between its bounds.

    Attributes:
        mirror: probability that a case is flipped left to right; 0 where the sides differ, as the heart's do.
        rotation: largest angle in degrees, either way; in volumes in each of the three planes.
        scale: largest factor, or its inverse.
        shift: largest shift along each axis.
        shear: largest shear along each axis.
        elastic: largest displacement of the points of a coarse grid along each axis; between them it is interpolated
            cubically.
        elastic_points: points of that grid along each axis.
        gray_share: probability that the gray values of a case are changed at all.
        gamma: largest exponent is e^gamma, the smallest its inverse; gray values then run from 0 to 1 in each case.
        contrast: largest factor on the distance to the mean is e^contrast.
        brightness: largest gray value that is added, as a share of the range of the case.
        noise: largest standard deviation of added noise, as a share of the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mirror: float = Field(default=0.0, ge=0, le=1)
    rotation: float = Field(default=20.0, ge=0, le=180)
    scale: float = Field(default=1.25, ge=1, le=4)
    shift: float = Field(default=0.15, ge=0, le=1)
    shear: float = Field(default=0.1, ge=0, le=1)
    elastic: float = Field(default=0.06, ge=0, le=0.5)
    elastic_points: int = Field(default=5, ge=2, le=32)
    gray_share: float = Field(default=1.0, ge=0, le=1)
    gamma: float = Field(default=0.4, ge=0, le=2)
    contrast: float = Field(default=0.25, ge=0, le=2)
    brightness: float = Field(default=0.1, ge=0, le=1)
    noise: float = Field(default=0.04, ge=0, le=1)

    def __call__(self, images: Images, labels: Labels, rng: torch.Generator) -> tuple[Images, Labels]:
        """Change a batch; image and labels move alike, and gray values beyond the edge repeat those at it.

        Args:
            images: at any scale of gray values.
            labels: class indices.
            rng: source of all that is drawn.
        """
        images, labels = _flipped(images, labels, torch.rand(len(images), generator=rng) < self.mirror)
        return self._moved(self._recolored(images, rng), labels, rng)

    def _moved(self, images: Images, labels: Labels, rng: torch.Generator) -> tuple[Images, Labels]:
        affine = self._affine(len(images), labels.ndim - 1, rng)
        places = affine_grid(affine, list(images.shape), align_corners=False)
        places = places + self._displacement(images.shape, rng)
        classes = one_hot(labels).movedim(-1, 1).to(images.dtype)
        moved = grid_sample(images, places, mode="bilinear", padding_mode="border", align_corners=False)
        shares = grid_sample(classes, places, mode="bilinear", padding_mode="border", align_corners=False)
        return moved, shares.argmax(dim=1)

    def _affine(self, count: int, dimensions: int, rng: torch.Generator) -> Float[Tensor, "b d e"]:
        planes = list(combinations(range(dimensions), 2))
        angles = _uniform(math.radians(self.rotation), len(planes) * count, rng).view(-1, count)
        zoom = torch.exp(_uniform(math.log(self.scale), count, rng))
        matrix = torch.eye(dimensions) * zoom[:, None, None]
        for plane, angle in zip(planes, angles, strict=True):
            matrix = matrix @ _turned(plane, angle, dimensions)
        sheared = torch.eye(dimensions).repeat(count, 1, 1)
        aside = ~torch.eye(dimensions, dtype=torch.bool)
        sheared[:, aside] = _uniform(self.shear, 2 * len(planes) * count, rng).view(-1, count).T
        shift = _uniform(self.shift, dimensions * count, rng).view(-1, count).T
        return torch.cat([matrix @ sheared, shift[:, :, None]], dim=2)

    def _displacement(self, shape: torch.Size, rng: torch.Generator) -> Float[Tensor, "b *space d"]:
        count, points, dimensions = shape[0], self.elastic_points, len(shape) - 2
        coarse = _uniform(self.elastic, count * dimensions * points**dimensions, rng)
        coarse = coarse.view(count, dimensions, *[points] * dimensions)
        return _refined(coarse, shape[2:]).movedim(1, -1)

    def _recolored(self, images: Images, rng: torch.Generator) -> Images:
        space = tuple(range(2, images.ndim))

        def drawn(most: float) -> Float[Tensor, "b ..."]:
            return _uniform(most, len(images), rng).view(-1, *[1] * (images.ndim - 1))

        low, high = images.amin(dim=space, keepdim=True), images.amax(dim=space, keepdim=True)
        spread = (high - low).clamp(min=1e-6)
        gray = ((images - low) / spread) ** torch.exp(drawn(self.gamma))
        mean = gray.mean(dim=space, keepdim=True)
        gray = mean + (gray - mean) * torch.exp(drawn(self.contrast)) + drawn(self.brightness)
        gray = gray + drawn(self.noise).abs() * torch.randn(gray.shape, generator=rng)
        changed = low + spread * gray
        if self.gray_share == 1:
            return changed
        chosen = torch.rand(len(images), generator=rng) < self.gray_share
        return torch.where(chosen.view(-1, *[1] * (images.ndim - 1)), changed, images)


def _turned(plane: tuple[int, int], angle: Float[Tensor, "b"], dimensions: int) -> Float[Tensor, "b d d"]:
    """Rotations in the plane of two axes."""
    first, second = plane
    matrix = torch.eye(dimensions).repeat(len(angle), 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = torch.cos(angle)
    matrix[:, first, second], matrix[:, second, first] = -torch.sin(angle), torch.sin(angle)
    return matrix


def _refined(coarse: Float[Tensor, "b d *points"], shape: torch.Size) -> Float[Tensor, "b d *space"]:
    """A coarse grid interpolated cubically; torch does so in two axes, so the third has a pass of its own."""
    fine = interpolate(coarse.flatten(1, -3), size=shape[-2:], mode="bicubic", align_corners=True)
    if len(shape) == 2:
        return fine
    fine = fine.view(*coarse.shape[:3], -1)
    fine = interpolate(fine, size=(shape[0], fine.shape[3]), mode="bicubic", align_corners=True)
    return fine.view(*coarse.shape[:2], *shape)


def _uniform(most: float, count: int, rng: torch.Generator) -> Float[Tensor, "n"]:
    """Numbers from -most to most."""
    return (2 * torch.rand(count, generator=rng) - 1) * most


def _flipped(images: Images, labels: Labels, chosen: Bool[Tensor, "b"]) -> tuple[Images, Labels]:
    images, labels = images.clone(), labels.clone()
    images[chosen] = images[chosen].flip(2)
    labels[chosen] = labels[chosen].flip(1)
    return images, labels
