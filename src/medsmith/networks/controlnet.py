"""ControlNet: adds a condition on the grid of the state to a trained U-Net (Zhang et al. 2023, arXiv 2302.05543)."""

from typing import final

from jaxtyping import Float, Int
from monai.networks.nets import ControlNet as MonaiControlNet
from torch import Tensor, nn

from medsmith.networks.unet import ControlResiduals, NetworkConfig, UNet, modulate_by_vector

_OWN_WEIGHTS = ("controlnet_down_blocks.", "controlnet_mid_block.", "controlnet_cond_embedding.")
"""Weights of MONAI's ControlNet that its U-Net lacks."""


@final
class ControlNet(nn.Module):
    """A second encoder with the condition as further input; its outputs are added to activations of the U-Net.

    MONAI's ControlNet behind the padding and folding of ``UNet``. Condition and state are on the same grid, so that
    two convolutions embed the condition, without downsampling. The last of them and the convolutions of the residuals
    are initialized to zero: an untrained ControlNet changes nothing.

    Args:
        config: the U-Net's.
        dimensions: 2 or 3.
        in_channels: the U-Net's.
        condition_channels: channels of the condition, such as a label latent.
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
        """Copy the weights of encoder and middle block of a trained U-Net.

        Raises:
            ValueError: the U-Net has another config or other shapes.
        """
        source = unet.network.state_dict()
        shared = {
            name: tensor for name, tensor in self.network.state_dict().items() if not name.startswith(_OWN_WEIGHTS)
        }
        unlike = [name for name, tensor in shared.items() if name not in source or source[name].shape != tensor.shape]
        if unlike or unet.config != self.config:
            raise ValueError(f"a ControlNet for {self.config} cannot start from a U-Net with {unet.config}: {unlike}")
        self.network.load_state_dict({name: source[name] for name in shared}, strict=False)

    def forward(
        self,
        x: Float[Tensor, "b c *space"],
        t: Int[Tensor, "b"],
        condition: Float[Tensor, "b k *space"],
        context: Float[Tensor, "b n d"] | None = None,
        modulation: Float[Tensor, "b m"] | None = None,
        weight: float = 1.0,
    ) -> ControlResiduals:
        """Residuals that the U-Net adds when it is called with the same x.

        Args:
            x: noisy state with all channel conditions.
            t: times.
            condition: on the state's grid.
            context: vectors for cross-attention.
            modulation: vector that modulates every residual block.
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


def add_residuals(first: ControlResiduals, *others: ControlResiduals) -> ControlResiduals:
    """The sum of the residuals of several ControlNets for one U-Net."""
    skips, middle = first.skips, first.middle
    for other in others:
        skips = tuple(one + another for one, another in zip(skips, other.skips, strict=True))
        middle = middle + other.middle
    return ControlResiduals(skips, middle)
