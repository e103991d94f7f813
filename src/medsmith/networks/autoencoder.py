"""Encoder and decoder of every autoencoder, in 2-D and 3-D.

Activations are normalized over the channels of each voxel, not over the whole image as by group normalization. The
output of a voxel then depends on its neighborhood alone, so that an image encoded or decoded in tiles equals the image
encoded or decoded at once (see ``tiling``). For the same reason there is no attention.
"""

from typing import final

from jaxtyping import Float
from monai.networks.blocks import Convolution
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import pad

from medsmith.networks.limits import MOST_BLOCKS, Widths

_CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


@final
class AutoencoderConfig(BaseModel):
    """Shape of an encoder and its decoder.

    Attributes:
        channels: width of each level; every level but the last halves the grid.
        residual_blocks: residual blocks per level; the last level, the latents' grid, has twice as many.
        latent: channels of a latent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Widths = (32, 64, 64)
    residual_blocks: int = Field(default=1, ge=1, le=MOST_BLOCKS)
    latent: int = Field(default=4, ge=1, le=256)

    @property
    def factor(self) -> int:
        """Voxels per latent along each axis."""
        return int(2 ** (len(self.channels) - 1))

    @property
    def halo(self) -> int:
        """Latents beyond a latent, in each direction, that its value depends on, in encoder and decoder.

        A residual block reaches two voxels of its level's grid, every other convolution one; the convolution that
        halves the grid makes voxel j of voxels 2j to 2j + 2.
        """
        deep, halvings = 4 * self.residual_blocks + 1, len(self.channels) - 1
        low, high = -deep, deep  # the encoder, from latent 0 back to the image
        for _ in range(halvings):
            low, high = 2 * low - 2 * self.residual_blocks, 2 * high + 2 + 2 * self.residual_blocks
        encoder = max(-((low - 1) // self.factor), (high + 1) // self.factor)
        low, high = -1, self.factor  # the decoder, from the voxels of latent 0 back to the latents
        for _ in range(halvings):
            low, high = (low - 2 * self.residual_blocks - 1) // 2, (high + 2 * self.residual_blocks + 1) // 2
        return max(encoder, deep - low, deep + high)


def build_encoder(config: AutoencoderConfig, dimensions: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """Layers from b in *space to b out *latent.

    Args:
        config: shape.
        dimensions: 2 or 3.
        in_channels: of the image.
        out_channels: of a latent, or of the parameters of its distribution.
    """
    levels = _residual_levels(config, dimensions)
    layers: list[nn.Module] = [convolution(dimensions, in_channels, config.channels[0])]
    for level, blocks in enumerate(levels):
        layers += blocks
        if level < len(levels) - 1:
            layers.append(Downsample(dimensions, *config.channels[level : level + 2]))
    return nn.Sequential(*layers, *_head(dimensions, config.channels[-1], out_channels))


def build_decoder(config: AutoencoderConfig, dimensions: int, out_channels: int) -> nn.Sequential:
    """Layers from b latent *latent to b out *space.

    Args:
        config: shape.
        dimensions: 2 or 3.
        out_channels: of the image.
    """
    levels = _residual_levels(config, dimensions)
    layers: list[nn.Module] = [convolution(dimensions, config.latent, config.channels[-1]), *levels[-1]]
    for level in reversed(range(len(levels) - 1)):
        wide, narrow = config.channels[level + 1], config.channels[level]
        layers += [nn.Upsample(scale_factor=2, mode="nearest"), convolution(dimensions, wide, narrow), *levels[level]]
    return nn.Sequential(*layers, *_head(dimensions, config.channels[0], out_channels))


@final
class ResidualBlock(nn.Module):
    """Twice normalization, SiLU and convolution, added to the input.

    Args:
        dimensions: 2 or 3.
        channels: of input and output.
    """

    def __init__(self, dimensions: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_head(dimensions, channels, channels))
        self.second = nn.Sequential(*_head(dimensions, channels, channels))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Same shape."""
        added: Tensor = x + self.second(self.first(x))
        return added


@final
class Downsample(nn.Module):
    """Halves an even grid by a strided convolution, padded at the far faces alone (MONAI's ``AEKLDownsample``).

    Args:
        dimensions: 2 or 3.
        in_channels: of the input.
        out_channels: of the output.
    """

    def __init__(self, dimensions: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self._padding = [0, 1] * dimensions
        self.conv = Convolution(
            dimensions, in_channels, out_channels, strides=2, kernel_size=3, padding=0, conv_only=True
        )

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b out *half"]:
        """Half the grid."""
        halved: Tensor = self.conv(pad(x, self._padding))
        return halved


@final
class VoxelNorm(nn.Module):
    """Layer normalization over the channels of each voxel (Ba et al. 2016).

    Args:
        channels: of each voxel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Same shape."""
        normalized: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return normalized


def convolution(dimensions: int, in_channels: int, out_channels: int) -> nn.Conv2d | nn.Conv3d:
    """A convolution of 3 voxels along each axis that keeps the grid."""
    return _CONVOLUTIONS[dimensions](in_channels, out_channels, 3, padding=1)


def last_weight(decoder: nn.Sequential) -> Tensor:
    """The weight of the last convolution, for the adaptive weight of the generator loss."""
    weight: Tensor = decoder[-1].weight  # type: ignore[assignment]
    return weight


def _residual_levels(config: AutoencoderConfig, dimensions: int) -> list[list[nn.Module]]:
    """Residual blocks of each level, the image's first."""
    counts = [config.residual_blocks] * (len(config.channels) - 1) + [2 * config.residual_blocks]
    return [
        [ResidualBlock(dimensions, width) for _ in range(count)]
        for width, count in zip(config.channels, counts, strict=True)
    ]


def _head(dimensions: int, in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return VoxelNorm(in_channels), nn.SiLU(), convolution(dimensions, in_channels, out_channels)
