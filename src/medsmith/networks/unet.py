"""The U-Net of every method: MONAI's, with optional space-to-depth."""

from dataclasses import dataclass
from typing import Any, final

from jaxtyping import Float, Float32, Int
from monai.networks.nets import DiffusionModelUNet
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from medsmith.networks._folding import Folding
from medsmith.networks.limits import MOST_BLOCKS, MOST_CHANNELS, Widths


@final
class NetworkConfig(BaseModel):
    """Shape of a U-Net.

    Attributes:
        channels: width of each level; every level but the last halves the grid.
        attention: levels with self-attention.
        residual_blocks: residual blocks per level.
        head_channels: channels per attention head.
        groups: groups of the group normalization.
        space_to_depth: edge of the voxel block that is folded into channels before the first convolution; 1 folds
            nothing. 2 makes a 2-D network about four times cheaper at the same width.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Widths = (48, 64, 96)
    attention: tuple[bool, ...] = (False, False, True)
    residual_blocks: int = Field(default=1, ge=1, le=MOST_BLOCKS)
    head_channels: int = Field(default=32, ge=1, le=MOST_CHANNELS)
    groups: int = Field(default=8, ge=1, le=MOST_CHANNELS)
    space_to_depth: int = Field(default=2, ge=1, le=16)

    @model_validator(mode="after")
    def _fits_together(self) -> "NetworkConfig":
        if len(self.channels) != len(self.attention):
            raise ValueError(f"{len(self.channels)} levels in channels, {len(self.attention)} in attention")
        for width in self.channels:
            if width % self.groups:
                raise ValueError(f"channels: {width} is not a multiple of groups = {self.groups}")
        # The middle block always has attention.
        for width, attends in zip(self.channels, (*self.attention[:-1], True), strict=True):
            if attends and width % self.head_channels:
                raise ValueError(f"channels: {width} is not a multiple of head_channels = {self.head_channels}")
        return self

    @property
    def multiple(self) -> int:
        """Every axis of the grid the network works on is a multiple of this."""
        return int(self.space_to_depth * 2 ** (len(self.channels) - 1))

    def folding(self, dimensions: int) -> Folding:
        """Padding and space-to-depth of 2-D or 3-D images to the grid that the network works on."""
        return Folding(dimensions, self.space_to_depth, self.multiple)

    def monai_settings(self, dimensions: int, in_channels: int, context: int, modulation: int) -> dict[str, Any]:
        """Arguments of MONAI's U-Net and ControlNet on the folded grid."""
        return {
            "spatial_dims": dimensions,
            "in_channels": in_channels * self.folding(dimensions).voxels,
            "channels": self.channels,
            "attention_levels": self.attention,
            "num_res_blocks": self.residual_blocks,
            "num_head_channels": self.head_channels,
            "norm_num_groups": self.groups,
            "with_conditioning": context > 0,
            "cross_attention_dim": context or None,
            "num_class_embeds": 1 if modulation else None,
        }


@final
@dataclass(frozen=True)
class ControlResiduals:
    """Residuals that a ControlNet adds to a U-Net (Zhang et al. 2023, section 3.2), on the grids of the U-Net's levels.

    Attributes:
        skips: one per skip connection, b c *grid, in the order of the encoder.
        middle: for the block between encoder and decoder, b c *grid.
    """

    skips: tuple[Float32[Tensor, "b _ ..."], ...]
    middle: Float32[Tensor, "b _ ..."]


@final
class UNet(nn.Module):
    """A U-Net for noisy images of any size: pads to what its levels need, and crops back.

    Args:
        config: its shape.
        dimensions: 2 or 3.
        in_channels: channels of the noisy image with all channel conditions.
        out_channels: channels of the output.
        context: length of the vectors for cross-attention in the levels with attention; 0 for none.
        modulation: length of the vector that modulates every residual block: a learned map of it is added to the time
            embedding; 0 for none.
    """

    def __init__(
        self,
        config: NetworkConfig,
        dimensions: int,
        in_channels: int,
        out_channels: int,
        *,
        context: int = 0,
        modulation: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.dimensions = config, dimensions
        self._folding = config.folding(dimensions)
        self.network = DiffusionModelUNet(
            out_channels=out_channels * self._folding.voxels,
            **config.monai_settings(dimensions, in_channels, context, modulation),
        )
        modulate_by_vector(self.network, modulation)

    def forward(
        self,
        x: Float[Tensor, "b c *space"],
        t: Int[Tensor, "b"],
        context: Float[Tensor, "b n d"] | None = None,
        modulation: Float[Tensor, "b m"] | None = None,
        residuals: ControlResiduals | None = None,
    ) -> Float32[Tensor, "b out *space"]:
        """The output of the network, on the grid of x.

        Args:
            x: noisy image with all channel conditions.
            t: times.
            context: vectors for cross-attention.
            modulation: vector that modulates every residual block.
            residuals: of a ControlNet with the same config, called with the same x.
        """
        output = self.network(
            self._folding.fold(x),
            timesteps=t,
            context=context,
            class_labels=modulation,
            down_block_additional_residuals=None if residuals is None else residuals.skips,
            mid_block_additional_residual=None if residuals is None else residuals.middle,
        )
        return self._folding.unfold(output, x.shape[2:]).float()


def modulate_by_vector(network: nn.Module, modulation: int) -> None:
    """Let a U-Net or ControlNet of MONAI take a vector in place of a class.

    MONAI adds a class embedding to the time embedding; here a linear map of the vector replaces the class embedding.

    Args:
        network: changed in place.
        modulation: length of the vector; 0 leaves the network as it is.
    """
    if modulation:
        network.class_embedding = nn.Linear(modulation, network.time_embed[-1].out_features)  # type: ignore[index,union-attr]
