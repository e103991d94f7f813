"""Patch critics of reconstructed volumes: one looks at a plane, one at the volume (Isola et al. 2017)."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from monai.networks.nets import PatchDiscriminator
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

_GROUPS = 8


@final
class CriticConfig(BaseModel):
    """Shape of both critics.

    Attributes:
        channels: width of the first convolution; doubled by each later one.
        layers: convolutions between the first and the last; all but the last of them halve the grid. A volume needs
            3 * 2**layers voxels along each axis.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(default=64, ge=_GROUPS // 2, multiple_of=_GROUPS // 2)
    layers: int = Field(default=3, ge=1)

    @property
    def smallest(self) -> int:
        """Voxels along each axis that a volume needs."""
        return int(3 * 2**self.layers)


@final
@dataclass(frozen=True)
class Plane:
    """One plane of each volume of a batch.

    Attributes:
        axis: of space, 0 to 2, that the planes cut.
        places: where, one voxel index per volume.
    """

    axis: int
    places: tuple[int, ...]

    @classmethod
    def drawn(cls, batch: torch.Size, draw: torch.Generator) -> "Plane":
        """A random axis for the batch, and a random place for each volume.

        Args:
            batch: shape b c x y z.
            draw: source of randomness, on the CPU.
        """
        axis = int(torch.randint(3, (), generator=draw))
        return cls(axis, tuple(torch.randint(batch[2 + axis], (batch[0],), generator=draw).tolist()))

    def of(self, volumes: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b c u v"]:
        """The planes of some volumes."""
        return torch.stack(
            [volume.select(1 + self.axis, place) for volume, place in zip(volumes, self.places, strict=True)]
        )


@final
class Critics(nn.Module):
    """A critic of planes and one of volumes; high answers call their input real.

    Group normalisation stands where the released code has batch normalisation, whose statistics mean little at one or
    two volumes per batch.

    Args:
        config: shape of both.
    """

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        self.plane, self.volume = _critic(config, 2), _critic(config, 3)

    def forward(
        self, volumes: Float[Tensor, "b 1 x y z"], plane: Plane
    ) -> tuple[Float[Tensor, "b 1 p q"], Float[Tensor, "b 1 r s t"]]:
        """One answer per patch of a plane, and one per patch of the volume.

        A method's config must see to it that volumes have ``config.smallest`` voxels along each axis.
        """
        return self.plane(plane.of(volumes))[-1], self.volume(volumes)[-1]


def _critic(config: CriticConfig, dimensions: int) -> nn.Module:
    network: nn.Module = PatchDiscriminator(
        spatial_dims=dimensions,
        channels=config.channels,
        in_channels=1,
        num_layers_d=config.layers,
        norm=("GROUP", {"num_groups": _GROUPS}),
    )
    return network
