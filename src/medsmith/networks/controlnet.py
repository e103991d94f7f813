"""ControlNet: steers a trained U-Net by a condition on the grid of its state (Zhang et al. 2023, arXiv 2302.05543)."""

from typing import final

from jaxtyping import Float, Int
from monai.networks.nets import ControlNet as MonaiControlNet
from torch import Tensor, nn

from medsmith.networks.unet import ControlResiduals, NetworkConfig, UNet, modulate_by_vector

_ADDED = ("controlnet_down_blocks.", "controlnet_mid_block.", "controlnet_cond_embedding.")
"""Weights of MONAI's ControlNet that its U-Net lacks."""


@final
class ControlNet(nn.Module):
    """A second encoder, which also sees the condition, and whose answers are added inside the U-Net.

    MONAI's ControlNet behind the padding and folding of ``UNet``. Condition and state are on the same grid, so that
    the condition needs no layers that shrink it: two convolutions, the last one zero at first. The convolutions in
    front of the residuals are zero at first too: an untrained ControlNet changes nothing.

    Args:
        config: the U-Net's.
        dimensions: 2 or 3.
        in_channels: the U-Net's.
        condition_channels: channels of the condition, a label latent for one.
        context: the U-Net's.
        modulation: the U-Net's.
    """

    def __init__(
        self,
        config: NetworkConfig,
        dimensions: int,
        in_channels: int,
        condition_channels: int,
        *,
        context: int = 0,
        modulation: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.dimensions = config, dimensions
        self._folding = config.folding(dimensions)
        self.network = MonaiControlNet(
            conditioning_embedding_in_channels=condition_channels * self._folding.voxels,
            conditioning_embedding_num_channels=config.channels[:1],
            **config.monai_settings(dimensions, in_channels, context, modulation),
        )
        modulate_by_vector(self.network, modulation)

    def copy_encoder(self, unet: UNet) -> None:
        """Start from the encoder and the middle block of a trained U-Net.

        Raises:
            ValueError: the U-Net is of another shape.
        """
        theirs = unet.network.state_dict()
        own = {name: weights for name, weights in self.network.state_dict().items() if not name.startswith(_ADDED)}
        other = [name for name, weights in own.items() if name not in theirs or theirs[name].shape != weights.shape]
        if other or unet.config != self.config:
            raise ValueError(f"a ControlNet for {self.config} cannot start from a U-Net with {unet.config}: {other}")
        self.network.load_state_dict({name: theirs[name] for name in own}, strict=False)

    def forward(
        self,
        x: Float[Tensor, "b c *space"],
        t: Int[Tensor, "b"],
        condition: Float[Tensor, "b k *space"],
        context: Float[Tensor, "b n d"] | None = None,
        modulation: Float[Tensor, "b m"] | None = None,
        weight: float = 1.0,
    ) -> ControlResiduals:
        """What the U-Net, shown the same x, is to add.

        Args:
            x: noisy state with all channel conditions.
            t: times.
            condition: on the state's grid.
            context: vectors to look at by cross-attention.
            modulation: vector that acts in every residual block.
            weight: of the residuals; 0 leaves the U-Net as it is.
        """
        skips, middle = self.network(
            self._folding.fold(x),
            t,
            controlnet_cond=self._folding.fold(condition),
            conditioning_scale=weight,
            context=context,
            class_labels=modulation,
        )
        return ControlResiduals(tuple(skip.float() for skip in skips), middle.float())


def sum_of(first: ControlResiduals, *others: ControlResiduals) -> ControlResiduals:
    """The residuals of several ControlNets that act at once on one U-Net."""
    skips, middle = first.skips, first.middle
    for other in others:
        skips = tuple(one + another for one, another in zip(skips, other.skips, strict=True))
        middle = middle + other.middle
    return ControlResiduals(skips, middle)
