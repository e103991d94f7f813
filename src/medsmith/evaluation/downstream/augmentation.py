"""Strong augmentation of slices and their label maps, for segmentation networks that have few real cases.

Axes: b cases, c channels, x y space. Coordinates run from -1 to 1 along each axis, so that a shift of .15 moves a slice
by 7.5 % of its edge.
"""

import math
from collections.abc import Callable
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


def random_flip(images: Images, labels: Labels, rng: torch.Generator) -> tuple[Images, Labels]:
    """Flip each case left to right with probability 1/2; the other flips are implausible in some modality."""
    return _flipped(images, labels, torch.rand(len(images), generator=rng) < 0.5)


@final
class StrongAugmentation(BaseModel):
    """Strong augmentation; each case draws every change anew, uniformly between its bounds.

    Attributes:
        mirror: probability that a case is flipped left to right; 0 where the sides differ, as the heart's do.
        rotation: largest angle in degrees, either way.
        scale: largest factor, or its inverse.
        shift: largest shift along each axis.
        shear: largest shear along each axis.
        elastic: largest displacement of the points of a coarse grid along each axis; between them it is interpolated
            bicubically.
        elastic_points: points of that grid along each axis.
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
    gamma: float = Field(default=0.4, ge=0, le=2)
    contrast: float = Field(default=0.25, ge=0, le=2)
    brightness: float = Field(default=0.1, ge=0, le=1)
    noise: float = Field(default=0.04, ge=0, le=1)

    def __call__(self, images: Images, labels: Labels, rng: torch.Generator) -> tuple[Images, Labels]:
        """Change a batch; image and labels move alike, and gray values beyond the edge repeat those at it.

        Args:
            images: of slices, at any scale of gray values.
            labels: class indices.
            rng: source of all that is drawn.

        Raises:
            ValueError: volumes.
        """
        if images.ndim != 4:
            raise ValueError(f"strong augmentation is for slices, not for arrays of shape {tuple(images.shape)}")
        images, labels = _flipped(images, labels, torch.rand(len(images), generator=rng) < self.mirror)
        return self._moved(self._recolored(images, rng), labels, rng)

    def _moved(
        self, images: Float[Tensor, "b c x y"], labels: Int64[Tensor, "b x y"], rng: torch.Generator
    ) -> tuple[Float[Tensor, "b c x y"], Int64[Tensor, "b x y"]]:
        places = affine_grid(self._affine(len(images), rng), list(images.shape), align_corners=False)
        places = places + self._displacement(images.shape, rng)
        classes = one_hot(labels).movedim(-1, 1).to(images.dtype)
        moved = grid_sample(images, places, mode="bilinear", padding_mode="border", align_corners=False)
        shares = grid_sample(classes, places, mode="bilinear", padding_mode="border", align_corners=False)
        return moved, shares.argmax(dim=1)

    def _affine(self, count: int, rng: torch.Generator) -> Float[Tensor, "b 2 3"]:
        angle = _uniform(math.radians(self.rotation), count, rng)
        zoom = torch.exp(_uniform(math.log(self.scale), count, rng))
        shear, shift = (_uniform(most, 2 * count, rng).view(2, count) for most in (self.shear, self.shift))
        cosine, sine, one = torch.cos(angle), torch.sin(angle), torch.ones(count)
        turned = torch.stack([cosine, -sine, sine, cosine], dim=-1).view(count, 2, 2) * zoom[:, None, None]
        sheared = torch.stack([one, shear[0], shear[1], one], dim=-1).view(count, 2, 2)
        return torch.cat([turned @ sheared, shift.T[:, :, None]], dim=2)

    def _displacement(self, shape: torch.Size, rng: torch.Generator) -> Float[Tensor, "b x y 2"]:
        count, points = shape[0], self.elastic_points
        coarse = _uniform(self.elastic, count * 2 * points**2, rng).view(count, 2, points, points)
        return interpolate(coarse, size=shape[2:], mode="bicubic", align_corners=True).movedim(1, -1)

    def _recolored(self, images: Float[Tensor, "b c x y"], rng: torch.Generator) -> Float[Tensor, "b c x y"]:
        def drawn(most: float) -> Float[Tensor, "b 1 1 1"]:
            return _uniform(most, len(images), rng)[:, None, None, None]

        low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
        spread = (high - low).clamp(min=1e-6)
        gray = ((images - low) / spread) ** torch.exp(drawn(self.gamma))
        mean = gray.mean(dim=(2, 3), keepdim=True)
        gray = mean + (gray - mean) * torch.exp(drawn(self.contrast)) + drawn(self.brightness)
        gray = gray + drawn(self.noise).abs() * torch.randn(gray.shape, generator=rng)
        return low + spread * gray


def _uniform(most: float, count: int, rng: torch.Generator) -> Float[Tensor, "n"]:
    """Numbers from -most to most."""
    return (2 * torch.rand(count, generator=rng) - 1) * most


def _flipped(images: Images, labels: Labels, chosen: Bool[Tensor, "b"]) -> tuple[Images, Labels]:
    images, labels = images.clone(), labels.clone()
    images[chosen] = images[chosen].flip(2)
    labels[chosen] = labels[chosen].flip(1)
    return images, labels
