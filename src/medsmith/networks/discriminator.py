"""Patch discriminators of images (Isola et al. 2017): one of planes and, in 3-D, one of volumes too."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Float32
from monai.networks.nets import PatchDiscriminator
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from medsmith.networks.limits import MOST_CHANNELS, MOST_LEVELS

_GROUPS = 8


@final
class DiscriminatorConfig(BaseModel):
    """Shape of both discriminators.

    Attributes:
        channels: width of the first convolution; doubled by each later one.
        layers: convolutions between the first and the last; all but the last of them halve the grid. An image needs
            3 * 2**layers voxels along each axis.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(default=64, ge=_GROUPS // 2, le=MOST_CHANNELS, multiple_of=_GROUPS // 2)
    layers: int = Field(default=3, ge=1, le=MOST_LEVELS)

    @property
    def smallest(self) -> int:
        """Smallest number of voxels along each axis of an image."""
        return int(3 * 2**self.layers)


@final
@dataclass(frozen=True)
class Plane:
    """One plane of each image of a batch: a slice of a volume, or the whole of a 2-D image.

    Attributes:
        axis: of space, 0 to 2, normal to the planes; None in 2-D.
        indices: of the planes along that axis, one per volume; empty in 2-D.
    """

    axis: int | None
    indices: tuple[int, ...]

    @classmethod
    def sample(cls, batch: torch.Size, rng: torch.Generator) -> "Plane":
        """A random axis for the batch and a random index for each volume; in 2-D nothing is sampled.

        Args:
            batch: shape b c *space.
            rng: source of randomness, on the CPU.
        """
        if len(batch) == 4:
            return cls(None, ())
        axis = int(torch.randint(3, (), generator=rng))
        return cls(axis, tuple(torch.randint(batch[2 + axis], (batch[0],), generator=rng).tolist()))

    def of(self, images: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c u v"]:
        """These planes of a batch of images."""
        if self.axis is None:
            return images
        return torch.stack(
            [image.select(1 + self.axis, index) for image, index in zip(images, self.indices, strict=True)]
        )


@final
class Discriminators(nn.Module):
    """A discriminator of planes and, in 3-D, one of volumes; a high logit means a real image.

    They use group normalization in place of the released code's batch normalization, whose statistics are unreliable
    at one or two volumes per batch.

    Args:
        config: shape of both.
        dimensions: of the images, 2 or 3.
        channels: of the images.
    """

    def __init__(self, config: DiscriminatorConfig, dimensions: int = 3, channels: int = 1) -> None:
        super().__init__()
        self.config = config
        self.plane = _discriminator(config, 2, channels)
        self.volume = _discriminator(config, 3, channels) if dimensions == 3 else None

    def forward(self, images: Float[Tensor, "b c *space"], plane: Plane) -> tuple[Float32[Tensor, "b 1 ..."], ...]:
        """One logit per patch of a plane and, in 3-D, one per patch of the volume.

        Images need at least ``config.smallest`` voxels along each axis; the config of a method checks that.
        """
        logits = [self.plane(plane.of(images))[-1]]
        if self.volume is not None:
            logits.append(self.volume(images)[-1])
        return tuple(each.float() for each in logits)


def _discriminator(config: DiscriminatorConfig, dimensions: int, channels: int) -> nn.Module:
    network: nn.Module = PatchDiscriminator(
        spatial_dims=dimensions,
        channels=config.channels,
        in_channels=channels,
        num_layers_d=config.layers,
        norm=("GROUP", {"num_groups": _GROUPS}),
    )
    return network
