"""The U-Net of every method: MONAI's, behind an optional space-to-depth."""

from typing import Annotated, final

import torch
from einops import rearrange
from jaxtyping import Float, Int
from monai.networks.nets import DiffusionModelUNet
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import pad


@final
class NetworkConfig(BaseModel):
    """Shape of a U-Net.

    Attributes:
        channels: width of each level; every level but the last halves the grid.
        attention: levels with self-attention.
        residual_blocks: residual blocks per level.
        head_channels: channels per attention head.
        groups: groups of the group normalisation.
        space_to_depth: edge of the voxel block that is folded into channels before the first convolution; 1 folds
            nothing. 2 makes a 2-D network about four times cheaper at the same width.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (48, 64, 96)
    attention: tuple[bool, ...] = (False, False, True)
    residual_blocks: int = Field(default=1, ge=1)
    head_channels: int = Field(default=32, ge=1)
    groups: int = Field(default=8, ge=1)
    space_to_depth: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> "NetworkConfig":
        if len(self.channels) != len(self.attention):
            raise ValueError(f"{len(self.channels)} levels in channels, {len(self.attention)} in attention")
        for width in self.channels:
            if width % self.groups:
                raise ValueError(f"channels: {width} is not a multiple of groups = {self.groups}")
        # The block between the two halves attends whatever the levels do.
        for width, attends in zip(self.channels, (*self.attention[:-1], True), strict=True):
            if attends and width % self.head_channels:
                raise ValueError(f"channels: {width} is not a multiple of head_channels = {self.head_channels}")
        return self

    @property
    def multiple(self) -> int:
        """Every axis of the grid the network works on is a multiple of this."""
        return int(self.space_to_depth * 2 ** (len(self.channels) - 1))


@final
class UNet(nn.Module):
    """A U-Net for noisy images of any size: pads to what its levels need, and crops back.

    Args:
        config: its shape.
        dimensions: 2 or 3.
        in_channels: channels of the noisy image with all channel conditions.
        out_channels: channels of the answer.
        context: length of the vectors that the levels with attention look at by cross-attention; 0 for none.
        modulation: length of the vector that is added, through a learned map, to the embedding of the time, and so
            reaches every residual block; 0 for none.
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
        fold = config.space_to_depth**dimensions
        self.network = DiffusionModelUNet(
            spatial_dims=dimensions,
            in_channels=in_channels * fold,
            out_channels=out_channels * fold,
            channels=config.channels,
            attention_levels=config.attention,
            num_res_blocks=config.residual_blocks,
            num_head_channels=config.head_channels,
            norm_num_groups=config.groups,
            with_conditioning=context > 0,
            cross_attention_dim=context or None,
            num_class_embeds=1 if modulation else None,
        )
        if modulation:  # MONAI adds an embedding of the class to that of the time: here of a vector in its place
            self.network.class_embedding = nn.Linear(modulation, self.network.time_embed[-1].out_features)

    def forward(
        self,
        x: Float[Tensor, "b c *space"],
        t: Int[Tensor, "b"],
        context: Float[Tensor, "b n d"] | None = None,
        modulation: Float[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b out *space"]:
        """The network's answer, on the grid of x.

        Args:
            x: noisy image with all channel conditions.
            t: times.
            context: vectors to look at by cross-attention.
            modulation: vector that acts in every residual block.
        """
        space = x.shape[2:]
        x = pad(x, self._padding(space), mode="replicate") if any(self._excess(space)) else x
        answer = self._unfold(self.network(self._fold(x), timesteps=t, context=context, class_labels=modulation))
        for axis, length in enumerate(space, 2):
            answer = answer.narrow(axis, 0, length)
        return answer

    def _excess(self, space: torch.Size) -> list[int]:
        return [-n % self.config.multiple for n in space]

    def _padding(self, space: torch.Size) -> list[int]:
        return [n for extra in reversed(self._excess(space)) for n in (0, extra)]

    @property
    def _axes(self) -> tuple[str, str, dict[str, int]]:
        names = "xyz"[: self.dimensions]
        folded = " ".join(f"({n} {n}f)" for n in names)
        depth = " ".join(f"{n}f" for n in names)
        return folded, depth, {f"{n}f": self.config.space_to_depth for n in names}

    def _fold(self, x: Tensor) -> Tensor:
        folded, depth, sizes = self._axes
        names = " ".join("xyz"[: self.dimensions])
        return rearrange(x, f"b c {folded} -> b (c {depth}) {names}", **sizes)

    def _unfold(self, x: Tensor) -> Tensor:
        folded, depth, sizes = self._axes
        names = " ".join("xyz"[: self.dimensions])
        return rearrange(x, f"b (c {depth}) {names} -> b c {folded}", **sizes)
