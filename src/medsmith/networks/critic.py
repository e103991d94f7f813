"""Patch critics of reconstructed images (Isola et al. 2017): one of planes, and in 3-D one of volumes too."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Float32
from monai.networks.nets import PatchDiscriminator
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

_GROUPS = 8


@final
class CriticConfig(BaseModel):
    """Shape of both critics.

    Attributes:
        channels: width of the first convolution; doubled by each later one.
        layers: convolutions between the first and the last; all but the last of them halve the grid. An image needs
            3 * 2**layers voxels along each axis.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(default=64, ge=_GROUPS // 2, multiple_of=_GROUPS // 2)
    layers: int = Field(default=3, ge=1)

    @property
    def smallest(self) -> int:
        """Voxels along each axis that an image needs."""
        return int(3 * 2**self.layers)


@final
@dataclass(frozen=True)
class Plane:
    """One plane of each image of a batch: of a volume a cut, of a 2-D image the whole.

    Attributes:
        axis: of space, 0 to 2, that the planes cut; None in 2-D.
        places: where, one voxel index per volume.
    """

    axis: int | None
    places: tuple[int, ...]

    @classmethod
    def drawn(cls, batch: torch.Size, draw: torch.Generator) -> "Plane":
        """A random axis for the batch, and a random place for each volume; in 2-D there is nothing to draw.

        Args:
            batch: shape b c *space.
            draw: source of randomness, on the CPU.
        """
        if len(batch) == 4:
            return cls(None, ())
        axis = int(torch.randint(3, (), generator=draw))
        return cls(axis, tuple(torch.randint(batch[2 + axis], (batch[0],), generator=draw).tolist()))

    def of(self, images: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c u v"]:
        """The planes of some images."""
        if self.axis is None:
            return images
        return torch.stack(
            [image.select(1 + self.axis, place) for image, place in zip(images, self.places, strict=True)]
        )


@final
class Critics(nn.Module):
    """A critic of planes and, in 3-D, one of volumes; high answers call their input real.

    Group normalisation stands where the released code has batch normalisation, whose statistics mean little at one or
    two volumes per batch.

    Args:
        config: shape of both.
        dimensions: of the images, 2 or 3.
        channels: of the images.
    """

    def __init__(self, config: CriticConfig, dimensions: int = 3, channels: int = 1) -> None:
        super().__init__()
        self.config = config
        self.plane = _critic(config, 2, channels)
        self.volume = _critic(config, 3, channels) if dimensions == 3 else None

    def forward(self, images: Float[Tensor, "b c *space"], plane: Plane) -> tuple[Float32[Tensor, "b 1 ..."], ...]:
        """One answer per patch of a plane and, in 3-D, one per patch of the volume.

        A method's config must see to it that images have ``config.smallest`` voxels along each axis.
        """
        answers = [self.plane(plane.of(images))[-1]]
        if self.volume is not None:
            answers.append(self.volume(images)[-1])
        return tuple(answer.float() for answer in answers)


def _critic(config: CriticConfig, dimensions: int, channels: int) -> nn.Module:
    network: nn.Module = PatchDiscriminator(
        spatial_dims=dimensions,
        channels=config.channels,
        in_channels=channels,
        num_layers_d=config.layers,
        norm=("GROUP", {"num_groups": _GROUPS}),
    )
    return network
